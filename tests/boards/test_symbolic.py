import pytest
from board_programs import matmul_text

from sutrolib.boards import symbolic
from sutrolib.boards.grid_program import GridProgramError
from sutrolib.boards.grid_text import parse
from sutrolib.boards.symbolic import matmul_outputs_right

INPUTS = "1,2,3,4,5,6,7,8"


def right(body, outputs, n=2):
    inputs = ",".join(map(str, range(1, 2 * n * n + 1)))
    return matmul_outputs_right(parse(";".join([inputs, *body, outputs]), "v0"), n)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_naive_product_is_right(n):
    assert matmul_outputs_right(parse(matmul_text(n)), n) == [True] * n * n


def test_terms_may_cancel():
    # (a + b) c - b c = a c, for the product of single numbers with b = a
    body = ["add 3,1,2", "mul 4,3,2", "mul 5,2,2", "sub 4,5", "sub 6,5,5", "add 4,6"]
    assert right(body, "4", n=1) == [True]


def test_one_wrong_term_is_one_wrong_output():
    text = matmul_text(2).replace("mul 13,2,7", "mul 13,2,8")
    assert text != matmul_text(2)
    assert matmul_outputs_right(parse(text), 2) == [False, True, True, True]


@pytest.mark.parametrize("body", [["mul 3,1,2", "add 3,1"], ["mul 3,1,2", "add 3,3"], ["copy 3,1"], ["mul 3,1,1"]])
def test_another_polynomial_is_wrong(body):
    assert right(body, "3", n=1) == [False]


def test_a_polynomial_of_degree_three_is_refused_even_if_it_cancels():
    with pytest.raises(GridProgramError, match="line 3: a product of degree above two"):
        right(["mul 3,1,2", "mul 4,3,1", "sub 4,4", "add 3,4"], "3", n=1)


def test_nothing_times_anything_is_nothing():
    assert right(["mul 3,1,2", "sub 4,1,1", "mul 4,4,3", "add 3,4"], "3", n=1) == [True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2;copy 3,1;3", "has 8 inputs and 4 outputs (got 2 and 1)"),
        (f"{INPUTS};xor 9,1,2;9,9,9,9", "line 2: xor is no operation on polynomials"),
        (f"{INPUTS};cmp 9,1,2,lt;9,9,9,9", "line 2: cmp is no operation on polynomials"),
    ],
)
def test_what_is_no_product_is_refused(text, said):
    with pytest.raises(GridProgramError) as error:
        matmul_outputs_right(parse(text), 2)
    assert said in str(error.value)


def test_terms_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(symbolic, "MAX_TERMS", 10)
    with pytest.raises(GridProgramError, match="line 7: over 10 terms"):
        right(["add 3,1,2", *["add 3,1"] * 20], "3", n=1)
