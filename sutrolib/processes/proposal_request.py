"""What a search is asked for in each trial, and the two ways to answer with no proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sutrolib.core.types import Problem
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.storage import RunningTrial
from sutrolib.processes.study import Trial


class ProposalRejected(ValueError):
    """The answer was not a valid proposal, for this reason. It counts against the budget."""


class SpaceExhausted(Exception):
    """The search has nothing more to propose."""


@dataclass(frozen=True)
class ProposalRequest:
    """A request for a proposal for ``trial``, given the finished trials."""

    problem: Problem
    space: SearchSpace
    metric: str
    history: Sequence[Trial]
    budget: SearchBudget
    trial: RunningTrial
    rng: np.random.Generator
    seed: int  # of the search; keep it from external programs, as the problem's samples can be drawn from it
    attempt: int  # how many proposals for this trial were tried before

    @property
    def first(self) -> bool:
        """Whether this is the first request of the search."""
        return self.trial.index == 0 and self.attempt == 0
