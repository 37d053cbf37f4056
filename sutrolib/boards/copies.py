"""Which copies a grid program keeps at hand, for operations in a fixed order.

A value may be read where it was made, or be copied to a nearer cell for a burst of reads, and be left in a cell further
away after them. All of them compete for the near cells. Lagrangian relaxation (Fisher, The Lagrangian Relaxation Method
for Solving Integer Programming Problems, Management Science 27, 1981) gives each distance a price at every moment. At
fixed prices the best copies of a value are its own business: dynamic programming over its reads finds them. Prices then
rise where more cells are asked for than there are (subgradients with Polyak's steps). Copies that can be had follow
from :mod:`sutrolib.boards.placement`; the prices give a bound below which no copies of this kind can come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sutrolib.boards.grid_program import COPY
from sutrolib.boards.placement import Operations, lives
from sutrolib.core.compiled import compiled

_BURST = 32  # reads at most from one copy
_TRY_EVERY = 4  # rounds from which copies are made that can be had
_STRIDE, _NEW, _PATIENCE = 0.5, 0.3, 20  # of the prices: step, share of the new direction, rounds until it is halved
_STEADY_PATIENCE = 5
_INFINITE = 1e18
_REST, _STAY, _BURST_OF, _LEAVE_REST, _LEAVE_STAY = range(5)  # reads to the last, or so many; how they are served


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
    plain = operations.without_copies()
    reads = _Reads.of(plain)
    levels = math.isqrt(_most_at_once(plain)) + 2
    at = np.zeros((levels + 1, len(plain.operators) + 2)) if prices is None else prices
    capacity = 2 * np.arange(levels + 1)[:, None] - 1
    best, least, bound, best_at = plain, plain.cost, -math.inf, at
    direction, stride, waiting = np.zeros_like(at), _STRIDE, 0
    for number in range(-steady, rounds):
        if number == 0:
            at, direction, stride, waiting = best_at, np.zeros_like(at), _STRIDE, 0
        total, used, copies, servers = _choose(reads.first, reads.times, reads.made, at)
        now = total - float((at[1:] * capacity[1:]).sum())
        if number % _TRY_EVERY == 0 or number == rounds - 1:
            tried = _inserted(plain, reads, copies, servers)
            if (cost := tried.cost) < least:
                best, least = tried, cost
        waiting += 1
        if now > bound:
            bound, best_at, waiting = now, at, 0
        elif waiting == (_PATIENCE if number >= 0 else _STEADY_PATIENCE):
            at, direction, stride, waiting = best_at, np.zeros_like(at), stride / 2, 0
            continue
        excess = (used - capacity).astype(float)
        excess[0] = 0.0
        if number < 0:
            excess[:] = excess.mean(1, keepdims=True)
        excess[(at == 0) & (excess < 0)] = 0.0
        direction = (1 - _NEW) * direction + _NEW * excess if direction.any() else excess
        norm = float((direction**2).sum())
        if norm == 0:
            break
        at = np.maximum(0.0, at + stride * (least - now) / norm * direction)
    return Copied(best, least, bound, best_at)


def _most_at_once(operations: Operations) -> int:
    """How many values are alive at the same time, at most."""
    made, last, _ = lives(operations.inputs, operations.operands, operations.outputs)
    change = np.bincount(made + 1, minlength=len(made) + 2)
    change -= np.bincount(last + 1, minlength=len(change))[: len(change)]
    return int(np.cumsum(change).max())


@dataclass(frozen=True)
class _Reads:
    """The reads of all values: those of value v are ``first[v]`` to ``first[v + 1]``, in order of ``times``.

    A time is the number of the operation, that of the outputs comes after all of them. ``places`` says which operand,
    as 3 times the operation and the slot, or which output.
    """

    first: np.ndarray
    times: np.ndarray
    places: np.ndarray
    made: np.ndarray

    @classmethod
    def of(cls, operations: Operations) -> _Reads:
        n, values = len(operations.operators), operations.inputs + len(operations.operators)
        every = np.concatenate([operations.operands.ravel(), operations.outputs])
        places = np.flatnonzero(every >= 0)
        order = places[np.argsort(every[places], kind="stable")]
        first = np.concatenate([[0], np.cumsum(np.bincount(every[places], minlength=values))])
        made = np.concatenate([np.full(operations.inputs, -1), np.arange(n)])
        return cls(first, np.minimum(order // 3, n), order, made)


def _inserted(plain: Operations, reads: _Reads, copies: np.ndarray, servers: np.ndarray) -> Operations:
    """The operations with these copies; a row of ``copies`` is its time, its value, and what it copies."""
    n, inputs = len(plain.operators), plain.inputs
    order = np.argsort(copies[:, 0], kind="stable")  # copies at the same time stand in the order they need
    before = np.searchsorted(copies[order, 0], np.arange(n), side="right")  # copies up to and with operation i
    names = np.empty(inputs + n + len(copies), np.int64)
    names[:inputs] = np.arange(inputs)
    names[inputs : inputs + n] = inputs + np.arange(n) + before
    names[inputs + n + order] = inputs + np.arange(len(copies)) + copies[order, 0]
    total = n + len(copies)
    operators, operands = np.full(total, COPY, np.uint8), np.full((total, 3), -1)
    constants = np.zeros(total, np.int16)
    sources = np.full(3 * n + len(plain.outputs), -1)
    sources[reads.places] = names[servers]
    where = names[inputs : inputs + n] - inputs
    operators[where], constants[where] = plain.operators, plain.constants
    operands[where] = sources[: 3 * n].reshape(n, 3)
    operands[names[inputs + n :] - inputs, 0] = names[copies[:, 2]]
    made = Operations(inputs, operators, operands, constants, sources[3 * n :])
    return made.without_unused()


class _Tables(NamedTuple):
    """Least costs at given prices, by distance, the first of some reads, and how many they are.

    ``stay`` has the reads from a cell that is there already and ``rest`` those to the last; ``burst`` has them from a
    copy that is made before the first. ``inner`` is the least burst at a nearer cell, and ``left`` one that leaves a
    copy here at its end; ``*_at`` say at which distance these are.
    """

    stay: np.ndarray
    rest: np.ndarray
    burst: np.ndarray
    inner: np.ndarray
    inner_at: np.ndarray
    left: np.ndarray
    left_at: np.ndarray


@compiled
def _choose(
    first: np.ndarray, times: np.ndarray, made: np.ndarray, prices: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """What the best copies cost, how many cells of each distance they use when, the copies, and who serves each read.

    Values are numbered as in the operations, and copies after them.
    """
    levels, moments = prices.shape
    paid = np.zeros((levels, moments + 1))  # paid[d, t + 1]: for a cell at distance d up to moment t
    for d in range(1, levels):
        for moment in range(moments):
            paid[d, moment + 1] = paid[d, moment] + prices[d, moment]
    change = np.zeros((levels, moments + 2), np.int64)
    copies = np.zeros((len(times) + 1, 3), np.int64)
    servers = np.full(len(times), -1)
    size = 1
    for value in range(len(made)):
        size = max(size, first[value + 1] - first[value])
    shape = (levels, size + 2, _BURST + 1)
    costs = np.zeros(shape), np.zeros((levels, size + 2)), np.zeros(shape), np.zeros(shape)
    nearer = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64)
    tables = _Tables(costs[0], costs[1], costs[2], costs[3], nearer[0], nearer[1], nearer[2])
    stack = np.zeros((4 * size + 16, 5), np.int64)
    count, total = 0, 0.0
    for value in range(len(made)):
        start, stop = first[value], first[value + 1]
        if start < stop:
            t = times[start:stop]
            _fill(t, made[value], paid, tables)
            least, at, beyond, cut = _start(t, paid, tables)
            total += least
            top = 1
            if beyond:
                _put(stack, 0, _LEAVE_REST, beyond, cut, 0, 0)
                _put(stack, 1, _STAY, at, 0, cut, value)
                top = 2
            else:
                _put(stack, 0, _REST, at, 0, 0, value)
            made_here = made[value]
            count = _follow(
                value, t, made_here, len(made), paid, tables, stack, top, copies, count, servers[start:stop], change
            )
    used = np.zeros((levels, moments), np.int64)
    for d in range(1, levels):
        running = 0
        for moment in range(moments):
            running += change[d, moment]
            used[d, moment] = running
    return total, used, copies[:count], servers


@compiled
def _fill(t: np.ndarray, made: int, paid: np.ndarray, tables: _Tables) -> None:
    """The tables of a value that is made at ``made`` and read at times ``t``."""
    levels, m = len(paid), len(t)
    stay, rest, burst = tables.stay, tables.rest, tables.burst
    inner, inner_at, left, left_at = tables.inner, tables.inner_at, tables.left, tables.left_at
    for length in range(1, min(_BURST, m) + 1):
        for a in range(m - length + 1):
            before = t[a - 1] if a > 0 else made
            end = t[a + length - 1]
            nearest, nearest_at, leaving, leaving_at = _INFINITE, 0, _INFINITE, 0
            for d in range(1, levels):
                least = paid[d, t[a] + 1] - paid[d, t[a]] + d + stay[d, a + 1, length - 1]
                for j in range(1, length):
                    least = min(least, left[d, a, j] + stay[d, a + j, length - j])
                burst[d, a, length] = least
                inner[d, a, length], inner_at[d, a, length] = nearest, nearest_at
                left[d, a, length] = leaving + paid[d, end + 1] - paid[d, end]
                left_at[d, a, length] = leaving_at
                if least < nearest:
                    nearest, nearest_at = least, d
                if least + d < leaving:
                    leaving, leaving_at = least + d, d
                least = stay[d, a + 1, length - 1]
                for j in range(1, length + 1):
                    after = stay[d, a + j, length - j] if j < length else 0.0
                    least = min(least, inner[d, a, j] + after)
                stay[d, a, length] = paid[d, t[a] + 1] - paid[d, before + 1] + d + least
    for d in range(1, levels):
        rest[d, m] = 0.0
        for a in range(m - 1, -1, -1):
            before = t[a - 1] if a > 0 else made
            least = rest[d, a + 1]
            for j in range(1, min(_BURST, m - a) + 1):
                least = min(least, inner[d, a, j] + rest[d, a + j])
            rest[d, a] = paid[d, t[a] + 1] - paid[d, before + 1] + d + least


@compiled
def _start(t: np.ndarray, paid: np.ndarray, tables: _Tables) -> tuple[float, int, int, int]:
    """The least cost of a value, the distance where it is made, and where and after how many reads a copy is left."""
    least, at, beyond, cut = _INFINITE, 0, 0, 0
    for d in range(1, len(paid)):
        if tables.rest[d, 0] < least:
            least, at = tables.rest[d, 0], d
    for j in range(1, min(_BURST, len(t) - 1) + 1):
        end = t[j - 1]
        for d in range(1, len(paid)):
            for far in range(d + 1, len(paid)):
                other = tables.stay[d, 0, j] + d + paid[far, end + 1] - paid[far, end] + tables.rest[far, j]
                if other < least:
                    least, at, beyond, cut = other, d, far, j
    return least, at, beyond, cut


@compiled
def _follow(
    value: int,
    t: np.ndarray,
    made: int,
    values: int,
    paid: np.ndarray,
    tables: _Tables,
    stack: np.ndarray,
    top: int,
    copies: np.ndarray,
    count: int,
    servers: np.ndarray,
    change: np.ndarray,
) -> int:
    """Write down the choices of a value that the tables tell; returns how many copies there are by now.

    A row of the stack is what kind of reads, the distance, the first of them, how many, and from which value.
    """
    stay, rest, inner, left = tables.stay, tables.rest, tables.inner, tables.left
    m = len(t)
    while top > 0:
        top -= 1
        kind, d, a, length, source = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3], stack[top, 4]
        if kind == _BURST_OF:
            least, choice = paid[d, t[a] + 1] - paid[d, t[a]] + d + stay[d, a + 1, length - 1], 0
            for j in range(1, length):
                other = left[d, a, j] + stay[d, a + j, length - j]
                if other < least:
                    least, choice = other, j
            if choice:
                _put(stack, top, _LEAVE_STAY, d, a + choice, length - choice, 0)
                _put(stack, top + 1, _BURST_OF, tables.left_at[d, a, choice], a, choice, source)
                top += 2
                continue
        if kind in (_LEAVE_REST, _LEAVE_STAY, _BURST_OF):
            # What is left behind is copied from whoever served the last read.
            moment = t[a] if kind == _BURST_OF else t[a - 1]
            copies[count, 0], copies[count, 1] = moment, value
            copies[count, 2] = source if kind == _BURST_OF else servers[a - 1]
            source = values + count
            count += 1
            change[d, moment] += 1
            change[d, moment + 1] -= 1
            if kind == _BURST_OF:
                servers[a] = source
                a += 1
                length -= 1
            kind = _REST if kind == _LEAVE_REST else _STAY
        whole = m - a if kind == _REST else length
        if whole == 0:
            continue
        before = t[a - 1] if a > 0 else made
        change[d, before + 1] += 1
        change[d, t[a] + 1] -= 1
        least, choice = rest[d, a + 1] if kind == _REST else stay[d, a + 1, length - 1], 0
        for j in range(1, min(_BURST, whole) + 1):
            other = inner[d, a, j]
            if kind == _REST:
                other += rest[d, a + j]
            elif j < whole:
                other += stay[d, a + j, length - j]
            if other < least:
                least, choice = other, j
        if choice == 0:
            servers[a] = source
            _put(stack, top, kind, d, a + 1, length - 1, source)
            top += 1
            continue
        if choice < whole:
            _put(stack, top, kind, d, a + choice, length - choice, source)
            top += 1
        _put(stack, top, _BURST_OF, tables.inner_at[d, a, choice], a, choice, source)
        top += 1
    return count


@compiled
def _put(stack: np.ndarray, row: int, kind: int, distance: int, read: int, length: int, source: int) -> None:
    stack[row, 0], stack[row, 1], stack[row, 2], stack[row, 3], stack[row, 4] = kind, distance, read, length, source
