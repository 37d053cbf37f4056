import math
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from sutrolib.core.stats import (
    MIN_PAIRS,
    NoInterval,
    paired_difference,
    paired_ratio,
    pareto_front,
    ratio_of_means,
    rounds_for_signs,
    sign_test,
)

BASELINE, CANDIDATE = [3.0, 4.0, 5.5, 4.2, 3.9], [2.0, 3.5, 4.0, 4.1, 3.0]


def test_intervals_are_students_on_differences_and_on_logarithms():
    gaps = np.subtract(CANDIDATE, BASELINE)
    expected = ttest_1samp(gaps, 0).confidence_interval(0.95)
    found = paired_difference(CANDIDATE, BASELINE)
    assert (found.low, found.value, found.high) == pytest.approx((expected.low, gaps.mean(), expected.high))
    assert found.points == pytest.approx(gaps)
    logs = np.log(CANDIDATE) - np.log(BASELINE)
    expected = ttest_1samp(logs, 0).confidence_interval(0.95)
    found = paired_ratio(CANDIDATE, BASELINE)
    assert (found.low, found.value, found.high) == pytest.approx(
        tuple(np.exp([expected.low, logs.mean(), expected.high]))
    )


def test_where_all_pairs_agree_exactly_there_is_the_mean_alone():
    found = paired_difference([1.5, 2.5, 3.5, 4.5, 5.5], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_fewer_pairs_give_points_and_an_interval_that_excludes_nothing():
    found = paired_ratio(CANDIDATE[: MIN_PAIRS - 1], BASELINE[: MIN_PAIRS - 1])
    assert (found.low, found.high, found.bounded) == (0, math.inf, False)
    assert str(found) == "0.802 (of 0.667, 0.875, 0.727, 0.976; an interval needs 5 pairs)"
    found = paired_difference([2.0], [1.0])
    assert (found.low, found.value, found.high, found.points) == (-math.inf, 1.0, math.inf, (1.0,))


@pytest.mark.parametrize("pairs", [5, 8, 20])
def test_an_interval_covers_the_truth_about_as_often_as_it_says(pairs):
    rng = np.random.default_rng(1)
    intervals = [paired_difference(rng.normal(3.0, 1.0, pairs), np.zeros(pairs)) for _ in range(400)]
    assert 0.92 <= sum(i.low <= 3.0 <= i.high for i in intervals) / len(intervals) <= 0.98


@pytest.mark.parametrize(
    ("values", "named"),
    [([math.inf] * 5, "finite and above 0"), ([0.0] * 5, "finite and above 0"), ([], "at least 1 pair")],
)
def test_what_has_no_ratio_is_refused(values, named):
    with pytest.raises(ValueError, match=named):
        paired_ratio(values, [1.0] * len(values))


def test_the_pareto_front_holds_what_nothing_beats_in_both():
    points = {"a": (1.0, 3.0), "b": (2.0, 3.5), "c": (3.0, 2.0), "d": (4.0, 2.0), "e": (9.0, 1.0), "f": (1.0, 4.0)}
    assert pareto_front(points) == ["a", "c", "e"]
    assert pareto_front({}) == []


@pytest.mark.parametrize(
    ("differences", "p"),
    [([1] * 6, 2 / 64), ([1] * 5 + [-1], 2 * 7 / 64), ([1, -1, 0, 0], 1), ([0, 0], 1), ([-2] * 3 + [0], 2 / 8)],
)
def test_the_sign_test_counts_signs_and_leaves_zeros_out(differences, p):
    assert sign_test(differences) == pytest.approx(p)
    assert sign_test([-d for d in differences]) == pytest.approx(p)


def test_signs_show_a_difference_from_six_rounds_on():
    assert rounds_for_signs() == 6
    assert sign_test([1] * 6) < 0.05 < sign_test([1] * 5)


samples = st.lists(
    st.tuples(st.floats(5, 20).map(lambda v: round(v, 2)), st.floats(5, 20).map(lambda v: round(v, 2))),
    min_size=3,
    max_size=12,
)


@given(samples)
def test_the_bounds_of_a_ratio_are_where_a_test_of_equality_just_fails(pairs):
    a, b = np.array(pairs).T
    try:
        ratio = ratio_of_means(a, b)
    except NoInterval:
        assume(False)
    assume(ratio.high - ratio.low > 1e-3)
    assert ratio.low < ratio.value < ratio.high
    for bound in (ratio.low, ratio.high):
        assert ttest_1samp(a - bound * b, 0).pvalue == pytest.approx(0.05, abs=1e-4)
    swapped = ratio_of_means(b, a)
    assert (1 / swapped.high, 1 / swapped.value, 1 / swapped.low) == pytest.approx((ratio.low, ratio.value, ratio.high))


def test_the_least_ratio_that_is_named_is_the_bound_of_a_test_of_equality():
    a, b = np.array([4.0, 5.0, 4.5, 4.2]), np.array([0.1, -0.1, 0.2, 0.0])
    with pytest.raises(NoInterval) as error:
        ratio_of_means(a, b)
    least = float(re.search(r"at least (\S+) times as large", str(error.value))[1])
    assert ttest_1samp(a - least * b, 0).pvalue == pytest.approx(0.05, rel=0.02)


def test_a_fluke_below_zero_does_not_make_the_least_ratio_larger():
    a, noise = np.array([4.0, 5.0, 4.5, 4.2]), np.array([0.1, -0.1, 0.2, -0.2])
    messages = []
    for b in (noise, noise - 1):
        with pytest.raises(NoInterval) as error:
            ratio_of_means(a, b)
        messages.append(str(error.value))
    assert "at least" in messages[0]
    assert messages[0] == messages[1]
