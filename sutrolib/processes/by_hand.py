"""The process by hand: one change at a time, each kept only if it passes.

The group's order of judging is: correct first, then wall-clock time, then cost. A change must solve the problem on at
least 9 of 10 seeds; it must then be shown to be better in time or in cost, and worse in neither. Candidate and
best-so-far are timed in alternation, seed by seed, so that a machine that slows down slows both.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sutrolib.measure import Measurement, measure
from sutrolib.meters.base import Meter
from sutrolib.nouns import Budget, Model, Problem
from sutrolib.processes.study import Study, Trial
from sutrolib.verdict import MIN_PAIRS, Verdict, compare

M = TypeVar("M", bound=Model)

SOLVED_SHARE = 0.9


@dataclass(frozen=True)
class Change:
    """One step: a title, the fields that it sets, and what is expected of it, written before it is tried."""

    title: str
    fields: Mapping[str, Any]
    expectation: str


@dataclass(frozen=True)
class ByHand:
    """A scripted list of changes, tried in order on ``pairs`` seeds each.

    ``on_trial`` is told of every trial as it ends, ``on_measurement`` of every measurement: what was computed is
    reported before the next step can fail. Time must be better by ``time_margin`` to count (clocks are noisy), and the
    score may be worse by ``score_margin``.
    """

    changes: Sequence[Change]
    pairs: int = 5
    time_margin: float = 0.1
    score_margin: float = 0.01
    on_trial: Callable[[Trial], None] = lambda trial: None
    on_measurement: Callable[[Measurement], object] = lambda measurement: None

    def __post_init__(self) -> None:
        if self.pairs < MIN_PAIRS:
            raise ValueError(f"pairs={self.pairs}, accepted are {MIN_PAIRS} and above")

    def improve(
        self, problem: Problem, space: M, meters: Sequence[Meter], budget: Budget | None = None, seed: int = 0
    ) -> Study:
        """Start from the model ``space`` and walk through the changes; the first of ``meters`` is what is judged by.

        Raises ValueError, before anything runs, for a change of a field that the model does not have.
        """
        self._check(space)
        began = time.perf_counter()
        start = tuple(self._measured(problem, space, meters, s, budget) for s in range(seed, seed + self.pairs))
        best, known = space, start
        trials = [Trial("start", "", space, True, _share(start), start)]
        self.on_trial(trials[0])
        for change in self.changes:
            candidate = dataclasses.replace(best, **change.fields)  # type: ignore[type-var]
            trial = self._try(change, candidate, best, known, problem, meters, budget)
            if trial.kept:
                best, known = candidate, trial.runs
            trials.append(trial)
            self.on_trial(trial)
        return Study(tuple(trials), best, time.perf_counter() - began)

    def _try(
        self,
        change: Change,
        candidate: M,
        best: M,
        known: Sequence[Measurement],
        problem: Problem,
        meters: Sequence[Meter],
        budget: Budget | None,
    ) -> Trial:
        runs: list[Measurement] = []
        rivals: list[Measurement] = []
        for earlier in known:
            last_chance = not _can_pass(sum(not run.solved for run in runs) + 1, len(known))
            run = self._measured(problem, candidate, meters, earlier.seed, budget, only_solved=last_chance)
            runs.append(run)
            if run.failure:  # diverged or contradictory: a result, not a fault
                return Trial(change.title, change.expectation, candidate, False, run.failure, tuple(runs))
            if last_chance and not run.solved:
                return Trial(change.title, change.expectation, candidate, False, _share(runs), tuple(runs))
            rivals.append(_with_counts(self._measured(problem, best, [], earlier.seed, budget), earlier))
        if not _can_pass(sum(not rival.solved for rival in rivals), len(rivals)):
            first = "the first that is correct"
            return Trial(change.title, change.expectation, candidate, True, first, tuple(runs), tuple(rivals))
        verdict = compare(runs, rivals, meters[0].name, time_margin=self.time_margin, score_margin=self.score_margin)
        kept, why = _decide(verdict)
        return Trial(change.title, change.expectation, candidate, kept, why, tuple(runs), tuple(rivals), verdict)

    def _measured(
        self,
        problem: Problem,
        model: Model,
        meters: Sequence[Meter],
        seed: int,
        budget: Budget | None,
        only_solved: bool = False,
    ) -> Measurement:
        measurement = measure(problem, model, meters, seed, budget=budget, only_solved=only_solved)
        self.on_measurement(measurement)
        return measurement

    def _check(self, space: M) -> None:
        known = [f.name for f in dataclasses.fields(space)]  # type: ignore[arg-type]
        for change in self.changes:
            for name in change.fields:
                if name not in known:
                    raise ValueError(f"{change.title!r} sets {name!r}, accepted are {', '.join(known)}")


def _decide(verdict: Verdict) -> tuple[bool, str]:
    """Keep what is shown to be better in time or cost, and shown to be worse in neither, at an accuracy that holds."""
    better = [name for name, shown in (("time", verdict.faster), ("cost", verdict.cheaper)) if shown]
    worse = [
        name
        for name, shown in (("time", verdict.slower), ("cost", verdict.costlier), ("score", not verdict.score_held))
        if shown
    ]
    if worse:
        return False, f"worse in {' and '.join(worse)}"
    return bool(better), f"better in {' and '.join(better)}" if better else "better in neither time nor cost"


def _with_counts(fresh: Measurement, earlier: Measurement) -> Measurement:
    """``fresh`` with the readings of an earlier run of the same model and seed that it lacks.

    Counts come out the same every time, and only the clock has to be read again beside the candidate's.
    """
    read = {reading.name for reading in fresh.readings}
    carried = tuple(reading for reading in earlier.readings if reading.name not in read)
    return dataclasses.replace(fresh, readings=fresh.readings + carried)


def _share(runs: Sequence[Measurement]) -> str:
    return f"solved on {sum(run.solved for run in runs)} of {len(runs)} seeds"


def _can_pass(failures: int, runs: int) -> bool:
    """Whether so many failures still leave the share of seeds that must be solved."""
    return runs - failures >= SOLVED_SHARE * runs
