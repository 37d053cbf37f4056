"""Tuning by hand: one change at a time, each kept only if it passes.

The group judges correctness first, then wall-clock time, then cost. A change must solve the problem on at least 9 of 10
seeds; it must then be shown to be better in time or cost, and not be shown to be worse in either; nor in a more
realistic metric, where the audit of proxies found the cost unsafe (:mod:`sutrolib.processes.recheck`). What is to be
kept must then pass the checks against metric gaming. Candidate and best so far are timed in alternation, seed by seed,
so that a machine that slows down affects both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.comparison import Verdict, compare, reading_ratio, undecided
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import Override, ResourceUse, SearchBudget, start_clock
from sutrolib.processes.evaluator import TrialState, geometric_mean, ignore, readings
from sutrolib.processes.recheck import gaming_finding, needed_recheck
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.study import Study, Trial

_SOLVED_SHARE = 0.9
_TIME_MARGIN = 0.1  # time must be better by this share to count, as clocks are noisy


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


@dataclass(frozen=True)
class ManualTuning:
    """A scripted list of changes, tried in order on ``pairs`` seeds each.

    Args:
        extra_meters: Further meters to read.
        overrides: A person's decision to leave out the re-check by a more realistic metric.
        on_trial, on_measurement: Called with every finished step and measurement, before the next one can fail.
    """

    changes: Sequence[ProposedChange] = ()
    pairs: int = 5
    extra_meters: Sequence[Meter] = ()
    overrides: tuple[Override, ...] = ()
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
                if not session.exhausted:
                    session.step(change)
            return session.study()


@dataclass(eq=False)
class TuningSession:
    """Tuning that is under way: a script or a person tries one change after the other.

    Raises ValueError as :func:`sutrolib.processes.recheck.needed_recheck`.
    """

    process: ManualTuning
    problem: Problem
    space: SearchSpace
    meter: Meter
    budget: SearchBudget
    seed: int = 0
    estimator: CumulativeJoules | None = None
    steps: list[TuningStep] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._audit, self._realistic = needed_recheck(self.meter.name, self.problem, self.process.overrides)

    @property
    def best(self) -> TuningStep:
        """The last step that was kept; the first of all is the start."""
        return [step for step in self.steps if step.kept][-1]

    @property
    def exhausted(self) -> str:
        """Why the budget has no room for another step, in words; empty while it has. The start is not a trial."""
        return self.budget.exhausted([step.spent for step in self.steps], ResourceUse(trials=-1))

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
        return self._add(ProposedChange("start", {}, ""), start, spent, runs=runs, kept=True, why=_solved_share(runs))

    def step(self, change: ProposedChange) -> TuningStep:
        """Try one change on the best before it."""
        spent = start_clock(self.estimator)
        assert self.best.proposal is not None  # every step has one
        proposal = self._changed(self.best.proposal, change)
        outcome = self._try(self.space.model(proposal), self.space.model(self.best.proposal), self.best.runs)
        return self._add(change, proposal, spent, **outcome)

    def study(self) -> Study:
        """The steps so far."""
        stopped = f"budget spent: {self.exhausted}" if self.exhausted else "no more changes"
        about = (self.problem, self.space, self.meter, self.budget, self.seed, tuple(self.steps), stopped)
        overrides, best = self.process.overrides, self.best.number
        return Study.of(self.process.name, *about, chosen=best, overrides=overrides, audit=self._audit)

    def _try(self, candidate: Model, best: Model, known: Sequence[Measurement]) -> dict[str, Any]:
        """The runs of the candidate, the decision, and what it is based on."""
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
        verdict = compare(runs, baseline_runs, self.meter.name, time_margin=_TIME_MARGIN)
        kept, why = _decide(verdict)
        if kept and self._realistic:
            ratio = reading_ratio(runs, baseline_runs, self._realistic.name)
            kept, why = ratio.low <= 1, f"{why}; {self._realistic.name}, more realistic, {ratio}"
        if kept and (costs := readings(runs, self.meter.name)):
            about = self.problem, self.meter, geometric_mean(costs), self.process.trace_updates
            finding = gaming_finding(candidate, *about)
            kept, why = not finding, f"{why}; {finding}" if finding else why
        return outcome | {"kept": kept, "why": why, "verdict": verdict}

    def _measure(self, model: Model, seed: int, only_solved: bool = False, counts: bool = True) -> Measurement:
        known = [self.meter, *self.process.extra_meters, *filter(None, [self._realistic])]
        meters = list({meter.name: meter for meter in known if counts or isinstance(meter, WindowMeter)}.values())
        traced = self.process.trace_updates
        found = measure(self.problem, model, meters, seed, only_solved=only_solved, trace_updates=traced)
        self.process.on_measurement(found)
        return found

    def _add(
        self, change: ProposedChange, proposal: Proposal, spent: Callable[[int], ResourceUse], **outcome: Any
    ) -> TuningStep:
        runs = outcome["runs"]
        costs, many = readings(runs, self.meter.name), len(runs)
        solved = many == self.process.pairs and _passes(sum(not run.solved for run in runs), many)
        state = TrialState.SOLVED if solved else TrialState.MISSED
        if any(run.failure for run in runs):
            state = TrialState.FAILED
        outcome["cost"] = geometric_mean(costs) if solved and len(costs) == many else None
        outcome |= {"total_cost": sum(costs), "spent": spent(1), "runs": tuple(runs), "state": state}
        outcome |= {"title": change.title, "expectation": change.expectation, "proposal": proposal}
        known = self.space.family(proposal.family).prior_knowledge
        step = TuningStep(number=len(self.steps), prior_knowledge=known, **outcome)
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
    words = [f"better in {' and '.join(better)}" if better else "better in neither time nor cost"]
    words += [f"{name} {why}" for name in ("time", "cost") if (why := undecided(getattr(verdict, name)))]
    return bool(better), "; ".join(words)


def _with_counts(fresh: Measurement, earlier: Measurement) -> Measurement:
    """``fresh`` with the readings of an earlier run of the same model and seed that it lacks.

    Counts are the same every time; only what is read in a window of time must be read again next to the candidate's.
    """
    added = (reading for reading in earlier.readings if not readings([fresh], reading.name))
    return dataclasses.replace(fresh, readings=(*fresh.readings, *added))


def _solved_share(runs: Sequence[Measurement]) -> str:
    return f"solved on {sum(run.solved for run in runs)} of {len(runs)} seeds"


def _passes(failures: int, runs: int) -> bool:
    """Whether so many failures still leave the share of seeds that must be solved."""
    return runs - failures >= _SOLVED_SHARE * runs
