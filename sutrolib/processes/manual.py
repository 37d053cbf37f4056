"""Tuning by hand: one change at a time, each kept only if it passes.

The group judges correctness first, then wall-clock time, then cost. A change must solve the problem on at least 9 of 10
seeds; it must then be shown to be better in time or cost, and not be shown to be worse in either. Candidate and best so
far are timed in alternation, seed by seed, so that a machine that slows down affects both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.comparison import Verdict, compare, reading_ratio
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import ResourceUse, SearchBudget, start_clock, total_use
from sutrolib.processes.evaluator import TrialState, geometric_mean, ignore, readings
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.study import Study, Trial

_SOLVED_SHARE = 0.9


@dataclass(frozen=True)
class ProposedChange:
    """One change: a title, the fields that it sets, and the expectation, written before it is tried."""

    title: str
    fields: Mapping[str, Any]
    expectation: str


@dataclass(frozen=True, kw_only=True)
class TuningStep(Trial):
    """One candidate against the best before it.

    ``runs`` and ``baseline_runs`` are the paired measurements of the candidate and of the best before it, seed by seed;
    ``verdict`` is None where the candidate was rejected before its cost was compared.
    """

    title: str
    expectation: str
    baseline_runs: tuple[Measurement, ...] = ()
    verdict: Verdict | None = None

    def ratio(self, name: str) -> Interval | None:
        """The reading ``name`` of the candidate over that of the best before it; None where it was not compared."""
        return reading_ratio(self.runs, self.baseline_runs, name) if self.verdict else None

    def to_dict(self) -> dict[str, Any]:
        """As for a trial, with title and expectation."""
        return {k: v for k, v in super().to_dict().items() if k not in ("baseline_runs", "verdict")}


@dataclass(frozen=True)
class ManualTuning:
    """A scripted list of changes, tried in order on ``pairs`` seeds each.

    Args:
        extra_meters: Further meters to read.
        time_margin: Time must be better by this share to count, as clocks are noisy.
        score_margin: The score may be worse by this much.
        on_trial, on_measurement: Called with every finished step and measurement, before the next one can fail.
    """

    changes: Sequence[ProposedChange] = ()
    pairs: int = 5
    extra_meters: Sequence[Meter] = ()
    time_margin: float = 0.1
    score_margin: float = 0.01
    trace_updates: int | None = None  # as in measure()
    on_trial: Callable[[TuningStep], object] = ignore
    on_measurement: Callable[[Measurement], object] = ignore

    name: ClassVar[str] = "by hand"
    rung: ClassVar[str] = "by-hand"

    def __post_init__(self) -> None:
        if self.pairs < MIN_PAIRS:
            raise ValueError(f"pairs must be at least {MIN_PAIRS} (got {self.pairs})")

    def improve(self, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Begin at the start of the space and try the changes, as far as the budget goes.

        Raises ValueError, before anything runs, for a change of a field that is not in the space.
        """
        with CumulativeJoules() if budget.joules is not None else nullcontext() as estimator:
            session = TuningSession(self, problem, space, meter, budget, seed, estimator)
            for change in self.changes:
                session.check(change)
            session.begin()
            for change in self.changes:
                if session.exhausted:
                    break
                session.step(change)
            return session.study()


@dataclass(eq=False)
class TuningSession:
    """Tuning that is under way: a script or a person tries one change after the other."""

    process: ManualTuning
    problem: Problem
    space: SearchSpace
    meter: Meter
    budget: SearchBudget
    seed: int = 0
    estimator: CumulativeJoules | None = None
    steps: list[TuningStep] = field(default_factory=list)

    @property
    def best(self) -> TuningStep:
        """The last step that was kept; the first of all is the start."""
        return [step for step in self.steps if step.kept][-1]

    @property
    def exhausted(self) -> str:
        """Which limit of the budget is reached, in words; empty while something is left of each."""
        return self.budget.exhausted(total_use(step.spent for step in self.steps[1:]))

    def check(self, change: ProposedChange) -> None:
        """Raise ValueError for a change to a field that is not in the space, or to a value outside it."""
        try:
            self._changed(self.space.start, change)
        except ValueError as error:
            raise ValueError(f"{change.title!r}: {error}") from None

    def begin(self) -> TuningStep:
        """Measure the start."""
        spent, start = start_clock(self.estimator), self.space.start
        runs = [self._measure(self.space.model(start), s) for s in range(self.seed, self.seed + self.process.pairs)]
        return self._add("start", "", start, spent, kept=True, why=_solved_share(runs), runs=runs)

    def step(self, change: ProposedChange) -> TuningStep:
        """Try one change on the best before it."""
        spent = start_clock(self.estimator)
        assert self.best.proposal is not None  # every step has one
        proposal = self._changed(self.best.proposal, change)
        outcome = self._try(self.space.model(proposal), self.space.model(self.best.proposal), self.best.runs)
        return self._add(change.title, change.expectation, proposal, spent, **outcome)

    def study(self) -> Study:
        """The steps so far."""
        return Study.of(
            self.process.name,
            self.problem,
            self.space,
            self.meter,
            budget=self.budget,
            seed=self.seed,
            trials=tuple(self.steps),
            stopped=f"budget spent: {self.exhausted}" if self.exhausted else "no more changes",
            chosen=self.best.number,
        )

    def _try(self, candidate: Model, best: Model, known: Sequence[Measurement]) -> dict[str, Any]:
        runs: list[Measurement] = []
        baseline_runs: list[Measurement] = []
        for earlier in known:
            last_chance = not _passes(sum(not run.solved for run in runs) + 1, len(known))
            run = self._measure(candidate, earlier.seed, only_solved=last_chance)
            runs.append(run)
            if run.failure:  # diverged or contradictory: a result, not an error
                return {"kept": False, "why": run.failure, "runs": runs}
            if last_chance and not run.solved:
                return {"kept": False, "why": _solved_share(runs), "runs": runs}
            baseline_runs.append(_with_counts(self._measure(best, earlier.seed, counts=False), earlier))
        outcome: dict[str, Any] = {"runs": runs, "baseline_runs": tuple(baseline_runs)}
        if not _passes(sum(not run.solved for run in baseline_runs), len(baseline_runs)):
            return outcome | {"kept": True, "why": "the first that is correct"}
        margins = {"time_margin": self.process.time_margin, "score_margin": self.process.score_margin}
        verdict = compare(runs, baseline_runs, self.meter.name, **margins)
        kept, why = _decide(verdict)
        return outcome | {"kept": kept, "why": why, "verdict": verdict}

    def _measure(self, model: Model, seed: int, only_solved: bool = False, counts: bool = True) -> Measurement:
        meters = [self.meter, *self.process.extra_meters] if counts else []
        traced = self.process.trace_updates
        found = measure(self.problem, model, meters, seed, only_solved=only_solved, trace_updates=traced)
        self.process.on_measurement(found)
        return found

    def _add(
        self,
        title: str,
        expectation: str,
        proposal: Proposal,
        spent: Callable[[int], ResourceUse],
        *,
        runs: Sequence[Measurement],
        **outcome: Any,
    ) -> TuningStep:
        costs = readings(runs, self.meter.name)
        solved = len(runs) == self.process.pairs and _passes(sum(not run.solved for run in runs), len(runs))
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
            spent=spent(1),
            runs=tuple(runs),
            **outcome,
        )
        self.steps.append(step)
        self.process.on_trial(step)
        return step

    def _changed(self, proposal: Proposal, change: ProposedChange) -> Proposal:
        return self.space.validate(proposal.family, {**proposal.settings, **change.fields})


def _decide(verdict: Verdict) -> tuple[bool, str]:
    """Keep what is shown to be better in time or cost, not shown to be worse in either, and holds its score."""
    better = [name for name, shown in (("time", verdict.faster), ("cost", verdict.cheaper)) if shown]
    checks = (("time", verdict.slower), ("cost", verdict.costlier), ("score", not verdict.score_held))
    worse = [name for name, shown in checks if shown]
    if worse:
        return False, f"worse in {' and '.join(worse)}"
    return bool(better), f"better in {' and '.join(better)}" if better else "better in neither time nor cost"


def _with_counts(fresh: Measurement, earlier: Measurement) -> Measurement:
    """``fresh`` with the readings of an earlier run of the same model and seed that it lacks.

    Counts are the same every time; only the clock must be read again next to the candidate's.
    """
    read = {reading.name for reading in fresh.readings}
    added = tuple(reading for reading in earlier.readings if reading.name not in read)
    return dataclasses.replace(fresh, readings=fresh.readings + added)


def _solved_share(runs: Sequence[Measurement]) -> str:
    return f"solved on {sum(run.solved for run in runs)} of {len(runs)} seeds"


def _passes(failures: int, runs: int) -> bool:
    """Whether so many failures still leave the share of seeds that must be solved."""
    return runs - failures >= _SOLVED_SHARE * runs
