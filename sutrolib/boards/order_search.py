"""Simulated annealing over the order of a grid program's operations, and over the copies it keeps at hand.

What is computed stays as it is; what is searched for is

* the order of the operations, where terms of a sum (or of another associative operation) may come in any order, and
* for each operand, whether it is read where it was made, or from a copy, and when such a copy is made.

The cells follow from that (:mod:`sutrolib.boards.placement`), so the search needs no moves for them. Kirkpatrick et
al., Optimization by Simulated Annealing, Science 220, 1983.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sutrolib.boards.grid_program import COPY, OPERATORS, BoardProgram
from sutrolib.boards.placement import Operations, lives, place
from sutrolib.core.compiled import compiled

TERM = 255  # an event that computes nothing, and only adds its operand to a sum
AT_HAND, FROM_ORIGIN, FROM_COPY, ORIGIN = range(4)  # how an operand is read; the two in the middle make a copy
LEAVE = 4  # added to one of these: a copy is made for later reads
_IMPOSSIBLE = 1 << 60
_ASSOCIATIVE = frozenset(OPERATORS.index(name) for name in ("add", "and", "or", "xor"))


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
    """A computation, the ``order`` of its events, and how each operand of event e is read, ``reads[e]``."""

    computation: Computation
    order: np.ndarray
    reads: np.ndarray

    def operations(self) -> Operations:
        """The operations of this order. Raises ValueError if something is read before it is made."""
        count, codes, operands, constants, outputs = _emit(self.computation, self.order, self.reads)
        if count < 0:
            raise ValueError("an operation comes before one whose result it reads")
        return Operations(self.computation.inputs, codes[:count], operands[:count], constants[:count], outputs)


def plan_of(program: BoardProgram) -> Plan:
    """The plan of a program: its copies become ways to read, and sums what their terms are joined to."""
    made = Operations.of(program).without_unused()
    n, codes, operands = made.inputs, made.operators.tolist(), made.operands.tolist()
    quantity = list(range(n + len(codes)))  # what each value is, whichever copy of it
    for i, code in enumerate(codes):
        if code == COPY:
            quantity[n + i] = quantity[operands[i][0]]
    readers: dict[int, list[int]] = {}
    for i, code in enumerate(codes):
        if code != COPY:
            for value in operands[i]:
                if value >= 0:
                    readers.setdefault(quantity[value], []).append(i)
    outputs = [quantity[value] for value in made.outputs]
    once = {q for q, found in readers.items() if len(found) == 1 and q >= n} - set(outputs)

    def inner(i: int) -> bool:
        """Whether the result of an operation is only a part of a longer sum."""
        return codes[i] in _ASSOCIATIVE and n + i in once and codes[readers[n + i][0]] == codes[i]

    roots: dict[int, int] = {}
    for i in range(len(codes) - 1, -1, -1):
        if codes[i] in _ASSOCIATIVE:
            roots[i] = roots[readers[n + i][0]] if inner(i) else i
    numbers = {root: number for number, root in enumerate(sorted(set(roots.values())))}
    events = list[tuple[int, list[int], int, int, int]]()  # code, operand values, constant, what it makes, its sum
    for i, code in enumerate(codes):
        if code == COPY:
            continue
        if i not in roots:
            reader = readers[n + i][0] if n + i in once else -1
            joined = numbers[roots[reader]] if reader in roots else -1
            events.append((code, operands[i], int(made.constants[i]), -1 if joined >= 0 else n + i, joined))
            continue
        for value in operands[i][:2]:
            source = quantity[value] - n
            of_sum = source >= 0 and source in roots and roots[source] == roots[i]
            of_event = source >= 0 and source not in roots and quantity[value] in once
            if not (of_sum or of_event):
                events.append((TERM, [value, -1, -1], 0, -1, numbers[roots[i]]))
    return _plan(n, events, numbers, quantity, codes, operands, outputs)


def _plan(
    n: int,
    events: Sequence[tuple[int, Sequence[int], int, int, int]],
    numbers: Mapping[int, int],
    quantity: Sequence[int],
    codes: Sequence[int],
    operands: Sequence[Sequence[int]],
    outputs: Sequence[int],
) -> Plan:
    made = [makes for _, _, _, makes, _ in events if makes >= 0] + [n + root for root in numbers]
    names = {value: value for value in range(n)} | {value: n + i for i, value in enumerate(made)}
    reads, shown = np.full((len(events), 3), ORIGIN, np.int8), np.full((len(events), 3), -1)
    at_hand: dict[int, int] = {}
    for e, (_, values, _, _, _) in enumerate(events):
        for slot, value in enumerate(values):
            if value < 0:
                continue
            shown[e, slot] = names[quantity[value]]
            if value != quantity[value]:
                of_copy = at_hand.get(quantity[value], -1) == operands[value - n][0]
                fresh = FROM_COPY if of_copy else FROM_ORIGIN
                reads[e, slot] = AT_HAND if at_hand.get(quantity[value]) == value else fresh
                at_hand[quantity[value]] = value
    sums = np.array([joined for *_, joined in events], np.int64)
    computation = Computation(
        inputs=n,
        quantities=len(names),
        codes=np.array([code for code, *_ in events], np.uint8),
        operands=shown,
        constants=np.array([constant for _, _, constant, _, _ in events], np.int16),
        makes=np.array([names.get(makes, -1) for _, _, _, makes, _ in events], np.int64),
        sums=sums,
        sum_codes=np.array([codes[root] for root in numbers], np.uint8),
        sum_sizes=np.bincount(sums[sums >= 0], minlength=len(numbers)),
        sum_makes=np.array([names[n + root] for root in numbers], np.int64),
        outputs=np.array([names[value] for value in outputs]),
    )
    return Plan(computation, np.arange(len(events)), reads)


def anneal(plan: Plan, steps: int, seed: int, start: float, end: float) -> tuple[Plan, int]:
    """The best plan found in so many steps, and its cost; temperatures fall from ``start`` to ``end``, in cost.

    Raises ValueError unless ``start`` >= ``end`` > 0.
    """
    if not start >= end > 0:
        raise ValueError(f"temperatures must fall and stay above 0 (got start={start}, end={end})")
    found, order, reads = _anneal(plan.computation, plan.order, plan.reads, steps, seed, start, end)
    return Plan(plan.computation, order, reads), int(found)


@compiled
def _emit(
    what: Computation, order: np.ndarray, reads: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    inputs, operands, sums = what.inputs, what.operands, what.sums
    size = 8 * len(order) + 8
    out_codes = np.zeros(size, np.uint8)
    out_operands = np.full((size, 3), -1)
    out_constants = np.zeros(size, np.int16)
    origin = np.full(what.quantities, -1)
    copy = np.full(what.quantities, -1)
    origin[:inputs] = np.arange(inputs)
    total = np.full(len(what.sum_codes), -1)
    terms = np.zeros(len(what.sum_codes), np.int64)
    count = 0
    values = np.full(3, -1)
    for event in order:
        for slot in range(3):
            quantity = operands[event, slot]
            values[slot] = -1
            if quantity < 0:
                continue
            if origin[quantity] < 0:
                return -1, out_codes, out_operands, out_constants, what.outputs
            how = reads[event, slot] & 3
            if how == ORIGIN or (how == AT_HAND and copy[quantity] < 0):
                values[slot] = origin[quantity]
            elif how != AT_HAND:
                out_codes[count] = COPY
                known = how == FROM_COPY and copy[quantity] >= 0
                out_operands[count, 0] = copy[quantity] if known else origin[quantity]
                copy[quantity] = inputs + count
                count += 1
            if how != ORIGIN and copy[quantity] >= 0:
                values[slot] = copy[quantity]
            if reads[event, slot] & LEAVE:
                out_codes[count] = COPY
                out_operands[count, 0] = values[slot]
                copy[quantity] = inputs + count
                count += 1
        if what.codes[event] == TERM:
            value = values[0]
        else:
            out_codes[count] = what.codes[event]
            out_operands[count] = values
            out_constants[count] = what.constants[event]
            value = inputs + count
            count += 1
        if what.makes[event] >= 0:
            origin[what.makes[event]] = value
        joined = sums[event]
        if joined >= 0:
            if terms[joined] > 0:
                out_codes[count] = what.sum_codes[joined]
                out_operands[count, 0] = total[joined]
                out_operands[count, 1] = value
                value = inputs + count
                count += 1
            total[joined] = value
            terms[joined] += 1
            if terms[joined] == what.sum_sizes[joined]:
                origin[what.sum_makes[joined]] = value
    found = np.zeros(len(what.outputs), np.int64)
    for i in range(len(what.outputs)):
        found[i] = origin[what.outputs[i]]
    return count, out_codes, out_operands, out_constants, found


@compiled
def _cost(what: Computation, order: np.ndarray, reads: np.ndarray) -> int:
    count, _, operands, _, found = _emit(what, order, reads)
    if count < 0:
        return _IMPOSSIBLE
    made, last, often = lives(what.inputs, operands[:count], found)
    cells = place(made, last, often)
    cost = 0
    for value in range(len(cells)):
        cost += often[value] * math.ceil(math.sqrt(cells[value]))
    return cost


@compiled
def _anneal(
    what: Computation, order: np.ndarray, reads: np.ndarray, steps: int, seed: int, start: float, end: float
) -> tuple[int, np.ndarray, np.ndarray]:
    np.random.seed(seed)
    n = len(order)
    now, hows = order.copy(), reads.copy()
    cost = _cost(what, now, hows)
    best, best_order, best_reads = cost, now.copy(), hows.copy()
    for step in range(steps):
        temperature = start * (end / start) ** (step / steps)
        tried, other = now.copy(), hows.copy()
        kind = np.random.randint(0, 4)
        if kind == 0:  # two neighbouring stretches change places
            longest = 1 << np.random.randint(0, 8)
            first = np.random.randint(0, n)
            middle = min(n, first + np.random.randint(1, longest + 1))
            stop = min(n, middle + np.random.randint(1, longest + 1))
            tried[first : first + stop - middle] = now[middle:stop]
            tried[first + stop - middle : stop] = now[first:middle]
        elif kind == 1:  # one event goes to another place
            here = np.random.randint(0, n)
            there = min(n - 1, max(0, here + np.random.randint(-64, 65)))
            event = now[here]
            if here < there:
                tried[here:there] = now[here + 1 : there + 1]
            else:
                tried[there + 1 : here + 1] = now[there:here]
            tried[there] = event
        else:  # one operand is read in another way
            event, slot = now[np.random.randint(0, n)], np.random.randint(0, 3)
            if what.operands[event, slot] < 0:
                continue
            other[event, slot] = np.random.randint(0, 4) + LEAVE * (np.random.random() < 0.25)
        found = _cost(what, tried, other)
        if found <= cost or np.random.random() < math.exp((cost - found) / temperature):
            now, hows, cost = tried, other, found
            if cost < best:
                best, best_order, best_reads = cost, now.copy(), hows.copy()
    return best, best_order, best_reads
