"""k nearest neighbours: training only stores the samples, and every prediction looks at all of them.

Cover and Hart, Nearest Neighbor Pattern Classification, IEEE Transactions on Information Theory 13, 1967.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task, nbytes
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.images.classifier import class_count


@dataclass(frozen=True)
class FittedNeighbours:
    """The samples, their squared lengths, and their labels one-hot."""

    x: Tensor
    squares: Tensor
    votes: Tensor
    k: int
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of all stored tensors."""
        return nbytes(self.x, self.squares, self.votes)

    def predict(self, x: Tensor) -> Tensor:
        """The class shares among the k nearest samples in Euclidean distance, of shape (samples, classes)."""
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2, and |a|^2 is the same for all neighbours b of a.
        nearest = torch.addmm(self.squares, x, self.x.t(), alpha=-2).topk(self.k, largest=False).indices
        return self.votes[nearest].mean(1)


@dataclass(frozen=True)
class NearestNeighbours(CheckedModel):
    """The ``k`` nearest samples vote on the class."""

    k: int = int_field(3, "neighbours", 1, 10_000, search=(1, 15))

    name: ClassVar[str] = "k nearest neighbours"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNeighbours:
        """Store the samples. Raises ValueError for fewer samples than k, or labels that are not class numbers."""
        x, y = task.train.x, task.train.y[:, 0]
        if len(x) < self.k:
            raise ValueError(f"{self.name}: needs at least k={self.k} samples (got {len(x)})")
        copy, squares = x.clone(), x.square().sum(1)
        return FittedNeighbours(copy, squares, torch.eye(class_count(task, self.name))[y], self.k)
