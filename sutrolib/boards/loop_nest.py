"""Programs for products of matrices: a nest of nine loops, the best copies for its order, and cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from sutrolib.boards.copies import with_copies
from sutrolib.boards.grid_program import OPERATORS
from sutrolib.boards.placement import Operations
from sutrolib.boards.registry import find_board
from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import choice, int_field

_LOOPS = ("ijk", "ikj", "jik", "jki", "kij", "kji")
_SIZE = {"unit": "elements", "low": 1, "high": 16, "search": (1, 16)}
_MUL, _ADD = OPERATORS.index("mul"), OPERATORS.index("add")


@dataclass(frozen=True)
class LoopNest(BoardModel):
    """The product by tiles, blocks of a tile, and elements of a block; copies follow from prices.

    With ``snake_*`` loops run back and forth. The first ``steady`` rounds have prices that are the same all along.
    """

    board: str = "matmul-16"
    outer_loops: str = choice(*_LOOPS)
    middle_loops: str = choice(*_LOOPS)
    inner_loops: str = choice(*_LOOPS)
    snake_outer: bool = choice(False, True)
    snake_middle: bool = choice(False, True)
    snake_inner: bool = choice(False, True)
    tile_i: int = field(default=16, metadata=_SIZE)
    tile_j: int = field(default=16, metadata=_SIZE)
    tile_k: int = field(default=16, metadata=_SIZE)
    block_i: int = field(default=16, metadata=_SIZE)
    block_j: int = field(default=16, metadata=_SIZE)
    block_k: int = field(default=16, metadata=_SIZE)
    steady: int = int_field(20, "rounds", 0, 1000)
    price_rounds: int = int_field(20, "rounds", 1, 10_000)

    name: ClassVar[str] = "loop nest"
    prior_knowledge: ClassVar[str] = "the definition of the product; nothing of the records"

    def text(self) -> str:
        """The program as the board reads it."""
        return with_copies(self.operations(), self.price_rounds, steady=self.steady).operations.text()

    def operations(self) -> Operations:
        """The operations in the order of the loops, without copies. Raises ValueError for a board without a product."""
        n = find_board(self.board).matrix_size
        if not n:
            raise ValueError(f"a loop nest makes products of matrices, and {self.board} asks for none")
        tiles, blocks = (self.tile_i, self.tile_j, self.tile_k), (self.block_i, self.block_j, self.block_k)
        loops = self.outer_loops, self.middle_loops, self.inner_loops
        orders = np.array([["ijk".index(dimension) for dimension in order] for order in loops])
        snakes = np.array([self.snake_outer, self.snake_middle, self.snake_inner])
        return product_in_order(n, loop_order(n, np.array([tiles, blocks, [1, 1, 1]]), orders, snakes))


def loop_order(n: int, sizes: np.ndarray, orders: np.ndarray, snakes: np.ndarray) -> np.ndarray:
    """The (i, j, k) of a nest of nine loops, shape (n^3, 3).

    ``sizes[level, x]`` is the step of the loop over dimension x at levels 0 and 1, and 1 at level 2. ``orders[level]``
    lists the dimensions from the outermost loop to the innermost. If ``snakes[level]``, loops run back and forth.
    """
    low = np.zeros((1, 3), np.int64)  # where the tiles, then blocks, then elements begin, in the order of the loops
    extent = np.full((1, 3), n, np.int64)
    for level, x in [(outer, x) for outer in range(len(orders)) for x in orders[outer]]:
        size = sizes[level, x]
        lengths = -(-extent[:, x] // size)
        run = np.repeat(np.arange(len(low)), lengths)  # which run of this loop a step belongs to
        step = np.arange(len(run)) - (np.cumsum(lengths) - lengths)[run]
        if snakes[level]:
            step = np.where(run % 2, lengths[run] - 1 - step, step)
        low, extent = low[run], extent[run]
        low[:, x] += step * size
        extent[:, x] = np.minimum(size, extent[:, x] - step * size)
    return low


def product_in_order(n: int, order: np.ndarray) -> Operations:
    """The multiply-adds (i, j, k), rows of ``order``, one after the other."""
    operators, operands = list[int](), list[tuple[int, int, int]]()
    sums: dict[tuple[int, int], int] = {}
    for i, j, k in order.tolist():
        operators.append(_MUL)
        operands.append((i * n + k, n * n + k * n + j, -1))
        made = 2 * n * n + len(operators) - 1
        if (i, j) in sums:
            operators.append(_ADD)
            operands.append((sums[i, j], made, -1))
            made += 1
        sums[i, j] = made
    outputs = np.array([sums[i, j] for i in range(n) for j in range(n)])
    constants = np.zeros(len(operators), np.int16)
    return Operations(2 * n * n, np.array(operators, np.uint8), np.array(operands), constants, outputs)
