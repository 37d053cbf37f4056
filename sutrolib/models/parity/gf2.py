"""GF(2) Gaussian elimination: sparse parity solved as the linear system that it is.

Write every +1 as bit 0 and every -1 as bit 1. Then the product of the bits over S is the sum over S modulo 2,
so each sample is one linear equation over the field of two elements, and n independent ones determine S:
n + O(1) random samples do. Rows are bit-packed, 62 columns to an int64, and eliminated in place (Gauss-Jordan).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Task, check_fields

WORD = 62  # columns in one int64: two bits short of 64, so that no packed row is ever negative


class Inconsistent(FailedRun):
    """The samples contradict each other: no parity explains them all, so they hold noise or another rule."""


@dataclass(frozen=True)
class FittedParity:
    """The subset found: predicts the product of x over ``subset``. ``samples`` is how many equations it read."""

    subset: tuple[int, ...]
    samples: int
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """Eight bytes for each index of the subset."""
        return 8 * len(self.subset)

    def predict(self, x: Tensor) -> Tensor:
        """Labels of shape (samples, 1) in {-1, +1} for x of shape (samples, n)."""
        return x[:, list(self.subset)].prod(1, keepdim=True)


@dataclass(frozen=True)
class GF2Elimination:
    """Solves a noiseless parity exactly; ``extra`` equations beyond n are read first, all of them when needed.

    The chance that n + extra random equations fall short of rank n is below 2^-extra.
    """

    extra: int = field(default=10, metadata={"unit": "samples", "low": 0, "high": 1_000_000, "search": (0, 100)})

    name: ClassVar[str] = "GF(2) elimination"
    prior_knowledge: ClassVar[str] = "that it is a parity without noise"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_fields(self, {"extra": (0, 1_000_000)})

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Find the subset. Exact, so neither ``seed`` nor ``budget`` changes anything.

        Raises ValueError for labels other than -1 and +1, and Inconsistent where no parity fits the equations read.
        Where the samples leave bits undetermined, those are taken to be outside the subset.
        """
        x, y = task.train.x, task.train.y
        n = x.shape[1]
        with torch.inference_mode():
            if not (y.abs() == 1).all():
                raise ValueError("GF(2) elimination: labels must be -1 or +1, as those of a parity are")
            for samples in (min(n + self.extra, len(x)), len(x)):
                rows = pack(torch.cat([x[:samples], y[:samples]], 1))
                pivots = _eliminate(rows, n)
                if len(pivots) == n or samples == len(x):
                    break
            subset = tuple(sorted(column for column, row in pivots.items() if _bit(rows, row, n)))
            _check_consistent(rows, set(pivots.values()), n)
        return FittedParity(subset, samples)


def pack(signs: Tensor) -> Tensor:
    """Signs of shape (rows, columns) as bits, -1 as 1, packed into int64 words of shape (rows, words)."""
    bits = signs < 0
    weights = torch.ones(WORD, dtype=torch.int64).bitwise_left_shift_(torch.arange(WORD))
    return torch.stack([(part * weights[: part.shape[1]]).sum(1) for part in bits.split(WORD, 1)], 1)


def _eliminate(rows: Tensor, n: int) -> dict[int, int]:
    """Gauss-Jordan elimination in place; returns the pivot row of each pivot column below n."""
    pivots: dict[int, int] = {}
    for row in range(len(rows)):
        column = _lowest_column(rows[row], n)
        if column is None:
            continue
        pivots[column] = row
        word, bit = divmod(column, WORD)
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
            column = word * WORD + (value & -value).bit_length() - 1
            return column if column < n else None
    return None


def _bit(rows: Tensor, row: int, column: int) -> bool:
    word, bit = divmod(column, WORD)
    return bool(int(rows[row, word].item()) >> bit & 1)


def _check_consistent(rows: Tensor, pivot_rows: set[int], n: int) -> None:
    """After elimination a row without a pivot is 0 = 0, unless the samples contradict each other."""
    rest = [row for row in range(len(rows)) if row not in pivot_rows]
    if rest and bool(rows[rest].ne(0).any().item()):
        raise Inconsistent(
            f"GF(2) elimination: {len(rows)} samples over {n} bits contradict each other, "
            "so they are noisy or not a parity; accepted are noiseless parity labels"
        )
