"""The cost of a candidate, by the meter and nothing else: the geometric mean of its readings over a few seeds.

The evaluator is all that a process sees of the meter. It runs seed after seed and stops at the first one on which the
problem is not solved, so that a candidate that does not learn costs less than one that does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from sutrolib.core.types import Budget, Model, Problem, ProgramModel
from sutrolib.measurement.measure import Measurement, measure, measure_program
from sutrolib.measurement.passes import INFERENCE, finite_score
from sutrolib.meters.base import Meter, ProgramMeter, WindowMeter, too_high_load
from sutrolib.meters.energy.wall_time import WallTime

if TYPE_CHECKING:
    import optuna


def ignore(_: object = None) -> None:
    """A callback that does nothing."""


class TrialState(StrEnum):
    """The outcome of a candidate."""

    SOLVED = "solved"
    MISSED = "missed"  # it ran, and its score is below the target
    PRUNED = "pruned"  # ended early, as its learning curve was among the worse ones
    FAILED = "failed"  # it diverged, crashed, or did not fit the problem or the memory
    REFUSED = "refused"  # it was not a valid proposal, or had been tried before


@dataclass(frozen=True)
class Evaluation:
    """The result of a candidate. ``cost`` is None unless every seed is solved.

    ``predictions`` is the cost of 1,000 of them, None unless they were charged. ``total_cost`` is the sum of all
    readings of trainings, solved or not, in the meter's unit; ``seconds`` is the geometric mean of the wall time where
    it was taken.
    """

    state: TrialState
    why: str
    cost: float | None = None
    score: float | None = None
    seconds: float | None = None
    total_cost: float = 0.0
    runs: tuple[Measurement, ...] = ()
    predictions: float | None = None

    @property
    def lifetime_cost(self) -> float | None:
        """The cost with that of 1,000 predictions, as far as they were charged; None unless every seed is solved."""
        return None if self.cost is None else self.cost + (self.predictions or 0.0)

    @property
    def unsolved(self) -> bool:
        """Whether a run shows that it does not solve the problem; a crash and a missing reading show nothing."""
        return self.state is TrialState.MISSED or bool(self.runs and self.runs[-1].failure)


@dataclass(frozen=True)
class Evaluator:
    """Measures models on ``seeds`` of ``problem`` by ``meter``.

    ``timed`` also takes the wall time, under the machine-wide lock; meters of seconds and joules always do.
    ``trace_updates`` as in ``measure``; ``on_measurement`` is called with every finished run. ``charge_use`` measures
    1,000 predictions on the first seed as well: without, what puts work off until a model is used would look cheap.
    """

    problem: Problem
    meter: Meter
    seeds: Sequence[int]
    timed: bool = False
    trace_updates: int | None = None
    process: str = "by-hand"
    on_measurement: Callable[[Measurement], object] = ignore
    charge_use: bool = False

    def evaluate(self, model: Model, trial: optuna.Trial | None = None) -> Evaluation:
        """Run ``model`` on every seed. Any exception that it raises is a result: FAILED, with the reason.

        Optuna's ``trial`` is told the learning curve of the first seed and may end it: PRUNED.
        """
        runs: list[Measurement] = []
        for seed in self.seeds:
            ends: list[float] = []
            budget = None if trial is None or runs else Budget(watch=_pruning_watch(trial, ends))
            try:
                run = self._run(model, seed, budget, use=self.charge_use and not runs)
            except Exception as error:  # a candidate may do anything, and the search goes on
                return self._evaluation(TrialState.FAILED, f"{type(error).__name__}: {error}", runs)
            runs.append(run)
            self.on_measurement(run)
            if run.failure:
                return self._evaluation(TrialState.FAILED, run.failure, runs)
            if ends:
                return self._evaluation(TrialState.PRUNED, f"ended at a held-out score of {ends[-1]:.3g}", runs)
            if not run.solved:
                why = f"{run.score_name} {run.score:.4g}, target {run.target:.4g}"
                return self._evaluation(TrialState.MISSED, why, runs)
        return self._evaluation(TrialState.SOLVED, f"solved on {len(runs)} of {len(runs)} seeds", runs)

    def _run(self, model: Model, seed: int, budget: Budget | None, use: bool) -> Measurement:
        if isinstance(self.meter, ProgramMeter):
            program = cast(ProgramModel, model)
            return measure_program(self.problem, program, self.meter, seed, process=self.process)
        meters = [self.meter] if isinstance(self.meter, WallTime) else [WallTime(runs=1, window=0), self.meter]
        timed, about = self.timed or isinstance(self.meter, WindowMeter), (self.problem, model, meters, seed)
        options: dict[str, Any] = {"process": self.process, "trace_updates": self.trace_updates, "timed": timed}
        return measure(*about, budget=budget, use="solved" if use else "never", **options)

    def _evaluation(self, state: TrialState, why: str, runs: Sequence[Measurement]) -> Evaluation:
        name = self.meter.name
        costs, seconds = readings(runs, name), readings(runs, WallTime.name)
        scores = [run.score for run in runs if run.score is not None]
        if state is TrialState.SOLVED and len(costs) < len(runs):
            state, why = TrialState.FAILED, f"no reading: {runs[-1].missing.get(name, name)}"
        used = sum(readings(runs[:1], INFERENCE + name))
        if state is TrialState.SOLVED and (missing := runs[0].missing.get(INFERENCE + name)):
            state, why = TrialState.FAILED, f"its predictions have no reading: {missing}"
        if load := too_high_load(reading for run in runs for reading in run.readings):
            why += f"; the machine was busy: load {load:.2f}"
        cost = geometric_mean(costs) if state is TrialState.SOLVED else None
        score = sum(scores) / len(scores) if scores else None
        time = geometric_mean(seconds) if seconds else None
        predictions = used if self.charge_use and cost is not None else None
        return Evaluation(state, why, cost, score, time, sum(costs), tuple(runs), predictions)


def _pruning_watch(trial: optuna.Trial, ends: list[float]) -> Callable[[int, float], bool]:
    """Report each point of a learning curve to ``trial``; the score at which it ends the training goes to ``ends``.

    A score that is not finite fails the run.
    """
    points = itertools.count()

    def watch(_: int, score: float) -> bool:
        trial.report(-finite_score("held-out score", score), next(points))
        ends.extend([score] if trial.should_prune() else [])
        return not ends

    return watch


def readings(runs: Iterable[Measurement], name: str) -> list[float]:
    """The readings of one meter in ``runs``, without those that lack it."""
    return [reading.value for run in runs for reading in run.readings if reading.name == name]


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of numbers above 0; equal numbers give that number itself, so a counted integer stays one."""
    if len(set(values)) == 1:
        return values[0]
    return math.exp(sum(math.log(value) for value in values) / len(values))
