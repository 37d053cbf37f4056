"""The product of two square matrices: nothing is learned, and all that can differ is what it costs.

The problem of the Sutro group's public boards for programs on an explicit grid of memory cells
(``grid_cost``), where the sizes are n = 4 and n = 16. It stands off the cube: no axis leads through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Split, Task, check_fields

LARGEST = 9  # elements are whole numbers from -9 to 9: every product is exact, in whatever order it is summed
TRAIN_ROWS = 2
TEST_ROWS = 8


def exact_rows(predictions: Tensor, labels: Tensor) -> float:
    """The share of rows in which every element is exactly right."""
    return (predictions == labels).all(1).double().mean().item()


@dataclass(frozen=True)
class MatrixProduct:
    """C = A B for ``n``-by-``n`` matrices of whole numbers. Raises ValueError unless n is a whole number of 1 to 64."""

    n: int = 4

    name: ClassVar[str] = "matrix product"
    rung: ClassVar[str] = ""
    target: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, {"n": (1, 64)})
        if type(self.n) is not int:
            raise ValueError(f"MatrixProduct: n={self.n!r}, accepted are whole numbers from 1 to 64")

    def sample(self, seed: int) -> Task:
        """The task: x int64 of shape (samples, 2 n^2), A row-major, then B; y int64 (samples, n^2), C row-major."""
        generator = torch.Generator().manual_seed(seed)
        return Task(
            train=self._draw(TRAIN_ROWS, generator),
            test=self._draw(TEST_ROWS, generator),
            score=exact_rows,
            score_name="share of exact products",
            target=self.target,
        )

    def _draw(self, rows: int, generator: torch.Generator) -> Split:
        shape = (rows, 2, self.n, self.n)
        pairs = torch.randint(-LARGEST, LARGEST + 1, shape, generator=generator, dtype=torch.int64)
        return Split(pairs.flatten(1), (pairs[:, 0] @ pairs[:, 1]).flatten(1))
