"""Sparse parity by search and statistics over bits and subsets of bits: three exact methods.

*Walsh-Fourier search*: the correlation of the labels with the parity of every subset of k bits,

    f^(S) = mean of y * product of x_i over S,   1 - 2 noise for the secret and about 0 for all others

It tries all C(n, k) subsets; labels may be noisy. O'Donnell, Analysis of Boolean Functions, 2014, chapter 1.

*Backtracking*: once k - 1 bits of the secret are chosen, the column of the last bit must equal the labels times their
product. Each branch ends there with a comparison against all columns: C(n, k - 1) branches instead of C(n, k).

*Influence estimation*: flip one bit at a time, and see whether the label changes,

    Inf_i = P( f(x) != f(x with bit i flipped) ),   1 for the bits of a parity and 0 for the others

The first step of Kushilevitz and Mansour, Learning Decision Trees Using the Fourier Spectrum, SIAM J. Comput. 1993. It
needs membership queries (labels of inputs that it makes up), which a fixed set of samples cannot answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.gf2 import WORD_BITS, FittedParity, Inconsistent, pack_signs

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


@dataclass(frozen=True)
class ConstraintSearch(CheckedModel):
    """Finds ``k`` bits whose parity gives every label: searches in one machine word of samples, checks on the rest."""

    k: int = int_field(3, "bits", 2, 12, search=(2, 5))

    name: ClassVar[str] = "constraint search"
    prior_knowledge: ClassVar[str] = "that it is a parity without noise, and k"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Find the bits. Exact: ``seed`` and ``budget`` change nothing. Raises Inconsistent if no k bits fit."""
        x, y = task.train.x, task.train.y
        samples = min(WORD_BITS, len(x))
        with torch.inference_mode():
            # One word per column, one bit per sample: a product of signs is an exclusive or of words.
            columns, label = pack_signs(x[:samples].t())[:, 0], pack_signs(y[:samples].t())[:, 0]
            for chosen in combinations(range(x.shape[1]), self.k - 2):
                rest = label.clone()
                for bit in chosen:
                    rest ^= columns[bit]
                first = chosen[-1] + 1 if chosen else 0
                candidates = columns[first:]
                # The last two bits i < j: their columns multiply to the rest.
                for i, j in ((candidates ^ rest)[:, None] == candidates).triu_(1).nonzero().tolist():
                    found = FittedParity((*chosen, first + i, first + j), len(x))
                    if bool((found.predict(x) == y).all().item()):
                        return found
        raise Inconsistent(f"{self.name}: no parity of k={self.k} bits explains all {len(x)} samples")


@dataclass(frozen=True)
class InfluenceEstimation(CheckedModel):
    """Takes the bits whose flips change over half of ``queries_per_bit`` labels; noisy labels need more queries."""

    queries_per_bit: int = int_field(8, "queries a bit", 1, 1_000_000, search=(1, 128), log=True)

    name: ClassVar[str] = "influence estimation"
    prior_knowledge: ClassVar[str] = "that it is a parity, and the label of any input it asks for"
    required_oracles: ClassVar[tuple[str, ...]] = ("labels",)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Query the labels of ``queries_per_bit`` random inputs, and of each of them with every bit flipped in turn."""
        labels, n = task.oracles["labels"], task.train.x.shape[1]
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            x = torch.randint(0, 2, (self.queries_per_bit, n), generator=generator).mul_(2).sub_(1).float()
            flipped = x[:, None] * (1 - 2 * torch.eye(n))  # (probes, n, n): bit i of copy i flipped
            before, after = labels(x), labels(flipped.flatten(0, 1)).view(self.queries_per_bit, n)
            influence = (before != after).float().mean(0)
            subset = (influence > 0.5).nonzero().flatten()
        return FittedParity(tuple(subset.tolist()), self.queries_per_bit * (n + 1))
