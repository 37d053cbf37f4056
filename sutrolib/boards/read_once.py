"""The least cost of a program of the symmetry boards that reads nothing twice, by exhaustion.

Such a program is a formula in which each input stands once. Its inputs are read from the nearest cells; each operation
but the last makes a value that is read from cell 1, or, of several at the same time, all but one from cells at a
distance of 2 or more. A part of the formula on some of the inputs is of use only if its value tells apart what the rest
must tell apart, which leaves few of them. Constants are left out, and so are programs that read something twice: what
is found here is the least cost of the others, and no bound for these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from sutrolib.boards.grid_program import distances

_BINARY = (np.add, np.subtract, np.multiply, np.bitwise_and, np.bitwise_or, np.bitwise_xor)
_COMPARED = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)


def least_read_once_cost(n: int) -> int:
    """The least cost for n bits, of instruction set v3. Raises ValueError unless n is an even number from 2 to 8."""
    if n not in (2, 4, 6, 8):
        raise ValueError(f"n must be an even number from 2 to 8 (got {n!r})")
    patterns = np.array([[pattern >> i & 1 for pattern in range(2**n)] for i in range(n)], np.int8)
    symmetric = (patterns == patterns[::-1]).all(0).astype(np.int8)
    everything = frozenset(range(n))
    known = dict[frozenset[int], list[_Value]]()  # what can be made of these inputs
    for size in range(1, n + 1):
        for chosen in map(frozenset, combinations(range(n), size)):
            rest = [patterns[i] for i in everything - chosen]
            best = dict[tuple[bytes, bool], _Value]()
            for value in _with_unary(_values(chosen, known, patterns)):
                key = value.table.tobytes(), value.made
                if key in best:
                    best[key] = min(best[key], value, key=lambda one: one.cost)
                elif _tells([value.table, *rest], symmetric):
                    best[key] = value
            known[chosen] = list(best.values())
    costs = [value.cost for value in known[everything] if (value.table == symmetric).all()]
    return int(distances(np.arange(1, n + 1)).sum()) + min(costs) + 1


class _Value(NamedTuple):
    """A value for every pattern, what the reads of made values have cost, and whether it is made, or an input."""

    table: np.ndarray
    cost: int
    made: bool = True


def _values(
    chosen: frozenset[int], known: Mapping[frozenset[int], Sequence[_Value]], patterns: np.ndarray
) -> Iterator[_Value]:
    """What one more operation makes of these inputs; the input itself if it is only one."""
    if len(chosen) == 1:
        yield _Value(patterns[next(iter(chosen))], 0, made=False)
    for first in _parts(chosen):
        for second in [chosen - first, *_parts(chosen - first)]:
            third = chosen - first - second
            for values in product(*(known[part] for part in (first, second, third) if part)):
                made = sum(value.made for value in values)
                cost = sum(value.cost for value in values) + max(0, 2 * made - 1)  # one of them in cell 1
                for table in _results([value.table for value in values]):
                    yield _Value(table, cost)


def _with_unary(values: Iterable[_Value]) -> Iterator[_Value]:
    """These, and what unary operations make of them; a third one in a row brings nothing new."""
    for value in values:
        yield value
        once = value.cost + value.made
        yield from (_Value(~value.table, once), _Value(np.abs(value.table), once))
        yield from (_Value(~np.abs(value.table), once + 1), _Value(np.abs(~value.table), once + 1))


def _results(tables: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """All that operations of two or three operands make of these, in this order."""
    if len(tables) == 3:
        yield np.where(tables[0] != 0, tables[1], tables[2])
        return
    a, b = tables
    yield from (operation(a, b) for operation in _BINARY)
    yield from (compare(a, b).astype(np.int8) for compare in _COMPARED)
    if b.all():
        yield a // b


def _parts(chosen: frozenset[int]) -> Iterator[frozenset[int]]:
    """All parts of these but the empty one and the whole."""
    for size in range(1, len(chosen)):
        yield from map(frozenset, combinations(sorted(chosen), size))


def _tells(tables: Sequence[np.ndarray], symmetric: np.ndarray) -> bool:
    """Whether these values together tell which patterns are symmetric."""
    kinds = np.unique(np.array([*tables, symmetric]), axis=1)
    return len(np.unique(kinds[:-1], axis=1).T) == len(kinds.T)
