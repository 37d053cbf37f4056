"""The table of a final exam: every quantity of every entry against the baseline, and the kind of every number."""

from __future__ import annotations

from collections.abc import Sequence

from sutrolib.exam.record import Record
from sutrolib.exam.verdict import Line, outcomes

HEADER = ["entry", "quantity", "kind", "baseline", "candidate", "change (95 %)", "pairs", "asked"]
POWERS = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def table(record: Record) -> tuple[list[str], list[list[str]]]:
    """Header and rows. The change is candidate / baseline, marked ``x``, or for scores candidate - baseline."""
    rows = [
        [
            outcome.entry,
            line.what,
            line.kind,
            amount(line.baseline, line.unit),
            amount(line.candidate, line.unit),
            f"x {line}" if line.ratio else str(line),
            str(line.pairs),
            _asked(line),
        ]
        for outcome in outcomes(record)
        for line in outcome.lines
    ]
    return list(HEADER), rows


def amount(value: float, unit: str) -> str:
    """The value with its unit, in four digits."""
    if unit in ("B", "") and abs(value) >= 1e5:
        prefix, power = next((name, size) for name, size in POWERS if abs(value) >= size)
        return f"{value / power:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}".strip()


def _asked(line: Line) -> str:
    if line.held is None:
        return "sacrificed" if line.sacrificed else ""
    return f"{line.asked}: {'yes' if line.held else 'NO'}"


def plain_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table in columns of letters, the first one only where it changes."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines, last = [], None
    for row in (header, ["-" * width for width in widths], *rows):
        shown = ["" if row[0] == last else row[0], *row[1:]]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(shown, widths, strict=True)).rstrip())
        last = row[0]
    return "\n".join(lines)
