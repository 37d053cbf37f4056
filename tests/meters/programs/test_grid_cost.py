import pytest
from grids import checked_grid_cost

from sutrolib.meters.base import Kind, NoReading
from sutrolib.meters.programs.grid_cost import GridCost, GridProgram, naive_matmul


def test_the_published_example_of_five_arguments_costs_15():
    # a*b + c*d + e in cells 1 to 5: products to 1 and 2, sum to 1, result to 1
    assert checked_grid_cost("1,2,3,4,5;mul 1,1,2;mul 2,3,4;add 1,1,2;add 1,1,5;1", [2, 3, 4, 5, 6], [32]) == 15


def test_a_product_of_two_costs_its_reads_and_that_of_the_output():
    assert GridProgram.parse("1,2;mul 3,1,2;3").cost == 1 + 2 + 2


@pytest.mark.parametrize(("n", "cost"), [(1, 5), (4, 1316), (16, 340_704)])
def test_the_naive_matrix_product_costs_what_was_published(n, cost):
    a, b = [*range(1, n * n + 1)], [*range(2, n * n + 2)]
    expected = [sum(a[i * n + k] * b[k * n + j] for k in range(n)) for i in range(n) for j in range(n)]
    assert checked_grid_cost(naive_matmul(n), [*a, *b], expected) == cost


def test_cells_may_be_moved_and_used_again():
    program = GridProgram.parse("1,4;copy 2,4;copy 4,1;copy 1,2;1,4")
    assert program.run([10, 20]) == [20, 10]
    assert program.cost == 2 + 1 + 2 + 1 + 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1,2;mul 3,1,9;3", "cell 9 is read before"),
        ("1,2;mul 3,1,2;4", "outputs: cell 4"),
        ("1,2;pow 3,1,2;3", "pow"),
        ("1,2;mul 3,1;3", r"needs 2 sources \(got 1\)"),
        ("0,2;mul 3,0,2;3", "at least 1 \\(got 0\\)"),
        ("1,1;mul 3,1,1;3", "must be distinct"),
        ("1;copy 2,1;", "at least one output"),
        ("1,x;mul 3,1,2;3", "'1,x'"),
        ("1", "must be 'inputs;instruction"),
        ("1;mul;1", "'mul'"),
    ],
)
def test_a_wrong_program_is_refused_with_what_is_wrong(text, named):
    with pytest.raises(ValueError, match=named):
        GridProgram.parse(text)


def test_wrong_arguments_are_counted():
    with pytest.raises(ValueError, match=r"needs 2 arguments \(got 1\)"):
        GridProgram.parse("1,2;mul 3,1,2;3").run([1])
    with pytest.raises(ValueError, match=r"n must be at least 1 \(got 0\)"):
        naive_matmul(0)


EXAMPLE = "1,2,3,4,5;mul 1,1,2;mul 2,3,4;add 1,1,2;add 1,1,5;1"


@pytest.mark.parametrize("program", [EXAMPLE, GridProgram.parse(EXAMPLE)])
def test_the_meter_prices_a_program_given_as_text_or_as_it_is(program):
    meter = GridCost()
    with meter:
        assert meter.run(program, [2, 3, 4, 5, 6]) == [32]
    assert (meter.reading.value, meter.reading.kind) == (15, Kind.COUNTED)


def test_the_runs_of_a_block_add_up_and_those_outside_are_not_priced():
    meter = GridCost()
    assert meter.run("1,2;mul 3,1,2;3", [2, 3]) == [6]
    with meter:
        assert meter.run(EXAMPLE, [2, 3, 4, 5, 6]) == [32]
        assert meter.run("1,2;mul 3,1,2;3", [2, 3]) == [6]
    assert meter.run(EXAMPLE, [1, 1, 1, 1, 1]) == [3]
    assert meter.reading.value == 15 + 5
    assert meter.reading.detail == {"runs": 2}
    with meter:
        meter.run("1,2;mul 3,1,2;3", [2, 3])
    assert meter.reading.value == 5


def test_a_block_in_which_no_program_ran_to_its_end_has_no_reading():
    meter = GridCost()
    with meter:
        pass
    with pytest.raises(NoReading):
        _ = meter.reading
    with pytest.raises(ValueError, match=r"got 1\)"), meter:
        [meter.run(EXAMPLE, arguments) for arguments in ([1, 2, 3, 4, 5], [1])]
    with pytest.raises(NoReading):
        _ = meter.reading
