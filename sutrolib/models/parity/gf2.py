"""Sparse parity solved as the linear system that it is: GF(2) Gaussian elimination, with and without noise.

Write every +1 as bit 0 and every -1 as bit 1. Then the product of the bits over S is the sum over S modulo 2,
so each sample is one linear equation over the field of two elements, and n independent ones determine S:
n + O(1) random samples do. Rows are bit-packed, 62 columns to an int64, and eliminated in place (Gauss-Jordan).

*With noise*, small subsets are drawn until one of them holds no corrupted label: n + extra random samples are clean
with probability (1 - noise)^(n + extra); one that determines a parity and is consistent is a candidate, and the
candidate is the secret when it agrees with more of all samples than any wrong parity could by chance. A wrong one
agrees with half of them: by Hoeffding's inequality and a union over the 2^n parities, with one half + t of m samples
with probability at most 2^n exp(-2 m t^2). The problem is that of Blum, Kalai, Wasserman, Noise-tolerant learning, the
parity problem, and the statistical query model, JACM 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Task
from sutrolib.models.fields import CheckedModel, FittedModel, int_field

WORD_BITS = 62  # columns in one int64: two bits short of 64, so that no packed row is ever negative
_FALSE_POSITIVE_RATE = 1e-4  # probability that a wrong parity passes for the secret
_FIRST_BATCH = 64  # subsets eliminated in parallel; the batch doubles up to _LAST_BATCH
_LAST_BATCH = 4096


class Inconsistent(FailedRun):
    """The samples contradict each other: no parity explains them all, because of noise or another rule."""


@dataclass(frozen=True)
class FittedParity(FittedModel):
    """The subset found: predicts the product of x over ``subset``. ``samples`` is the number of equations read."""

    subset: tuple[int, ...]
    samples: int

    @property
    def nbytes(self) -> int:
        """Eight bytes for each index of the subset."""
        return 8 * len(self.subset)

    def predict(self, x: Tensor) -> Tensor:
        """Labels of shape (samples, 1) in {-1, +1} for x of shape (samples, n)."""
        return x[:, list(self.subset)].prod(1, keepdim=True)


@dataclass(frozen=True)
class GF2Elimination(CheckedModel):
    """Solves a noiseless parity exactly from n + ``extra_samples`` equations, or from all samples if these fall short.

    The chance that n + extra random equations have a rank below n is under 2^-extra.
    """

    extra_samples: int = int_field(10, "samples", 0, 1_000_000, search=(0, 100))

    name: ClassVar[str] = "GF(2) elimination"
    prior_knowledge: ClassVar[str] = "that it is a parity without noise"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Find the subset. Exact: ``seed`` and ``budget`` change nothing. Undetermined bits count as outside of it.

        Raises:
            ValueError: A label is not -1 or +1.
            Inconsistent: No parity fits the equations read.
        """
        x, y = task.train.x, task.train.y
        n = x.shape[1]
        with torch.inference_mode():
            check_signs(y, self.name)
            for samples in (min(n + self.extra_samples, len(x)), len(x)):
                rows = pack_signs(torch.cat([x[:samples], y[:samples]], 1))
                pivots = _eliminate(rows, n)
                if len(pivots) == n or samples == len(x):
                    break
            word, bit = divmod(n, WORD_BITS)  # of the label
            subset = tuple(sorted(c for c, row in pivots.items() if int(rows[row, word].item()) >> bit & 1))
            # After elimination, a row without a pivot reads 0 = 0 unless the samples contradict each other.
            rest = sorted(set(range(len(rows))) - set(pivots.values()))
            if rest and bool(rows[rest].ne(0).any().item()):
                raise Inconsistent(
                    f"{self.name}: {len(rows)} samples over {n} bits contradict each other; "
                    "the labels must be those of a parity without noise"
                )
        return FittedParity(subset, samples)


def check_signs(y: Tensor, name: str) -> None:
    """Raise ValueError if a label is not -1 or +1."""
    if not (y.abs() == 1).all():
        raise ValueError(f"{name}: labels must be -1 or +1, as for a parity")


def pack_signs(signs: Tensor) -> Tensor:
    """Signs of shape (rows, columns) as bits, -1 as 1, packed into int64 words of shape (rows, words)."""
    bits = signs < 0
    weights = torch.ones(WORD_BITS, dtype=torch.int64).bitwise_left_shift_(torch.arange(WORD_BITS))
    return torch.stack([(part * weights[: part.shape[1]]).sum(1) for part in bits.split(WORD_BITS, 1)], 1)


def _eliminate(rows: Tensor, n: int) -> dict[int, int]:
    """Gauss-Jordan elimination in place; returns the pivot row of each pivot column below n."""
    pivots: dict[int, int] = {}
    for row in range(len(rows)):
        column = _lowest_column(rows[row], n)
        if column is None:
            continue
        pivots[column] = row
        word, bit = divmod(column, WORD_BITS)
        others = (rows[:, word] & (1 << bit)).ne_(0)
        others[row] = 0
        rows.bitwise_xor_(others[:, None] * rows[row])
        if len(pivots) == n:
            break
    return pivots


def _lowest_column(row: Tensor, n: int) -> int | None:
    """The lowest of the n unknowns that still occurs in this equation, or None."""
    for word in range(len(row)):
        value = int(row[word].item())
        if value:
            column = word * WORD_BITS + (value & -value).bit_length() - 1
            return column if column < n else None
    return None


@dataclass(frozen=True)
class RobustGF2(CheckedModel):
    """Solves up to ``max_subsets`` random subsets of n + ``extra_samples`` samples."""

    extra_samples: int = int_field(3, "samples", 0, 100, search=(0, 12))
    max_subsets: int = int_field(200_000, "subsets", 1, 100_000_000)

    name: ClassVar[str] = "noise-robust GF(2)"
    prior_knowledge: ClassVar[str] = "that it is a parity"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Draw and solve subsets until a parity agrees with more samples than chance explains.

        Raises:
            ValueError: A label is not -1 or +1.
            Inconsistent: ``max_subsets`` were tried without success.
        """
        x, y = task.train.x, task.train.y
        check_signs(y, self.name)
        n, samples = x.shape[1], len(x)
        needed = 0.5 + math.sqrt((n * math.log(2) - math.log(_FALSE_POSITIVE_RATE)) / (2 * samples))
        generator = torch.Generator().manual_seed(seed)
        tried, batch = 0, _FIRST_BATCH
        with torch.inference_mode():
            packed = pack_signs(torch.cat([x, y], 1))
            while tried < self.max_subsets:
                rows = torch.randint(samples, (batch, n + self.extra_samples), generator=generator)
                candidates = _solutions(packed[rows], n)
                tried += batch
                batch = min(2 * batch, _LAST_BATCH)
                if not len(candidates):
                    continue
                odd = (x < 0).float() @ candidates.t() % 2  # (samples, candidates): how many -1 bits, modulo 2
                agreement = (odd == (y < 0)).float().mean(0)
                best = int(agreement.argmax().item())
                if agreement[best] > needed:
                    return FittedParity(tuple(candidates[best].nonzero().flatten().tolist()), samples)
        raise Inconsistent(
            f"{self.name}: no parity agrees with more than {needed:.0%} of the samples; {tried} subsets tried"
        )


def _solutions(rows: Tensor, n: int) -> Tensor:
    """Solve many systems in parallel; returns the unique solutions as 0 and 1, of shape (solved, n).

    ``rows`` are bit-packed equations (systems, equations, words). Systems without a unique solution are dropped.
    """
    systems = torch.arange(len(rows))
    free = torch.ones(rows.shape[:2], dtype=torch.bool)
    pivots, determined = [], torch.ones(len(rows), dtype=torch.bool)
    for column in range(n):
        word, bit = divmod(column, WORD_BITS)
        holds = (rows[:, :, word] >> bit & 1).bool()
        usable = holds & free
        pivot = usable.byte().argmax(1)
        determined &= usable[systems, pivot]
        holds[systems, pivot] = False
        rows = rows ^ (holds[:, :, None] * rows[systems, pivot][:, None])
        free[systems, pivot] = False
        pivots.append(pivot)
    word, bit = divmod(n, WORD_BITS)
    labels = rows[:, :, word] >> bit & 1
    solved = determined & ~(free & labels.bool()).any(1)  # a row without a pivot reads 0 = label
    return labels.gather(1, torch.stack(pivots, 1))[solved].float()
