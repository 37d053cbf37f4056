"""What slides are made of: a slide is plain data, and so is a table; and the words that all of them share.

All of it is text. :mod:`sutrolib.meeting.html` escapes it.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from sutrolib.batch.executed import Picture
from sutrolib.core.cube import Position
from sutrolib.meeting.collect import Period

ROWS = 8  # of a table, that still can be read from the last row of a room
POINTS = 7
CELL, POINT = 160, 480  # letters of a cell and of a point, beyond which they are cut
SHORT = 14  # letters of a cell that stays on one line
LONG, LONGER = 95, 190  # letters from which on a heading is set in smaller type
# What fits is reckoned in pixels of a screen of 1280 x 720, with which the type grows, and in letters a line, as the
# style sheet has them; a test holds that against a browser.
HEADINGS = ((LONG, 62, 37), (LONGER, 82, 28), (10_000, 100, 24))  # up to so many letters: letters a line, its height
ROOM = 570  # for the heading and what stands below it
SIGNS = {"continue": "→ continue", "turn back": "↩ turn back", "stop": "■ stop", "not measured": "? not measured"}

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table of texts, with what it shows in words."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Slide:
    """One slide. ``axis`` colours it; ``notes`` are for the speaker, ``commands`` reproduce what it shows."""

    key: str
    layout: str  # title, picture, finding or text
    heading: str
    lead: str = ""
    eyebrow: str = ""
    axis: str = ""
    sign: str = ""
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()
    foot: str = ""
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    notebook: str = ""  # whose finding it is: links to that notebook lead here


def day(when: datetime) -> str:
    """A day as people write it."""
    return f"{when.day} {when:%B %Y}"


def beginning(period: Period) -> str:
    """When a period begins: a day, and the time where the period is short."""
    short = period.until - period.since < timedelta(days=2)
    return f"{day(period.since)}, {period.since:%H:%M} UTC" if short else day(period.since)


def paged(
    key: str,
    heading: str,
    table: Table,
    rows: int = ROWS,
    notes: tuple[str, ...] = (),
    asides: Sequence[str] = (),
    commands: Sequence[str] = (),
    eyebrow: str = "What failed",
) -> Iterator[Slide]:
    """As many slides as a table needs, with as many rows on each as fit, ``rows`` at most; none for an empty one.

    ``asides`` are notes and ``commands`` are commands, one for each row. Cells that are cut stand whole in the notes.
    """
    cut = [tuple(shortened(cell) for cell in row) for row in table.rows]
    room = ROOM - _heading_px(heading) - 66  # 66: the caption, and the names of the columns
    pages = _pages(range(len(cut)), rows, room, lambda page: _rows_px(table.header, [cut[row] for row in page]))
    for number, page in enumerate(pages, start=1):
        whole = [f"{cut[row][0]}: {cell}" for row in page for cell in table.rows[row] if cell not in cut[row]]
        yield Slide(
            key=f"{key}-{number}",
            layout="text",
            eyebrow=eyebrow,
            heading=heading + _which(number, pages),
            tables=(Table(table.caption, table.header, tuple(cut[row] for row in page)),),
            notes=(*notes, *(asides[row] for row in page if asides), *whole),
            commands=tuple(dict.fromkeys(commands[row] for row in page if commands)),
        )


def listed(key: str, heading: str, points: Sequence[str], eyebrow: str) -> Iterator[Slide]:
    """As many slides as these points need, as many on each as fit. Points that are cut stand whole in the notes."""
    cut = {point: shortened(point, POINT) for point in points}

    def high(page: Sequence[str]) -> int:
        return sum(18 + 25 * lines(cut[point], 100) for point in page)

    pages = _pages(points, POINTS, ROOM - _heading_px(heading), high)
    for number, page in enumerate(pages, start=1):
        yield Slide(
            key=f"{key}-{number}",
            layout="text",
            eyebrow=eyebrow,
            heading=heading + _which(number, pages),
            points=tuple(cut[point] for point in page),
            notes=tuple(point for point in page if cut[point] != point),
        )


def _pages(items: Sequence[T], most: int, room: int, high: Callable[[Sequence[T]], int]) -> list[Sequence[T]]:
    """The items on as few pages of about one length as hold ``most`` each and are no higher than ``room``."""
    for count in range(-(-len(items) // most), len(items) + 1):
        each = -(-len(items) // max(count, 1))
        pages = [items[start : start + each] for start in range(0, len(items), max(each, 1))]
        if each <= 1 or all(high(page) <= room for page in pages):
            return pages
    return []


def _which(number: int, pages: Sequence[object]) -> str:
    return f" ({number} of {len(pages)})" if len(pages) > 1 else ""


def _rows_px(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> int:
    """How high these rows are: narrow columns keep their width, the others share the rest as a browser lets them."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = 106 - 2 * len(widths) - sum(width for width in widths if width <= SHORT)
    share = left / max(left, sum(width for width in widths if width > SHORT))
    widths = [width if width <= SHORT else max(SHORT, int(share * width)) for width in widths]
    return sum(13 + 23 * max(map(lines, row, widths)) for row in rows)


def _heading_px(heading: str) -> int:
    letters, high = heading_type(f"{heading} (10 of 10)")
    return high * lines(f"{heading} (10 of 10)", letters)


def heading_type(heading: str) -> tuple[int, int]:
    """Letters a line, and the height of a line, of a heading of this length."""
    return next((letters, high) for most, letters, high in HEADINGS if len(heading) <= most)


def lines(text: str, letters: int) -> int:
    """How many lines a text takes."""
    return max(1, len(textwrap.wrap(text, letters)))


def shortened(text: str, letters: int = CELL) -> str:
    """The first line of a text, cut between words where it is longer than this; what is left out is marked by dots."""
    first = next(iter(text.strip().splitlines()), "").strip()
    if len(first) <= letters:
        return first if first == text.strip() else f"{first} ..."
    cut = first[: letters - 4]
    cut = cut.rsplit(" ", 1)[0] if " " in cut[letters // 2 :] else cut
    return re.sub(r"\[[^\]]*(\]\([^)]*)?$", "", cut).rstrip() + " ..."  # half a link would show its brackets


def distinct(slides: Iterable[Slide]) -> list[Slide]:
    """The same slides with a number after a key that another one has already: keys are the ids of the page."""
    made: dict[str, Slide] = {}
    for slide in slides:
        keys = (slide.key if number == 1 else f"{slide.key}-{number}" for number in itertools.count(1))
        key = next(key for key in keys if key not in made)
        made[key] = slide if key == slide.key else replace(slide, key=key)
    return list(made.values())


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence and the rest. A full stop ends one where a blank and a capital letter, or nothing, follow."""
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def words_of(position: Position) -> str:
    """A position by the keys of its rungs."""
    return f"{position.process} / {position.metric} / {position.problem}"


def some(count: int, one: str, many: str = "") -> str:
    """A number of things, with the word for one or for many."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def chosen(slides: Sequence[Slide], keys: Sequence[str]) -> list[Slide]:
    """The slides of these keys, in this order. Raises ValueError that lists those there are."""
    there = {slide.key: slide for slide in slides}
    unknown = [key for key in keys if key not in there]
    if unknown:
        raise ValueError(f"no slide {', '.join(unknown)}; there are {', '.join(there)}")
    return [there[key] for key in keys]
