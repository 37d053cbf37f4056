"""Problems to search on, made of the training samples alone: a search must not fit the test split."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Problem, Split, Task, check_fields
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum
from sutrolib.problems.text import TRAIN_SHARE, NextCharacter, NextLetter, WindowedText, in_letters, load_text


def search_holdout(problem: Problem) -> Problem:
    """The problem to search on in place of ``problem``.

    For parity, sparse sum and sparse AND it is the problem itself, because every seed has its own secret. For text it
    is the training part, split again. For any other table it is the training samples, with a quarter held out.
    """
    if isinstance(problem, SparseParity | SparseSum | SparseAnd):
        return problem
    if isinstance(problem, NextCharacter | NextLetter | WindowedText):
        text = load_text(problem.text)
        characters = len((in_letters(text) if isinstance(problem, NextLetter) else text)[: problem.characters or None])
        return dataclasses.replace(problem, characters=int(TRAIN_SHARE * characters))
    return HeldOut(problem)


@dataclass(frozen=True)
class HeldOut:
    """The training samples of ``problem``; a random ``share`` of them, drawn from the seed, is the test split."""

    problem: Problem
    share: float = 0.25

    name: ClassVar[str] = "held-out part of the training samples"

    def __post_init__(self) -> None:
        check_fields(self, {"share": (0.01, 0.9)})

    @property
    def rung(self) -> str:
        """The rung of the problem."""
        return self.problem.rung

    def sample(self, seed: int) -> Task:
        """The task of this seed. Raises ValueError for text, which has an order."""
        task = self.problem.sample(seed)
        if task.alphabet:
            raise ValueError(f"{self.problem.name}: text has an order and cannot be shuffled; use a table")
        train = task.train
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        count = int(self.share * len(train))
        held, kept = order[:count], order[count:]
        return dataclasses.replace(
            task, train=Split(train.x[kept], train.y[kept]), test=Split(train.x[held], train.y[held])
        )
