import itertools

import numpy as np
import pytest
from board_programs import interpret, matmul_text
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.boards.copies import with_copies
from sutrolib.boards.grid_program import OPERATORS
from sutrolib.boards.grid_text import parse
from sutrolib.boards.order_search import TERM, Plan, anneal, plan_of
from sutrolib.boards.placement import Operations, place
from sutrolib.boards.scoring import score

TWO = ("add", "sub", "mul", "and", "or", "xor")
LINE = st.one_of(
    st.tuples(st.sampled_from(TWO), *[st.integers(1, 6)] * 3).map(lambda f: f"{f[0]} {f[1]},{f[2]},{f[3]}"),
    st.tuples(st.sampled_from(["copy", "not", "abs"]), *[st.integers(1, 6)] * 2).map(lambda f: f"{f[0]} {f[1]},{f[2]}"),
    st.tuples(st.integers(1, 6), st.integers(-128, 255)).map(lambda f: f"set {f[0]},{f[1]}"),
    st.tuples(*[st.integers(1, 6)] * 4).map(lambda f: f"select {f[0]},{f[1]},{f[2]},{f[3]}"),
    st.tuples(*[st.integers(1, 6)] * 3, st.sampled_from(["lt", "ge"])).map(
        lambda f: f"cmp {f[0]},{f[1]},{f[2]},{f[3]}"
    ),
)
BODY = st.lists(LINE, max_size=20)
ROWS = [[1, 2, 3, 4, 5, 6], [-128, 127, -1, 0, 77, -5], [9, 9, 0, 1, -9, 100]]


def written(body):
    return "\n".join(["1,2,3,4,5,6", *body, "1,2,3,6,6"])


def outputs(text):
    return [interpret(text, row, 8)[0] for row in ROWS]


@given(BODY)
def test_a_program_that_is_placed_anew_computes_the_same_at_the_cost_that_is_said(body):
    made = Operations.of(parse(written(body))).without_unused()
    text = made.text()
    assert outputs(text) == outputs(written(body))
    assert parse(text).cost == made.cost


@given(BODY, st.randoms())
def test_a_plan_computes_the_same_in_any_order(body, random):
    plan = plan_of(parse(written(body)))
    assert outputs(plan.operations().text()) == outputs(written(body))
    order = plan.order.tolist()
    random.shuffle(order)
    for tried in (plan.order, np.array(order, int)):
        try:
            made = Plan(plan.computation, tried).operations()
        except ValueError:  # it reads what is made later
            assert tried is not plan.order
            continue
        assert outputs(made.text()) == outputs(written(body))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=5))
def test_values_that_live_at_once_have_cells_of_their_own(values):
    made = np.array([start for start, _, _ in values])
    last = made + np.array([length for _, length, _ in values])
    reads = np.array([often for _, _, often in values])
    cells = place(made, last, reads)
    for a, b in itertools.combinations(range(len(values)), 2):
        assert cells[a] != cells[b] or last[a] <= made[b] or last[b] <= made[a]
    assert sorted(set(cells)) == list(range(1, max(cells) + 1))


def test_the_nearest_cell_has_the_values_that_are_read_most_of_all_that_fit():
    made, last, reads = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3]), np.array([4, 4, 4, 11])
    assert place(made, last, reads).tolist() == [1, 1, 1, 2]
    assert place(made, last, np.array([4, 4, 4, 13])).tolist() == [2, 2, 2, 1]


def test_terms_of_a_sum_may_come_in_any_order():
    plan = plan_of(parse("1,2,3;mul 4,1,2;add 5,4,3;add 5,5,1;5"))
    assert plan.computation.codes.tolist() == [OPERATORS.index("mul"), TERM, TERM]
    backwards = Plan(plan.computation, plan.order[::-1]).operations()
    assert interpret(backwards.text(), [3, 5, 7], 64)[0] == [25]


def test_an_order_that_is_impossible_is_refused():
    plan = plan_of(parse("1;mul 2,1,1;mul 3,2,2;3"))
    with pytest.raises(ValueError, match="before one whose result it reads"):
        Plan(plan.computation, plan.order[::-1]).operations()


def test_annealing_finds_an_order_of_less_cost_again_and_again():
    plan = plan_of(parse(matmul_text(4), "v0"))
    before = with_copies(plan.operations(), 200)
    found = anneal(plan, 500, 0, 1.0, 0.1)
    after = with_copies(found.operations(), 200)
    assert after.cost < before.cost
    assert score(after.operations.text(), "matmul-4").valid
    assert (anneal(plan, 500, 0, 1.0, 0.1).order == found.order).all()


def test_temperatures_that_do_not_fall_are_refused():
    plan = plan_of(parse("1;mul 2,1,1;2"))
    for start, end in ((1.0, 0.0), (0.5, 1.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="temperatures must fall"):
            anneal(plan, 10, 0, start, end)


def test_plain_python_finds_the_same_cells_where_many_lives_end_at_once():
    rng = np.random.default_rng(0)
    made = np.sort(rng.integers(-1, 60, 400))
    last, reads = made + rng.integers(1, 9, 400), rng.integers(0, 4, 400)
    assert place(made, last, reads).tolist() == place.py_func(made, last, reads).tolist()
