import itertools
import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from sutrolib.processes.comparison import ComparisonResult, Trajectory
from sutrolib.processes.study import CURVE_UNITS
from sutrolib.walk import process_race
from sutrolib.walk.process_race import detectable_difference, differences, holm, nanogpt_race


def result(best, baseline=100.0):
    """Searches that spend 10 for each of two trials, and find the baseline first and then this."""
    spent = dict.fromkeys(CURVE_UNITS, (10.0, 10.0))
    return ComparisonResult(tuple(Trajectory((None, b), spent, "") for b in best), (baseline,) * len(best))


RACE = {"one": result([50, 52, 49, 51, 50]), "two": result([49, 53, 48, 52, 51]), "far": result([5, 6, 5, 4, 5])}


def test_the_pairs_are_compared_at_equal_spending():
    made = differences(RACE, 20, "total_cost")
    assert [(d.first, d.second) for d in made] == list(itertools.combinations(RACE, 2))
    logs = {name: np.log(r.best) for name, r in RACE.items()}
    plain = [ttest_rel(logs[d.first], logs[d.second]).pvalue for d in made]
    assert [d.p for d in made] == holm(plain)
    assert made[0].p > 0.5
    assert max(made[1].p, made[2].p) < 0.01
    assert made[1].ratio.value == pytest.approx(math.exp(np.mean(logs["one"] - logs["far"])))
    assert made[1].ratio.low > 1


def test_before_anything_was_found_the_baseline_stands():
    made = differences(RACE, 15, "total_cost")
    assert {(d.ratio.value, d.p, d.detectable) for d in made} == {(1.0, 1.0, math.inf)}
    worse = {"worse": result([200.0] * 5), "nothing": result([None] * 5)}
    (found,) = differences(worse, 20, "total_cost")
    assert (found.ratio.value, found.p) == (1.0, 1.0)


def test_seeds_that_the_baseline_misses_are_left_out():
    missed = {name: ComparisonResult(r.trajectories, (math.inf, *r.baseline[1:])) for name, r in RACE.items()}
    rest = {name: ComparisonResult(r.trajectories[1:], r.baseline[1:]) for name, r in RACE.items()}
    assert differences(missed, 20, "total_cost") == differences(rest, 20, "total_cost")
    with pytest.raises(ValueError, match=r"at least 2 seeds that the baseline solves .got 1"):
        differences({n: ComparisonResult(r.trajectories[:1], r.baseline[:1]) for n, r in RACE.items()}, 20, "trials")


@pytest.mark.parametrize(
    ("given", "expected"),  # worked by hand after Holm, 1979
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5], [0.5]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holms_correction(given, expected):
    assert holm(given) == pytest.approx(expected)


def test_the_detectable_difference_is_found_in_four_of_five_races():
    delta, draws = detectable_difference(0.5, 5, 1), np.random.default_rng(0).normal(size=(20_000, 5)) * 0.5
    p = ttest_rel(draws + delta, np.zeros_like(draws), axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.01)
    assert detectable_difference(0.5, 5, 10) > 1.5 * delta
    assert detectable_difference(0.5, 20, 1) < delta
    assert detectable_difference(0.0, 5, 1) == math.inf
    assert math.isfinite(detectable_difference(0.5, 2, 10))


def test_the_race_is_one_of_five_processes_on_nanogpt_itself():
    task = nanogpt_race(100)
    assert set(task.configs) == {"by hand", "random search", "TPE", "TPE with halving", "evolution"}
    assert len({config.process.rung for config in task.configs.values()}) == 5
    space, *others = (config.space for config in task.configs.values())
    assert all(other == space for other in others)
    assert space.model(space.start) == task.baseline
    for change in process_race._SCRIPT:
        space.validate(space.start.family, {**space.start.settings, **change})
    assert task.problem.target_loss > 1.9
