"""Which copies a grid program keeps at hand, for operations in a fixed order.

A value may be read where it was made, or be copied to a nearer cell for a burst of reads, and be left in a cell further
away after them. All of them compete for the near cells. Lagrangian relaxation (Fisher, The Lagrangian Relaxation Method
for Solving Integer Programming Problems, Management Science 27, 1981) gives each distance a price at every moment. At
fixed prices the best copies of a value are its own business (:mod:`sutrolib.boards.copy_tables`). Prices then rise
where more cells are asked for than there are (subgradients with Polyak's steps). Copies that can be had follow from
:mod:`sutrolib.boards.placement`; the prices give a bound for all programs in which no copy takes a cell that
becomes free between the same two operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sutrolib.boards.copy_tables import INFINITE, best_copies
from sutrolib.boards.grid_program import COPY
from sutrolib.boards.placement import Operations, lives, place
from sutrolib.core.compiled import compiled

_TRY_EVERY = 4  # rounds from which copies are made that can be had
_STRIDE, _NEW, _PATIENCE = 0.5, 0.3, 20  # of the prices: step, share of the new direction, rounds until it is halved
_STEADY_PATIENCE = 5


@dataclass(frozen=True)
class Copied:
    """Operations with their copies, what they cost, and the bound for this order; ``prices`` to go on from."""

    operations: Operations
    cost: int
    bound: float
    prices: np.ndarray


def with_copies(operations: Operations, rounds: int, prices: np.ndarray | None = None, *, steady: int = 0) -> Copied:
    """The best copies found in so many rounds of prices; copies in ``operations`` are dropped first.

    Before them, in ``steady`` rounds, a price is the same at all times, which is soon near the right one where a
    program does the same all along. Raises ValueError for less than one round.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1 (got {rounds})")
    plain = operations.without_copies().without_unused()
    first, times, places = reads_of(plain.inputs, plain.operands, plain.outputs)
    at = first_prices(plain.inputs, plain.operands, plain.outputs) if prices is None else prices
    found = search_prices(plain.inputs, len(plain.operators), first, times, at, rounds, steady)
    _, bound, best_prices, copies, servers = found
    made = _inserted(plain, places, copies, servers)
    return Copied(made, made.cost, float(bound), best_prices)


@compiled
def first_prices(inputs: int, operands: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """No prices yet, for as many distances as can be of use, and for all times."""
    made, last, _ = lives(inputs, operands, outputs)
    change = np.zeros(len(operands) + 3, np.int64)
    for value in range(len(made)):
        change[made[value] + 1] += 1
        change[last[value] + 1] -= 1
    return np.zeros((int(math.sqrt(np.cumsum(change).max())) + 3, len(operands) + 2))


@compiled
def reads_of(inputs: int, operands: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The reads of all values: those of value v are ``first[v]`` to ``first[v + 1]``, in order of ``times``.

    A time is the number of the operation, that of the outputs comes after all of them. ``places`` says which operand,
    as 3 times the operation and the slot, or which output.
    """
    n = len(operands)
    first = np.zeros(inputs + n + 1, np.int64)
    for row in operands:
        for value in row:
            if value >= 0:
                first[value + 1] += 1
    for value in outputs:
        first[value + 1] += 1
    first = np.cumsum(first)
    filled = first[:-1].copy()
    times, places = np.zeros(first[-1], np.int64), np.zeros(first[-1], np.int64)
    for i in range(n):
        for slot in range(3):
            value = operands[i, slot]
            if value >= 0:
                times[filled[value]], places[filled[value]] = i, 3 * i + slot
                filled[value] += 1
    for i in range(len(outputs)):
        value = outputs[i]
        times[filled[value]], places[filled[value]] = n, 3 * n + i
        filled[value] += 1
    return first, times, places


@compiled
def search_prices(
    inputs: int, n: int, first: np.ndarray, times: np.ndarray, prices: np.ndarray, rounds: int, steady: int
) -> tuple[int, float, np.ndarray, np.ndarray, np.ndarray]:
    """Least cost and bound, the prices of this bound, and the copies and servers of the least cost."""
    made = np.arange(-inputs, n)
    made[:inputs] = -1
    at = prices.copy()
    levels, moments = at.shape
    copies, servers = np.zeros((0, 3), np.int64), np.zeros(len(times), np.int64)
    for value in range(len(made)):
        servers[first[value] : first[value + 1]] = value
    least = cost_with(inputs, n, first, times, copies, servers)
    bound, best_at = -INFINITE, at.copy()
    direction, stride, waiting, begun = np.zeros_like(at), _STRIDE, 0, False
    for number in range(-steady, rounds):
        if number == 0 and steady:
            at, begun, stride, waiting = best_at.copy(), False, _STRIDE, 0
        total, used, tried, serving = best_copies(first, times, made, at)
        now = total
        for d in range(1, levels):
            now -= at[d].sum() * (2 * d - 1)
        if number % _TRY_EVERY == 0 or number == rounds - 1:
            cost = cost_with(inputs, n, first, times, tried, serving)
            if cost < least:
                least, copies, servers = cost, tried, serving
        waiting += 1
        if now > bound:
            bound, best_at, waiting = now, at.copy(), 0
        elif waiting == (_PATIENCE if number >= 0 else _STEADY_PATIENCE):
            at, begun, stride, waiting = best_at.copy(), False, stride / 2, 0
            continue
        norm = 0.0
        for d in range(1, levels):
            mean = used[d].mean() - (2 * d - 1)
            for t in range(moments):
                excess = mean if number < 0 else used[d, t] - (2.0 * d - 1)
                if at[d, t] == 0 and excess < 0:
                    excess = 0.0
                direction[d, t] = (1 - _NEW) * direction[d, t] + _NEW * excess if begun else excess
                norm += direction[d, t] ** 2
        begun = True
        if norm == 0:
            break
        step = stride * (least - now) / norm
        for d in range(1, levels):
            for t in range(moments):
                at[d, t] = max(0.0, at[d, t] + step * direction[d, t])
    return least, bound, best_at, copies, servers


@compiled
def cost_with(
    inputs: int, n: int, first: np.ndarray, times: np.ndarray, copies: np.ndarray, servers: np.ndarray
) -> int:
    """What the program with these copies costs in the cells of :func:`sutrolib.boards.placement.place`."""
    values, total = inputs + n, n + len(copies)
    made, last = np.full(values + len(copies), -1), np.zeros(values + len(copies), np.int64)
    often = np.zeros(values + len(copies), np.int64)
    order = np.argsort(copies[:, 0], kind="mergesort")  # copies at the same time stand in the order they need
    done = 0
    place_of = np.zeros(n + 1, np.int64)
    place_of[n] = total
    for i in range(n):
        while done < len(order) and copies[order[done], 0] == i:
            made[values + order[done]] = i + done
            done += 1
        place_of[i] = made[inputs + i] = i + done
    while done < len(order):  # for the outputs
        made[values + order[done]] = n + done
        done += 1
    last[:] = made + 1
    for c in range(len(copies)):
        source = copies[c, 2]
        often[source] += 1
        last[source] = max(last[source], made[values + c])
    for r in range(len(times)):
        source = servers[r]
        often[source] += 1
        last[source] = max(last[source], place_of[times[r]])
    cells = place(made, last, often)
    cost = 0
    for value in range(len(cells)):
        cost += often[value] * math.ceil(math.sqrt(cells[value]))
    return cost


def _inserted(plain: Operations, places: np.ndarray, copies: np.ndarray, servers: np.ndarray) -> Operations:
    """The operations with these copies; a row of ``copies`` is its time, its value, and what it copies."""
    n, inputs = len(plain.operators), plain.inputs
    order = np.argsort(copies[:, 0], kind="stable")
    before = np.searchsorted(copies[order, 0], np.arange(n), side="right")  # copies up to and with operation i
    names = np.empty(inputs + n + len(copies), np.int64)
    names[:inputs] = np.arange(inputs)
    names[inputs : inputs + n] = inputs + np.arange(n) + before
    names[inputs + n + order] = inputs + np.arange(len(copies)) + copies[order, 0]
    total = n + len(copies)
    operators, operands = np.full(total, COPY, np.uint8), np.full((total, 3), -1)
    constants = np.zeros(total, np.int16)
    sources = np.full(3 * n + len(plain.outputs), -1)
    sources[places] = names[servers]
    where = names[inputs : inputs + n] - inputs
    operators[where], constants[where] = plain.operators, plain.constants
    operands[where] = sources[: 3 * n].reshape(n, 3)
    operands[names[inputs + n :] - inputs, 0] = names[copies[:, 2]]
    return Operations(inputs, operators, operands, constants, sources[3 * n :])
