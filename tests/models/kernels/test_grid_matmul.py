import dataclasses
import itertools

import numpy as np
import pytest
import torch
from grids import checked_grid_cost

from sutrolib.meters.programs.grid_cost import GridCost, GridProgram, naive_matmul
from sutrolib.models.kernels.grid_matmul import GridMatmul
from sutrolib.models.kernels.grid_schedule import ALLOCATIONS, COPY, Schedule, loop_order, schedule
from sutrolib.problems.matmul import MatrixProduct


def any_plan(rng, **fixed):
    """Every field drawn from what its metadata says a search may set."""
    drawn = {}
    for spec in dataclasses.fields(GridMatmul):
        about = spec.metadata
        low, high = (0, 0) if "choices" in about else about["search"]
        choices = about.get("choices") or range(low, high + 1)
        drawn[spec.name] = choices[rng.integers(len(choices))]
    return GridMatmul(**{**drawn, **fixed})


def checked_cost(program, n, rng):
    a, b = rng.integers(-9, 10, (2, n, n))
    return checked_grid_cost(program, [*a.ravel().tolist(), *b.ravel().tolist()], (a @ b).ravel().tolist())


def cost_of(model, n):
    return checked_cost(model.text(n), n, np.random.default_rng(0))


@pytest.mark.parametrize(("n", "cost"), [(1, 5), (4, 1316), (16, 340_704)])
def test_the_defaults_are_the_naive_program_and_cost_what_was_published(n, cost):
    model = GridMatmul()
    assert GridProgram.parse(model.text(n)) == naive_matmul(n)
    assert cost_of(model, n) == cost


@pytest.mark.parametrize("allocation", list(ALLOCATIONS))
def test_every_plan_computes_the_product(allocation):
    rng = np.random.default_rng(0)
    for n in [1, 2, 3, 4, 4, 5, 7] * 6:
        assert cost_of(any_plan(rng, allocation=allocation), n) > 0  # raises if the product is wrong


def test_plans_of_the_large_product_are_right_as_well():
    rng = np.random.default_rng(1)
    for _ in range(5):
        assert cost_of(any_plan(rng), 16) > 0


@pytest.mark.slow
def test_plans_drawn_at_random_come_below_the_public_records_of_4_and_of_tiles():
    # the public board: 800 for n = 4; 80,217 for n = 16 by tiles and reused cells, in a series that went on to 66,707
    rng = np.random.default_rng(2)
    assert min(cost_of(any_plan(rng, allocation="most read"), 4) for _ in range(100)) < 800
    assert min(cost_of(any_plan(rng, allocation="most read"), 16) for _ in range(100)) < 80_217


def test_cells_given_by_lifetimes_beat_those_given_as_written():
    costs = [
        cost_of(GridMatmul(allocation=allocation), 8)
        for allocation in ("as written", "first free", "densest first", "most read")
    ]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4


def nest(n, tiles=(0, 0, 0), orders=("ijk", "ijk", "ijk"), snakes=(False, False, False)):
    sizes = np.array([[size or n for size in tiles], [n, n, n], [1, 1, 1]])
    dimensions = np.array([["ijk".index(x) for x in order] for order in orders])
    return loop_order(n, sizes, dimensions, np.array(snakes)).tolist()


def test_loops_go_over_tiles_and_then_over_their_elements():
    expected = [
        [i, j, k]
        for k0 in (0, 2)
        for i0 in (0, 2)
        for j in range(3)
        for i in range(i0, min(3, i0 + 2))
        for k in range(k0, min(3, k0 + 2))
    ]
    assert nest(3, tiles=(2, 0, 2), orders=("kij", "ijk", "jik")) == expected


def test_loops_that_turn_around_only_ever_go_to_a_neighbour():
    steps = np.abs(np.diff(nest(4, snakes=(False, False, True)), axis=0)).sum(1)
    assert set(steps.tolist()) == {1}
    assert nest(2, snakes=(False, False, True))[:4] == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0]]


def copies(model, n):
    return [i for i in GridProgram.parse(model.text(n)).instructions if i.operator == "copy"]


def test_elements_that_are_soon_read_often_enough_are_copied():
    plan = GridMatmul(
        inner_loops="ikj", far_window_a=1, far_min_reads_a=4
    )  # an element of A serves 4 multiply-adds, then no more
    assert [copy.sources for copy in copies(plan, 4)] == [(cell,) for cell in range(1, 17)]
    assert copies(dataclasses.replace(plan, far_min_reads_a=5), 4) == []
    assert copies(dataclasses.replace(plan, inner_loops="ijk"), 4) == []  # now it is read again after 4 of them
    assert len(copies(dataclasses.replace(plan, inner_loops="ijk", far_window_a=3), 4)) == 16


def test_a_near_copy_is_made_of_the_far_one():
    order = np.array(nest(4, tiles=(0, 2, 0), orders=("jik", "ijk", "ikj")))  # A serves 2 in a row, in either half of C
    windows, min_reads = np.array([[64, 1], [0, 0]]), np.full((2, 2), 2)
    plan = schedule(4, order, windows, min_reads)
    made = plan.instructions[plan.instructions[:, 0] == COPY]
    far, near = made[made[:, 2] < 32], made[made[:, 2] >= 32]
    assert (len(far), len(near)) == (16, 32)
    assert sorted(set(near[:, 2])) == sorted(far[:, 1])
    assert (plan.reads[near[:, 1]] == 2).all()
    assert (plan.reads[:16] == 1).all()


def test_the_nearest_cell_takes_the_values_with_the_most_reads_that_fit_together():
    rng = np.random.default_rng(3)
    for _ in range(30):
        birth = rng.integers(-1, 12, 8)
        death = birth + rng.integers(1, 6, 8)
        reads = rng.integers(1, 5, 8)
        nothing = np.zeros((0, 4), np.int64)
        plan = Schedule(nothing, birth, death, reads, np.zeros(8, np.int64), np.zeros(0, np.int64))
        cells = ALLOCATIONS["most read"](plan)
        best = 0
        for some in itertools.chain.from_iterable(itertools.combinations(range(8), r) for r in range(9)):
            pairs = itertools.combinations(some, 2)
            if all(death[p] <= birth[q] or death[q] <= birth[p] for p, q in pairs):
                best = max(best, reads[list(some)].sum())
        assert reads[cells == 1].sum() == best
        for p, q in itertools.combinations(range(8), 2):
            assert cells[p] != cells[q] or death[p] <= birth[q] or death[q] <= birth[p]


def test_a_copy_of_a_cell_to_itself_is_left_out():
    instructions = np.array([[COPY, 1, 0, 0]])
    plan = Schedule(instructions, np.array([-1, 0]), np.array([0, 1]), np.array([1, 1]), np.zeros(2), np.array([1]))
    assert plan.is_needed(np.array([5, 5])).tolist() == [False]
    assert plan.is_needed(np.array([5, 1])).tolist() == [True]


def test_a_fit_runs_once_and_predicts_row_by_row():
    runs = []

    def run(program, arguments):
        runs.append(arguments)
        return GridProgram.parse(program).run(arguments)

    task = MatrixProduct(n=3).sample(0)
    model = GridMatmul(allocation="most read")
    fitted = model.fit_by(run, task.for_training(), 0)
    assert runs == [task.train.x[0].tolist()]
    assert task.score(fitted.predict(task.test.x), task.test.y) == 1.0
    assert len(runs) == 1 + len(task.test)
    assert (fitted.history, fitted.steps, fitted.nbytes) == ((), 0, len(model.text(3)))


def test_the_meter_prices_the_run_of_the_fit():
    task, model, meter = MatrixProduct().sample(0), GridMatmul(), GridCost()
    with meter:
        fitted = model.fit_by(meter.run, task.for_training(), 0)
    assert torch.equal(fitted.predict(task.test.x), task.test.y)
    assert meter.reading.value == 1316


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tile_i", -1),
        ("block_k", 65),
        ("outer_loops", "iij"),
        ("far_window_a", 21),
        ("near_min_reads_b", 1),
        ("tile_j", 2.0),
        ("allocation", 0),
    ],
)
def test_fields_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"GridMatmul: {field} must be .*got {value!r}"):
        GridMatmul(**{field: value})


def test_what_is_no_pair_of_square_matrices_is_refused():
    task = MatrixProduct().sample(0)
    odd = dataclasses.replace(task.train, x=task.train.x[:, :-1])
    with pytest.raises(ValueError, match=r"two square matrices, 2 n\^2 numbers .got 31."):
        GridMatmul().fit_by(lambda program, arguments: [], dataclasses.replace(task, train=odd), 0)
    with pytest.raises(ValueError, match=r"n must be at least 1 \(got 0\)"):
        GridMatmul().text(0)
