"""Simulated annealing over the order of a grid program's operations.

What is computed stays as it is. The operations may come in any order that is possible, and so may the terms of a sum,
or of another associative operation. Copies (:mod:`sutrolib.boards.copies`) and cells follow from the order, so the
search needs no moves for them; the prices of the cells, which hardly change from one order to the next, are kept.
Kirkpatrick et al., Optimization by Simulated Annealing, Science 220, 1983.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sutrolib.boards.copies import first_prices, reads_of, search_prices
from sutrolib.boards.grid_program import OPERATORS, BoardProgram
from sutrolib.boards.placement import Operations
from sutrolib.core.compiled import compiled

TERM = 255  # an event that computes nothing, and only adds its operand to a sum
_ASSOCIATIVE = frozenset(OPERATORS.index(name) for name in ("add", "and", "or", "xor"))
_FIRST_ROUNDS = 200  # of prices, before the first change of the order


class Computation(NamedTuple):
    """What is computed, in any order that is possible.

    Event e reads ``operands[e]`` (3,), applies ``codes[e]`` and makes the quantity ``makes[e]``, or is a term of sum
    ``sums[e]`` (-1: neither). A sum of ``sum_sizes`` terms joins them by ``sum_codes`` and makes ``sum_makes``.
    Quantities 0 to ``inputs`` - 1 are the inputs.
    """

    inputs: int
    quantities: int
    codes: np.ndarray
    operands: np.ndarray
    constants: np.ndarray
    makes: np.ndarray
    sums: np.ndarray
    sum_codes: np.ndarray
    sum_sizes: np.ndarray
    sum_makes: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True)
class Plan:
    """A computation, and the ``order`` of its events."""

    computation: Computation
    order: np.ndarray

    def operations(self) -> Operations:
        """The operations of this order. Raises ValueError if something is read before it is made."""
        count, codes, operands, constants, outputs = _emit(self.computation, self.order)
        if count < 0:
            raise ValueError("an operation comes before one whose result it reads")
        return Operations(self.computation.inputs, codes[:count], operands[:count], constants[:count], outputs)


def plan_of(program: BoardProgram) -> Plan:
    """The plan of a program: its copies are left out, and sums are what their terms are joined to."""
    made = Operations.of(program).without_copies().without_unused()
    n, codes, operands = made.inputs, made.operators.tolist(), made.operands.tolist()
    readers: dict[int, list[int]] = {}
    for i, values in enumerate(operands):
        for value in values:
            if value >= 0:
                readers.setdefault(value, []).append(i)
    once = {value for value, found in readers.items() if len(found) == 1 and value >= n} - set(made.outputs.tolist())

    def inner(i: int) -> bool:
        """Whether the result of an operation is only a part of a longer sum."""
        return codes[i] in _ASSOCIATIVE and n + i in once and codes[readers[n + i][0]] == codes[i]

    roots: dict[int, int] = {}
    for i in range(len(codes) - 1, -1, -1):
        if codes[i] in _ASSOCIATIVE:
            roots[i] = roots[readers[n + i][0]] if inner(i) else i
    numbers = {root: number for number, root in enumerate(sorted(set(roots.values())))}
    events = list[tuple[int, list[int], int, int, int]]()  # code, operands, constant, what it makes, its sum
    for i, code in enumerate(codes):
        if i not in roots:
            reader = readers[n + i][0] if n + i in once else -1
            joined = numbers[roots[reader]] if reader in roots else -1
            events.append((code, operands[i], int(made.constants[i]), -1 if joined >= 0 else n + i, joined))
            continue
        for value in operands[i][:2]:
            source = value - n
            of_sum = source >= 0 and source in roots and roots[source] == roots[i]
            of_event = source >= 0 and source not in roots and value in once
            if not (of_sum or of_event):
                events.append((TERM, [value, -1, -1], 0, -1, numbers[roots[i]]))
    return _plan(made, events, numbers)


def _plan(
    made: Operations, events: Sequence[tuple[int, Sequence[int], int, int, int]], numbers: Mapping[int, int]
) -> Plan:
    n = made.inputs
    quantities = [makes for _, _, _, makes, _ in events if makes >= 0] + [n + root for root in numbers]
    names = {value: value for value in range(-1, n)} | {value: n + i for i, value in enumerate(quantities)}
    sums = np.array([joined for *_, joined in events], np.int64)
    computation = Computation(
        inputs=n,
        quantities=len(names) - 1,
        codes=np.array([code for code, *_ in events], np.uint8),
        operands=np.array([[names[value] for value in values] for _, values, *_ in events], np.int64).reshape(-1, 3),
        constants=np.array([constant for _, _, constant, _, _ in events], np.int16),
        makes=np.array([names[makes] for _, _, _, makes, _ in events], np.int64),
        sums=sums,
        sum_codes=made.operators[list(numbers)],
        sum_sizes=np.bincount(sums[sums >= 0], minlength=len(numbers)),
        sum_makes=np.array([names[n + root] for root in numbers], np.int64),
        outputs=np.array([names[value] for value in made.outputs.tolist()]),
    )
    return Plan(computation, np.arange(len(events)))


def anneal(plan: Plan, steps: int, seed: int, start: float, end: float, rounds: int = 1) -> Plan:
    """The best plan found in so many steps; temperatures fall from ``start`` to ``end``, in cost.

    The cost of an order is that of the best copies in so many ``rounds`` of prices, which begin with the last ones.
    Raises ValueError unless ``start`` >= ``end`` > 0.
    """
    if not start >= end > 0:
        raise ValueError(f"temperatures must fall and stay above 0 (got start={start}, end={end})")
    return Plan(plan.computation, _anneal(plan.computation, plan.order, steps, seed, start, end, rounds))


@compiled
def _emit(what: Computation, order: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    inputs = what.inputs
    codes = np.zeros(2 * len(order), np.uint8)
    operands = np.full((2 * len(order), 3), -1)
    constants = np.zeros(2 * len(order), np.int16)
    value_of = np.full(what.quantities, -1)
    value_of[:inputs] = np.arange(inputs)
    total = np.full(len(what.sum_codes), -1)
    terms = np.zeros(len(what.sum_codes), np.int64)
    count = 0
    for event in order:
        for slot in range(3):
            quantity = what.operands[event, slot]
            operands[count, slot] = -1
            if quantity >= 0:
                operands[count, slot] = value_of[quantity]
                if value_of[quantity] < 0:
                    return -1, codes, operands, constants, what.outputs
        if what.codes[event] == TERM:
            value = operands[count, 0]
        else:
            codes[count] = what.codes[event]
            constants[count] = what.constants[event]
            value = inputs + count
            count += 1
        if what.makes[event] >= 0:
            value_of[what.makes[event]] = value
        joined = what.sums[event]
        if joined >= 0:
            if terms[joined] > 0:
                codes[count], constants[count] = what.sum_codes[joined], 0
                operands[count, 0], operands[count, 1], operands[count, 2] = total[joined], value, -1
                value = inputs + count
                count += 1
            total[joined] = value
            terms[joined] += 1
            if terms[joined] == what.sum_sizes[joined]:
                value_of[what.sum_makes[joined]] = value
    found = np.zeros(len(what.outputs), np.int64)
    for i in range(len(what.outputs)):
        found[i] = value_of[what.outputs[i]]
    return count, codes, operands, constants, found


@compiled
def _rated(what: Computation, order: np.ndarray, prices: np.ndarray, rounds: int) -> tuple[int, np.ndarray]:
    """The least cost of this order, and the prices to go on from; a cost of 0 for an order that is impossible."""
    count, _, operands, _, outputs = _emit(what, order)
    if count < 0:
        return 0, prices
    if not len(prices):
        prices = first_prices(what.inputs, operands[:count], outputs)
    first, times, _ = reads_of(what.inputs, operands[:count], outputs)
    cost, _, at, _, _ = search_prices(what.inputs, count, first, times, prices, rounds, 0)
    return cost, at


@compiled
def _anneal(
    what: Computation, order: np.ndarray, steps: int, seed: int, start: float, end: float, rounds: int
) -> np.ndarray:
    np.random.seed(seed)
    n, now = len(order), order.copy()
    cost, prices = _rated(what, now, np.zeros((0, 0)), _FIRST_ROUNDS)
    best, best_order = cost, now.copy()
    for step in range(steps):
        temperature = start * (end / start) ** (step / steps)
        tried = now.copy()
        if np.random.random() < 0.6:  # two neighbouring stretches change places
            longest = 1 << np.random.randint(0, 6)
            first = np.random.randint(0, n)
            middle = min(n, first + np.random.randint(1, longest + 1))
            stop = min(n, middle + np.random.randint(1, longest + 1))
            tried[first : first + stop - middle] = now[middle:stop]
            tried[first + stop - middle : stop] = now[first:middle]
        else:  # one event goes to another place
            here = np.random.randint(0, n)
            there = min(n - 1, max(0, here + np.random.randint(-32, 33)))
            event = now[here]
            if here < there:
                tried[here:there] = now[here + 1 : there + 1]
            else:
                tried[there + 1 : here + 1] = now[there:here]
            tried[there] = event
        found, at = _rated(what, tried, prices, rounds)
        if found and (found <= cost or np.random.random() < math.exp((cost - found) / temperature)):
            now, cost, prices = tried, found, at
            if cost < best:
                best, best_order = cost, now.copy()
    return best_order
