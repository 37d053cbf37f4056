"""Text of the width of the terminal, broken between words: for what is too wide for a table."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence


def paragraph(text: str, indent: str = "") -> str:
    """The text in lines that fit the terminal, those after the first with four blanks more than ``indent``."""
    width, hanging = shutil.get_terminal_size().columns, f"{indent}    "
    lines = textwrap.TextWrapper(width, indent, hanging, break_long_words=False, break_on_hyphens=False)
    return lines.fill(text)


def as_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table without columns: the first cell of a row on a line of its own, below it the others with their names."""
    lines = []
    for first, *others in rows:
        named = "; ".join(f"{name} {cell}" for name, cell in zip(header[1:], others, strict=True) if cell)
        lines += [paragraph(first), paragraph(named, "    ")]
    return "\n".join(lines)
