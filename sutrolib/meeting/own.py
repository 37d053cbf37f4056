"""Slides of your own, written in Markdown: an agenda, questions, announcements."""

import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from sutrolib.meeting.layout import Slide

_LINES, _WIDTH = 12, 66  # what a slide has room for


def read_own_slides(files: Iterable[str | Path]) -> list[Slide]:
    """The slides of Markdown files. Raises ValueError, naming the file, for one from which there are none to make."""
    slides: list[Slide] = []
    for file in files:
        try:
            slides += own_slides(Path(file).read_text(encoding="utf-8"), Path(file).stem)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"{file} cannot be added to the deck: {why}; name a Markdown file in UTF-8") from error
    return slides


def own_slides(text: str, title: str = "Our own points") -> list[Slide]:
    """The slides of a Markdown text.

    A line ``# Heading`` or ``---`` starts a slide; lists and paragraphs become its points. ``title`` heads what has no
    heading. ValueError for a slide that is too full.
    """
    slides: list[Slide] = []
    for part in re.split(r"^(?=#\s)|^-{3,}\s*$", text, flags=re.M):
        heading, body = re.match(r"(?:\s*#+\s+(.+))?((?s:.*))", part).groups()  # type: ignore[union-attr]
        blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)])\s)", body)
        points = [re.sub(r"^([-*+]|#+)\s+", "", " ".join(block.split())) for block in blocks if block.strip()]
        if (lines := sum(len(textwrap.wrap(point, _WIDTH)) for point in points)) > _LINES:
            raise ValueError(
                f"slide {heading or title!r} has {lines} lines, and a slide has room for {_LINES}: split it by ---"
            )
        if heading or points:
            slides.append(Slide(f"own-{len(slides) + 1}", "text", heading or title, points=tuple(points)))
    return slides
