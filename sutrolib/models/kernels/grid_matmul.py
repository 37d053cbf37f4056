"""Matrix multiplication on a grid of memory cells: a plan sets the loop order, the copies and the cells.

On the grid (the simplified form of W. Dally's model, as the Sutro group uses it) a read of cell i costs ceil(sqrt(i))
and a write nothing, so a program is cheap if the values that it reads often lie in the first few cells. A plan can
choose the classical means: loop order and tiling (Lam, Rothberg and Wolf, The cache performance and optimizations of
blocked algorithms, ASPLOS 1991), snake order at the end of a loop, copies of values that are soon read again, and reuse
of the cells of dead values. Every plan computes the n^3 products of the definition; none saves one, as Strassen's
algorithm would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import Task
from sutrolib.models.fields import CheckedModel, FittedModel, choice
from sutrolib.models.kernels import grid_schedule

_Run = Callable[[str, Sequence[Any]], Sequence[Any]]
_LOOPS = ("ijk", "ikj", "jik", "jki", "kij", "kji")
_OPERATORS = ("copy", "mul", "add")  # in the order of COPY, MUL and ADD of the schedule


# Metadata that several fields share: what a search may set, and how far a model may go.
_SIZE = {"unit": "elements, 0 for n", "low": 0, "high": 64, "search": (0, 16)}
_WINDOW = {"unit": "doublings of 1/2 multiply-add, 0 for no copies", "low": 0, "high": 20, "search": (0, 13)}
_READS = {"unit": "reads", "low": 2, "high": 64, "log": True, "search": (2, 16)}


@dataclass(frozen=True)
class FittedProgram(FittedModel):
    """A program and its runner. ``predict`` runs it once per row."""

    program: str
    run: _Run

    @property
    def nbytes(self) -> int:
        """The bytes of the program's text."""
        return len(self.program)

    def predict(self, x: Tensor) -> Tensor:
        """Products of shape (samples, n^2), of the type of x, for x of shape (samples, 2 n^2)."""
        return torch.tensor([list(self.run(self.program, row)) for row in x.tolist()], dtype=x.dtype)


@dataclass(frozen=True)
class GridMatmul(CheckedModel):
    """C = A B by the program of a plan; the defaults are the naive plan.

    C[i, j] is the sum over k of A[i, k] B[k, j]. ``outer_loops`` go over tiles of ``tile_i`` by ``tile_j`` by
    ``tile_k`` multiply-adds, ``middle_loops`` over the blocks of a tile, ``inner_loops`` over the elements of a block.
    Sizes above n mean n, and the rest at an edge is a smaller tile. With ``snake_*`` these loops run back and forth
    instead of starting again.

    An element of A is copied if it will be read ``far_min_reads_a`` times or more, each time within
    2^(far_window_a - 1) multiply-adds of the last, and is then read from the copy. ``near_*`` makes copies of these
    copies in the same way; ``*_b`` does this for B. ``allocation`` assigns cells to values, see
    :mod:`sutrolib.models.kernels.grid_schedule`.
    """

    outer_loops: str = choice(*_LOOPS)
    middle_loops: str = choice(*_LOOPS)
    inner_loops: str = choice(*_LOOPS)
    snake_outer: bool = choice(False, True)
    snake_middle: bool = choice(False, True)
    snake_inner: bool = choice(False, True)
    tile_i: int = field(default=0, metadata=_SIZE)
    tile_j: int = field(default=0, metadata=_SIZE)
    tile_k: int = field(default=0, metadata=_SIZE)
    block_i: int = field(default=0, metadata=_SIZE)
    block_j: int = field(default=0, metadata=_SIZE)
    block_k: int = field(default=0, metadata=_SIZE)
    far_window_a: int = field(default=0, metadata=_WINDOW)
    far_min_reads_a: int = field(default=2, metadata=_READS)
    near_window_a: int = field(default=0, metadata=_WINDOW)
    near_min_reads_a: int = field(default=2, metadata=_READS)
    far_window_b: int = field(default=0, metadata=_WINDOW)
    far_min_reads_b: int = field(default=2, metadata=_READS)
    near_window_b: int = field(default=0, metadata=_WINDOW)
    near_min_reads_b: int = field(default=2, metadata=_READS)
    allocation: str = choice(*grid_schedule.ALLOCATIONS)

    name: ClassVar[str] = "grid matmul"
    prior_knowledge: ClassVar[str] = "the definition of the product; nothing of the records"

    def fit_by(self, run: _Run, task: Task, seed: int) -> FittedProgram:
        """Have ``run`` run the program on the first row of ``task.train``. Deterministic: ``seed`` changes nothing.

        Raises ValueError for rows that do not hold two square matrices.
        """
        row = task.train.x[0].tolist()
        n = math.isqrt(len(row) // 2)
        if n < 1 or 2 * n * n != len(row):
            raise ValueError(f"a row must hold two square matrices, 2 n^2 numbers (got {len(row)})")
        program = self.text(n)
        run(program, row)
        return FittedProgram(program, run)

    def text(self, n: int) -> str:
        """The program for n-by-n matrices, such as ``"1,2;mul 3,1,2;3"``: input cells, instructions, output cells."""
        plan, cells = self._plan(n)
        given = cells.tolist()
        parts = [",".join(map(str, given[: 2 * n * n]))]
        for code, made, left, right in plan.instructions[plan.is_needed(cells)].tolist():
            second = "" if code == grid_schedule.COPY else f",{given[right]}"
            parts.append(f"{_OPERATORS[code]} {given[made]},{given[left]}{second}")
        parts.append(",".join(map(str, cells[plan.outputs].tolist())))
        return ";".join(parts)

    def program_text(self, problem: Mapping[str, Any]) -> str:
        """:meth:`text` for a described problem."""
        return self.text(problem["n"])

    def _plan(self, n: int) -> tuple[grid_schedule.Schedule, np.ndarray]:
        if n < 1:
            raise ValueError(f"n must be at least 1 (got {n!r})")
        tiles, blocks = (self.tile_i, self.tile_j, self.tile_k), (self.block_i, self.block_j, self.block_k)
        sizes = np.array([[size or n for size in tiles], [size or n for size in blocks], [1, 1, 1]])
        loops = self.outer_loops, self.middle_loops, self.inner_loops
        orders = np.array([["ijk".index(dimension) for dimension in order] for order in loops])
        snakes = np.array([self.snake_outer, self.snake_middle, self.snake_inner])
        windows = np.array([self.far_window_a, self.near_window_a, self.far_window_b, self.near_window_b])
        min_reads = np.array([self.far_min_reads_a, self.near_min_reads_a, self.far_min_reads_b, self.near_min_reads_b])
        order = grid_schedule.loop_order(n, sizes, orders, snakes)
        plan = grid_schedule.schedule(n, order, 2 ** windows.reshape(2, 2) // 2, min_reads.reshape(2, 2))
        return plan, grid_schedule.ALLOCATIONS[self.allocation](plan)
