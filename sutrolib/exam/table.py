"""The table of a final exam: every quantity of every entry against the baseline, with the kind of every number."""

from __future__ import annotations

from collections.abc import Sequence

from sutrolib.core.format import amount
from sutrolib.exam.record import ExamRecord
from sutrolib.exam.verdict import VerdictLine, verdicts

_HEADER = ["entry", "quantity", "kind", "baseline", "candidate", "change (95 %)", "pairs", "required"]


def table(record: ExamRecord) -> tuple[list[str], list[list[str]]]:
    """Header and rows. The change is candidate / baseline, marked ``x``; for scores it is candidate - baseline."""
    rows = [
        [verdict.entry, *comparison_cells(line), str(line.pairs), _criterion(line)]
        for verdict in verdicts(record)
        for line in verdict.lines
    ]
    return list(_HEADER), rows


def comparison_cells(line: VerdictLine) -> tuple[str, ...]:
    """Quantity, kind, baseline, candidate and change, as text."""
    values = amount(line.baseline, line.unit), amount(line.candidate, line.unit)
    return line.quantity, line.kind, *values, f"x {line}" if line.ratio else str(line)


def _criterion(line: VerdictLine) -> str:
    if line.met is None:
        return "higher" if line.costlier else ""
    return f"{line.criterion}: {'yes' if line.met else 'NO'}"


def plain_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as aligned text columns; the first cell is shown only where it changes."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines, last = [], None
    for row in (header, ["-" * width for width in widths], *rows):
        shown = ["" if row[0] == last else row[0], *row[1:]]
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(shown, widths, strict=True)).rstrip())
        last = row[0]
    return "\n".join(lines)
