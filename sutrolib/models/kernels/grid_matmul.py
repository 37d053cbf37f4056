"""The matrix product on a grid of memory cells: a plan is the order of the work, what is copied near, and the cells.

On the grid (the simplified form of W. Dally's model, as the Sutro group uses it) a read of cell i costs ceil(sqrt(i))
and a write nothing, so a program is cheap where what is often read lies in the first few cells. All that a plan can
choose are the classical ways to that: loops in another order and over tiles (Lam, Rothberg and Wolf, The cache
performance and optimizations of blocked algorithms, ASPLOS 1991), turning around at the end of a loop, copies of what
is soon read again, and cells that are used again once their value is dead. It is always the n^3 products of the
definition: no plan saves one, as Strassen's algorithm would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import Task
from sutrolib.models.fields import check_model
from sutrolib.models.kernels import grid_schedule

Run = Callable[[str, Sequence[Any]], Sequence[Any]]
Loops = Literal["ijk", "ikj", "jik", "jki", "kij", "kji"]
Cells = Literal["as written", "first free", "densest first", "most read"]

GIVE: Mapping[Cells, Callable[[grid_schedule.Schedule], np.ndarray]] = {
    "as written": grid_schedule.cells_as_written,
    "first free": grid_schedule.cells_first_free,
    "densest first": grid_schedule.cells_densest_first,
    "most read": grid_schedule.cells_most_read,
}
CODES = ("copy", "mul", "add")  # as COPY, MUL and ADD of the plans count them


# What a search may set, and how far a model may go: the metadata of the fields.
LOOPS = {"choices": ("ijk", "ikj", "jik", "jki", "kij", "kji"), "search": True}
SNAKE = {"choices": (False, True), "search": True}
SIZE = {"unit": "elements, 0 for all there are", "low": 0, "high": 64, "search": (0, 16)}
GAP = {"unit": "doublings of 1/2 multiply-add, 0 for no copies", "low": 0, "high": 20, "search": (0, 13)}
READS = {"unit": "reads", "low": 2, "high": 64, "log": True, "search": (2, 16)}
CELLS = {"choices": tuple(GIVE), "search": True}


@dataclass(frozen=True)
class FittedProgram:
    """A program, and who runs it. ``predict`` runs it once for each row."""

    program: str
    run: Run
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of the program's text."""
        return len(self.program)

    def predict(self, x: Tensor) -> Tensor:
        """Products of shape (samples, n^2), of the type of x, for x of shape (samples, 2 n^2)."""
        return torch.tensor([list(self.run(self.program, row)) for row in x.tolist()], dtype=x.dtype)


@dataclass(frozen=True)
class GridProduct:
    """C = A B by the program of a plan; the defaults are the naive plan. Fields out of range raise ValueError.

    C[i, j] is the sum over k of A[i, k] B[k, j]. The loops ``outer`` go over tiles of ``tile_i`` by ``tile_j`` by
    ``tile_k`` multiply-adds, ``middle`` over the blocks of a tile, ``inner`` over the elements of a block; sizes above
    what there is are cut to it, and what is left over at an edge is a smaller tile. ``snake_*`` says that these loops
    turn around at their end instead of starting again.

    An element of A is copied where it will be read ``far_a_reads`` times or more, each time within 2^(far_a - 1)
    multiply-adds of the last, and then read from the copy; ``near_a`` makes copies of copies likewise, and ``*_b`` are
    those of B. ``cells`` is how cells are given to values, see :mod:`sutrolib.models.kernels.grid_schedule`.
    """

    outer: Loops = field(default="ijk", metadata=LOOPS)
    middle: Loops = field(default="ijk", metadata=LOOPS)
    inner: Loops = field(default="ijk", metadata=LOOPS)
    snake_outer: bool = field(default=False, metadata=SNAKE)
    snake_middle: bool = field(default=False, metadata=SNAKE)
    snake_inner: bool = field(default=False, metadata=SNAKE)
    tile_i: int = field(default=0, metadata=SIZE)
    tile_j: int = field(default=0, metadata=SIZE)
    tile_k: int = field(default=0, metadata=SIZE)
    block_i: int = field(default=0, metadata=SIZE)
    block_j: int = field(default=0, metadata=SIZE)
    block_k: int = field(default=0, metadata=SIZE)
    far_a: int = field(default=0, metadata=GAP)
    far_a_reads: int = field(default=2, metadata=READS)
    near_a: int = field(default=0, metadata=GAP)
    near_a_reads: int = field(default=2, metadata=READS)
    far_b: int = field(default=0, metadata=GAP)
    far_b_reads: int = field(default=2, metadata=READS)
    near_b: int = field(default=0, metadata=GAP)
    near_b_reads: int = field(default=2, metadata=READS)
    cells: Cells = field(default="as written", metadata=CELLS)

    name: ClassVar[str] = "grid product"
    prior_knowledge: ClassVar[str] = "the definition of the product; nothing of the records"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit_by(self, run: Run, task: Task, seed: int) -> FittedProgram:
        """Have ``run`` run the program on the first row of ``task.train``. Nothing is random: ``seed`` changes nothing.

        Raises ValueError for rows that do not hold two square matrices.
        """
        row = task.train.x[0].tolist()
        n = math.isqrt(len(row) // 2)
        if n < 1 or 2 * n * n != len(row):
            raise ValueError(f"rows of {len(row)} numbers, accepted are those of two square matrices, 2 n^2")
        program = self.text(n)
        run(program, row)
        return FittedProgram(program, run)

    def text(self, n: int) -> str:
        """The program for n-by-n matrices: ``"1,2;mul 3,1,2;3"``, the cells of A and B, what to do, the cells of C."""
        plan, cells = self._plan(n)
        given = cells.tolist()
        parts = [",".join(map(str, given[: 2 * n * n]))]
        for code, made, left, right in plan.instructions[plan.kept(cells)].tolist():
            second = "" if code == grid_schedule.COPY else f",{given[right]}"
            parts.append(f"{CODES[code]} {given[made]},{given[left]}{second}")
        parts.append(",".join(map(str, cells[plan.outputs].tolist())))
        return ";".join(parts)

    def cost(self, n: int) -> int:
        """What the program for n-by-n matrices costs by its own count; it is for the meter to say what it does cost."""
        plan, cells = self._plan(n)
        return plan.cost(cells)

    def _plan(self, n: int) -> tuple[grid_schedule.Schedule, np.ndarray]:
        if n < 1:
            raise ValueError(f"n={n!r}, accepted are whole numbers from 1")
        tiles, blocks = (self.tile_i, self.tile_j, self.tile_k), (self.block_i, self.block_j, self.block_k)
        sizes = np.array([[size or n for size in tiles], [size or n for size in blocks], [1, 1, 1]])
        orders = np.array([["ijk".index(x) for x in loops] for loops in (self.outer, self.middle, self.inner)])
        snakes = np.array([self.snake_outer, self.snake_middle, self.snake_inner])
        gaps = np.array([[self.far_a, self.near_a], [self.far_b, self.near_b]])
        fewest = np.array([[self.far_a_reads, self.near_a_reads], [self.far_b_reads, self.near_b_reads]])
        order = grid_schedule.traverse(n, sizes, orders, snakes)
        plan = grid_schedule.schedule(n, order, 2**gaps // 2, fewest)
        return plan, GIVE[self.cells](plan)
