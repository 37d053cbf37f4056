"""The parts of the parity programs of :mod:`sutrolib.models.parity.programs`, as plain Python over lists of numbers.

This module imports only the standard library: so its source and a line that chooses the settings are a program of their
own (:meth:`ParityProgram.program_text`), which a meter can price when the library has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, pairwise
from operator import add, floordiv, iadd, ifloordiv, ilshift, imul, isub, ixor, lshift, mul, sub, xor
from typing import Any

WORD_SIGNS = 60  # signs packed into one number of 64 bits

_Plan = Any  # the settings of a ParityProgram, as attributes
_Number = Any  # a number, or the meter's tracked value
_Row = Sequence[_Number]
_Subset = tuple[int, ...]
_Candidates = tuple[list[_Subset], int]  # the subsets that may be the secret, and the number of samples read


def parity_program(plan: _Plan) -> Callable[..., _Candidates]:
    """A function from the arguments, in the layout of ``plan``, to the remaining subsets and the samples read."""

    solve = _SOLVERS[plan.family]

    def program(*arguments: Any) -> _Candidates:
        if plan.layout == "samples":
            rows, labels = [sample[:-1] for sample in arguments[0]], [sample[-1] for sample in arguments[0]]
        else:
            rows, labels = arguments if plan.layout == "inputs, labels" else arguments[::-1]
        if plan.sample_order == "last loaded":
            rows, labels = rows[::-1], labels[::-1]
        if plan.bit_order == "ascending":
            return solve(rows, labels, plan)
        found, samples = solve([row[::-1] for row in rows], labels, plan)
        return [tuple(len(rows[0]) - 1 - bit for bit in subset) for subset in found], samples

    return program


_IN_PLACE: dict[Any, Any] = {add: iadd, floordiv: ifloordiv, lshift: ilshift, mul: imul, sub: isub, xor: ixor}


def _apply(plan: _Plan, operation: Callable[[Any, Any], Any], a: _Number, b: _Number) -> _Number:
    """``operation(a, b)`` as a new number, or in place of ``a``."""
    return _IN_PLACE[operation](a, b) if plan.in_place else operation(a, b)


def _product(row: _Row | dict[int, _Number], subset: _Subset, plan: _Plan) -> _Number:
    product = +row[subset[0]]  # a copy: the sample is needed again
    for bit in subset[1:]:
        product = _apply(plan, mul, product, row[bit])
    return product


def _append(word: _Number, sign: _Number, plan: _Plan) -> _Number:
    return _apply(plan, add, _apply(plan, lshift, word, 1), sign)


def _as_bits(word: _Number, count: int, plan: _Plan) -> _Number:
    """From the sum of (1 - 2 bit) times powers of two to the sum of bit times powers of two."""
    return _apply(plan, floordiv, _apply(plan, sub, word, (1 << count) - 1), -2)


def _word(signs: Sequence[_Number], plan: _Plan) -> _Number:
    """Signs as the bits of a number, the first one highest; -1 becomes 1."""
    word = signs[0]
    for sign in signs[1:]:
        word = _append(word, sign, plan)
    return _as_bits(word, len(signs), plan)


def _gf2(rows: Sequence[_Row], labels: _Row, plan: _Plan) -> _Candidates:
    """Reduce each equation by those before it; the rest starts at a new bit, or is empty."""
    n, pivots, read, packed = len(rows[0]), dict[int, Any](), 0, plan.family == "gf2 rows"
    for row, label in zip(rows, labels, strict=True):
        equation: Any = _word([*row, label], plan) if packed else [*row, label]
        read += 1
        for bit in range(n):
            if equation & (1 << (n - bit)) if packed else equation[bit] < 0:
                if bit not in pivots:
                    pivots[bit] = equation
                    break
                if packed:
                    equation = _apply(plan, xor, equation, pivots[bit])
                else:  # plain elimination adds all bits of two equations modulo 2
                    equation = [_apply(plan, mul, a, b) for a, b in zip(equation, pivots[bit], strict=True)]
        if len(pivots) == n and read >= plan.samples:
            break
    subset: list[int] = []
    for bit in sorted(pivots, reverse=True):  # the bits after this one are known
        rest = pivots[bit] if packed else pivots[bit][n]
        for known in subset:
            rest = rest ^ (pivots[bit] >> (n - known)) if packed else rest * pivots[bit][known]
        if rest & 1 if packed else rest < 0:
            subset.append(bit)
    return [tuple(subset)], read


def _fourier(rows: Sequence[_Row], labels: _Row, plan: _Plan) -> _Candidates:
    read = min(plan.samples, len(rows))
    best, left, largest = list[_Subset](), list[_Subset](), 0
    for subset in combinations(range(len(rows[0])), plan.k):
        total = 0
        for row, label in zip(rows[:read], labels[:read], strict=True):
            if plan.early_reject:
                if _product(row, subset, plan) != label:
                    break
            else:
                total = _apply(plan, add, total, _apply(plan, mul, _product(row, subset, plan), label))
        else:
            left.append(subset)
            if not plan.early_reject and (not best or total > largest):
                best, largest = [subset], total
    return _narrow(left, read, rows, labels, plan) if plan.early_reject else (best, read)


def _match(rows: Sequence[_Row], labels: _Row, plan: _Plan) -> _Candidates:
    n, size = len(rows[0]), min(plan.samples, len(rows), WORD_SIGNS)
    if plan.family == "eliminate":
        return _narrow(list(combinations(range(n), plan.k)), 0, rows, labels, plan)
    columns = list(rows[0])
    if plan.packing == "column by column":
        columns = [_word([row[bit] for row in rows[:size]], plan) for bit in range(n)]
    else:
        for row in rows[1:size]:
            columns = [_append(word, sign, plan) for word, sign in zip(columns, row, strict=True)]
        columns = [_as_bits(word, size, plan) for word in columns]
    label = _word(labels[:size], plan)
    return _narrow(_find(columns, label, plan), size, rows, labels, plan)


def _find(columns: _Row, label: _Number, plan: _Plan) -> list[_Subset]:
    """The subsets whose words give the label's word by exclusive or."""
    subsets = combinations(range(len(columns)), plan.k)
    if plan.subset_search == "incremental":
        return _incremental(columns, label, subsets, plan)
    if plan.subset_search == "subsets":
        return [subset for subset in subsets if _rest(columns, subset, label, plan) == 0]
    found, known, rest = list[_Subset](), None, label
    for subset in subsets:  # those with the same first k - 1 bits follow each other
        if subset[:-1] != known:
            known, rest = subset[:-1], _rest(columns, subset[:-1], label, plan)
        if rest == columns[subset[-1]]:
            found.append(subset)
    return found


def _incremental(columns: _Row, label: _Number, subsets: Iterable[_Subset], plan: _Plan) -> list[_Subset]:
    """As _find, but update one number from subset to subset by the bits that change, most often one."""
    steps = [a ^ b for a, b in pairwise(columns)]
    found, at = list[_Subset](), tuple(range(plan.k))
    rest = _rest(columns, at, label, plan)
    for subset in subsets:
        for old, new in zip(at, subset, strict=True):
            if new == old + 1:
                rest = _apply(plan, xor, rest, steps[old])
            elif new != old:
                rest = _apply(plan, xor, _apply(plan, xor, rest, columns[old]), columns[new])
        if not rest:
            found.append(subset)
        at = subset
    return found


def _rest(columns: _Row, chosen: _Subset, label: _Number, plan: _Plan) -> _Number:
    """The label without the chosen columns, as a new element."""
    rest = label ^ columns[chosen[0]] if chosen else +label
    for bit in chosen[1:]:
        rest = _apply(plan, xor, rest, columns[bit])
    return rest


def _narrow(left: list[_Subset], read: int, rows: Sequence[_Row], labels: _Row, plan: _Plan) -> _Candidates:
    """Drop the subsets that samples from ``read`` on contradict, until one is left; also returns the samples read."""
    while len(left) > 1 and read < len(rows):
        needed = sorted({bit for subset in left for bit in subset})
        row, label = {bit: rows[read][bit] for bit in needed}, labels[read]
        if plan.copy_samples and plan.consistency_test != "signs":
            row, label = {bit: +sign for bit, sign in row.items()}, +label
        left, read = _consistent(left, row, label, plan), read + 1
    return left, read


def _consistent(left: list[_Subset], row: dict[int, _Number], label: _Number, plan: _Plan) -> list[_Subset]:
    """The subsets that one sample does not contradict. One must fit: the last one, if none before it does."""
    kept, known, rest = list[_Subset](), None, label
    # A sign less 1 is 0 for +1.
    signs, odd = dict[int, bool](), plan.consistency_test == "signs" and bool(_apply(plan, sub, label, 1))
    for subset in left:
        if not kept and subset == left[-1]:
            return [subset]
        if plan.consistency_test == "signs":
            signs |= {bit: bool(_apply(plan, sub, row[bit], 1)) for bit in subset if bit not in signs}
            fits = sum(signs[bit] for bit in subset) % 2 == odd
        elif plan.consistency_test == "subsets" or plan.k == 1:
            fits = _product(row, subset, plan) == label
        else:
            if subset[:-1] != known:  # those with the same first k - 1 bits follow each other
                known, rest = subset[:-1], _apply(plan, mul, _product(row, subset[:-1], plan), label)
            fits = rest == row[subset[-1]]
        if fits:
            kept.append(subset)
    return kept


_SOLVERS = {"gf2 bits": _gf2, "gf2 rows": _gf2, "fourier": _fourier, "match": _match, "eliminate": _match}
