"""What all searches share: propose, evaluate, keep, until the budget is spent or a sign of life is missing.

A search is a frozen dataclass that says what to try next (:meth:`Search.propose`); :meth:`Search.improve` does the
rest. A proposal depends on the finished trials, the seed and the index of the trial, and on nothing that is kept in
memory: a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sutrolib.core.types import Problem, describe
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import (
    Control,
    Milestone,
    MilestoneResult,
    Override,
    ResourceUse,
    SearchBudget,
    start_clock,
    total_use,
)
from sutrolib.processes.evaluator import Evaluator, TrialState, ignore
from sutrolib.processes.proposal_request import ProposalRejected, ProposalRequest, SpaceExhausted
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.storage import RunningTrial, StudyStorage
from sutrolib.processes.study import Study, Trial, best_of

if TYPE_CHECKING:
    import optuna

_MAX_DUPLICATES = 50  # proposals in a row that were tried before, after which the space counts as used up
_WAIT_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """A process that proposes one candidate after the other.

    Args:
        pairs: Seeds on which each candidate is measured.
        timed, trace_updates: As in :class:`sutrolib.processes.evaluator.Evaluator`.
        journal: The file that keeps the study, so that it can go on where it stopped; None keeps it in memory.
        estimate_joules: Charge estimated joules to every trial, whatever the budget is in.
        milestones: They stop a search without a sign of life, unless ``overrides`` holds a person's decision to go on.
        on_trial, on_measurement: Called with every finished trial and measurement.
        on_wait: Called while other workers are at the last trials.
    """

    pairs: int = 1
    timed: bool = False
    trace_updates: int | None = None
    estimate_joules: bool = False
    journal: Path | None = None
    milestones: tuple[Milestone, ...] = ()
    overrides: tuple[Override, ...] = ()
    on_trial: Callable[[Trial], object] = ignore
    on_measurement: Callable[[Measurement], object] = ignore
    on_wait: Callable[[], object] = ignore

    name: ClassVar[str]
    rung: ClassVar[str]  # of the process axis
    n_objectives: ClassVar[int] = 1
    charge_duplicates: ClassVar[bool] = False  # whether a proposal that was tried before costs a trial
    # Fields that may change while a study goes on: they change neither what is tried nor what it costs.
    may_change: ClassVar[frozenset[str]] = frozenset(
        "journal estimate_joules milestones overrides on_trial on_measurement on_wait".split()
    )

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs must be at least 1 (got {self.pairs!r})")
        titles = [milestone.title for milestone in self.milestones]
        if len(set(titles)) < len(titles):
            raise ValueError(f"milestones must have different titles (got {titles})")

    @abstractmethod
    def propose(self, request: ProposalRequest) -> Proposal:
        """What to try next. Raises ProposalRejected for an invalid answer, SpaceExhausted where nothing is left."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's sampler for one trial."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def pruner(self) -> optuna.pruners.BasePruner | None:
        """Optuna's pruner, None where no trial is ended early."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """What distinguishes two searches of one name: all fields except ``may_change``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in self.may_change}

    def open_storage(self, problem: Problem, space: SearchSpace, meter: Meter, seed: int) -> StudyStorage:
        """Where the trials of this study are kept. Raises ValueError where the journal holds another study."""
        header = {
            "process": self.name,
            "problem": describe(problem),
            "space": space.describe(),
            "metric": meter.name,
            "meter": {name: str(value) for name, value in vars(meter).items() if not name.startswith("_")},
            "seed": seed,
            "settings": self.settings,
        }
        return StudyStorage(self.journal, header, self.n_objectives)

    def improve(self, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Search ``space`` for the model that solves ``problem`` at the least cost by ``meter``, within ``budget``.

        The same call continues a stored study; with a larger budget it goes on beyond the first one. Raises ValueError
        where the journal holds another study.
        """
        storage = self.open_storage(problem, space, meter, seed)
        with CumulativeJoules() if self.charges_joules(budget) else nullcontext() as estimator:
            run = _SearchRun(self, problem, space, meter, budget, seed, storage, estimator)
            stopped = run.until_stopped()
        return Study.of(
            self.name,
            problem,
            space,
            meter,
            budget=budget,
            seed=seed,
            trials=tuple(storage.finished()),
            stopped=stopped,
            milestones=tuple(run.milestone_results()),
            overrides=self.overrides,
            control_use=total_use(run.control_uses()),
        )

    def charges_joules(self, budget: SearchBudget) -> bool:
        """Whether the joules of each trial are estimated."""
        return self.estimate_joules or budget.joules is not None

    def evaluator(self, problem: Problem, meter: Meter, seeds: Sequence[int]) -> Evaluator:
        """An evaluator with the settings of this search."""
        return Evaluator(problem, meter, seeds, self.timed, self.trace_updates, self.rung, self.on_measurement)


@dataclass
class _SearchRun:
    """One worker's part of a search."""

    search: Search
    problem: Problem
    space: SearchSpace
    meter: Meter
    budget: SearchBudget
    seed: int
    storage: StudyStorage
    estimator: CumulativeJoules | None

    def __post_init__(self) -> None:
        seeds = range(self.seed, self.seed + self.search.pairs)
        self.evaluator = self.search.evaluator(self.problem, self.meter, seeds)

    def until_stopped(self) -> str:
        """Try one proposal after the other; returns why the search stopped."""
        while True:
            if reason := self._stop_reason():
                return reason
            try:
                trial = self._next_trial()
            except SpaceExhausted as end:
                return str(end)
            if trial is None:
                time.sleep(_WAIT_S)  # other workers are at the last trials: they may die
                self.search.on_wait()
            else:
                self.search.on_trial(trial)

    def _stop_reason(self) -> str:
        """Why the search must stop now; empty where it goes on."""
        for result in self.milestone_results():
            if result.stops:
                return f"no sign of life: {result.title}: {result.why}"
        exhausted = self.budget.exhausted(self._used())
        return f"budget spent: {exhausted}" if exhausted else ""

    def _used(self) -> ResourceUse:
        return total_use(itertools.chain((trial.spent for trial in self.storage.finished()), self.control_uses()))

    def control_uses(self) -> list[ResourceUse]:
        """What each control has cost."""
        return [ResourceUse(**note["spent"]) for note in self.storage.notes().values() if "spent" in note]

    def milestone_results(self) -> Iterator[MilestoneResult]:
        """The results of the milestones whose deadline is over, from what had been found by then."""
        if not self.search.milestones:
            return
        used = self._used()
        for milestone in self.search.milestones:
            if milestone.deadline.exhausted(used):
                note = self.storage.notes().get(milestone.title) or self._note_result(milestone)
                yield milestone.result(note["best"], note["beaten"], self.search.overrides)

    def _note_result(self, milestone: Milestone) -> dict[str, Any]:
        """Run the control of a milestone and keep what comes out, so that it runs only once."""
        spent = start_clock(self.estimator)
        best = best_of(self.storage.finished())
        note: dict[str, Any] = {
            "best": best.cost if best else None,
            "beaten": self._beats(milestone.control, best) if milestone.control and best else None,
        }
        note["spent"] = dataclasses.asdict(spent(0))
        self.storage.note(milestone.title, note)
        return note

    def _beats(self, control: Control, best: Trial) -> bool:
        assert best.proposal is not None
        assert best.cost is not None
        evaluator = dataclasses.replace(self.evaluator, problem=control.problem(self.problem))
        rival = evaluator.evaluate(control.model(self.space.model(best.proposal)))
        return rival.cost is None or best.cost < rival.cost

    def _next_trial(self) -> Trial | None:
        """One trial from proposal to result; None where other workers are at the rest of the budget."""
        spent = start_clock(self.estimator)
        history = self.storage.finished()
        sampler = lambda index: self.search.sampler(self._seed(index))  # noqa: E731
        begun = self.storage.begin(sampler, self.search.pruner(), self.budget.trials)
        if begun is None:
            return None
        running, proposal = begun
        try:
            if proposal is None:
                proposal = self._proposal(running, history)
            trial = self._try(running, proposal, spent)
        except ProposalRejected as reason:
            trial = Trial(running.number, None, TrialState.REFUSED, str(reason), spent=spent(1))
        except BaseException:
            self.storage.interrupt(running)
            raise
        self.storage.finish(running, trial)
        return trial

    def _try(self, running: RunningTrial, proposal: Proposal, spent: Callable[[int], ResourceUse]) -> Trial:
        try:
            model = self.space.model(proposal)
        except ValueError as error:  # each setting is in its range, and together they are invalid
            known = self.space.family(proposal.family).prior_knowledge
            return Trial(running.number, proposal, TrialState.FAILED, str(error), known, spent=spent(1))
        watch = None if self.search.pruner() is None else _pruning_watch(running.optuna_trial)
        evaluation = self.evaluator.evaluate(model, watch)
        return Trial.of(running.number, proposal, model.prior_knowledge, evaluation, spent(1))

    def _proposal(self, running: RunningTrial, history: Sequence[Trial]) -> Proposal:
        for attempt in range(_MAX_DUPLICATES):
            rng = np.random.default_rng((self.seed, running.index, attempt))
            about = (self.problem, self.space, self.meter.name, history, self.budget)
            proposal = self.search.propose(ProposalRequest(*about, running, rng, self.seed, attempt))
            if self.storage.claim(running, proposal):
                return proposal
            if self.search.charge_duplicates:
                raise ProposalRejected(f"tried before: {proposal}")
        raise SpaceExhausted(f"the space is used up: {_MAX_DUPLICATES} proposals in a row had been tried before")

    def _seed(self, index: int) -> int:
        return int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0])


def _pruning_watch(trial: optuna.Trial) -> Callable[[int, float], bool]:
    """Report each point of the learning curve to Optuna, and ask whether to go on."""
    points = itertools.count()

    def watch(updates: int, score: float) -> bool:
        trial.report(-score, next(points))
        return not trial.should_prune()

    return watch
