"""A control: the same problem with training labels in random order.

A model that still scores above chance has not learned from its samples.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Problem, Split, Task


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
