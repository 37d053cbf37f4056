"""The best copies of a value at given prices of the cells, by dynamic programming over its reads.

A value is read at known times. It stays in a cell that is paid for from its making to the last read there; a copy costs
a read as well, and is paid for in the same way. Bursts of reads lie within each other: in a burst from one copy, there
may be a shorter one from a nearer copy of it. At the end of a burst a copy may be left at a greater distance, for the
reads that follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sutrolib.core.compiled import compiled

_BURST = 32  # reads at most from one copy
INFINITE = 1e18
_REST, _STAY, _BURST_OF, _LEAVE_REST, _LEAVE_STAY = range(5)  # reads to the last, or so many; how they are served


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
def best_copies(
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
            nearest, nearest_at, leaving, leaving_at = INFINITE, 0, INFINITE, 0
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
    least, at, beyond, cut = INFINITE, 0, 0, 0
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
