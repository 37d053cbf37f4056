"""Tables of measurements: a column for each model, and the kind of every number."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from sutrolib.measurement.comparison import kinds_of
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE, SIZE, TO_TARGET
from sutrolib.meters.base import too_high_load

_TRAINING = ("time", TO_TARGET, "operations", "ard", "dmd", "cache-energy", "codecarbon", "joules", "peak_memory")
_INFERENCE = tuple(INFERENCE + name for name in ("time", "operations", "cache-energy", "codecarbon"))
READING_NAMES = (*_TRAINING, *_INFERENCE, SIZE)


def median_of(runs: Sequence[Measurement], name: str) -> float | None:
    """The median of a reading over the runs that have it; None if there are none."""
    values = [reading.value for run in runs for reading in run.readings if reading.name == name]
    return statistics.median(values) if values else None


def cost_table(
    groups: Mapping[str, Sequence[Measurement]], names: Sequence[str] = READING_NAMES
) -> tuple[list[str], list[list[str]]]:
    """Header and rows: prior knowledge, score, and the median of each reading, with a column for each model.

    A cell names the kind of its reading if it differs from the kind of its row, the load of a machine that was busy in
    one of its windows, and how many of the trained runs have the reading if not all do.
    """
    runs = [run for group in groups.values() for run in group]
    found = {name: [reading for run in runs for reading in run.readings if reading.name == name] for name in names}
    rows = [
        ["prior knowledge", *(group[0].prior_knowledge for group in groups.values())],
        ["solved", *(f"{sum(run.solved for run in group)} of {len(group)}" for group in groups.values())],
        ["score", *(_score(group) for group in groups.values())],
    ]
    for name, readings in ((name, readings) for name, readings in found.items() if readings):
        unit, kind = readings[0].unit, str(readings[0].kind)
        unit = "" if unit == name else f", {unit}"
        label = kinds_of([reading for reading in readings if reading.kind == kind])
        rows.append([f"{name}{unit} ({label})", *(_cell(group, name, kind) for group in groups.values())])
    return ["", *groups], rows


def _score(runs: Sequence[Measurement]) -> str:
    scores = [run.score for run in runs if run.score is not None]
    return f"{statistics.median(scores):.3f}" if scores else "failed"


def _cell(runs: Sequence[Measurement], name: str, kind: str) -> str:
    found = [reading for run in runs for reading in run.readings if reading.name == name]
    if not found:
        return ""
    notes = sorted({str(reading.kind) for reading in found} - {kind})
    notes += [f"busy: load {load:.2f}"] if (load := too_high_load(found)) else []
    trained = sum(not run.failure for run in runs)
    notes += [f"of {len(found)} of {trained} runs"] if len(found) < trained else []
    return f"{statistics.median(reading.value for reading in found):.3g}" + (f" ({', '.join(notes)})" if notes else "")
