"""Text and tables that fit the terminal, broken between words."""

import shutil
import sys
import textwrap
from collections.abc import Sequence


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
