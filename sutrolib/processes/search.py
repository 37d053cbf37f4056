"""What all searches have in common: propose, judge, keep, until the budget is spent or no sign of life is seen.

A search is a frozen dataclass that says what to try next (:meth:`Search.propose`); :meth:`Search.improve` does the
rest. What it proposes depends on the finished trials, the seed and the number of the trial, and on nothing that is
kept in memory: a search that was killed goes on as if it had not been.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sutrolib.core.types import Problem, describe
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import Milestone, Override, SearchBudget
from sutrolib.processes.evaluator import ignore
from sutrolib.processes.proposal_request import Question
from sutrolib.processes.running import Run
from sutrolib.processes.space import Proposal, Space
from sutrolib.processes.storage import Store
from sutrolib.processes.study import Study, Trial

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """A process that proposes one candidate after the other.

    ``pairs`` seeds weigh each candidate. ``store`` is the journal file that keeps the study and lets it go on where it
    stopped, None to keep it in memory. ``joules`` charges estimated joules to every trial, whatever the budget is in.
    ``milestones`` stop a search without a sign of life, unless ``overrides`` holds a person's decision to go on.
    ``on_trial`` and ``on_measurement`` are told of everything as it ends, ``on_wait`` is called while other workers are
    at the last trials. ``timed``, ``trace_updates``: as in
    :class:`sutrolib.processes.evaluator.Judge`.
    """

    pairs: int = 1
    timed: bool = False
    trace_updates: int | None = None
    joules: bool = False
    store: Path | None = None
    milestones: tuple[Milestone, ...] = ()
    overrides: tuple[Override, ...] = ()
    on_trial: Callable[[Trial], object] = ignore
    on_measurement: Callable[[Measurement], object] = ignore
    on_wait: Callable[[], object] = ignore

    name: ClassVar[str]
    rung: ClassVar[str]  # of the process axis
    objectives: ClassVar[int] = 1
    charges_repeats: ClassVar[bool] = False  # whether to propose what was tried before costs a trial
    # Fields that may change while a study goes on, as they change neither what is tried nor what it is found to cost.
    apart: ClassVar[frozenset[str]] = frozenset(
        "store joules milestones overrides on_trial on_measurement on_wait".split()
    )

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ValueError(f"pairs={self.pairs!r}, accepted are 1 and above")
        titles = [milestone.title for milestone in self.milestones]
        if len(set(titles)) < len(titles):
            raise ValueError(f"milestones {titles}, accepted are different titles, by which each is kept")

    @abstractmethod
    def propose(self, question: Question) -> Proposal:
        """What to try next. Raises Refused for what is no proposal, NothingLeft where there is nothing more to try."""

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's sampler for one trial."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)

    def pruner(self) -> BasePruner | None:
        """Optuna's pruner, None where no trial is ended early."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """What makes two searches of one name different ones: all fields but those ``apart``."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in self.apart}

    def open_store(self, problem: Problem, space: Space, meter: Meter, seed: int) -> Store:
        """Where the trials of this study are kept. Raises ValueError where the store holds another study."""
        header = {
            "process": self.name,
            "problem": describe(problem),
            "space": space.describe(),
            "metric": meter.name,
            "meter": {name: str(value) for name, value in vars(meter).items() if not name.startswith("_")},
            "seed": seed,
            "settings": self.settings,
        }
        return Store(self.store, header, self.objectives)

    def improve(self, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Search ``space`` for the model that solves ``problem`` at the least cost by ``meter``, within ``budget``.

        The same call continues a stored study; with a larger budget it goes on beyond the first one. Raises ValueError
        where the store holds another study.
        """
        store = self.open_store(problem, space, meter, seed)
        with ExitStack() as stack:
            tally = None
            if budget.joules is not None or self.joules:
                tally = stack.enter_context(CumulativeJoules())
            run = Run(self, problem, space, meter, budget, seed, store, tally)
            stopped = run.to_the_end()
        return Study(
            process=self.name,
            problem=describe(problem),
            space=space,
            metric=meter.name,
            unit=meter.unit,
            kind=str(meter.kind),
            budget=budget,
            seed=seed,
            trials=tuple(store.finished()),
            stopped=stopped,
            milestones=run.passed(),
            overrides=self.overrides,
            controls=run.controls,
        )
