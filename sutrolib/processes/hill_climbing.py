"""Hill climbing: change the best candidate a little, keep the change where it is no worse, start again when stuck.

A (1+1) climb (Droste, Jansen and Wegener, On the analysis of the (1+1) evolutionary algorithm, Theoretical Computer
Science 276, 2002): one parent, one child, and the child takes over unless it is worse. Taking over when it is as good
lets a climb wander over a plateau. A climb that ends on a hill that is not the highest begins anew somewhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from sutrolib.processes.proposal_request import Question
from sutrolib.processes.search import Search
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial


@dataclass(frozen=True, kw_only=True)
class Climb(Search):
    """One climb after the other: the first from where the space begins, each later one from a random draw.

    A climb is over after ``patience`` trials in a row that did not improve on its best.
    """

    patience: int = 300

    name: ClassVar[str] = "hill climbing"
    rung: ClassVar[str] = "search"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise ValueError(f"patience={self.patience!r}, accepted are 1 and above")

    def propose(self, question: Question) -> Proposal:
        """The start of the space, then the parent of the climb with a change; a draw where a climb begins."""
        if question.ticket.place == 0 and question.attempt == 0:
            return question.space.start
        parent = parent_of(question.history, self.patience)
        if parent is None or parent.proposal is None:
            return question.space.sample(question.rng)
        return question.space.mutated(parent.proposal, question.rng)


def parent_of(history: Iterable[Trial], patience: int) -> Trial | None:
    """The trial that the climb stands on after ``history``; None where a climb is to begin.

    The latest of its best trials. What did not run to a score is no place to stand on.
    """
    parent: Trial | None = None
    height, waited = math.inf, 0
    for trial in history:
        if waited >= patience:
            parent, height, waited = None, math.inf, 0
        rank = trial.rank
        waited = 0 if rank < height else waited + 1
        if rank <= height and rank < math.inf:
            parent, height = trial, rank
    return None if waited >= patience else parent
