"""What all searches share: propose, evaluate, keep, until the budget is spent or a sign of life is missing.

A search is a frozen dataclass that says what to try next (:meth:`Search.propose`); :meth:`Search.improve` does the
rest. A proposal depends on the finished trials, the seed and the index of the trial, and on nothing that is kept in
memory: a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sutrolib.core.types import Problem, describe
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Meter, ProgramMeter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import Milestone, MilestoneResult, Override, ResourceUse, SearchBudget, start_clock
from sutrolib.processes.evaluator import Evaluation, Evaluator, TrialState, ignore
from sutrolib.processes.recheck import Finalists, needed_recheck
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.storage import StudyStorage
from sutrolib.processes.study import Study, Trial, best_of

if TYPE_CHECKING:
    import optuna

_MAX_DUPLICATES = 50  # proposals in a row that were tried before, after which the space counts as used up
_WAIT_S = 0.05


class ProposalRejected(ValueError):
    """The answer was not a valid proposal, for this reason. It counts against the budget."""


class SpaceExhausted(Exception):
    """The search has nothing more to propose."""


@dataclass(frozen=True)
class ProposalRequest:
    """A request for the proposal of trial ``index``, given the finished trials."""

    problem: Problem
    space: SearchSpace
    metric: str
    history: Sequence[Trial]
    budget: SearchBudget
    index: int  # the number of the trial, interrupted ones left out
    rng: np.random.Generator
    seed: int  # of the search; keep it from external programs, as the problem's samples can be drawn from it
    attempt: int  # how many proposals for this trial were tried before
    trial: optuna.Trial | None = None  # for searches by Optuna's samplers

    @property
    def first(self) -> bool:
        """Whether this is the first request of the search."""
        return self.index == 0 and self.attempt == 0


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """A process that proposes one candidate after the other.

    Args:
        pairs: Seeds on which each candidate is measured.
        timed, trace_updates: As in :class:`sutrolib.processes.evaluator.Evaluator`.
        journal: The file that keeps the study, so that it can go on where it stopped; None keeps it in memory.
        estimate_joules: Charge estimated joules to every trial, whatever the budget is in.
        check_best: Charge 1,000 predictions to each trial; and refuse a best trial that fails a check against metric
            gaming, where the next best is checked then. The checks cost extra, beyond the budget.
        milestones: They stop a search without a sign of life, unless ``overrides`` holds a person's decision to go on.
        on_trial, on_measurement: Called with every finished trial and measurement.
        on_wait: Called while other workers are at the last trials.
    """

    pairs: int = 1
    timed: bool = False
    trace_updates: int | None = None
    estimate_joules: bool = False
    check_best: bool = True
    journal: Path | None = None
    milestones: tuple[Milestone, ...] = ()
    overrides: tuple[Override, ...] = ()
    on_trial: Callable[[Trial], object] = ignore
    on_measurement: Callable[[Measurement], object] = ignore
    on_wait: Callable[[], object] = ignore

    name: ClassVar[str]
    rung: ClassVar[str]  # of the process axis
    at_least: ClassVar[Mapping[str, int]] = {}  # the least values of further fields
    n_objectives: ClassVar[int] = 1
    charge_duplicates: ClassVar[bool] = False  # whether a proposal that was tried before costs a trial
    # Fields that may change while a study goes on: they change neither what is tried nor what it costs.
    may_change: ClassVar[frozenset[str]] = frozenset(
        "journal estimate_joules check_best milestones overrides on_trial on_measurement on_wait".split()
    )

    def __post_init__(self) -> None:
        for field, least in {"pairs": 1, **self.at_least}.items():
            if getattr(self, field) < least:
                raise ValueError(f"{field} must be at least {least} (got {getattr(self, field)!r})")
        titles = [milestone.title for milestone in self.milestones]
        if len(set(titles)) < len(titles):
            raise ValueError(f"milestones must have different titles (got {titles})")

    @abstractmethod
    def propose(self, request: ProposalRequest) -> Proposal:
        """What to try next. Raises ProposalRejected for an invalid answer, SpaceExhausted where nothing is left."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler | None:
        """Optuna's sampler for one trial, None where it is not asked."""
        return None

    def pruner(self) -> optuna.pruners.BasePruner | None:
        """Optuna's pruner, None where no trial is ended early."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """What distinguishes two searches of one name: all fields except ``may_change``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in self.may_change}

    def open_storage(self, problem: Problem, space: SearchSpace, meter: Meter, seed: int) -> StudyStorage:
        """Where the trials of this study are kept. Raises ValueError where the journal holds another study."""
        about = {name: str(value) for name, value in vars(meter).items() if not name.startswith("_")}
        header = {"process": self.name, "problem": describe(problem), "space": space.describe(), "seed": seed}
        header |= {"metric": meter.name, "meter": about, "settings": self.settings}
        return StudyStorage(self.journal, header, self.n_objectives)

    def improve(self, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Search ``space`` for the model that solves ``problem`` at the least cost by ``meter``, within ``budget``.

        Where the audit found the metric unsafe, the best few trials are measured anew by a more realistic one, which
        costs extra, beyond the budget (:mod:`sutrolib.processes.recheck`).
        The same call continues a stored study; with a larger budget it goes on beyond the first one. Raises ValueError
        where the journal holds another study, and as :func:`sutrolib.processes.recheck.needed_recheck`.
        """
        audit, realistic = needed_recheck(meter.name, problem, self.overrides)
        storage = self.open_storage(problem, space, meter, seed)
        with CumulativeJoules() if self.charges_joules(budget) else nullcontext() as estimator:
            evaluator = self.evaluator(problem, meter, range(seed, seed + self.pairs))
            run = _SearchRun(self, problem, space, meter, budget, seed, storage, estimator, evaluator)
            stopped, milestones = run.until_stopped(), tuple(run.milestone_results())
            checked = self.check_best and not isinstance(meter, ProgramMeter)  # that one prices every read
            finalists, trials = Finalists(space, storage, evaluator, estimator), tuple(storage.finished())
            trials = finalists.rechecked(trials, realistic) if realistic else trials
            about, found = (problem, space, meter, budget, seed), (trials, stopped, milestones)
            study = self.confirm(Study.of(self.name, *about, *found, self.overrides, audit=audit), evaluator, estimator)
            while checked and (refused := finalists.gaming(study.best)):
                trials = tuple(refused if trial.number == refused.number else trial for trial in study.trials)
                study = self.confirm(dataclasses.replace(study, trials=trials), evaluator, estimator)
        return dataclasses.replace(study, control_use=run.noted_use("spent") + run.noted_use("extra"))

    def confirm(self, study: Study, evaluator: Evaluator, estimator: CumulativeJoules | None) -> Study:
        """``study`` with a best trial that holds where this process asks for more than its cost."""
        return study

    def charges_joules(self, budget: SearchBudget) -> bool:
        """Whether the joules of each trial are estimated."""
        return self.estimate_joules or budget.joules is not None

    def evaluator(self, problem: Problem, meter: Meter, seeds: Sequence[int]) -> Evaluator:
        """An evaluator with the settings of this search."""
        about = self.timed, self.trace_updates, self.rung, self.on_measurement, self.check_best
        return Evaluator(problem, meter, seeds, *about)


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
    evaluator: Evaluator

    def until_stopped(self) -> str:
        """Try one proposal after the other; returns why the search stopped."""
        while True:
            for result in self.milestone_results():
                if not result.met and not result.override:
                    return f"no sign of life: {result.title}: {result.why}"
            if exhausted := self._exhausted(self.storage.finished()):
                return f"budget spent: {exhausted}"
            try:
                trial = self._next_trial()
            except SpaceExhausted as end:
                return str(end)
            if trial is None:
                time.sleep(_WAIT_S)  # other workers are at the last trials: they may die
                self.search.on_wait()
            else:
                self.search.on_trial(trial)

    def _exhausted(self, finished: Sequence[Trial], running: int = 0, limits: SearchBudget | None = None) -> str:
        """Why the budget, or these ``limits``, have no room for another trial; empty while they have."""
        return (limits or self.budget).exhausted([trial.spent for trial in finished], self.noted_use("spent"), running)

    def noted_use(self, what: str) -> ResourceUse:
        """What the controls have cost (``spent``), or the checks of the best, beyond the budget (``extra``)."""
        notes = self.storage.notes().values()
        return sum((ResourceUse(**note[what]) for note in notes if what in note), ResourceUse())

    def milestone_results(self) -> Iterator[MilestoneResult]:
        """The results of the milestones whose deadline is over, from what had been found by then."""
        for milestone in self.search.milestones:
            if self._exhausted(self.storage.finished(), limits=milestone.deadline):
                note = self.storage.notes().get(milestone.title) or self._note_result(milestone)
                yield milestone.result(note["best"], note["beaten"], self.search.overrides)

    def _note_result(self, milestone: Milestone) -> dict[str, Any]:
        """Run the control of a milestone and keep what comes out, so that it runs only once."""
        spent, best, beaten = start_clock(self.estimator), best_of(self.storage.finished()), None
        if milestone.control and best and best.proposal and best.cost is not None:
            problem, model = milestone.control.rival(self.problem, self.space.model(best.proposal))
            rival = dataclasses.replace(self.evaluator, problem=problem).evaluate(model)
            beaten = rival.unsolved if rival.cost is None else best.cost < rival.cost
        note = {"best": best.cost if best else None, "beaten": beaten, "spent": dataclasses.asdict(spent(0))}
        self.storage.note(milestone.title, note)
        return note

    def _next_trial(self) -> Trial | None:
        """One trial from proposal to result; None where other workers are at the rest of the budget."""
        spent, history = start_clock(self.estimator), self.storage.finished()
        begun = self.storage.begin(self._sampler, self.search.pruner(), self._exhausted)
        if begun is None:
            return None
        running, index, proposal = begun
        try:
            proposal = proposal or self._proposal(running, index, history)
            known, found = self._evaluate(proposal, running)
            trial = Trial(running.number, proposal, prior_knowledge=known, spent=spent(1), **vars(found))
        except ProposalRejected as reason:
            trial = Trial(running.number, None, TrialState.REFUSED, str(reason), spent=spent(1))
        except BaseException:
            self.storage.interrupt(running)
            raise
        self.storage.finish(running, trial)
        return trial

    def _evaluate(self, proposal: Proposal, running: optuna.Trial) -> tuple[str, Evaluation]:
        """The prior knowledge of a proposal's model, and its evaluation."""
        try:
            model = self.space.model(proposal)
        except ValueError as error:  # each setting is in its range, and together they are invalid
            known = self.space.family(proposal.family).prior_knowledge
            return known, Evaluation(TrialState.FAILED, str(error))
        pruned = running if self.search.pruner() else None
        return model.prior_knowledge, self.evaluator.evaluate(model, pruned)

    def _proposal(self, running: optuna.Trial, index: int, history: Sequence[Trial]) -> Proposal:
        for attempt in range(_MAX_DUPLICATES):
            rng = np.random.default_rng((self.seed, index, attempt))
            about = (self.problem, self.space, self.meter.name, history, self.budget)
            proposal = self.search.propose(ProposalRequest(*about, index, rng, self.seed, attempt, running))
            if self.storage.claim(running, proposal):
                return proposal
            if self.search.charge_duplicates:
                raise ProposalRejected(f"tried before: {proposal}")
        raise SpaceExhausted(f"the space is used up: {_MAX_DUPLICATES} proposals in a row had been tried before")

    def _sampler(self, index: int) -> optuna.samplers.BaseSampler | None:
        return self.search.sampler(int(np.random.SeedSequence((self.seed, index)).generate_state(1)[0]))
