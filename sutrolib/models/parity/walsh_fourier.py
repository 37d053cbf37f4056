"""Walsh-Fourier search: the correlation of the labels with the parity of every subset of k bits.

    f^(S) = mean of y * product of x_i over S,   1 - 2 noise for the secret and about 0 for all others

There are C(n, k) subsets, and the labels may be noisy. O'Donnell, Analysis of Boolean Functions, 2014, chapter 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.gf2 import FittedParity

MAX_SUBSETS = 20_000_000
CHUNK = 1024  # subsets at a time


@dataclass(frozen=True)
class WalshFourier:
    """Takes the subset of ``k`` bits with the largest correlation over the first ``samples``."""

    k: int = field(default=3, metadata={"unit": "bits", "low": 1, "high": 12, "search": (1, 4)})
    samples: int = field(
        default=200, metadata={"unit": "samples", "low": 1, "high": 10_000_000, "log": True, "search": (20, 1000)}
    )

    name: ClassVar[str] = "Walsh-Fourier search"
    prior_knowledge: ClassVar[str] = "that it is a parity, and k"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Try every subset. Exact, so neither ``seed`` nor ``budget`` changes anything.

        Raises ValueError where there are fewer than k bits, or more than twenty million subsets.
        """
        x, y = task.train.x[: self.samples], task.train.y[: self.samples]
        n = x.shape[1]
        count = math.comb(n, self.k)
        if not 0 < count <= MAX_SUBSETS:
            raise ValueError(
                f"{self.name}: {count:,} subsets of k={self.k} of {n} bits, accepted are 1 to {MAX_SUBSETS:,}"
            )
        with torch.inference_mode():
            subsets = torch.combinations(torch.arange(n), self.k)
            bits = x.t().contiguous()
            signed = bits * y.t()  # the label rides along with the first bit
            found = []
            for part in subsets.split(CHUNK):
                product = signed[part[:, 0]]
                for column in part.unbind(1)[1:]:
                    product *= bits[column]
                found.append(product.mean(1))
            best = subsets[int(torch.cat(found).argmax().item())]
        return FittedParity(tuple(best.tolist()), len(x))
