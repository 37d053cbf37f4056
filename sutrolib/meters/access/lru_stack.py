"""LRU stack distances in O(log n) an access, as numba kernels over numbered units (such as cache lines).

The stack distance of an access is the number of distinct units accessed since the last access of the same unit,
including that unit; so an immediate repeat has distance 1 (Mattson et al., Evaluation techniques for storage
hierarchies, IBM Systems Journal 9(2), 1970). It is counted over time, not over a stack: there is one bit for each
access, set while that access is the latest of its unit, and the distance is the number of bits set since then (Bennett
and Kruskal, LRU stack processing, IBM Journal of R&D 19(4), 1975). A tree over the words of 64 bits holds their counts:
each node has up to 64 children, and each child the sum of those before it. So a query is one addition a level, and a
change is one pass over 64 neighbours a level, which the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from sutrolib.core.compiled import compiled

NEVER = -1  # the distance of a first access, and the last access of a unit that had none
NO_RESULT = -(2**63)  # the event of a program that pushes nothing

_BATCH = 1024  # accesses whose last ones are looked up at a time


def _popcount_code(typing_context: Any, word: Any) -> Any:
    """The processor's own instruction; numba does not support NumPy's bitwise_count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


_popcount: Any = intrinsic(_popcount_code)


@compiled
def _new_stack(accesses: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bits and tree for up to this many accesses, and where each level of the tree begins, from the words up."""
    words = (accesses >> 6) + 1
    levels, end, nodes = [0], _whole_groups(words), _whole_groups(words)
    while nodes > 64:
        nodes = _whole_groups(nodes >> 6)
        levels.append(end)
        end += nodes
    return np.zeros(words, np.uint64), np.zeros(end, np.int32), np.array(levels)  # 2^31 units are more than memory has


@compiled
def _whole_groups(nodes: int) -> int:
    return (nodes + 63) >> 6 << 6


@compiled
def _add(tree: np.ndarray, levels: np.ndarray, node: int, amount: int) -> None:
    for level in levels:
        group = level + (node >> 6 << 6)
        for sibling in range(64):
            tree[np.uint64(group + sibling)] += amount * (sibling > node & 63)
        node >>= 6


@compiled
def _latest_until(bits: np.ndarray, tree: np.ndarray, levels: np.ndarray, time: int) -> int:
    """How many units were last accessed at ``time`` or before it. ``time`` itself must be one of those."""
    node = time >> 6
    count: int = _popcount(bits[node] & (~np.uint64(0) >> np.uint64(63 - (time & 63))))
    for level in levels:
        count += tree[level + node]
        node >>= 6
    return count


@compiled
def _mark(bits: np.ndarray, tree: np.ndarray, levels: np.ndarray, time: int) -> None:
    bits[time >> 6] |= np.uint64(1) << np.uint64(time & 63)
    if time & 63 == 63:  # a word enters the tree when it is full: until then the sum behind it is not needed
        _add(tree, levels, time >> 6, _popcount(bits[time >> 6]))


@compiled
def _clear(bits: np.ndarray, tree: np.ndarray, levels: np.ndarray, time: int, now: int) -> None:
    bits[time >> 6] &= ~(np.uint64(1) << np.uint64(time & 63))
    if time >> 6 != now >> 6:
        _add(tree, levels, time >> 6, -1)


@compiled
def _walk(
    units: np.ndarray,
    now: int,
    latest: int,
    last: np.ndarray,
    bits: np.ndarray,
    tree: np.ndarray,
    levels: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int]:
    # The query and the changes are written out: numba counts references to the arrays that a call is given.
    for begin in range(0, len(units), _BATCH):
        end = min(begin + _BATCH, len(units))
        for index in range(begin, end):  # these loads wait for memory, but not for each other
            out[1, index] = last[units[index]]
            last[units[index]] = now + index - begin
        index = begin
        while index < end:
            before, run, distance, passed = out[1, index], 1, NEVER, NEVER
            if before == NEVER:
                latest += 1
            else:
                # Units that were last accessed one after the other, and are again, have one distance.
                while index + run < end and run < now - before and out[1, index + run] == before + run:
                    run += 1
                node = before >> 6
                passed = now - before
                distance = latest + 1 - _popcount(bits[node] & (~np.uint64(0) >> np.uint64(63 - (before & 63))))
                for level in levels:
                    distance -= tree[level + node]
                    node >>= 6
                place = before
                while place < before + run:
                    word = node = place >> 6
                    count = min(before + run, (word + 1) << 6) - place
                    bits[word] &= ~(~np.uint64(0) >> np.uint64(64 - count) << np.uint64(place & 63))
                    place += count
                    if word != now >> 6:
                        for level in levels:
                            group = level + (node >> 6 << 6)
                            for sibling in range(64):
                                tree[np.uint64(group + sibling)] -= count * (sibling > node & 63)
                            node >>= 6
            for done in range(index, index + run):
                out[0, done] = distance
                out[1, done] = passed
            index += run
            while run:
                count = min(run, 64 - (now & 63))
                bits[now >> 6] |= ~np.uint64(0) >> np.uint64(64 - count) << np.uint64(now & 63)
                now += count
                run -= count
                if now & 63 == 0:
                    _add(tree, levels, (now >> 6) - 1, _popcount(bits[(now >> 6) - 1]))
    return now, latest


class LRUStack:
    """The LRU stack of a stream that comes in pieces. ``accesses`` is an upper bound on the length of the stream."""

    def __init__(self, accesses: int) -> None:
        self._stack = _new_stack(accesses)
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
        self._now, self._latest = _walk(units, self._now, self._latest, self._last, *self._stack, out)
        return out[0], out[1]

    def forget(self, first: int, count: int) -> None:
        """Units ``first`` and the ``count`` - 1 after it are dead: their numbers may be used for new units from now on.

        They keep their places on the stack, because a least-recently-used cache does not know that they are dead.
        """
        self._last[first : first + count] = NEVER


@compiled
def instruction_depths(value: np.ndarray, last_use: np.ndarray, loaded: np.ndarray) -> np.ndarray:
    """Depth of each read of a program on a stack from which dead values are removed (see ``bytedmd``).

    Event e reads value ``value[e]``, or pushes value ``-1 - value[e]`` if that is negative; NO_RESULT pushes nothing.
    An instruction is some reads, and the pushes that follow. Reads are priced against the stack as it was before their
    instruction. ``last_use[v]`` is the last event that reads v, -1 if none does, or the number of events for a result,
    which stays. ``loaded`` are the values there at the start, bottom first. Pushes have depth 0.
    """
    events = len(value)
    bits, tree, levels = _new_stack(2 * events + len(loaded) + 1)
    place = np.full(len(last_use), NEVER, np.int64)
    depths = np.zeros(events, np.int64)
    now = alive = 0
    for index in range(len(loaded)):
        if last_use[loaded[index]] >= 0:
            place[loaded[index]] = now
            _mark(bits, tree, levels, now)
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
                depths[event] = alive - _latest_until(bits, tree, levels, place[value[event]]) + 1
        for event in range(begin, end):
            if value[event] == NO_RESULT:
                continue
            moved = value[event] if value[event] >= 0 else -1 - value[event]
            if value[event] >= 0:
                _clear(bits, tree, levels, place[moved], now)
            elif last_use[moved] < 0:
                continue  # it is never read
            else:
                alive += 1
            place[moved] = now
            _mark(bits, tree, levels, now)
            now += 1
        for event in range(begin, end):
            if value[event] >= 0 and last_use[value[event]] == event:
                _clear(bits, tree, levels, place[value[event]], now)
                alive -= 1
        begin = end
    return depths


@compiled
def write_moved_depths(event: np.ndarray, elements: int) -> np.ndarray:
    """The depths of the reads among ``event`` (e a read of element e, -1 - e a write), in order; O(log n) each."""
    bits, tree, levels = _new_stack(len(event) + 1)
    place, depths = np.full(elements, NEVER, np.int64), np.empty(len(event), np.int64)
    now = alive = reads = 0
    for element in event:
        if element >= 0:
            depths[reads] = alive - _latest_until(bits, tree, levels, place[element]) + 1
            reads += 1
            continue
        written = -1 - element
        if place[written] == NEVER:
            alive += 1
        else:
            _clear(bits, tree, levels, place[written], now)
        place[written] = now
        _mark(bits, tree, levels, now)
        now += 1
    return depths[:reads]
