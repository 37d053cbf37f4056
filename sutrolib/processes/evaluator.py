"""What a candidate costs, by the meter and nothing else: the geometric mean of its readings over a few seeds.

The judge is all that a process has of the scale. Seeds are gone through one after the other, up to the first on which
the problem is not solved: a candidate that does not learn is not to cost as much as one that does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from sutrolib.core.types import Budget, Model, Problem, ProgramModel
from sutrolib.measurement.measure import Measurement, measure, measure_program
from sutrolib.meters.base import Meter, ProgramMeter, WindowMeter
from sutrolib.meters.energy.wall_time import WallTime


def ignore(_: object = None) -> None:
    """Nobody is to be told."""


class State(StrEnum):
    """What became of a candidate."""

    SOLVED = "solved"
    MISSED = "missed"  # it ran, and its score is below the target
    PRUNED = "pruned"  # ended early, as its learning curve was among the worse ones
    FAILED = "failed"  # it diverged, crashed, or did not fit the problem or the memory
    REFUSED = "refused"  # it was no proposal of the space, or one that was tried before


@dataclass(frozen=True)
class Judged:
    """The outcome: ``cost`` where every seed is solved, ``effort`` for all that was trained, in the meter's unit.

    ``effort`` sums up what was read of every run, solved or not; ``seconds`` is the geometric mean of the wall time
    where it was taken.
    """

    state: State
    why: str
    cost: float | None = None
    score: float | None = None
    seconds: float | None = None
    effort: float = 0.0
    runs: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Weighs models on ``seeds`` of ``problem`` by ``meter``.

    ``timed`` takes the wall time as well, and waits for the machine for that; a meter of seconds or joules needs it.
    ``trace_updates`` as in ``measure``; ``on_measurement`` is told of every run as it ends.
    """

    problem: Problem
    meter: Meter
    seeds: Sequence[int]
    timed: bool = False
    trace_updates: int | None = None
    process: str = "by-hand"
    on_measurement: Callable[[Measurement], object] = ignore

    def weigh(self, model: Model, watch: Callable[[int, float], bool] | None = None) -> Judged:
        """Run ``model`` on every seed. Whatever it raises is a result: FAILED, with the reason.

        ``watch`` is told of the learning curve of the first seed, and may end it: PRUNED.
        """
        runs: list[Measurement] = []
        for seed in self.seeds:
            ended = _Ended(watch) if watch and not runs else None
            try:
                run = self._run(model, seed, Budget(watch=ended) if ended else None)
            except Exception as error:  # a candidate may do anything, and the search goes on
                return self._judged(State.FAILED, f"{type(error).__name__}: {error}", runs)
            runs.append(run)
            self.on_measurement(run)
            if run.failure:
                return self._judged(State.FAILED, run.failure, runs)
            if ended and ended.early:
                return self._judged(State.PRUNED, f"ended at a held-out score of {ended.score:.3g}", runs)
            if not run.solved:
                return self._judged(State.MISSED, f"{run.score_name} {run.score:.4g}, asked {run.target:.4g}", runs)
        return self._judged(State.SOLVED, f"solved on {len(runs)} of {len(runs)} seeds", runs)

    def _run(self, model: Model, seed: int, budget: Budget | None) -> Measurement:
        if isinstance(self.meter, ProgramMeter):
            program = cast(ProgramModel, model)
            return measure_program(self.problem, program, self.meter, seed, process=self.process)
        timed = self.timed or isinstance(self.meter, WindowMeter)
        clock = [] if isinstance(self.meter, WallTime) else [WallTime(runs=1, window=0)]
        return measure(
            self.problem,
            model,
            [*clock, self.meter],
            seed,
            budget=budget,
            process=self.process,
            trace_updates=self.trace_updates,
            timed=timed,
        )

    def _judged(self, state: State, why: str, runs: Sequence[Measurement]) -> Judged:
        name = self.meter.name
        costs = [reading.value for run in runs for reading in run.readings if reading.name == name]
        seconds = [reading.value for run in runs for reading in run.readings if reading.name == WallTime.name]
        scores = [run.score for run in runs if run.score is not None]
        if state is State.SOLVED and len(costs) < len(runs):
            state, why = State.FAILED, f"no reading: {runs[-1].missing.get(name, name)}"
        return Judged(
            state,
            why,
            cost=geometric_mean(costs) if state is State.SOLVED else None,
            score=sum(scores) / len(scores) if scores else None,
            seconds=geometric_mean(seconds) if seconds else None,
            effort=sum(costs),
            runs=tuple(runs),
        )


class _Ended:
    """Passes the learning curve on, and remembers whether it was ended."""

    def __init__(self, watch: Callable[[int, float], bool]) -> None:
        self.watch = watch
        self.early = False
        self.score = math.nan

    def __call__(self, updates: int, score: float) -> bool:
        self.score = score
        self.early = not self.watch(updates, score)
        return not self.early


def geometric_mean(values: Sequence[float]) -> float:
    """exp of the mean logarithm of numbers above 0."""
    return math.exp(sum(math.log(value) for value in values) / len(values))
