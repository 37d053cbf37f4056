"""Small changes of a finished grid program, kept where they cost no more: the last step of a search.

An operation goes to another place in the order, or a copy is left out and those who read it read what it was made of.
Copies are operations here, and stay where they are otherwise; cells follow from the order
(:mod:`sutrolib.boards.placement`). Hill climbing with moves to equal cost (Russell and Norvig, Artificial Intelligence,
section 4.1).
"""

from __future__ import annotations

import math

import numpy as np

from sutrolib.boards.grid_program import COPY
from sutrolib.boards.placement import Operations, lives, place
from sutrolib.core.compiled import compiled

_FURTHEST = 6  # an operation moves by at most 2 to this power


def descend(operations: Operations, moves: int, seed: int = 0) -> Operations:
    """The program after so many random changes were tried. Raises ValueError for a negative number of them."""
    if moves < 0:
        raise ValueError(f"moves must be at least 0 (got {moves})")
    made = operations.without_unused()
    what = made.inputs, made.operands, made.operators == COPY, made.outputs
    kept, operands, outputs = _descend(*what, moves, seed)
    return Operations(made.inputs, made.operators[kept], operands, made.constants[kept], outputs)


@compiled
def _descend(
    inputs: int, operands: np.ndarray, is_copy: np.ndarray, outputs: np.ndarray, moves: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which operations are left, in their new order, what they read, and the outputs."""
    np.random.seed(seed)
    order, now, out = np.arange(len(operands)), operands.copy(), outputs.copy()
    cost = _cost(inputs, now, out)
    for _ in range(moves):
        n = len(order)
        if n == 0:
            break
        here = np.random.randint(0, n)
        away = np.random.randint(1, 1 + (1 << np.random.randint(0, _FURTHEST + 1)))
        there = here + away if np.random.random() < 0.5 else here - away
        value, becomes = inputs + here, -1
        new_place = np.arange(-1, n)  # of operation i at i + 1
        left_out = is_copy[order[here]] and np.random.random() < 0.3
        if left_out:
            becomes = now[here, 0]  # made before, so its own place stays
            new_place[here + 2 :] -= 1
        elif not 0 <= there < n or not _may_move(inputs, now, here, there):
            continue
        elif there > here:
            new_place[here + 2 : there + 2] -= 1
            new_place[here + 1] = there
        else:
            new_place[there + 1 : here + 1] += 1
            new_place[here + 1] = there
        size = n - 1 if left_out else n
        next_order, tried, tried_out = np.zeros(size, np.int64), np.zeros((size, 3), np.int64), out.copy()
        for i in range(n):
            if left_out and i == here:
                continue
            place_of = new_place[i + 1]
            next_order[place_of] = order[i]
            for slot in range(3):
                read = becomes if left_out and now[i, slot] == value else now[i, slot]
                tried[place_of, slot] = read if read < inputs else inputs + new_place[read - inputs + 1]
        for i in range(len(out)):
            read = becomes if left_out and out[i] == value else out[i]
            tried_out[i] = read if read < inputs else inputs + new_place[read - inputs + 1]
        found = _cost(inputs, tried, tried_out)
        if found <= cost:
            order, now, out, cost = next_order, tried, tried_out, found
    return order, now, out


@compiled
def _may_move(inputs: int, operands: np.ndarray, here: int, there: int) -> bool:
    """Whether an operation comes after those that it reads, and before those that read it, at another place, too."""
    for slot in range(3):
        if operands[here, slot] - inputs >= there:
            return False
    for i in range(here + 1, there + 1):
        for slot in range(3):
            if operands[i, slot] == inputs + here:
                return False
    return True


@compiled
def _cost(inputs: int, operands: np.ndarray, outputs: np.ndarray) -> int:
    made, last, reads = lives(inputs, operands, outputs)
    cells = place(made, last, reads)
    cost = 0
    for value in range(len(cells)):
        cost += reads[value] * math.ceil(math.sqrt(cells[value]))
    return cost
