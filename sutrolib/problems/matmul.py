"""The product of two square matrices: nothing is learned, and programs differ only in their cost.

The problem of the Sutro group's public leaderboards for programs on a grid of memory cells (``grid_cost``), with n = 4
and n = 16. It has no position on the cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Split, Task, check_fields

LARGEST = 9  # elements are integers from -9 to 9, so every product is exact in any order of summation
_TRAIN_ROWS = 2
_TEST_ROWS = 8


def exact_rows(predictions: Tensor, labels: Tensor) -> float:
    """The share of rows in which every element is exactly right."""
    return (predictions == labels).all(1).double().mean().item()


@dataclass(frozen=True)
class MatrixProduct:
    """C = A B for ``n``-by-``n`` matrices of integers. Raises ValueError unless n is an integer from 1 to 64."""

    n: int = 4

    name: ClassVar[str] = "matrix product"
    rung: ClassVar[str] = ""
    target: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, {"n": (1, 64)})

    def sample(self, seed: int) -> Task:
        """The task: x int64 of shape (samples, 2 n^2), A row-major, then B; y int64 (samples, n^2), C row-major."""
        generator = torch.Generator().manual_seed(seed)
        return Task(
            train=self._draw(_TRAIN_ROWS, generator),
            test=self._draw(_TEST_ROWS, generator),
            score=exact_rows,
            score_name="share of exact products",
            target=self.target,
        )

    def _draw(self, rows: int, generator: torch.Generator) -> Split:
        shape = (rows, 2, self.n, self.n)
        pairs = torch.randint(-LARGEST, LARGEST + 1, shape, generator=generator, dtype=torch.int64)
        return Split(pairs.flatten(1), (pairs[:, 0] @ pairs[:, 1]).flatten(1))
