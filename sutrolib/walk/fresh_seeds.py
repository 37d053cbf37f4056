"""What a step was worth: models measured in turns on fresh seeds, by which nothing was chosen, and compared."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.core.io import as_json
from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Model, describe
from sutrolib.measurement.comparison import Verdict, compare
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.measurement.passes import INFERENCE
from sutrolib.meters import CacheEnergy, OperationCount
from sutrolib.meters.base import Kind, Meter, Reading, WindowMeter
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.walk.spaces import Ground

FIRST_FRESH = 10_000  # beyond the seeds of searches and choices


@dataclass(frozen=True)
class FreshSeeds:
    """Measures models of one process on the problem itself; ``folder`` keeps the measurements, each made once.

    ``first`` is the first seed: each try of a step has its own.
    """

    ground: Ground
    meter: Meter
    process: str
    folder: Path
    say: Callable[[str], object]
    first: int = FIRST_FRESH

    def runs(self, models: Mapping[str, Model]) -> dict[str, list[Measurement]]:
        """The measurements of each model, seed by seed. Raises what a training raises."""
        meters: list[Meter] = [WallTime(), self.meter]
        if isinstance(self.meter, WindowMeter):  # what is estimated in a window of time is shown beside what is counted
            meters += [CacheEnergy(), OperationCount()]
        kept, problem = Ledger(self.folder), self.ground.problem
        known = {_key(m.model, m.problem, m.seed): m for m in kept.measurements()}
        found: dict[str, list[Measurement]] = {name: [] for name in models}
        for seed in range(self.first, self.first + MIN_PAIRS):
            for name, model in models.items():
                key = _key(describe(model), describe(problem), seed)
                if key not in known:
                    self.say(f"fresh seed {seed}: {name}")
                    traced = self.ground.trace_updates
                    options: dict[str, Any] = {"process": self.process, "trace_updates": traced, "use": "always"}
                    known[key] = measure(problem, model, meters, seed, **options)
                    kept.add(known[key])
                found[name].append(known[key])
        return found


def _key(model: Mapping[str, Any], problem: Mapping[str, Any], seed: int) -> str:
    return json.dumps(as_json([model, problem, seed]), sort_keys=True)


def solved(runs: Sequence[Measurement]) -> float:
    """The share of the runs that solve the problem."""
    return sum(run.solved for run in runs) / len(runs)


def cost_ratio(champion: Sequence[Measurement], start: Sequence[Measurement], meter: Meter) -> Interval | None:
    """Lifetime cost of the champion over that of the start; None where a run failed."""
    try:
        return _compared(champion, start, meter).cost
    except (ValueError, KeyError):
        return None


def verdict(champion: Sequence[Measurement], start: Sequence[Measurement], meter: Meter) -> str:
    """The verdict of champion against start in words, or why there is none."""
    try:
        return _compared(champion, start, meter).why
    except (ValueError, KeyError) as error:
        return f"not compared: {error}"


def _compared(champion: Sequence[Measurement], start: Sequence[Measurement], meter: Meter) -> Verdict:
    """As :func:`compare`, by the lifetime cost; counts of which one side is extrapolated are modelled on both."""
    ours, theirs = with_use(champion, meter), with_use(start, meter)
    kinds: dict[str, set[str]] = {}
    for reading in (reading for run in (*ours, *theirs) for reading in run.readings):
        kinds.setdefault(reading.name, set()).add(reading.kind)
    mixed = {name for name, found in kinds.items() if found == {Kind.COUNTED, Kind.MODELLED}}

    def same(run: Measurement) -> Measurement:
        readings = (dataclasses.replace(r, kind=Kind.MODELLED) if r.name in mixed else r for r in run.readings)
        return dataclasses.replace(run, readings=tuple(readings))

    return compare([same(run) for run in ours], [same(run) for run in theirs], meter.name)


def with_use(runs: Sequence[Measurement], meter: Meter) -> list[Measurement]:
    """The runs with the reading of the meter for the training and 1,000 predictions. Raises KeyError without one.

    Predictions that were no work leave no reading.
    """
    name = INFERENCE + meter.name
    unread = [run for run in runs if name not in {reading.name for reading in run.readings}]
    return [
        run if run in unread and name not in run.missing else _with_use(run, run.reading(meter.name), run.reading(name))
        for run in runs
    ]


def _with_use(run: Measurement, training: Reading, use: Reading) -> Measurement:
    parts = training.detail, use.detail
    detail = {"load": max((part.get("load") or 0.0 for part in parts), default=0.0)}
    if all({"window_s", "runs"} <= {*part} for part in parts):  # so that the mean power is that of both
        detail |= {"runs": 1, "window_s": sum(part["window_s"] / part["runs"] for part in parts)}
    both = dataclasses.replace(training, value=training.value + use.value, detail=detail)
    return dataclasses.replace(run, readings=tuple(both if r is training else r for r in run.readings))


def with_reading(one: Measurement, other: Measurement, name: str) -> Measurement:
    """``one`` with the reading ``name`` of ``other``."""
    others = [reading for reading in one.readings if reading.name != name]
    return dataclasses.replace(one, readings=(*others, other.reading(name)))


def mean_reading(runs: Sequence[Measurement], name: str) -> float:
    """The mean of a reading."""
    return math.fsum(run.reading(name).value for run in runs) / len(runs)
