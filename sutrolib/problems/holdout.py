"""Problems to search on: made of the training samples alone, so that a search never looks at the test split.

Who tries many models and keeps the one with the best score on the test split has fitted the test split.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Problem, Split, Task, check_fields
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum
from sutrolib.problems.text import TRAIN_SHARE, NextCharacter, NextLetter, in_letters, load_text
from sutrolib.problems.windowed_text import ExamText


def search_holdout(problem: Problem) -> Problem:
    """The problem that stands in for ``problem`` while a model is searched for.

    A parity, a sparse sum and a sparse AND stand for themselves, as every seed has a secret of its own; of a text it is
    the training part, divided anew; of any other table, its training samples with a quarter held out.
    """
    if isinstance(problem, SparseParity | SparseSum | SparseAnd):
        return problem
    if isinstance(problem, NextCharacter | NextLetter | ExamText):
        text = load_text(problem.text)
        characters = len((in_letters(text) if isinstance(problem, NextLetter) else text)[: problem.characters or None])
        return dataclasses.replace(problem, characters=int(TRAIN_SHARE * characters))
    return HeldOut(problem)


@dataclass(frozen=True)
class HeldOut:
    """The training samples of ``problem``; a ``share``, another one for each seed, is held out for the score."""

    problem: Problem
    share: float = 0.25

    name: ClassVar[str] = "held-out part of the training samples"

    def __post_init__(self) -> None:
        check_fields(self, {"share": (0.01, 0.9)})

    @property
    def rung(self) -> str:
        """That of the problem."""
        return self.problem.rung

    def sample(self, seed: int) -> Task:
        """The task of this seed. Raises ValueError for text, which is not to be shuffled."""
        task = self.problem.sample(seed)
        if task.alphabet:
            raise ValueError(f"{self.problem.name}: text has an order, accepted are tables")
        train = task.train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        held, kept = order.split([int(self.share * len(train)), len(train) - int(self.share * len(train))])
        return dataclasses.replace(
            task, train=Split(train.x[kept], train.y[kept]), test=Split(train.x[held], train.y[held])
        )
