"""A control: the same problem with training labels that tell nothing of their inputs.

Whatever still scores above chance on it has not learned from its samples.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Problem, Split, Task


@dataclass(frozen=True)
class ShuffledLabels:
    """``problem`` with the labels of its training samples in random order; the test split is left as it is.

    No help is offered: a teacher would answer with the true labels.
    """

    problem: Problem

    name: ClassVar[str] = "shuffled labels"

    @property
    def rung(self) -> str:
        """None: a control stands nowhere on the cube."""
        return ""

    def sample(self, seed: int) -> Task:
        """The task of this seed. Raises ValueError for text, whose labels are its next inputs."""
        task = self.problem.sample(seed)
        if task.alphabet:
            raise ValueError(f"{self.problem.name}: the labels of text are its own characters, accepted are tables")
        order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(seed))
        return dataclasses.replace(task, train=Split(task.train.x, task.train.y[order]), oracles={})
