"""What a process is asked, trial by trial, and how it may answer with something other than a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sutrolib.core.types import Problem
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.space import Space
from sutrolib.processes.storage import Ticket
from sutrolib.processes.study import Trial


class Refused(ValueError):
    """There was no proposal: what came in its place was refused, for this reason. Charged against the budget."""


class NothingLeft(Exception):
    """The process has nothing more to propose."""


@dataclass(frozen=True)
class Question:
    """What a process is asked: a proposal for this trial, given the finished ones."""

    problem: Problem
    space: Space
    metric: str
    history: Sequence[Trial]
    budget: SearchBudget
    ticket: Ticket
    rng: np.random.Generator
    seed: int  # of the search; a process is not to hand it on, as problems can be drawn from it
    attempt: int  # how many proposals for this trial were known already
