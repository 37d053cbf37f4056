"""What a slide is made of, how long tables are spread over slides, and the wording that slides share.

Everything here is text; :mod:`sutrolib.meeting.html` escapes it. The style sheet clamps what takes too many lines, so
texts that may be clamped are repeated in full in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from sutrolib.batch.executed import Picture
from sutrolib.core.cube import Position
from sutrolib.meeting.collect import Period

_ROW_CHARACTERS = 270  # characters of a table row that fit in three lines, over all columns


@dataclass(frozen=True)
class Table:
    """A table of texts and its caption."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Slide:
    """One slide. ``axis`` sets its colour, ``notes`` are for the speaker, ``commands`` reproduce what it shows."""

    key: str
    layout: str  # title, picture, finding or text
    heading: str
    subtitle: str = ""
    topic: str = ""
    axis: str = ""
    sign: str = ""
    picture: Picture | None = None
    tables: tuple[Table, ...] = ()
    points: tuple[str, ...] = ()
    footer: str = ""
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    notebook: str = ""  # links to this notebook lead to this slide


def table_slides(
    key: str,
    topic: str,
    heading: str,
    table: Table,
    most: int = 6,
    notes: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Iterator[Slide]:
    """As few slides as hold the table, about equally long, with ``most`` rows each at most; none for no rows.

    ``notes`` and ``commands`` hold one text for each row.
    """
    count = -(-len(table.rows) // most)
    limit = _ROW_CHARACTERS // len(table.header)
    for number, page in enumerate(np.array_split(np.arange(len(table.rows)), max(count, 1))[:count], start=1):
        rows = [table.rows[row] for row in page]
        shown = tuple(tuple(shorten(cell, limit) for cell in row) for row in rows)
        cut = [f"{row[0]}: {cell}" for row, cells in zip(rows, shown, strict=True) for cell in row if cell not in cells]
        yield Slide(
            key=f"{key}-{number}",
            layout="text",
            topic=topic,
            heading=heading + (f" ({number} of {count})" if count > 1 else ""),
            tables=(replace(table, rows=shown),),
            notes=(*(notes[row] for row in page if notes), *cut),
            commands=tuple(dict.fromkeys(commands[row] for row in page if commands)),
        )


def shorten(text: str, characters: int) -> str:
    """The first line of a text, cut between words and ended by dots if it is longer than this."""
    first = next(iter(text.strip().splitlines()), "").strip()
    if len(first) <= characters:
        return first if first == text.strip() else f"{first} ..."
    cut = first[: characters - 4]
    cut = cut.rsplit(" ", 1)[0] if " " in cut[characters // 2 :] else cut
    return re.sub(r"\[[^\]]*(\]\([^)]*)?$", "", cut).rstrip() + " ..."  # half a link would show its brackets


def select_slides(slides: Sequence[Slide], keys: Sequence[str]) -> list[Slide]:
    """The slides with these keys, in this order. ValueError for an unknown key."""
    by_key = {slide.key: slide for slide in slides}
    if unknown := [key for key in keys if key not in by_key]:
        raise ValueError(f"no slide {', '.join(unknown)}; there are {', '.join(by_key)}")
    return [by_key[key] for key in keys]


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence and the rest. A sentence ends at a full stop before a capital letter."""
    first, *rest = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text.strip(), maxsplit=1)
    return first, "".join(rest)


def date_text(when: datetime) -> str:
    """A date such as ``3 November 2026``."""
    return f"{when.day} {when:%B %Y}"


def start_text(period: Period) -> str:
    """The date on which a period starts, with the time if the period is shorter than two days."""
    short = period.until - period.since < timedelta(days=2)
    return f"{date_text(period.since)}, {period.since:%H:%M} UTC" if short else date_text(period.since)


def position_text(position: Position) -> str:
    """A position as the keys of its rungs."""
    return f"{position.process} / {position.metric} / {position.problem}"


def count_text(count: int, one: str, many: str = "") -> str:
    """A count with its noun, in singular or plural."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
