import math
from unittest import mock

import numpy as np
import pytest
from board_programs import BINARY, PREDICATES, UNARY, interpret, matmul_text
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.boards import grid_text
from sutrolib.boards.grid_program import GridProgramError
from sutrolib.boards.grid_text import parse
from sutrolib.meters.programs.grid_cost import naive_matmul

CELL = st.integers(1, 6)  # the inputs of the generated programs are cells 1 to 6


def instruction():
    def line(name, *operands):
        return st.tuples(*operands).map(lambda found: f"{name} {','.join(map(str, found))}")

    two, constant = sorted(BINARY), st.integers(-128, 255)
    return st.one_of(
        st.sampled_from(two).flatmap(lambda name: line(name, CELL, CELL, CELL)),
        st.sampled_from(two).flatmap(lambda name: line(name, CELL, CELL)),
        st.sampled_from(sorted(UNARY)).flatmap(lambda name: line(name, CELL, CELL)),
        line("set", CELL, constant),
        line("cmp", CELL, CELL, CELL, st.sampled_from(sorted(PREDICATES))),
        line("select", CELL, CELL, CELL, CELL),
    )


@given(
    st.lists(instruction(), max_size=12),
    st.lists(st.lists(st.integers(-128, 127), min_size=6, max_size=6), min_size=1, max_size=5),
    st.sampled_from([8, 64]),
)
def test_values_and_cost_are_those_of_plain_whole_numbers_that_wrap(body, instances, bits):
    text = "\n".join(["1,2,3,4,5,6", *body, "1,2,3,4,5,6,6"])
    program = parse(text)
    rows = np.array(instances, np.int8 if bits == 8 else np.int64)
    try:
        expected = [interpret(text, row, bits) for row in instances]
    except ZeroDivisionError:
        with pytest.raises(GridProgramError, match=r"line [0-9]+: division by zero"):
            program.run(rows)
        return
    assert program.run(rows).tolist() == [values for values, _ in expected]
    assert program.cost == expected[0][1]


WORD = st.sampled_from([*"0123456789,, -\n", "add ", "xor", "set ", "cmp ", ",lt", "-1000,", "-1006", " ", "300"])


@given(st.lists(st.one_of(instruction(), st.lists(WORD, max_size=6).map("".join)), min_size=1, max_size=4))
def test_what_is_read_at_once_is_what_is_read_line_by_line(lines):
    text = "\n".join(["1,2,3,4,5,6", *lines, "1"])
    made = []
    for at_once in (grid_text._read_at_once, lambda *_: None):
        with mock.patch.object(grid_text, "_read_at_once", at_once):
            try:
                made.append([part.tolist() for part in vars(parse(text)).values()])
            except GridProgramError as error:
                made.append(str(error))
    assert made[0] == made[1]


def test_plain_lines_are_read_at_once():
    body = ["xor 3,1,2", "or 3,1", "set 4,-1", "cmp 5,1,2,le", "select 6,1,2,3", "abs 7,6"]
    with mock.patch.object(grid_text, "_read_one_by_one", side_effect=AssertionError):
        program = parse("\n".join(["1,2", *body, "7"]))
    assert program.lines.tolist() == [2, 3, 4, 5, 6, 7]


def test_the_published_example_costs_15_as_lines_and_in_one_line():
    # Reads 1 + 2, 2 + 2, 1 + 2, 1 + 3, and 1 at the end: ceil(sqrt(a)) of 1, 2, 3, 4, 5 is 1, 2, 2, 2, 3.
    text = "1,2,3,4,5;mul 1,1,2;mul 2,3,4;add 1,2;add 1,1,5;1"
    for written in (text, text.replace(";", "\n"), f"\n {text.replace(';', ' ; ').replace(',', ', ')}\n\n"):
        program = parse(written, "v0")
        assert program.cost == 15
        assert program.run(np.array([[2, 3, 4, 5, 6]])).tolist() == [[32]]


@pytest.mark.parametrize("n", [1, 4, 16])
def test_the_cost_is_that_of_the_meter(n):
    assert parse(matmul_text(n)).cost == parse(matmul_text(n, ";")).cost == naive_matmul(n).cost


@given(st.integers(1, 94_906_265), st.integers(-1, 1))
def test_the_cost_of_a_read_is_exact_next_to_squares(root, step):
    cell = max(1, root**2 + step)
    assert parse(f"{cell};{cell}").cost == math.isqrt(cell - 1) + 1


def test_division_floors_and_eight_bits_wrap():
    program = parse("1,2;div 3,1,2;mul 4,1,1;abs 5,1;not 6,1;set 7,255;3,4,5,6,7")
    found = program.run(np.array([[-7, 2], [7, -2], [-128, -1]], np.int8)).tolist()
    assert found == [[-4, 49, 7, 6, -1], [-4, 49, 7, -8, -1], [-128, 0, -128, 127, -1]]


@pytest.mark.parametrize(
    ("text", "instruction_set", "said"),
    [
        ("", "v3", "needs a first line"),
        ("1,2", "v3", "needs a first line"),
        ("1,x;1", "v3", "line 1 ('1,x'): the first and the last line are cells"),
        ("1;;copy 2,1;", "v3", "line 3 ('copy 2,1'): the first and the last line are cells"),
        ("1,1;1", "v3", "line 1: input cells must be distinct"),
        ("1,0;1", "v3", "line 1 ('1,0'): cells must be 1 to 2^53"),
        ("1,2;pow 3,1,2;3", "v3", "line 2 ('pow 3,1,2'): unknown operator; v3 has add, sub,"),
        ("1,2;min 3,1,2;3", "v3", "line 2 ('min 3,1,2'): unknown operator"),
        ("1,2;xor 3,1,2;3", "v0", "unknown operator; v0 has add, sub, mul, copy"),
        ("1,2;set 3,1;3", "v1", "unknown operator; v1 has add, sub, mul, copy, and, or, xor, not"),
        ("1,2;abs 3,1;3", "v2", "unknown operator; v2 has"),
        ("1,2;mul;3", "v3", "line 2 ('mul'): mul takes 2 operands behind the target (got 0)"),
        ("1,2;mul 3,1,2,2;3", "v3", "mul takes 2 operands behind the target (got 3)"),
        ("1,2;copy 3,1,2;3", "v3", "copy takes 1 operands behind the target (got 2)"),
        ("1,2;select 3,1,2;3", "v3", "select takes 3 operands behind the target (got 2)"),
        ("1,2;cmp 3,1,2,is;3", "v3", "a predicate must be one of eq, ne, lt, le, gt, ge"),
        ("1,2;mul 3,1,b;3", "v3", "operands must be whole numbers separated by commas"),
        ("1,2;set 3,256;3", "v3", "a constant must be -128 to 255"),
        ("1,2;set 3,-129;3", "v3", "a constant must be -128 to 255"),
        ("1,2;mul 0,1,2;3", "v3", "cells must be 1 to 2^53"),
        (f"1,2;copy {2**53 + 1},2;3", "v3", "cells must be 1 to 2^53"),
        ("1,2;copy 3,1;mul 4,5,1;add 5,1,2;4", "v3", "line 3 ('mul 4,5,1'): cell 5 is read before it is written"),
        ("1,2;add 3,1;3", "v3", "line 2 ('add 3,1'): cell 3 is read before"),
        ("1,2;mul 3,1,2;4", "v3", "line 3 ('4'): output cell 4 is never written"),
    ],
)
def test_a_bad_program_gets_its_line_and_the_reason(text, instruction_set, said):
    for written in (text, text.replace(";", "\n")):
        with pytest.raises(GridProgramError) as error:
            parse(written, instruction_set)
        assert said in str(error.value)


def test_a_long_bad_line_is_quoted_in_part():
    with pytest.raises(GridProgramError) as error:
        parse(f"{','.join(map(str, range(1, 20_000)))},x\n1")
    assert len(str(error.value)) < 200


def test_lines_are_limited():
    assert parse("1\ncopy 2,1\n\n2", max_lines=3).cost == 1 + 2
    with pytest.raises(GridProgramError, match=r"at most 3 lines are allowed \(got 4\)"):
        parse("1\ncopy 2,1\ncopy 3,2\n3", max_lines=3)


def test_instances_must_fit_the_program():
    program = parse("1,2;mul 3,1,2;3")
    with pytest.raises(GridProgramError, match=r"gives 3 inputs \(the first line of the program has 2\)"):
        program.run(np.zeros((4, 3), np.int8))
    with pytest.raises(TypeError, match="must be int8 or int64"):
        program.run(np.zeros((4, 2)))


def test_many_instances_are_run_in_parts():
    rows = np.random.default_rng(0).integers(-128, 128, (1000, 2)).astype(np.int8)
    assert (parse("1,2;xor 3,1,2;3").run(rows)[:, 0] == rows[:, 0] ^ rows[:, 1]).all()
