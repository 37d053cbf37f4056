"""The process by hand: one change at a time, each kept only if it passes.

The group's order of judging is: correct first, then wall-clock time, then cost. A change must solve the problem on at
least 9 of 10 seeds; it must then be shown to be better in time or in cost, and worse in neither. Candidate and
best-so-far are timed in alternation, seed by seed, so that a machine that slows down slows both.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Model, Problem, describe
from sutrolib.measurement.comparison import Verdict, compare, reading_ratio
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import SearchBudget, ResourceUse
from sutrolib.processes.evaluator import TrialState, geometric_mean, ignore
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.study import Study, Trial

SOLVED_SHARE = 0.9


@dataclass(frozen=True)
class ProposedChange:
    """One step: a title, the fields that it sets, and what is expected of it, written before it is tried."""

    title: str
    fields: Mapping[str, Any]
    expectation: str


@dataclass(frozen=True, kw_only=True)
class TuningStep(Trial):
    """One candidate against the best before it.

    ``runs`` and ``baseline_runs`` are the paired measurements of the candidate and of the best before it, seed by seed;
    ``verdict`` is None where the candidate was turned down before its cost was compared.
    """

    title: str
    expectation: str
    baseline_runs: tuple[Measurement, ...] = ()
    verdict: Verdict | None = None

    def ratio(self, name: str) -> Interval | None:
        """The reading ``name`` of the candidate over that of the best before it; None where it was not weighed."""
        return reading_ratio(self.runs, self.baseline_runs, name) if self.verdict else None

    def plain(self) -> dict[str, Any]:
        """As that of a trial, with title, expectation and decision."""
        found = super().plain()
        return {k: v for k, v in found.items() if k not in ("rivals", "verdict")}


@dataclass(frozen=True)
class ManualTuning:
    """A scripted list of changes, tried in order on ``pairs`` seeds each.

    ``also`` are further meters to read. ``on_trial`` is told of every step as it ends, ``on_measurement`` of every
    measurement: what was computed is reported before the next step can fail. Time must be better by ``time_margin`` to
    count (clocks are noisy), and the score may be worse by ``score_margin``.
    """

    changes: Sequence[ProposedChange] = ()
    pairs: int = 5
    also: Sequence[Meter] = ()
    time_margin: float = 0.1
    score_margin: float = 0.01
    trace_updates: int | None = None  # as in measure()
    on_trial: Callable[[TuningStep], object] = ignore
    on_measurement: Callable[[Measurement], object] = ignore

    name: ClassVar[str] = "by hand"
    rung: ClassVar[str] = "by-hand"

    def __post_init__(self) -> None:
        if self.pairs < MIN_PAIRS:
            raise ValueError(f"pairs={self.pairs}, accepted are {MIN_PAIRS} and above")

    def improve(self, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Start where the space starts and walk through the changes, as far as the budget goes.

        Raises ValueError, before anything runs, for a change of a field that is not in the space.
        """
        with ExitStack() as stack:
            tally = stack.enter_context(CumulativeJoules()) if budget.joules is not None else None
            walk = TuningSession(self, problem, space, meter, budget, seed, tally)
            for change in self.changes:
                walk.check(change)
            walk.begin()
            for change in self.changes:
                if walk.used_up:
                    break
                walk.step(change)
            return walk.study()


class TuningSession:
    """A walk that is under way: whoever takes the steps, a script or a person, takes them one by one."""

    def __init__(
        self,
        process: ManualTuning,
        problem: Problem,
        space: SearchSpace,
        meter: Meter,
        budget: SearchBudget,
        seed: int = 0,
        tally: CumulativeJoules | None = None,
    ) -> None:
        self.process, self.problem, self.space, self.meter = process, problem, space, meter
        self.budget, self.seed, self.tally = budget, seed, tally
        self.steps: list[TuningStep] = []

    @property
    def best(self) -> TuningStep:
        """The last step that was kept; the first of all is the start."""
        return [step for step in self.steps if step.kept][-1]

    @property
    def used_up(self) -> str:
        """Which limit of the budget is reached, in words; empty while there is something left of each."""
        return self.budget.used_up(sum((step.spent for step in self.steps[1:]), ResourceUse()))

    def check(self, change: ProposedChange) -> None:
        """Raise ValueError for a change of what is not in the space, or to a value that is not."""
        try:
            self._changed(self.space.start, change)
        except ValueError as error:
            raise ValueError(f"{change.title!r}: {error}") from None

    def begin(self) -> TuningStep:
        """Measure the start."""
        began, joules = time.perf_counter(), self._joules()
        start = self.space.start
        runs = [self._measured(self.space.model(start), s) for s in range(self.seed, self.seed + self.process.pairs)]
        return self._keep("start", "", start, began, joules, kept=True, why=_share(runs), runs=runs)

    def step(self, change: ProposedChange) -> TuningStep:
        """Try one change on the best before it."""
        began, joules = time.perf_counter(), self._joules()
        assert self.best.proposal is not None  # every step was one
        proposal = self._changed(self.best.proposal, change)
        found = self._try(self.space.model(proposal), self.space.model(self.best.proposal), self.best.runs)
        return self._keep(change.title, change.expectation, proposal, began, joules, **found)

    def study(self) -> Study:
        """The steps so far."""
        stopped = f"budget spent: {self.used_up}" if self.used_up else "no more changes"
        return Study(
            process=self.process.name,
            problem=describe(self.problem),
            space=self.space,
            metric=self.meter.name,
            unit=self.meter.unit,
            kind=str(self.meter.kind),
            budget=self.budget,
            seed=self.seed,
            trials=tuple(self.steps),
            stopped=stopped,
            chosen=self.best.number,
        )

    def _try(self, candidate: Model, best: Model, known: Sequence[Measurement]) -> dict[str, Any]:
        runs: list[Measurement] = []
        baseline_runs: list[Measurement] = []
        for earlier in known:
            last_chance = not _can_pass(sum(not run.solved for run in runs) + 1, len(known))
            run = self._measured(candidate, earlier.seed, only_solved=last_chance)
            runs.append(run)
            if run.failure:  # diverged or contradictory: a result, not a fault
                return {"kept": False, "why": run.failure, "runs": runs}
            if last_chance and not run.solved:
                return {"kept": False, "why": _share(runs), "runs": runs}
            baseline_runs.append(_with_counts(self._measured(best, earlier.seed, counts=False), earlier))
        found: dict[str, Any] = {"runs": runs, "rivals": tuple(baseline_runs)}
        if not _can_pass(sum(not rival.solved for rival in baseline_runs), len(baseline_runs)):
            return found | {"kept": True, "why": "the first that is correct"}
        margins = {"time_margin": self.process.time_margin, "score_margin": self.process.score_margin}
        verdict = compare(runs, baseline_runs, self.meter.name, **margins)
        kept, why = _decide(verdict)
        return found | {"kept": kept, "why": why, "verdict": verdict}

    def _measured(self, model: Model, seed: int, only_solved: bool = False, counts: bool = True) -> Measurement:
        meters = [self.meter, *self.process.also] if counts else []
        traced = self.process.trace_updates
        found = measure(self.problem, model, meters, seed, only_solved=only_solved, trace_updates=traced)
        self.process.on_measurement(found)
        return found

    def _keep(
        self,
        title: str,
        expectation: str,
        proposal: Proposal,
        began: float,
        joules: float,
        *,
        runs: Sequence[Measurement],
        **found: Any,
    ) -> TuningStep:
        name = self.meter.name
        costs = [reading.value for run in runs for reading in run.readings if reading.name == name]
        solved = len(runs) == self.process.pairs and _can_pass(sum(not run.solved for run in runs), len(runs))
        failed = any(run.failure for run in runs)
        step = TuningStep(
            number=len(self.steps),
            proposal=proposal,
            state=TrialState.FAILED if failed else TrialState.SOLVED if solved else TrialState.MISSED,
            prior_knowledge=self.space.family(proposal.family).prior_knowledge,
            title=title,
            expectation=expectation,
            cost=geometric_mean(costs) if solved and len(costs) == len(runs) else None,
            total_cost=sum(costs),
            spent=ResourceUse(1, time.perf_counter() - began, self._joules() - joules),
            runs=tuple(runs),
            **found,
        )
        self.steps.append(step)
        self.process.on_trial(step)
        return step

    def _changed(self, proposal: Proposal, change: ProposedChange) -> Proposal:
        return self.space.check(proposal.family, {**proposal.settings, **change.fields})

    def _joules(self) -> float:
        return self.tally.joules if self.tally else 0.0


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
