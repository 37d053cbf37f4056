"""LRU stack distances in O(log n) an access, as numba kernels over numbered units (such as cache lines).

The stack distance of an access is the number of distinct units accessed since the last access of the same unit,
including that unit; so an immediate repeat has distance 1 (Mattson et al., Evaluation techniques for storage
hierarchies, IBM Systems Journal 9(2), 1970). It is counted over time, not over a stack: there is one bit for each
access, set while that access is the latest of its unit, and the distance is the number of bits set since then (Bennett
and Kruskal, LRU stack processing, IBM Journal of R&D 19(4), 1975). A Fenwick tree (Fenwick, A new data structure for
cumulative frequency tables, 1994) holds the counts of blocks of 512 bits, and fits in the first cache for millions of
units; within a block the bits of eight words are counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

NEVER = -1  # the distance of a first access, and the last access of a unit that had none
NO_RESULT = -(2**63)  # the event of a program that pushes nothing

_BLOCK_SHIFT = 9  # 512 accesses to a block: eight words of bits, one cache line


def _popcount_code(typing_context: Any, word: Any) -> Any:
    """The processor's own instruction; numba does not support NumPy's bitwise_count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


_popcount: Any = intrinsic(_popcount_code)


@njit(cache=True)
def _new_stack(accesses: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits and tree for up to this many accesses."""
    blocks = (accesses >> _BLOCK_SHIFT) + 1
    return np.zeros(blocks << (_BLOCK_SHIFT - 6), np.uint64), np.zeros(blocks + 1, np.int64)


@njit(cache=True)
def _add(tree: np.ndarray, block: int, amount: int) -> None:
    node = block + 1
    while node < len(tree):
        tree[node] += amount
        node += node & -node


@njit(cache=True)
def _sum_before(tree: np.ndarray, block: int) -> int:
    total = 0
    while block > 0:
        total += tree[block]
        block &= block - 1
    return total


@njit(cache=True)
def _latest_until(bits: np.ndarray, tree: np.ndarray, time: int) -> int:
    """How many units were last accessed at ``time`` or before it. ``time`` itself must be one of those."""
    word = time >> 6
    block = time >> _BLOCK_SHIFT
    count = _sum_before(tree, block)
    for before in range(block << (_BLOCK_SHIFT - 6), word):
        count += _popcount(bits[before])
    inside: int = _popcount(bits[word] & (~np.uint64(0) >> np.uint64(63 - (time & 63))))
    return count + inside


@njit(cache=True)
def _mark(bits: np.ndarray, tree: np.ndarray, time: int) -> None:
    bits[time >> 6] |= np.uint64(1) << np.uint64(time & 63)
    # A block enters the tree when it is full: until then the sum behind it is not needed.
    if time & ((1 << _BLOCK_SHIFT) - 1) == (1 << _BLOCK_SHIFT) - 1:
        full = 0
        block = time >> _BLOCK_SHIFT
        for word in range(block << (_BLOCK_SHIFT - 6), (block + 1) << (_BLOCK_SHIFT - 6)):
            full += _popcount(bits[word])
        _add(tree, block, full)


@njit(cache=True)
def _clear(bits: np.ndarray, tree: np.ndarray, time: int, now: int) -> None:
    bits[time >> 6] &= ~(np.uint64(1) << np.uint64(time & 63))
    if time >> _BLOCK_SHIFT != now >> _BLOCK_SHIFT:
        _add(tree, time >> _BLOCK_SHIFT, -1)


@njit(cache=True)
def _walk(
    units: np.ndarray, now: int, latest: int, last: np.ndarray, bits: np.ndarray, tree: np.ndarray, out: np.ndarray
) -> tuple[int, int]:
    for index in range(len(units)):
        unit = units[index]
        before = last[unit]
        if before == NEVER:
            latest += 1
            out[0, index] = NEVER
            out[1, index] = NEVER
        else:
            out[0, index] = latest - _latest_until(bits, tree, before) + 1
            out[1, index] = now - before
            _clear(bits, tree, before, now)
        last[unit] = now
        _mark(bits, tree, now)
        now += 1
    return now, latest


class LRUStack:
    """The LRU stack of a stream that comes in pieces. ``accesses`` is an upper bound on the length of the stream."""

    def __init__(self, accesses: int) -> None:
        self._bits, self._tree = _new_stack(accesses)
        self._last = np.empty(0, np.int64)
        self._now = self._latest = 0

    def access(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stack and time distance of each access, for int64 unit numbers from 0 up; NEVER for a first access.

        Stack distance counts distinct units, time distance counts accesses; both include the unit itself.
        """
        if (count := int(units.max(initial=-1)) + 1) > len(self._last):
            more = max(count, 2 * len(self._last)) - len(self._last)
            self._last = np.append(self._last, np.full(more, NEVER))
        out = np.empty((2, len(units)), np.int64)
        self._now, self._latest = _walk(units, self._now, self._latest, self._last, self._bits, self._tree, out)
        return out[0], out[1]

    def forget(self, first: int, count: int) -> None:
        """Units ``first`` and the ``count`` - 1 after it are dead: their numbers may be used for new units from now on.

        They keep their places on the stack, because a least-recently-used cache does not know that they are dead.
        """
        self._last[first : first + count] = NEVER


@njit(cache=True)
def instruction_depths(value: np.ndarray, last_use: np.ndarray, loaded: np.ndarray) -> np.ndarray:
    """Depth of each read of a program on a stack from which dead values are removed (see ``bytedmd``).

    Event e reads value ``value[e]``, or pushes value ``-1 - value[e]`` if that is negative; NO_RESULT pushes nothing.
    An instruction is some reads, and the pushes that follow. Reads are priced against the stack as it was before their
    instruction. ``last_use[v]`` is the last event that reads v, -1 if none does, or the number of events for a result,
    which stays. ``loaded`` are the values there at the start, bottom first. Pushes have depth 0.
    """
    events = len(value)
    bits, tree = _new_stack(2 * events + len(loaded) + 1)
    place = np.full(len(last_use), NEVER, np.int64)
    depths = np.zeros(events, np.int64)
    now = alive = 0
    for index in range(len(loaded)):
        if last_use[loaded[index]] >= 0:
            place[loaded[index]] = now
            _mark(bits, tree, now)
            now += 1
            alive += 1
    begin = 0
    while begin < events:
        end = begin
        while end < events and value[end] >= 0:
            end += 1
        while end < events and value[end] < 0:
            end += 1
        for event in range(begin, end):
            if value[event] >= 0:
                depths[event] = alive - _latest_until(bits, tree, place[value[event]]) + 1
        for event in range(begin, end):
            if value[event] == NO_RESULT:
                continue
            moved = value[event] if value[event] >= 0 else -1 - value[event]
            if value[event] >= 0:
                _clear(bits, tree, place[moved], now)
            elif last_use[moved] < 0:
                continue  # it is never read
            else:
                alive += 1
            place[moved] = now
            _mark(bits, tree, now)
            now += 1
        for event in range(begin, end):
            if value[event] >= 0 and last_use[value[event]] == event:
                _clear(bits, tree, place[value[event]], now)
                alive -= 1
        begin = end
    return depths


@njit(cache=True)
def write_moved_depths(event: np.ndarray, elements: int) -> np.ndarray:
    """The depths of the reads among ``event`` (e a read of element e, -1 - e a write), in order; O(log n) each."""
    bits, tree = _new_stack(len(event) + 1)
    place, depths = np.full(elements, NEVER, np.int64), np.empty(len(event), np.int64)
    now = alive = reads = 0
    for element in event:
        if element >= 0:
            depths[reads] = alive - _latest_until(bits, tree, place[element]) + 1
            reads += 1
            continue
        written = -1 - element
        if place[written] == NEVER:
            alive += 1
        else:
            _clear(bits, tree, place[written], now)
        place[written] = now
        _mark(bits, tree, now)
        now += 1
    return depths[:reads]
