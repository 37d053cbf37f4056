"""The write-stack price: hand-computed programs, a list-based stack to compare with, and what is refused."""

import copy
import functools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sutrolib.meters.base import NoReading
from sutrolib.meters.programs.bytecode_check import UntraceableOperation
from sutrolib.meters.programs.bytedmd import traced_eval
from sutrolib.meters.programs.write_stack import WriteStackMovement, traced_run, write_moved_depths


def depths(program, *arguments):
    return traced_run(program, arguments)[0].tolist()


def price(program, *arguments, **options):
    with WriteStackMovement(**options) as meter:
        meter.run(program, arguments)
    return meter.reading


def test_the_last_number_loaded_lies_on_top():
    assert depths(lambda x, y: +x[0][0], [[1, 2], [3, 4]], [5]) == [5]
    assert depths(lambda x, y: +x[1][1], [[1, 2], [3, 4]], [5]) == [2]
    assert depths(lambda x, y: +y[0], [[1, 2], [3, 4]], [5]) == [1]


def test_reads_leave_the_stack_as_it_is():
    def program(a, b):
        c = a + b  # a at 2, b at 1, c is pushed
        return a + c  # a at 3, c at 1: its read before did not move a up

    assert traced_run(program, (1, 2))[:2][1] == 4
    assert depths(program, 1, 2) == [2, 1, 3, 1]
    assert price(program, 1, 2).value == pytest.approx(math.sqrt(2) + 1 + math.sqrt(3) + 1)


def test_how_the_bytedmd_tracer_counts_the_same_program():
    def program(a, b):
        c = a + b
        return a + c

    # a is loaded last and lies on top; b is gone after its last use, and a has moved up when it is read again.
    assert traced_eval(program, (1, 2)) == ([1, 2, 2, 1], 4)
    # An input that is never used is never there.
    assert traced_eval(lambda a, b: a + 1, (1, 2))[0] == [1]
    assert depths(lambda a, b: a + 1, 1, 2) == [2]


def test_an_augmented_assignment_overwrites_and_moves_to_the_top():
    def program(a, b):
        a ^= b  # a at 2, b at 1; a moves up
        a ^= b  # a at 1, b at 2
        return a

    assert depths(program, 5, 3) == [2, 1, 1, 2]
    assert traced_run(program, (5, 3))[1] == 5

    def in_a_list(cells):
        cells[0] += 1  # at 3, then on top
        return cells[0] + cells[2]  # at 1 and 2

    assert depths(in_a_list, [1, 2, 3]) == [3, 1, 2]


def test_a_dead_value_keeps_its_place_and_a_copy_takes_one():
    def program(a, b):
        a = a + 1  # a plain assignment: the old one stays below
        c = +b
        return a + c

    assert depths(program, 1, 2) == [2, 2, 2, 1]


def test_a_repeated_operand_is_read_twice_and_constants_are_free():
    assert depths(lambda a: a + a, 1) == [1, 1]
    assert depths(lambda a: 3 - a * 2, 1) == [1, 1]


def test_a_decision_reads_the_comparison():
    def program(a, b):
        return 1 if a < b else 0

    reading = price(program, 1, 2)
    assert reading.value == pytest.approx(math.sqrt(2) + 1 + 1)
    assert reading.detail == {"reads": 3, "writes": 1, "loaded": 2, "decisions": 1, "control_bits": 0.0}


def test_what_leaves_by_decisions_is_counted_and_can_be_limited():
    def program(signs):
        return sum(1 for sign in signs if sign < 0)

    signs = [-1, 1] * 10
    assert price(program, signs).detail["control_bits"] == pytest.approx(math.log2(math.comb(20, 10)))
    with pytest.raises(UntraceableOperation, match="20 decisions carry 17 bits out of the stack"):
        price(program, signs, control_bits=16)
    assert price(program, signs, control_bits=18).value > 0
    with pytest.raises(ValueError, match=r"control_bits must .*got -1"):
        WriteStackMovement(control_bits=-1)


def test_runs_add_up_and_a_block_without_one_has_no_reading():
    def program(a):
        return +a

    with WriteStackMovement() as meter:
        assert [meter.run(program, (1,)), meter.run(program, (2,))] == [1, 2]
    assert meter.reading.value == 2
    assert meter.run(program, (3,)) == 3  # outside of the block nothing is priced
    assert meter.reading.value == 2
    with WriteStackMovement() as meter:
        pass
    with pytest.raises(NoReading):
        _ = meter.reading
    with pytest.raises(NoReading, match="reads none"), WriteStackMovement() as meter:
        meter.run(lambda a: 0, (1,))


def reference_depths(events):
    """The rule, on a list whose last item is the top."""
    stack, found = [], []
    for event in events:
        element = max(event, -1 - event)
        if event < 0:
            if element in stack:
                stack.remove(element)
            stack.append(element)
        else:
            found.append(len(stack) - stack.index(element))
    return found


@settings(max_examples=60)
@given(loaded=st.integers(1, 40), moves=st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=1500))
def test_the_depths_are_those_of_a_list(loaded, moves):
    events, elements = [-1 - element for element in range(loaded)], loaded
    for number, write in moves:
        element = number % (elements + write)  # a write may also be of a new element
        elements = max(elements, element + 1)
        events.append(-1 - element if write else element)
    assert write_moved_depths(np.array(events), elements).tolist() == reference_depths(events)


@settings(max_examples=60)
@given(steps=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 2)), max_size=60))
def test_random_programs_are_priced_as_by_hand(steps):
    moves = tuple(steps)  # a list at hand is refused as data

    def program(cells):
        for a, b, kind in moves:
            if kind == 0:
                cells[a] = cells[a] ^ cells[b]
            elif kind == 1:
                cells[a] ^= cells[b]
            elif cells[a] & 1:
                cells[b] = +cells[a]
        return cells

    values, at, stack, expected = list(range(8)), list(range(8)), list(range(8)), []

    def read(cell):
        expected.append(len(stack) - stack.index(at[cell]))

    def push(cell, element):
        if element in stack:
            stack.remove(element)
        stack.append(element)
        at[cell] = element

    for a, b, kind in steps:
        fresh = ("new", len(expected))
        if kind < 2:
            read(a), read(b)
            push(a, at[a] if kind == 1 else fresh)
            values[a] ^= values[b]
        else:
            read(a)
            stack.append(("test", fresh))
            expected.append(1)
            if values[a] & 1:
                read(a)
                push(b, fresh)
                values[b] = values[a]
    assert traced_run(program, (list(range(8)),))[1] == values
    assert depths(program, list(range(8))) == expected


HELD = [1, 2, 3]
TUPLE = (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "program",
    [
        int,
        functools.partial(lambda a: a[0] + 1),
    ],
)
def test_only_functions_are_programs(program):
    with pytest.raises(TypeError, match="must be a Python function"):
        price(program, [1])


@pytest.mark.parametrize(
    "program",
    [
        lambda a: int(a[0]),
        lambda a: float(a[0]),
        lambda a: hash(a[0]),
        lambda a: {a[0]: 1},
        lambda a: a[a[0]],
        lambda a: list(range(a[0])),
        lambda a: f"{a[0]}",
        lambda a: str(a[0]),
        lambda a: round(a[0]),
        lambda a: math.floor(a[0]),
        lambda a: divmod(a[0], 2),
        lambda a: copy.deepcopy(a),
        lambda a: copy.copy(a[0]),
        lambda a: pickle.dumps(a),
        lambda a: np.ones(3) * a[0],
        lambda a: np.asarray(a[0], dtype=float),
        lambda a: a[0] << 70,
        lambda a: (1 << 60) * (1 << 60) + a[0],
        lambda a: 1 // (a[0] - a[0]),
        lambda a: a[0]._value,
        lambda a: type(a[0]),
        lambda a: a[0] + HELD[0],
        lambda a: a[0] + TUPLE[0],
        lambda a, held=HELD: a[0] + held[0],
        lambda a: a[0] is a[1],
    ],
)
def test_what_would_leave_unseen_is_refused(program):
    with pytest.raises(UntraceableOperation):
        price(program, [1, 2])


def test_a_try_does_not_swallow_a_refusal():
    def program(a):
        try:
            return 1 // a
        except ValueError:
            return +a

    with pytest.raises(UntraceableOperation, match="an operator that raises"):
        price(program, 0)


def test_data_closed_over_is_refused():
    data = [1, 2]

    def program(a):
        return a + data[0]

    with pytest.raises(UntraceableOperation, match="not passed"):
        price(program, 1)


def test_an_overwritten_value_cannot_be_read_under_another_name():
    def program(a, b):
        kept = a
        a ^= b
        return a + kept

    with pytest.raises(UntraceableOperation, match="overwritten"):
        price(program, 1, 2)


def test_arguments_are_numbers_and_lists_and_are_left_alone():
    cells = [1, 2]

    def program(cells):
        cells[0] += 1
        return cells[0]

    assert traced_run(program, (cells,))[1] == 2
    assert cells == [1, 2]
    with pytest.raises(TypeError, match="ndarray"):
        price(program, np.ones(2))
