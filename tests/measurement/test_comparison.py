import pytest
from builders import busy, measurement
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.measurement.comparison import A_CLOCK, compare, kinds_of, reading_ratio
from sutrolib.measurement.tables import cost_table
from sutrolib.meters.base import Kind, Reading
from sutrolib.processes.manual import _decide

SEEDS = range(6)


def runs(costs=None, seconds=None, scores=None, **fields):
    return [
        measurement(
            seed=seed,
            cost=10.0 if costs is None else costs[seed],
            seconds=1.0 if seconds is None else seconds[seed],
            score=1.0 if scores is None else scores[seed],
            **fields,
        )
        for seed in SEEDS
    ]


def test_cheaper_and_no_worse_passes():
    verdict = compare(runs(costs=[5.0] * 6), runs(), "cost")
    assert verdict.passed
    assert verdict.why.startswith("passed at 95% over 6 pairs; cost ratio 0.5 [0.5, 0.5]: below 1")


def test_the_same_does_not_pass():
    assert not compare(runs(), runs(), "cost").passed


@pytest.mark.parametrize(
    ("candidate", "failing"),
    [
        ({"costs": [5, 5, 5, 5, 5, 80.0]}, "cheaper"),
        ({"costs": [5.0] * 6, "seconds": [1.2] * 6}, "time_held"),
        ({"costs": [5.0] * 6, "scores": [0.95] * 6}, "score_held"),
    ],
)
def test_each_condition_alone_can_fail_it(candidate, failing):
    verdict = compare(runs(**candidate), runs(), "cost")
    held = {name: getattr(verdict, name) for name in ("cheaper", "time_held", "score_held")}
    assert held == {name: name != failing for name in held}
    assert not verdict.passed
    assert verdict.why.startswith("not passed")


def test_margins_are_what_the_caller_states():
    slower = runs(costs=[5.0] * 6, seconds=[1.2] * 6)
    assert compare(slower, runs(), "cost", time_margin=0.3).passed
    worse = runs(costs=[5.0] * 6, scores=[0.95] * 6)
    assert compare(worse, runs(), "cost", score_margin=0.1).passed


def test_runs_are_paired_by_seed_and_not_by_order():
    costs = [1.0, 10.0, 100.0, 1000.0, 1e4, 1e5]
    baseline = runs(costs=costs)
    candidate = runs(costs=[c / 2 for c in costs])
    verdict = compare(candidate[::-1], baseline, "cost")
    assert verdict.cost.value == pytest.approx(0.5)
    assert verdict.cost.high == pytest.approx(0.5)


@given(factor=st.floats(1e-6, 1e6), costs=st.lists(st.floats(0.5, 2.0), min_size=6, max_size=6))
def test_the_ratio_scales_with_the_cost(factor, costs):
    one = compare(runs(costs=costs), runs(), "cost").cost
    other = compare(runs(costs=[c * factor for c in costs]), runs(), "cost").cost
    assert other.value == pytest.approx(one.value * factor, rel=1e-6)


@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_with_fewer_than_five_pairs_there_are_points_and_no_verdict(pairs):
    verdict = compare(runs(costs=[1.0, 2.0, 1.0, 2.0, 1.0, 2.0])[:pairs], runs()[:pairs], "cost")
    assert verdict.cost.points == pytest.approx([0.1, 0.2, 0.1, 0.2][:pairs])
    assert not verdict.cost.bounded
    properties = ("passed", "cheaper", "faster", "costlier", "slower", "time_held", "score_held")
    assert not any(getattr(verdict, name) for name in properties)
    shown = ", ".join(["0.1", "0.2", "0.1", "0.2"][:pairs])
    assert verdict.why.startswith(f"no verdict: {pairs} pairs are too few, at least 5 are needed; cost ratio {shown};")


def test_nothing_follows_from_a_time_that_was_read_on_a_busy_machine():
    loaded = [busy(run) for run in runs(costs=[5.0] * 6, seconds=[0.1] * 6)]
    verdict = compare(loaded, runs(), "cost")
    assert verdict.cheaper  # a count does not depend on the load
    assert not any(getattr(verdict, name) for name in ("passed", "faster", "slower", "time_held"))
    assert verdict.state == "not decided"
    assert "time ratio 0.1 (not decided: the machine was busy, load 0.40); score" in verdict.why
    assert verdict.why.startswith("not decided at 95%")
    assert str(reading_ratio(runs(), loaded, "time")) == "10 (not decided: the machine was busy, load 0.40)"
    costlier = [busy(run) for run in runs(costs=[50.0] * 6)]
    assert compare(costlier, runs(), "cost").state == "not passed"
    assert compare([busy(run, load=0.2) for run in runs(costs=[5.0] * 6)], runs(), "cost").passed


@pytest.mark.parametrize(
    ("candidate", "baseline", "named"),
    [
        (runs()[:5], runs(), "seeds"),
        ([*runs(), runs()[0]], runs(), "more than once"),
        ([], [], r"at least 1 pair \(got 0\)"),
        (runs(problem={"name": "other"}), runs(), "different problems"),
        (runs(kind=Kind.MEASURED), runs(), "counted units, measured units"),
    ],
)
def test_what_cannot_be_compared_is_refused(candidate, baseline, named):
    with pytest.raises(ValueError, match=named):
        compare(candidate, baseline, "cost")


def test_a_reading_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(KeyError, match="no reading 'joules'; there are time, cost"):
        compare(runs(), runs(), "joules")


def estimates(joules, seconds, watts, operations):
    """Runs with estimated joules, each of its own mean power over a window of three runs."""
    detail = {"runs": 3}
    return [
        measurement(
            seed=seed,
            readings=(
                Reading("time", seconds, "s", Kind.MEASURED, detail),
                Reading("codecarbon", joules, "J", Kind.ESTIMATED, detail | {"window_s": 3 * joules / watts[seed]}),
                Reading("operations", operations, "operations", Kind.COUNTED),
            ),
        )
        for seed in SEEDS
    ]


def test_joules_that_only_tell_the_time_are_no_criterion_and_what_differs_stands_beside_them():
    steady, baseline = [27.87, *[27.96] * 5], estimates(100.0, 4.0, [27.9] * 6, 200.0)
    verdict = compare(estimates(50.0, 2.0, steady, 150.0), baseline, "codecarbon")
    assert verdict.passed
    assert not verdict.cheaper
    assert _decide(verdict) == (True, "better in time")
    assert f"codecarbon ratio 0.5 [0.5, 0.5] (27.87 to 27.96 W, spread 0.32 %: {A_CLOCK}); " in verdict.why
    assert "time ratio 0.5 [0.5, 0.5]: below 1; " in verdict.why
    assert verdict.why.endswith("operations ratio 0.75 [0.75, 0.75]; least favourable: operations")
    slower = compare(estimates(104.0, 4.16, steady, 150.0), baseline, "codecarbon")  # within the margin of time
    assert (slower.state, slower.costlier) == ("not passed", False)
    assert "time ratio 1.04 [1.04, 1.04]: not shown to be below 1" in slower.why
    assert slower.why.endswith("least favourable: time")  # not the energy, which is the time here
    few = compare(estimates(50.0, 2.0, steady, 150.0)[:2], baseline[:2], "codecarbon")
    assert A_CLOCK in few.why


def test_joules_whose_power_differs_are_a_criterion_and_say_their_watts():
    verdict = compare(estimates(50.0, 2.0, [20.0] * 6, 150.0), estimates(100.0, 4.0, [28.0] * 6, 200.0), "codecarbon")
    assert verdict.cheaper
    assert A_CLOCK not in verdict.why
    assert "codecarbon ratio 0.5 [0.5, 0.5] (20 to 28 W, spread 40 %): below 1; " in verdict.why


def test_a_table_says_where_estimated_joules_only_tell_the_time():
    steady = {"model": estimates(50.0, 2.0, [28.0] * 6, 150.0)}
    assert [row[0] for row in cost_table(steady)[1]][-1] == f"codecarbon, J (estimated: {A_CLOCK})"
    readings = [run.reading("codecarbon") for run in estimates(50.0, 2.0, [20.0, *[28.0] * 5], 150.0)]
    assert kinds_of(readings) == kinds_of(readings[:1]) == "estimated"
