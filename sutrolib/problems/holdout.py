"""Problems made of another one: to search on, and to see whether a model learns from its samples.

A search must not fit the test split, so it uses the training samples alone (:func:`search_holdout`). A model that
scores above chance on :class:`ShuffledLabels` has not learned from its samples.
"""

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


@dataclass(frozen=True)
class ShuffledLabels:
    """``problem`` with the labels of its training samples in random order; the test split is unchanged.

    It has no oracles: they would answer with the true labels.
    """

    problem: Problem

    name: ClassVar[str] = "shuffled labels"
    rung: ClassVar[str] = ""  # a control has no position on the cube

    def sample(self, seed: int) -> Task:
        """The task of this seed. Raises ValueError for text, whose labels are its next inputs."""
        task = self.problem.sample(seed)
        if task.alphabet:
            raise ValueError(f"{self.problem.name}: the labels of text are its next characters; use a table")
        order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed))
        return dataclasses.replace(task, train=Split(task.train.x, task.train.y[order]), oracles={})
