"""Where measurements stand on the cube, and what has been measured at a position."""

from __future__ import annotations

import functools
import re
import statistics
import warnings
from collections import Counter
from collections.abc import Sequence

from sutrolib.core.cube import RUNGS, Axis, Position, next_steps
from sutrolib.core.markdown import markdown_table
from sutrolib.measurement.measure import Measurement

_KEYS = {axis: frozenset(rung.key for rung in RUNGS[axis]) for axis in Axis}

_position = functools.cache(Position)  # there are few, and many measurements on each


def positions_of(measurement: Measurement) -> list[Position]:
    """The positions that one measurement stands on: one for each of its readings that is a rung of the metric axis.

    None where its process or problem stands beside the cube, or on a rung that this cube does not have.
    """
    if stranger(measurement) is not None:
        return []
    found = [r.name for r in measurement.readings if r.name in _KEYS[Axis.METRIC]]
    return [_position(measurement.rungs["process"], name, measurement.rungs["problem"]) for name in found]


def stranger(measurement: Measurement) -> str | None:
    """The rung that this cube does not have, as one of another branch; empty for what stands beside the cube.

    None where it has all of the measurement's rungs.
    """
    for axis in (Axis.PROCESS, Axis.PROBLEM):
        key = measurement.rungs[axis]
        if key not in _KEYS[axis]:
            return f"{axis} {key}" if key else ""
    return None


def count_positions(measurements: Sequence[Measurement]) -> Counter[Position]:
    """How many measurements stand on each position. Warns of those that stand on rungs that this cube does not have."""
    strangers = Counter(filter(None, map(stranger, measurements)))
    if strangers:
        told = ", ".join(f"{rung} ({count})" for rung, count in strangers.items())
        warnings.warn(f"left out are measurements on rungs that this cube does not have: {told}", stacklevel=2)
    return Counter(position for m in measurements for position in positions_of(m))


def count_rungs(measurements: Sequence[Measurement]) -> Counter[tuple[Axis, str]]:
    """How many measurements stand on each rung of each axis; one that was read by two metrics stands on both."""
    found: Counter[tuple[Axis, str]] = Counter()
    for m in measurements:
        found.update({(axis, getattr(position, axis)) for position in positions_of(m) for axis in Axis})
    return found


def describe_position(position: Position, measurements: Sequence[Measurement]) -> str:
    """Markdown: what has been measured at a position, by model, and the single-axis steps that lead on from it.

    Names come from the ledger: markup in them is shown, and never acted on.
    """
    heading, rows = measured_at(position, measurements)
    shown = [[inert(cell) for cell in row] for row in rows]
    table = f"\n\n{markdown_table(header_at(position), shown)}" if rows else ""
    steps = "\n".join(f"- {step}" for step in steps_from(position))
    return f"**{heading}**{table}\n\n**Next single-axis steps**\n\n{steps}"


def inert(text: object) -> str:
    """Text for Markdown that is shown as it is: whatever could begin markup, a link or an address is an entity."""
    return re.sub(r"[\\`*_\[\]!<>&#~$|:@]|(?<=www)\.", lambda found: f"&#{ord(found[0])};", str(text), flags=re.I)


def steps_from(position: Position) -> list[str]:
    """The single-axis steps that lead on from a position, in words."""
    return [str(step) for step in next_steps(position)] or ["none: this is corner B"]


def header_at(position: Position) -> tuple[str, ...]:
    """What the columns of :func:`measured_at` hold."""
    return ("model", "runs", "solved", f"median {position.metric}", "range", "kind")


def measured_at(position: Position, measurements: Sequence[Measurement]) -> tuple[str, list[tuple[str, ...]]]:
    """What has been measured at a position: how much, in words, and a row for each model."""
    here = [m for m in measurements if position in positions_of(m)]
    if not here:
        return "Nothing has been measured here yet.", []
    rows: list[tuple[str, ...]] = []
    for model in sorted({m.model["name"] for m in here}):
        runs = [m for m in here if m.model["name"] == model]
        readings = [m.reading(position.metric) for m in runs]
        rows.append(
            (
                str(model),
                str(len(runs)),
                str(sum(m.solved for m in runs)),
                f"{statistics.median(r.value for r in readings):.4g} {readings[0].unit}",
                f"{min(r.value for r in readings):.4g} to {max(r.value for r in readings):.4g}",
                str(readings[0].kind),
            )
        )
    return f"{len(here)} runs measured here", rows
