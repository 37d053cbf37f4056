"""k nearest neighbours: training is nothing but keeping the samples, and every prediction looks at all of them.

Cover and Hart, Nearest Neighbor Pattern Classification, IEEE Transactions on Information Theory 13, 1967.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task, nbytes
from sutrolib.models.fields import check_model


@dataclass(frozen=True)
class FittedNeighbours:
    """The samples, their squared lengths, and their labels as rows of 0 and 1."""

    x: Tensor
    squares: Tensor
    votes: Tensor
    k: int
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of everything kept."""
        return nbytes(self.x, self.squares, self.votes)

    def predict(self, x: Tensor) -> Tensor:
        """The shares of votes, of shape (samples, classes), of the k nearest in Euclidean distance."""
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2, and |a|^2 is the same for all neighbours b of a.
        nearest = torch.addmm(self.squares, x, self.x.t(), alpha=-2).topk(self.k, largest=False).indices
        return self.votes[nearest].mean(1)


@dataclass(frozen=True)
class NearestNeighbours:
    """The ``k`` nearest vote."""

    k: int = field(default=3, metadata={"unit": "neighbours", "low": 1, "high": 10_000, "search": (1, 15)})

    name: ClassVar[str] = "k nearest neighbours"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNeighbours:
        """Keep the samples. Raises ValueError for fewer samples than k, and for labels that are not class numbers."""
        x, y = task.train.x, task.train.y[:, 0]
        if len(x) < self.k:
            raise ValueError(f"{self.name}: {len(x)} samples, accepted are k={self.k} and above")
        if y.is_floating_point():
            raise ValueError(f"{self.name}: labels of type {y.dtype}, accepted are class numbers (int64)")
        return FittedNeighbours(x.clone(), x.square().sum(1), torch.eye(int(y.max().item()) + 1)[y], self.k)
