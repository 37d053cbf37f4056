"""Walsh-Fourier search: the correlation of the labels with the parity of every subset of k bits.

    f^(S) = mean of y * product of x_i over S,   1 - 2 noise for the secret and about 0 for all others

It tries all C(n, k) subsets; labels may be noisy. O'Donnell, Analysis of Boolean Functions, 2014, chapter 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.gf2 import FittedParity

_MAX_SUBSETS = 20_000_000
_CHUNK = 1024  # subsets per step


@dataclass(frozen=True)
class WalshFourier(CheckedModel):
    """Takes the subset of ``k`` bits with the largest correlation over the first ``samples``."""

    k: int = int_field(3, "bits", 1, 12, search=(1, 4))
    samples: int = int_field(200, "samples", 1, 10_000_000, search=(20, 1000), log=True)

    name: ClassVar[str] = "Walsh-Fourier search"
    prior_knowledge: ClassVar[str] = "that it is a parity, and k"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Try every subset. Exact: ``seed`` and ``budget`` change nothing.

        Raises ValueError for fewer than k bits, or more than twenty million subsets.
        """
        x, y = task.train.x[: self.samples], task.train.y[: self.samples]
        n = x.shape[1]
        count = math.comb(n, self.k)
        if not 0 < count <= _MAX_SUBSETS:
            raise ValueError(
                f"{self.name}: subsets of k={self.k} of {n} bits must number 1 to {_MAX_SUBSETS:,} (got {count:,})"
            )
        with torch.inference_mode():
            subsets = torch.combinations(torch.arange(n), self.k)
            bits = x.t().contiguous()
            signed = bits * y.t()  # multiplies the label into the first bit
            found = []
            for part in subsets.split(_CHUNK):
                product = signed[part[:, 0]]
                for column in part.unbind(1)[1:]:
                    product *= bits[column]
                found.append(product.mean(1))
            best = subsets[int(torch.cat(found).argmax().item())]
        return FittedParity(tuple(best.tolist()), len(x))
