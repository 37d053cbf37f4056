"""What slides are made of: a slide is plain data, and so is a table; and the words that all of them share.

All of it is text. :mod:`sutrolib.deck_page` escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sutrolib.cube import Position
from sutrolib.deck import Period
from sutrolib.deck_sources import Picture

ROWS = 8  # of a table, that still can be read from the last row of a room
POINTS = 7
LONG, LONGER = 95, 190  # letters from which on a heading is set in smaller type
SIGNS = {"continue": "→ continue", "turn back": "↩ turn back", "stop": "■ stop", "not measured": "? not measured"}


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
    commands: tuple[str, ...] = (),
    eyebrow: str = "What failed",
) -> Iterator[Slide]:
    """As many slides as a table needs with ``rows`` rows on each at most; none for an empty one."""
    count = -(-len(table.rows) // rows)
    each = -(-len(table.rows) // max(count, 1))  # pages of about one length
    pages = [table.rows[number * each : (number + 1) * each] for number in range(count)]
    for number, page in enumerate(pages, start=1):
        which = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        yield Slide(
            key=f"{key}-{number}",
            layout="text",
            eyebrow=eyebrow,
            heading=heading + which,
            tables=(Table(table.caption, table.header, page),),
            notes=notes if number == 1 else (),
            commands=commands if number == 1 else (),
        )


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
