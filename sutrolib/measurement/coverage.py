"""The positions of measurements on the cube, and what has been measured at a position."""

from __future__ import annotations

import functools
import re
import statistics
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sutrolib.core.cube import BESIDE, RUNGS, Axis, Position, next_steps
from sutrolib.core.markdown import markdown_table
from sutrolib.measurement.measure import Measurement
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import HeldOut
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter, NextLetter, WindowedText

_KEYS = {axis: frozenset(rung.key for rung in RUNGS[axis]) for axis in Axis}

# The rung of each process by its name, and by its name in a comparison; tests compare it with the processes themselves.
PROCESS_RUNGS = {"by hand": "by-hand", "grid": "search", "random search": "search", "random": "search"}
PROCESS_RUNGS |= {"hill climbing": "search", "TPE": "model-based", "Pareto search": "model-based"}
PROCESS_RUNGS |= {"TPE with halving": "multi-fidelity", "evolution": "evolution"}
_PROBLEMS: tuple[Any, ...] = (SparseParity, Digits, NextLetter, NextCharacter, WindowedText)
_NANOGPT = (NextCharacter.name, WindowedText.name)
_WHOLE_TEXT = 1_000_000  # characters, about its training part, on which searches run

_position = functools.cache(Position)  # there are few, and many measurements on each


def positions_of(measurement: Measurement) -> list[Position]:
    """The positions of one measurement: one for each reading that is a rung of the metric axis.

    None if its process or problem has no rung, or one that this cube does not have.
    """
    if _unknown_rung(measurement) is not None:
        return []
    found = [r.name for r in measurement.readings if r.name in _KEYS[Axis.METRIC]]
    return [_position(measurement.rungs["process"], name, measurement.rungs["problem"]) for name in found]


def _unknown_rung(measurement: Measurement) -> str | None:
    """A rung that this cube does not have, or "" for a run without one or beside it; None if both rungs are known."""
    for axis in (Axis.PROCESS, Axis.PROBLEM):
        key = measurement.rungs[axis]
        if key not in _KEYS[axis]:
            return f"{axis} {key}" if key and key not in BESIDE else ""
    return "" if _is_excerpt(measurement.problem) else None


def count_positions(measurements: Sequence[Measurement]) -> Counter[Position]:
    """How many measurements each position has. Warns of measurements on rungs that this cube does not have."""
    unknown = Counter(filter(None, map(_unknown_rung, measurements)))
    if unknown:
        rungs = ", ".join(f"{rung} ({count})" for rung, count in unknown.items())
        warnings.warn(f"skipped measurements on rungs that this cube does not have: {rungs}", stacklevel=2)
    return Counter(position for m in measurements for position in positions_of(m))


def count_rungs(measurements: Sequence[Measurement]) -> Counter[tuple[Axis, str]]:
    """How many measurements each rung of each axis has; one with readings of two metrics counts on both."""
    found: Counter[tuple[Axis, str]] = Counter()
    for m in measurements:
        found.update({(axis, getattr(position, axis)) for position in positions_of(m) for axis in Axis})
    return found


def count_studies(studies: Iterable[Mapping[str, Any]]) -> Counter[Position]:
    """How many of the ledger's studies (``Ledger.studies()``) each position has: where a process searched by a metric.

    A comparison of searches counts once for each of its searches. What has no rung on an axis is left out.
    """
    return Counter(position for study in studies for position in _study_positions(study))


def _study_positions(study: Mapping[str, Any]) -> Iterator[Position]:
    problem, names = _problem_rung(study.get("problem") or {}), study.get("results") or [study.get("process", "")]
    for name in names:
        process = PROCESS_RUNGS.get(name.partition(",")[0])
        if process and problem and study.get("metric") in _KEYS[Axis.METRIC]:
            yield _position(process, study["metric"], problem)


def _problem_rung(described: Mapping[str, Any]) -> str:
    """The rung of a problem as :func:`sutrolib.core.types.describe` gives it; empty if it has none."""
    if described.get("name") == HeldOut.name:  # the name of the inner problem is not stored; searches have digits
        return Digits.rung if set(described["problem"]) == {"test_share"} else ""
    kind = next((kind for kind in _PROBLEMS if kind.name == described.get("name")), None)
    if kind is None or _is_excerpt(described):
        return ""
    fields = {name: value for name, value in described.items() if name != "name"}
    return str(kind(**fields).rung)


def _is_excerpt(problem: Mapping[str, Any]) -> bool:
    """Whether this is nanoGPT's problem on a part of the text: a quick test, which does not count as nanoGPT."""
    return problem.get("name") in _NANOGPT and 0 < problem.get("characters", 0) < _WHOLE_TEXT


def describe_position(position: Position, measurements: Sequence[Measurement]) -> str:
    """Markdown: what has been measured at a position, by model, and the next single-axis steps.

    Names come from the ledger, so markup in them is escaped.
    """
    heading, header, rows = measured_at(position, measurements)
    table = f"\n\n{markdown_table(header, [[*map(_escape_markdown, row)] for row in rows])}" if rows else ""
    steps = "\n".join(f"- {step}" for step in steps_from(position))
    return f"**{heading}**{table}\n\n**Next single-axis steps**\n\n{steps}"


def _escape_markdown(text: str) -> str:
    """Text for Markdown without markup, links or addresses: their characters become entities."""
    return re.sub(r"[\\`*_\[\]!<>&#~$|:@]|(?<=www)\.", lambda found: f"&#{ord(found[0])};", text, flags=re.I)


def steps_from(position: Position) -> list[str]:
    """The single-axis steps that lead up from a position, in words."""
    return [str(step) for step in next_steps(position)] or ["none: this is corner B"]


def measured_at(
    position: Position, measurements: Sequence[Measurement]
) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """What has been measured at a position: how much, in words, and a table with a row for each model."""
    here = [m for m in measurements if position in positions_of(m)]
    rows: list[tuple[str, ...]] = []
    for model in sorted({str(m.model["name"]) for m in here}):
        runs = [m for m in here if m.model["name"] == model]
        readings = [m.reading(position.metric) for m in runs]
        values = [reading.value for reading in readings]
        median, extremes = statistics.median(values), f"{min(values):.4g} to {max(values):.4g}"
        solved, kind = str(sum(m.solved for m in runs)), str(readings[0].kind)
        rows.append((model, str(len(runs)), solved, f"{median:.4g} {readings[0].unit}", extremes, kind))
    nothing = "No run in the ledger is of this position; what the walk searched is in notebook 01."
    heading = f"{len(here)} runs measured here" if here else nothing
    return heading, ("model", "runs", "solved", f"median {position.metric}", "range", "kind"), rows
