"""Where measurements stand on the cube, and what has been measured at a position."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from sutrolib.cube import RUNGS, Axis, Position, next_steps
from sutrolib.findings import markdown_table
from sutrolib.measure import Measurement


def positions_of(measurement: Measurement) -> list[Position]:
    """The positions that one measurement stands on: one for each of its readings that is a rung of the metric axis."""
    metrics = {rung.key for rung in RUNGS[Axis.METRIC]}
    found = [r.name for r in measurement.readings if r.name in metrics]
    return [Position(measurement.rungs["process"], name, measurement.rungs["problem"]) for name in found]


def count_positions(measurements: Sequence[Measurement]) -> Counter[Position]:
    """How many measurements stand on each position."""
    return Counter(position for m in measurements for position in positions_of(m))


def describe_position(position: Position, measurements: Sequence[Measurement]) -> str:
    """Markdown: what has been measured at a position, by model, and the single-axis steps that lead on from it."""
    here = [m for m in measurements if position in positions_of(m)]
    steps = "\n".join(f"- {step}" for step in next_steps(position)) or "- none: this is corner B"
    return f"{_measured(position, here)}\n\n**Next single-axis steps**\n\n{steps}"


def _measured(position: Position, here: Sequence[Measurement]) -> str:
    if not here:
        return "**Nothing has been measured here yet.**"
    rows = []
    for model in sorted({m.model["name"] for m in here}):
        runs = [m for m in here if m.model["name"] == model]
        readings = [m.reading(position.metric) for m in runs]
        rows.append(
            (
                model,
                len(runs),
                f"{sum(m.solved for m in runs)}",
                f"{statistics.median(r.value for r in readings):.4g} {readings[0].unit}",
                f"{min(r.value for r in readings):.4g} to {max(r.value for r in readings):.4g}",
                readings[0].kind,
            )
        )
    return f"**{len(here)} runs measured here**\n\n" + markdown_table(
        ("model", "runs", "solved", f"median {position.metric}", "range", "kind"), rows
    )
