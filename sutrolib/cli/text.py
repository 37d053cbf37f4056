"""The exits to the terminal: text and tables that fit it, broken between words, and nothing that it would obey.

Titles, names and findings come from notebooks and ledgers of others. What is printed passes a :class:`PlainStream`,
what rich draws the :func:`console`: colours are added by rich after it.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from sutrolib.core.format import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


class PlainStream:
    """A stream that text goes through without control characters; in all else it is the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # rich's name for it: it writes there, as it must move the cursor

    def write(self, text: str) -> int:
        """Write the text."""
        self.rich_proxied_file.write(plain(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def console(**options: Any) -> Console:
    """A console of rich that shows no control characters but its own."""
    from rich.console import Console
    from rich.segment import Segment

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(plain(text), **options)  # before it is cut into pieces of a colour

        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=plain(segment.text))

    return PlainConsole(file=getattr(sys.stdout, "rich_proxied_file", sys.stdout), **options)


def paragraph(text: str, indent: str = "") -> str:
    """The text in lines that fit the terminal, those after the first with four blanks more than ``indent``."""
    width, hanging = shutil.get_terminal_size().columns, f"{indent}    "
    lines = textwrap.TextWrapper(width, indent, hanging, break_long_words=False, break_on_hyphens=False)
    return lines.fill(text)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns if they fit the terminal; else the first cell of each row, and below it the others by name."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    bar, line = ("│", "─") if "utf" in sys.stdout.encoding.lower() else ("|", "-")
    if sum(widths) + 3 * len(widths) <= shutil.get_terminal_size().columns:
        for row in (header, [line * width for width in widths], *rows):
            print(f" {bar} ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    for first, *others in rows:
        named = "; ".join(f"{name} {cell}" for name, cell in zip(header[1:], others, strict=True) if cell)
        print(paragraph(first), paragraph(named, "    "), sep="\n")
