"""From a plan of a matrix product to a program: order of the multiply-adds, copies, and a memory cell for each value.

A program is in static single assignment form (Cytron et al., ACM TOPLAS 13(4), 1991): each instruction makes a new
value, which lives until the last instruction that reads it. Writes are free on the grid. Two values may share a cell
unless their lifetimes overlap, so allocating cells is interval colouring (register allocation by linear scan, Poletto
and Sarkar, ACM TOPLAS 21(5), 1999; the best set of intervals for one cell is weighted interval scheduling, Kleinberg
and Tardos, Algorithm Design, 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sutrolib.core.compiled import compiled

COPY, MUL, ADD = range(3)
_NONE = -1
_LEVELS = 3  # loops over tiles, over the blocks of a tile, over the elements of a block
_FAR, _NEAR = range(2)  # stages of copies: a near copy is made of the far copy if there is one


@dataclass(frozen=True)
class Schedule:
    """A program without cells. Values 0 to 2 n^2 - 1 are the inputs; every instruction makes the next one.

    Attributes:
        instructions: Rows (operation, value made, value read, value read); a copy reads only the first.
        birth: The instruction that makes a value, -1 for inputs.
        death: The last instruction that reads it; the number of instructions for outputs.
        reads: How often a value is read.
        naive_cells: The cell of a value if each element of A, B and C and the latest product have a cell; 0 for copies.
        outputs: The values of C, row-major.
    """

    instructions: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    reads: np.ndarray
    naive_cells: np.ndarray
    outputs: np.ndarray

    def is_needed(self, cells: np.ndarray) -> np.ndarray:
        """A mask of the instructions needed with these cells: all but copies of a cell to itself."""
        code, made, read = self.instructions[:, 0], self.instructions[:, 1], self.instructions[:, 2]
        needed: np.ndarray = (code != COPY) | (cells[made] != cells[read])
        return needed


def schedule(n: int, order: np.ndarray, windows: np.ndarray, min_reads: np.ndarray) -> Schedule:
    """The program of the multiply-adds (i, j, k), rows of ``order``, one after the other.

    An element with at least ``min_reads[operand, stage]`` reads in a row, each within ``windows[operand, stage]``
    multiply-adds of the last, is copied before the first of these, and the copy is read. Operands are A and B.
    """
    return Schedule(*_emit(n, order, windows, min_reads))


def loop_order(n: int, sizes: np.ndarray, orders: np.ndarray, snakes: np.ndarray) -> np.ndarray:
    """The (i, j, k) of a nest of nine loops, shape (n^3, 3).

    ``sizes[level, x]`` is the step of the loop over dimension x at levels 0 and 1, and 1 at level 2. ``orders[level]``
    lists the dimensions from the outermost loop to the innermost. If ``snakes[level]``, loops run back and forth.
    """
    low = np.zeros((1, 3), np.int64)  # where the tiles, then blocks, then elements begin, in the order of the loops
    extent = np.full((1, 3), n, np.int64)
    for level, x in [(outer, x) for outer in range(_LEVELS) for x in orders[outer]]:
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


@compiled
def _copied_at(elements: np.ndarray, size: int, window: int, min_reads: int, counts: np.ndarray) -> np.ndarray:
    """For each read, the read before which its copy is made, or _NONE. ``counts`` marks the reads that count."""
    start = np.empty(len(elements), np.int64)
    number = np.zeros(len(elements), np.int64)
    first, last = np.zeros(size, np.int64), np.full(size, _NONE, np.int64)
    for m in range(len(elements)):
        e = elements[m]
        if last[e] == _NONE or m - last[e] > window:
            first[e] = m
        last[e] = m
        start[m] = first[e]
        number[start[m]] += counts[m]
    for m in range(len(elements)):
        if window == 0 or number[start[m]] < min_reads:
            start[m] = _NONE
    return start


@compiled
def _emit(
    n: int, order: np.ndarray, windows: np.ndarray, min_reads: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    steps, square = len(order), n * n
    elements = np.empty((2, steps), np.int64)
    copied = np.empty((2, 2, steps), np.int64)
    for m in range(steps):
        elements[0, m] = order[m, 0] * n + order[m, 2]
        elements[1, m] = square + order[m, 2] * n + order[m, 1]
    for o in range(2):
        counts = np.ones(steps, np.int64)
        copied[o, _NEAR] = _copied_at(elements[o], 2 * square, windows[o, _NEAR], min_reads[o, _NEAR], counts)
        for m in range(steps):
            counts[m] = copied[o, _NEAR, m] == _NONE or copied[o, _NEAR, m] == m
        copied[o, _FAR] = _copied_at(elements[o], 2 * square, windows[o, _FAR], min_reads[o, _FAR], counts)

    most = 2 * square + 6 * steps
    instructions = np.zeros((6 * steps, 4), np.int64)
    birth, death, reads = np.full(most, _NONE, np.int64), np.zeros(most, np.int64), np.zeros(most, np.int64)
    naive_cells = np.zeros(most, np.int64)
    naive_cells[: 2 * square] = np.arange(1, 2 * square + 1)
    copies = np.zeros((2, 2 * square), np.int64)  # the latest copy of each element at each stage
    sums = np.full(square, _NONE, np.int64)  # the value of each element of C so far
    time, made = 0, 2 * square
    for m in range(steps):
        factors = np.zeros(2, np.int64)
        for o in range(2):
            value = elements[o, m]
            for stage in range(2):
                if copied[o, stage, m] == m:
                    instructions[time] = (COPY, made, value, value)
                    birth[made], death[value], reads[value] = time, time, reads[value] + 1
                    copies[stage, elements[o, m]] = made
                    time, made = time + 1, made + 1
                if copied[o, stage, m] != _NONE:
                    value = copies[stage, elements[o, m]]
            factors[o] = value
        c = order[m, 0] * n + order[m, 1]
        first = sums[c] == _NONE  # the product is the sum: there is nothing to add it to
        for code in range(MUL, MUL + 1 if first else ADD + 1):
            left, right = (factors[0], factors[1]) if code == MUL else (sums[c], made - 1)
            instructions[time] = (code, made, left, right)
            for value in (left, right):
                death[value], reads[value] = time, reads[value] + 1
            birth[made] = time
            naive_cells[made] = 3 * square + 1 if code == MUL and not first else 2 * square + 1 + c
            time, made = time + 1, made + 1
        sums[c] = made - 1
    for value in sums:
        death[value], reads[value] = time, reads[value] + 1
    return instructions[:time].copy(), birth[:made], death[:made], reads[:made], naive_cells[:made], sums


@compiled
def _first_free(birth: np.ndarray, death: np.ndarray, given: np.ndarray, taken: int) -> np.ndarray:
    cells = given.copy()
    until = np.full(len(birth) + 1, -2, np.int64)  # the last read of what lies in each cell beyond ``taken``
    for value in range(len(birth)):
        if cells[value] == 0:
            free = 1
            while until[free] > birth[value]:
                free += 1
            until[free] = death[value]
            cells[value] = taken + free
    return cells


@compiled
def _first_fit(birth: np.ndarray, death: np.ndarray, order: np.ndarray) -> np.ndarray:
    cells = np.zeros(len(birth), np.int64)
    left, cell, end = order.copy(), 0, death.max() + 1
    while len(left):
        cell += 1
        busy = np.zeros(end + 1, np.bool_)
        for value in left:
            if not busy[birth[value] + 1 : death[value] + 1].any():
                busy[birth[value] + 1 : death[value] + 1] = True
                cells[value] = cell
        left = left[cells[left] == 0]
    return cells


@compiled
def _most_read(birth: np.ndarray, death: np.ndarray, reads: np.ndarray, by_death: np.ndarray) -> np.ndarray:
    cells = np.zeros(len(birth), np.int64)
    left, cell, end = by_death, 0, death.max() + 1
    best = np.zeros(end + 1, np.int64)  # the most reads of values that are dead by each time, counted from -1
    last = np.full(end + 1, _NONE, np.int64)  # and the last value of these, _NONE where it died earlier
    while len(left):
        cell += 1
        at = 0
        for time in range(1, end + 1):
            best[time], last[time] = best[time - 1], _NONE
            while at < len(left) and death[left[at]] == time - 1:
                value = left[at]
                sum_with = best[birth[value] + 1] + reads[value]
                if sum_with > best[time]:
                    best[time], last[time] = sum_with, value
                at += 1
        time = end
        while time > 0:
            value = last[time]
            if value == _NONE:
                time -= 1
            else:
                cells[value] = cell
                time = birth[value] + 1
        left = left[cells[left] == 0]
    return cells


ALLOCATIONS: Mapping[str, Callable[[Schedule], np.ndarray]] = {
    # One cell for each element of A, B and C and for the latest product; copies take free cells beyond these.
    "as written": lambda s: _first_free(s.birth, s.death, s.naive_cells, int(s.naive_cells.max())),
    # Linear scan: each value takes the nearest cell that is free when it is made, inputs in row-major order.
    "first free": lambda s: _first_free(s.birth, s.death, np.zeros_like(s.naive_cells), 0),
    # Values with the most reads per unit of lifetime choose first; each takes the nearest cell free all that time.
    "densest first": lambda s: _first_fit(s.birth, s.death, np.argsort(-s.reads / (s.death - s.birth), kind="stable")),
    # Cell by cell, from the nearest: each takes the set of non-overlapping values with the most reads.
    "most read": lambda s: _most_read(s.birth, s.death, s.reads, np.argsort(s.death, kind="stable")),
}
