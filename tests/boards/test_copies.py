import pytest
from hypothesis import given, settings
from test_placement import BODY, outputs, written

from sutrolib.boards import naive
from sutrolib.boards.copies import with_copies
from sutrolib.boards.grid_text import parse
from sutrolib.boards.placement import Operations
from sutrolib.boards.scoring import score


@settings(max_examples=50)
@given(BODY)
def test_a_program_with_copies_computes_the_same_and_costs_what_is_said_and_at_least_the_bound(body):
    found = with_copies(Operations.of(parse(written(body))).without_unused(), 10)
    text = found.operations.text()
    assert outputs(text) == outputs(written(body))
    assert parse(text).cost == found.cost
    assert found.bound <= found.cost + 1e-6


def test_copies_make_a_product_cheaper_and_none_are_made_where_each_value_is_read_once():
    plain = Operations.of(parse(naive.matmul(4), "v0"))
    found = with_copies(plain, 100)
    assert found.cost < plain.cost
    assert score(found.operations.text(), "matmul-4").valid
    once = Operations.of(parse("1,2,3,4\nadd 5,1,2\nadd 6,3,4\nadd 7,5,6\n7", "v0"))
    assert len(with_copies(once, 20).operations.operators) == 3


def test_copies_of_the_given_program_are_found_anew():
    plain = Operations.of(parse("1,2\ncopy 3,1\ncopy 4,3\nadd 5,4,2\n5", "v0"))
    assert plain.without_copies().operands.tolist() == [[0, 1, -1]]
    assert with_copies(plain, 1).cost == 1 + 2 + 1


def test_prices_of_one_call_can_be_gone_on_from():
    plain = Operations.of(parse(naive.matmul(4), "v0"))
    first = with_copies(plain, 60)
    again = with_copies(plain, 60, first.prices)
    assert again.bound >= first.bound


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match=r"rounds must be at least 1 \(got 0\)"):
        with_copies(Operations.of(parse(naive.symmetry(6))), 0)
