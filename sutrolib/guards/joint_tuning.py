"""Mistake 2, suboptimization: parts that are tuned separately can get stuck, or make the whole worse.

Three checks. *Training and inference*: the cost of a model's lifetime, training + predictions * inference, and the
number of predictions at which two models break even. *Separately or jointly*: tune one part of the settings after the
other, or all at once, with an equal number of trials. *Joint moves*: where no change of a single setting helps any
more, try changes of two at a time, and measure the gain on fresh seeds: the best of many trials looks better than it is
on the seeds that chose it.

A search sees only the ``cost`` of settings, infinite if they do not solve the problem.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np

from sutrolib.core.stats import Interval
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.comparison import reading_ratio
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.wall_time import WallTime

Settings = Mapping[str, Any]
ParameterGrid = Mapping[str, Sequence[Any]]  # the values of each field, in order
CostFunction = Callable[[Settings], float]


@dataclass(frozen=True)
class Lifetime:
    """The cost of training and of using a model, in one metric: medians over its runs."""

    training: float
    inference: float  # of one prediction
    unit: str

    def total(self, predictions: float) -> float:
        """The cost of one training and ``predictions``."""
        return self.training + predictions * self.inference


def lifetime(runs: Sequence[Measurement], metric: str) -> Lifetime:
    """Training and inference of one model. Raises KeyError unless the runs were measured with ``whole=True``."""
    training = [run.reading(metric).value for run in runs]
    inference = [run.reading(INFERENCE + metric).value / PREDICTIONS for run in runs]
    return Lifetime(float(np.median(training)), float(np.median(inference)), runs[0].reading(metric).unit)


def break_even(one: Lifetime, other: Lifetime) -> float | None:
    """The number of predictions at which both cost the same; None if one is always cheaper.

    Raises ValueError for costs in different units.
    """
    if one.unit != other.unit:
        raise ValueError(f"costs must have the same unit (got {one.unit} and {other.unit})")
    dearer, saved = other.training - one.training, one.inference - other.inference
    return dearer / saved if dearer * saved > 0 else None


@dataclass
class CostEvaluator:
    """The cost of settings of ``model``: the geometric mean of a reading over ``seeds``, each setting measured once.

    Infinite if a run fails or misses the target. ``on_measurement`` is called with every run.
    """

    problem: Problem
    model: Model
    meter: Meter
    seeds: Sequence[int]
    trace_updates: int | None = None  # as in measure()
    on_measurement: Callable[[Measurement], object] = lambda measurement: None
    known: dict[tuple[tuple[str, Any], ...], float] = field(default_factory=dict)

    def run(self, settings: Settings, seed: int) -> Measurement:
        """One run with these settings."""
        model = dataclasses.replace(self.model, **settings)  # type: ignore[type-var]
        meters = [WallTime(runs=1, window=0), self.meter]
        found = measure(self.problem, model, meters, seed, only_solved=True, trace_updates=self.trace_updates)
        self.on_measurement(found)
        return found

    def cost(self, settings: Settings) -> float:
        """The geometric mean of the reading, or infinity from the first seed on that is not solved."""
        key = tuple(sorted(settings.items()))
        if key not in self.known:
            logs: list[float] = []
            for seed in self.seeds:
                if not (run := self.run(settings, seed)).solved:
                    return self.known.setdefault(key, math.inf)
                logs.append(math.log(run.reading(self.meter.name).value))
            self.known[key] = math.exp(float(np.mean(logs)))
        return self.known[key]


def grid(space: ParameterGrid) -> list[dict[str, Any]]:
    """All settings of a space."""
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def tune_separately(
    cost: CostFunction, start: Settings, parts: Sequence[ParameterGrid], budget: int, seed: int
) -> dict[str, Any]:
    """Random search on one part after the other, each with an equal share of ``budget`` trials.

    Raises ValueError for a budget of less than one trial per part.
    """
    if budget < len(parts):
        raise ValueError(f"budget must be at least {len(parts)} trials, one for each part (got {budget!r})")
    best = dict(start)
    for number, part in enumerate(parts):
        share = budget * (number + 1) // len(parts) - budget * number // len(parts)
        settings = grid(part)
        order = np.random.default_rng(seed + number).permutation(len(settings))[:share]
        best = min([best, *({**best, **settings[i]} for i in order)], key=cost)  # the first of equal ones
    return best


def tune_jointly(
    cost: CostFunction, start: Settings, parts: Sequence[ParameterGrid], budget: int, seed: int
) -> dict[str, Any]:
    """Random search on all parts at once. Raises ValueError for a budget of less than one trial."""
    space = {name: values for part in parts for name, values in part.items()}
    return tune_separately(cost, start, [space], budget, seed)


def coordinate_search(cost: CostFunction, start: Settings, space: ParameterGrid) -> dict[str, Any]:
    """Move one setting at a time to a neighbouring value, the best move first, until none helps.

    Raises ValueError if the start is not in the space, or does not solve the problem.
    """
    for name, values in space.items():
        if start.get(name) not in values:
            raise ValueError(f"{name} must be one of {', '.join(map(str, values))} (got {start.get(name)!r})")
    here = dict(start)
    if not math.isfinite(cost(here)):
        raise ValueError(f"the start {here} does not solve the problem; begin with settings that do")
    while cost(best := min(joint_moves(here, space, 1), key=cost, default=here)) < cost(here):
        here = best
    return here


def joint_moves(here: Settings, space: ParameterGrid, count: int = 2) -> list[dict[str, Any]]:
    """All settings that differ from ``here`` in ``count`` fields, each by one step up or down."""
    near = {}
    for name, values in space.items():
        index = list(values).index(here[name])
        near[name] = [values[i] for i in (index - 1, index + 1) if 0 <= i < len(values)]
    chosen = ({name: near[name] for name in names} for names in combinations(space, count))
    return [{**here, **move} for part in chosen for move in grid(part)]


@dataclass(frozen=True)
class JointTuningGap:
    """The gain that a search of single settings missed: the cost of the best joint move over ``stopped``.

    ``best`` is None if no joint move is cheaper on the seeds of the search; ``ratio`` also if the best one fails on a
    fresh seed.
    """

    stopped: Settings
    best: Settings | None
    n_moves: int
    ratio: Interval | None

    @property
    def why(self) -> str:
        """The result in words, with its sign and interval."""
        if self.best is None:
            return f"none of {self.n_moves} joint moves was cheaper" if self.n_moves else "there is no joint move"
        changed = ", ".join(f"{k} {self.stopped[k]} to {v}" for k, v in self.best.items() if v != self.stopped[k])
        move = f"the best of {self.n_moves} joint moves ({changed})"
        if self.ratio is None:
            return f"{move}, or the settings before it, do not solve every fresh seed"
        sign = "cheaper" if self.ratio.high < 1 else "dearer" if self.ratio.low > 1 else "not shown to differ"
        return f"{move} costs {self.ratio} times as much on fresh seeds: {sign}"


def joint_tuning_gap(
    evaluator: CostEvaluator, stopped: Settings, space: ParameterGrid, fresh: Sequence[int]
) -> JointTuningGap:
    """Search the joint moves around the settings where a search of single settings ``stopped``.

    The best move is chosen on the seeds of ``evaluator`` and measured on the ``fresh`` ones; an interval needs five.
    Raises ValueError for fresh seeds that are among those of ``evaluator``, and for settings that solve nothing.
    """
    if used := sorted(set(fresh) & set(evaluator.seeds)):
        raise ValueError(f"seeds {used} are not fresh: the search has used them")
    if not math.isfinite(evaluator.cost(stopped)):
        raise ValueError(f"the settings {stopped} do not solve the problem, so no move can be compared with them")
    moves = joint_moves(stopped, space)
    best = min(moves, key=evaluator.cost, default=None)
    if best is None or evaluator.cost(best) >= evaluator.cost(stopped):
        return JointTuningGap(stopped, None, len(moves), None)
    candidate, before = ([evaluator.run(settings, seed) for seed in fresh] for settings in (best, stopped))
    solved = all(run.solved for run in (*candidate, *before))
    ratio = reading_ratio(candidate, before, evaluator.meter.name) if solved else None
    return JointTuningGap(stopped, best, len(moves), ratio)
