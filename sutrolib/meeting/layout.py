"""What a slide is made of, how texts and tables are cut to what a slide has room for, and the wording slides share.

Everything here is text; :mod:`sutrolib.meeting.html` escapes it. What does not fit is in the speaker notes in full.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sutrolib.batch.executed import Picture
from sutrolib.meeting.collect import Period
from sutrolib.meters.base import Kind

MORE = "in the notes"
_FEWEST_WORDS = 3  # of a title that is cut from a sentence


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


def table_slide(
    key: str,
    heading: str,
    columns: Mapping[str, int],
    rows: Iterable[tuple[str, ...]],
    most: int = 7,
    more: str = MORE,
    **fields: Any,
) -> Iterator[Slide]:
    """A slide with the table's first rows, whose last row says how many more there are; none for no rows.

    Args:
        columns: the characters that fit in the cells of each column.
        most: rows that fit.
        more: where the other rows are.
        fields: of the slide. Rows that are left out or cut are added to its notes.
    """
    rows, widths = list(rows), list(columns.values())
    shown = [tuple(map(shorten, row, widths)) for row in rows]
    if (left := len(shown) - most) > 0:
        shown[most - 1 :] = [tuple(f"and {left + 1} more {more}" if w == max(widths) else "" for w in widths)]
    notes = (*fields.pop("notes", ()), *(": ".join(filter(None, row)) for row in rows if row not in shown))
    if shown:
        yield Slide(key, "text", heading, tables=(Table(heading, tuple(columns), tuple(shown)),), notes=notes, **fields)


def fit(points: Sequence[str], lines: int, width: int) -> tuple[str, ...]:
    """The points that fit in this many lines of ``width`` characters; the last one says how many more there are."""
    room = lines - sum(len(textwrap.wrap(point, width)) for point in points)
    count = len(points)
    while room < 0 and count:
        count -= 1
        room += len(textwrap.wrap(points[count], width)) - (count == len(points) - 1)  # 1 for the last line
    return (*points[:count], *([f"+ {len(points) - count} more {MORE}"] if count < len(points) else []))


def shorten(text: str, characters: int) -> str:
    """The first line of a text, cut between words and ended by dots if it is longer than this."""
    first = next(iter(text.strip().splitlines()), "").strip()
    if len(first) <= characters:
        return first if first == text.strip() else f"{first} ..."
    cut = first[: characters - 4]
    cut = cut.rsplit(" ", 1)[0] if " " in cut[characters // 2 :] else cut
    return re.sub(r"\[[^\]]*(\]\([^)]*)?$", "", cut).rstrip() + " ..."  # half a link would show its brackets


def split_text(text: str, characters: int) -> tuple[str, str]:
    """What fits in this many characters, cut after a sentence or a clause if there is one, and the rest."""
    if len(text) <= characters:
        return text, ""
    cut = max(text.rfind(mark, 0, characters) for mark in ("; ", ". ")) + 1
    cut = cut if cut > characters // 3 else text.rfind(" ", 0, characters)
    cut = cut if cut > 0 else characters
    return text[:cut].strip(), text[cut:].strip()


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence and the rest. A sentence ends at a full stop before a capital letter or a number."""
    first, *rest = re.split(r"(?<=[.!?])\s+(?=[A-Z\d])", text.strip(), maxsplit=1)
    return first, "".join(rest)


def headline(finding: str, figure: str = "", words: int = 12) -> str:
    """A title of at most ``words`` words, cut from a finding where a clause ends.

    The first sentence is taken if it fits, else what stands before a semicolon or colon in it. A colon before numbers
    is not the end of a clause: they are what was found. Else the sentence ``figure`` is tried in the same way, then
    the first sentence up to a comma, a bracket or "and", and then the finding's other sentences.
    """
    first, rest = first_sentence(finding)
    ends = "$", r";\s", r":\s(?![^;]*(?<![\w(])\d)"
    part = rf"(?:,\s|\s\((?!{'|'.join(Kind)})|\sand\s)"  # a number keeps its kind
    tried = [(text, end) for text in (first, figure) for end in ends]
    tried.append((first, rf"{part}(?!.*:\s)"))
    tried += [(text, end) for text in first_sentence(rest) for end in ends]
    for text, end in [*tried, (first, r":\s"), (first, part)]:
        heads = (text[: match.start()].rstrip(" .") for match in re.finditer(end, text))
        fits = [head for head in heads if _is_whole(head) and len(head.split()) <= words]
        if fits:
            return fits[-1]
    head = first.split()
    return " ".join(head) if len(head) <= words else " ".join([*head[: words - 1], "..."])


def _is_whole(head: str) -> bool:
    """Whether brackets are closed, and there are enough words, not only signs."""
    closed = all(head.count(left) == head.count(right) for left, right in ("()", "[]"))
    return closed and sum(any(map(str.isalnum, word)) for word in head.split()) >= _FEWEST_WORDS


def date_text(when: datetime) -> str:
    """A date such as ``3 November 2026``."""
    return f"{when.day} {when:%B %Y}"


def start_text(period: Period) -> str:
    """The date on which a period starts, with the time if the period is shorter than two days."""
    short = period.until - period.since < timedelta(days=2)
    return f"{date_text(period.since)}, {period.since:%H:%M} UTC" if short else date_text(period.since)


def count_text(count: int, one: str) -> str:
    """A count with its noun, in singular or plural."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
