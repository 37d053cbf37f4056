"""The least cost of a program of the symmetry boards that reads nothing twice, by exhaustion.

Such a program is a formula in which each input stands once. Its inputs are read from the nearest cells; each operation
but the last makes a value that is read from cell 1, or, of several at the same time, all but one from cells at a
distance of 2 or more. A part of the formula on some of the inputs is of use only if its value tells apart what the rest
must tell apart, which leaves few of them. Constants are left out, and so are programs that read something twice: what
is found here is the least cost of the others, and no bound for these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from sutrolib.boards.grid_program import distances

_BINARY = (np.add, np.subtract, np.multiply, np.bitwise_and, np.bitwise_or, np.bitwise_xor)
_COMPARED = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)


class _Values(NamedTuple):
    """Values for every pattern, rows of ``tables``; what reads of made values cost so far; and which are made."""

    tables: np.ndarray
    costs: np.ndarray
    made: np.ndarray


def least_read_once_cost(n: int, limit: int) -> int | None:
    """The least cost for n bits, of instruction set v3, None where it is above ``limit``.

    Raises ValueError unless n is an even number from 2 to 8.
    """
    if n not in (2, 4, 6, 8):
        raise ValueError(f"n must be an even number from 2 to 8 (got {n!r})")
    patterns = np.array([[pattern >> i & 1 for pattern in range(2**n)] for i in range(n)], np.int8)
    symmetric = (patterns == patterns[::-1]).all(0)
    base = int(distances(np.arange(1, n + 1)).sum()) + 1  # each input once, and the output
    known = dict[frozenset[int], _Values]()  # what can be made of these inputs
    for size in range(1, n + 1):
        # Each further operation takes two more inputs at most, and reads a value that was made.
        left = limit - base - -(-(n - size) // 2)
        for chosen in map(frozenset, combinations(range(n), size)):
            rest = patterns[[i for i in range(n) if i not in chosen]]
            known[chosen] = _useful(_made(chosen, known, patterns, left), rest, symmetric)
    whole = known[frozenset(range(n))]
    costs = whole.costs[(whole.tables == symmetric).all(1)]
    return base + int(costs.min()) if len(costs) else None


def _made(
    chosen: frozenset[int], known: Mapping[frozenset[int], _Values], patterns: np.ndarray, left: int
) -> Iterator[_Values]:
    """What one more operation makes of these inputs, and unary ones after it, for a cost of at most ``left``."""
    if len(chosen) == 1:
        value = _Values(patterns[list(chosen)], np.zeros(1, int), np.zeros(1, bool))
        yield value
        yield from _unary(value, left)
    for first in _parts(chosen):
        for second in [chosen - first, *_parts(chosen - first)]:
            parts = [known[part] for part in (first, second, chosen - first - second) if part]
            if all(len(part.costs) for part in parts):
                for value in _joined(parts, left):
                    yield value
                    yield from _unary(value, left)


def _joined(parts: Sequence[_Values], left: int) -> Iterator[_Values]:
    """All that operations of two or three operands make of one value of each part, in this order."""
    sizes = [len(part.costs) for part in parts]
    places = np.indices(sizes).reshape(len(parts), -1)
    made = sum(part.made[at].astype(int) for part, at in zip(parts, places, strict=True))
    costs = sum(part.costs[at] for part, at in zip(parts, places, strict=True)) + np.maximum(0, 2 * made - 1)
    places, costs = places[:, costs <= left], costs[costs <= left]
    for start in range(0, len(costs), 20_000):
        some = slice(start, start + 20_000)
        a, b, *c = (part.tables[at[some]] for part, at in zip(parts, places, strict=True))
        known = costs[some], np.ones(len(costs[some]), bool)
        if c:
            yield _Values(np.where(a != 0, b, c[0]), *known)
            continue
        yield from (_Values(operation(a, b), *known) for operation in _BINARY)
        yield from (_Values(compare(a, b).astype(np.int8), *known) for compare in _COMPARED)
        whole = b.all(1)
        yield _Values(a[whole] // b[whole], known[0][whole], known[1][whole])


def _unary(values: _Values, left: int) -> Iterator[_Values]:
    """These after one or more unary operations in a row, as many as the cost allows."""
    tables, costs = values.tables, values.costs + values.made
    while len(tables := tables[costs <= left]):
        costs = costs[costs <= left]
        for made in (~tables, np.abs(tables)):
            yield _Values(made, costs, np.ones(len(costs), bool))
        tables, costs = np.concatenate([~tables, np.abs(tables)]), np.tile(costs + 1, 2)


def _useful(values: Iterator[_Values], rest: np.ndarray, symmetric: np.ndarray) -> _Values:
    """The values with which the other inputs tell which patterns are symmetric, each once, at its least cost."""
    groups = np.unique(rest, axis=1, return_inverse=True)[1].ravel() if len(rest) else np.zeros(len(symmetric), int)
    pairs = [((groups == group) & symmetric, (groups == group) & ~symmetric) for group in np.unique(groups[symmetric])]
    best = dict[tuple[bytes, bool], int]()
    for some in values:
        useful = np.ones(len(some.costs), bool)
        for yes, no in pairs:
            useful &= ~(some.tables[:, yes, None] == some.tables[:, None, no]).any((1, 2))
        for table, cost, made in zip(some.tables[useful], some.costs[useful].tolist(), some.made[useful], strict=True):
            key = table.tobytes(), bool(made)
            best[key] = min(cost, best.get(key, cost))
    tables = np.array([np.frombuffer(table, np.int8) for table, _ in best]).reshape(len(best), len(symmetric))
    return _Values(tables, np.array(list(best.values()), int), np.array([made for _, made in best], bool))


def _parts(chosen: frozenset[int]) -> Iterator[frozenset[int]]:
    """All parts of these but the empty one and the whole."""
    for size in range(1, len(chosen)):
        yield from map(frozenset, combinations(sorted(chosen), size))
