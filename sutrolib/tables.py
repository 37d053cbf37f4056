"""Tables of measurements: a row for each model, with what it was told, and the kind of every number in its column."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from sutrolib.measure import INFERENCE, SIZE, TO_TARGET, Measurement

WHOLE = (
    "time",
    TO_TARGET,
    "operations",
    "ard",
    "dmd",
    "cache-energy",
    "codecarbon",
    "joules",
    "peak_memory",
    INFERENCE + "time",
    INFERENCE + "operations",
    INFERENCE + "cache-energy",
    INFERENCE + "codecarbon",
    SIZE,
)


def median_of(runs: Sequence[Measurement], name: str) -> float | None:
    """The median of a reading over the runs that have it; None where no run has."""
    values = [reading.value for run in runs for reading in run.readings if reading.name == name]
    return statistics.median(values) if values else None


def cost_table(
    groups: Mapping[str, Sequence[Measurement]], names: Sequence[str] = WHOLE
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: label, told, solved, score, and the median of each reading that any run has.

    Where a reading is of another kind than that of its column, the cell says so; a failure stands in the score's place.
    """
    runs = [run for group in groups.values() for run in group]
    first = {reading.name: reading for run in reversed(runs) for reading in run.readings}
    shown = [name for name in names if name in first]
    header = ["model", "told", "solved", "score"]
    header += [f"{name}, {first[name].unit} ({first[name].kind})" for name in shown]
    rows = []
    for label, group in groups.items():
        scores = [run.score for run in group if run.score is not None]
        score = f"{statistics.median(scores):.3f}" if scores else f"failed: {group[0].failure}"
        row = [label, group[0].told, f"{sum(run.solved for run in group)} of {len(group)}", score]
        rows.append([*row, *(_cell(group, name, str(first[name].kind)) for name in shown)])
    return header, rows


def _cell(runs: Sequence[Measurement], name: str, kind: str) -> str:
    value = median_of(runs, name)
    if value is None:
        return ""
    kinds = {str(reading.kind) for run in runs for reading in run.readings if reading.name == name} - {kind}
    return f"{value:.3g}" + (f" ({', '.join(sorted(kinds))})" if kinds else "")
