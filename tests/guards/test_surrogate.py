import pytest

from sutrolib.figures import draw_agreement
from sutrolib.guards.surrogate import median_readings, rank_agreement
from sutrolib.measure import Measurement
from sutrolib.meters.base import Kind, Reading


def runs(*pairs):
    """One candidate for each pair of values, with two runs around it."""
    return [[_run(a * f, b * f) for f in (0.99, 1.01)] for a, b in pairs]


def _run(a, b):
    readings = (Reading("a", a, "x", Kind.COUNTED), Reading("b", b, "J", Kind.ESTIMATED))
    return Measurement({"name": "p"}, {"name": "m"}, "", 0, "accuracy", 1.0, 0.9, readings, {})


@pytest.mark.parametrize(
    ("order", "tau"), [((1, 2, 3, 4, 5), 1.0), ((5, 4, 3, 2, 1), -1.0), ((2, 1, 3, 4, 5), 0.8), ((3, 1, 5, 2, 4), 0.2)]
)
def test_tau_is_the_share_of_pairs_ordered_alike_minus_the_share_ordered_oppositely(order, tau):
    found = rank_agreement(runs(*zip((1, 2, 3, 4, 5), order, strict=True)), "a", "b")
    assert found.value == pytest.approx(tau)
    assert found.low <= found.value <= found.high


def test_few_candidates_of_mixed_order_leave_a_wide_interval():
    found = rank_agreement(runs((1, 2), (2, 1), (3, 4), (4, 3), (5, 5)), "a", "b")
    assert found.high - found.low > 0.5


def test_what_is_ranked_is_the_median_over_seeds():
    medians = median_readings(runs((1, 10), (2, 20)), ["b", "a"])
    assert medians.to_numpy().tolist() == [[pytest.approx(10), pytest.approx(1)], [pytest.approx(20), pytest.approx(2)]]


def test_too_few_candidates_are_refused():
    with pytest.raises(ValueError, match="3 candidates"):
        rank_agreement(runs((1, 1), (2, 2), (3, 3)), "a", "b")


@pytest.mark.parametrize("candidates", range(4, 13))
def test_a_perfect_ranking_can_be_drawn_and_lies_in_its_interval(candidates):
    from types import SimpleNamespace

    def measured(value):
        return [SimpleNamespace(reading=lambda name: SimpleNamespace(value=value))]

    tau = rank_agreement([measured(float(i)) for i in range(candidates)], "a", "b")
    assert tau.low <= tau.value <= tau.high
    draw_agreement({"a": tau}, "")


def test_noise_between_near_equal_candidates_widens_the_interval_of_a_perfect_ranking():
    steady = [[_run(i, i) for _ in range(3)] for i in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    noisy = [[_run(i, i + shift) for shift in (-0.9, 0.0, 0.9)] for i in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    one, other = (rank_agreement(group, "a", "b") for group in (steady, noisy))
    assert one.value == other.value == pytest.approx(1)
    assert other.low < 0.9 < one.low
