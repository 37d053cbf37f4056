"""The finding in a notebook's outputs, and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sutrolib.core.format import plain
from sutrolib.core.records import read_json

FINDING_TYPE = "application/vnd.sutro.finding+json"


def finding_in(path: Path) -> dict[str, Any]:
    """The last finding in a notebook's outputs, as ``Session.conclude`` wrote it; empty if there is none."""
    if not path.exists():
        return {}
    cells = read_json(path)["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    findings = [data[FINDING_TYPE] for data in outputs if isinstance(data.get(FINDING_TYPE), dict)]
    return findings[-1] if findings else {}


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; pipes and line breaks in cells are escaped, control characters left out."""

    def line(cells: Iterable[object]) -> str:
        return "| " + " | ".join(plain(str(c)).replace("|", "\\|").replace("\n", " ") for c in cells) + " |"

    return "\n".join([line(header), line("---" for _ in header), *(line(row) for row in rows)])
