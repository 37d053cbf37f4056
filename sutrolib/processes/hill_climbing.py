"""Hill climbing: change the best candidate a little, keep the change unless it is worse, restart when stuck.

A (1+1) climb (Droste, Jansen and Wegener, On the analysis of the (1+1) evolutionary algorithm, Theoretical Computer
Science 276, 2002): one parent, one child, and the child takes over unless it is worse. Taking over when it is as good
lets a climb cross a plateau. A climb that ends in a local optimum restarts somewhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from sutrolib.processes.proposal_request import ProposalRequest
from sutrolib.processes.search import Search
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial


@dataclass(frozen=True, kw_only=True)
class HillClimbing(Search):
    """One climb after the other: the first from the start of the space, each later one from a random draw.

    A climb ends after ``patience`` trials in a row that did not improve on its best.
    """

    patience: int = 300

    name: ClassVar[str] = "hill climbing"
    rung: ClassVar[str] = "search"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise ValueError(f"patience must be at least 1 (got {self.patience!r})")

    def propose(self, request: ProposalRequest) -> Proposal:
        """The start of the space, then the parent of the climb with a change; a random draw at a restart."""
        if request.first:
            return request.space.start
        parent = current_parent(request.history, self.patience)
        if parent is None or parent.proposal is None:
            return request.space.sample(request.rng)
        return request.space.mutate(parent.proposal, request.rng)


def current_parent(history: Iterable[Trial], patience: int) -> Trial | None:
    """The latest of the best trials of the current climb; None where a climb is to begin.

    A trial without a score is never a parent.
    """
    parent: Trial | None = None
    best, waited = math.inf, 0
    for trial in history:
        if waited >= patience:
            parent, best, waited = None, math.inf, 0
        waited = 0 if trial.objective < best else waited + 1
        if trial.objective <= best and trial.objective < math.inf:
            parent, best = trial, trial.objective
    return None if waited >= patience else parent
