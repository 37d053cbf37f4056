"""Mistake 2, suboptimization: parts that are tuned apart can get stuck, or make the whole worse.

Three checks. *Training and inference*: the cost of a model's whole life, training + predictions * inference, and the
number of predictions at which two models break even. *Apart or jointly*: one part of the settings after the other, or
all at once, at an equal number of trials. *Re-partitioning*: where no change of a single setting helps any more, try
changes of two at a time, and weigh what that gains on fresh seeds: the best of many trials looks better than it is on
the seeds that it was chosen on.

A search sees nothing but a ``cost`` of a setting; infinity stands for one that does not solve the problem.
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
    """What a model costs to train and to use, in one metric: medians over its runs."""

    training: float
    inference: float  # of one prediction
    unit: str

    def total(self, predictions: float) -> float:
        """The cost of training once and of so many predictions."""
        return self.training + predictions * self.inference


def lifetime(runs: Sequence[Measurement], metric: str) -> Lifetime:
    """Training and inference of one model; raises KeyError for runs that were not measured as a whole."""
    training = [run.reading(metric).value for run in runs]
    inference = [run.reading(INFERENCE + metric).value / PREDICTIONS for run in runs]
    return Lifetime(float(np.median(training)), float(np.median(inference)), runs[0].reading(metric).unit)


def break_even(one: Lifetime, other: Lifetime) -> float | None:
    """The number of predictions from which on the other is cheaper, or no longer so; None where one is always cheaper.

    Raises ValueError for costs in different units.
    """
    if one.unit != other.unit:
        raise ValueError(f"costs in {one.unit} and in {other.unit} cannot be added up, accepted are equal units")
    dearer, saved = other.training - one.training, one.inference - other.inference
    if dearer * saved <= 0:
        return None
    return dearer / saved


@dataclass
class CostEvaluator:
    """The cost of settings of ``model``: the geometric mean of a reading over ``seeds``, each setting measured once.

    Infinite where a run fails or misses the target. ``on_measurement`` is told of every run.
    """

    problem: Problem
    model: Model
    meter: Meter
    seeds: Sequence[int]
    trace_updates: int | None = None  # as in measure()
    on_measurement: Callable[[Measurement], object] = lambda measurement: None
    known: dict[tuple[tuple[str, Any], ...], tuple[Measurement, ...]] = field(default_factory=dict)

    def runs(self, setting: Settings) -> tuple[Measurement, ...]:
        """The runs of a setting, up to the first that did not solve the problem."""
        key = tuple(sorted(setting.items()))
        if key not in self.known:
            found: list[Measurement] = []
            for seed in self.seeds:
                found.append(self.run(setting, seed))
                if not found[-1].solved:
                    break
            self.known[key] = tuple(found)
        return self.known[key]

    def run(self, setting: Settings, seed: int) -> Measurement:
        """One run of a setting on a seed."""
        model = dataclasses.replace(self.model, **setting)  # type: ignore[type-var]
        meters = [WallTime(runs=1, window=0), self.meter]
        found = measure(self.problem, model, meters, seed, only_solved=True, trace_updates=self.trace_updates)
        self.on_measurement(found)
        return found

    def cost(self, setting: Settings) -> float:
        """The geometric mean of the reading, or infinity."""
        runs = self.runs(setting)
        if not all(run.solved for run in runs):
            return math.inf
        return math.exp(float(np.mean([math.log(run.reading(self.meter.name).value) for run in runs])))


def grid(space: ParameterGrid) -> list[dict[str, Any]]:
    """All settings of a space."""
    return [dict(zip(space, values, strict=True)) for values in product(*space.values())]


def tune_separately(
    cost: CostFunction, start: Settings, parts: Sequence[ParameterGrid], budget: int, seed: int
) -> dict[str, Any]:
    """Tune one part after the other, each by random settings of its own, with an equal share of ``budget`` trials.

    Raises ValueError for a budget of less than one trial a part.
    """
    if budget < len(parts):
        raise ValueError(f"budget={budget!r} trials, accepted are {len(parts)} and above, one for each part")
    best = dict(start)
    for number, part in enumerate(parts):
        share = budget * (number + 1) // len(parts) - budget * number // len(parts)
        best = _best(cost, best, part, share, seed + number)
    return best


def tune_jointly(
    cost: CostFunction, start: Settings, parts: Sequence[ParameterGrid], budget: int, seed: int
) -> dict[str, Any]:
    """Tune all parts at once, by ``budget`` random settings of the whole. Raises ValueError for less than one trial."""
    if budget < 1:
        raise ValueError(f"budget={budget!r} trials, accepted are 1 and above")
    return _best(cost, start, {name: values for part in parts for name, values in part.items()}, budget, seed)


def _best(cost: CostFunction, start: Settings, space: ParameterGrid, trials: int, seed: int) -> dict[str, Any]:
    settings = grid(space)
    order = np.random.default_rng(seed).permutation(len(settings))[:trials]
    return min([dict(start), *({**start, **settings[i]} for i in order)], key=cost)  # the first of equal ones


def coordinate_search(cost: CostFunction, start: Settings, space: ParameterGrid) -> dict[str, Any]:
    """Move one setting at a time to a neighbouring value, the best move first, until none helps.

    Raises ValueError for a start that is not in the space, or does not solve the problem.
    """
    for name, values in space.items():
        if start.get(name) not in values:
            raise ValueError(f"{name}={start.get(name)!r}, accepted are {', '.join(map(str, values))}")
    here = dict(start)
    if not math.isfinite(cost(here)):
        raise ValueError(f"the start {here} does not solve the problem, accepted is one that does")
    while True:
        best = min((move for name in space for move in _moves(here, space, (name,))), key=cost, default=here)
        if cost(best) >= cost(here):
            return here
        here = best


def joint_moves(here: Settings, space: ParameterGrid) -> list[dict[str, Any]]:
    """All settings that differ from ``here`` in two fields, each by one value up or down."""
    return [move for names in combinations(space, 2) for move in _moves(here, space, names)]


def _moves(here: Settings, space: ParameterGrid, names: Sequence[str]) -> list[dict[str, Any]]:
    near = []
    for name in names:
        place = list(space[name]).index(here[name])
        near.append([space[name][i] for i in (place - 1, place + 1) if 0 <= i < len(space[name])])
    return [{**here, **dict(zip(names, values, strict=True))} for values in product(*near)]


@dataclass(frozen=True)
class JointTuningGap:
    """What a search of single settings had left: the best joint move over where it stopped, on fresh seeds.

    ``ratio`` is None where no joint move was cheaper on the seeds of the search, or the best one failed on a fresh one.
    """

    stopped: Mapping[str, Any]
    best: Mapping[str, Any] | None
    tried: int
    ratio: Interval | None

    @property
    def why(self) -> str:
        """The result in words, with its sign and its interval."""
        if self.best is None:
            return f"none of {self.tried} joint moves was cheaper"
        changed = ", ".join(f"{k} {self.stopped[k]} to {v}" for k, v in self.best.items() if v != self.stopped[k])
        if self.ratio is None:
            return f"the best of {self.tried} joint moves ({changed}) does not solve every fresh seed"
        shown = "cheaper" if self.ratio.high < 1 else "dearer" if self.ratio.low > 1 else "not shown to differ"
        return (
            f"the best of {self.tried} joint moves ({changed}) costs {self.ratio} times as much on fresh seeds: {shown}"
        )


def joint_tuning_gap(
    trials: CostEvaluator, stopped: Settings, space: ParameterGrid, fresh: Sequence[int]
) -> JointTuningGap:
    """Search the joint neighbourhood of where a search of single settings ``stopped``, and weigh its best move.

    The move is chosen on the seeds of ``trials`` and measured on the ``fresh`` ones; an interval needs five of these.
    Raises ValueError for fresh seeds that the move was chosen on.
    """
    if set(fresh) & set(trials.seeds):
        raise ValueError(f"seeds {sorted(set(fresh) & set(trials.seeds))} are not fresh, the search has used them")
    moves = joint_moves(stopped, space)
    best = min(moves, key=trials.cost, default=None)
    if best is None or trials.cost(best) >= trials.cost(stopped):
        return JointTuningGap(stopped, None, len(moves), None)
    candidate, before = ([trials.run(setting, seed) for seed in fresh] for setting in (best, stopped))
    if not all(run.solved for run in (*candidate, *before)):
        return JointTuningGap(stopped, best, len(moves), None)
    return JointTuningGap(stopped, best, len(moves), reading_ratio(candidate, before, trials.meter.name))
