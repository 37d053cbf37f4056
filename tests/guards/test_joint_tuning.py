import math

import pytest
from builders import measurement

from sutrolib.guards.joint_tuning import (
    CostEvaluator,
    Lifetime,
    break_even,
    coordinate_search,
    joint_moves,
    joint_tuning_gap,
    lifetime,
    tune_jointly,
    tune_separately,
)
from sutrolib.meters import OperationCount
from sutrolib.meters.base import Kind, Reading
from sutrolib.models.images.classifier import MLPClassifier
from sutrolib.problems.digits import Digits

SPACE = {"a": (0, 1, 2, 3), "b": (0, 1, 2, 3)}


def ridge(setting):
    """Cheap along a = b, and the cheaper the larger: no single move helps on the ridge, and a joint one does."""
    return 10 + 5 * abs(setting["a"] - setting["b"]) - setting["a"] - setting["b"]


def bowl(setting):
    return 1 + (setting["a"] - 2) ** 2 + (setting["b"] - 1) ** 2


class FromTable(CostEvaluator):
    """Trials whose costs come from a function instead of a training."""

    def __init__(self, cost, seeds=(0, 1, 2), luck=None):
        super().__init__(None, None, OperationCount(), seeds)
        self.from_setting, self.luck = cost, luck or {}

    def run(self, setting, seed):
        value = self.from_setting(setting) * self.luck.get(seed, 1.0)
        reading = Reading("operations", value, "operations", Kind.COUNTED)
        clock = Reading("time", 1.0, "s", Kind.MEASURED)
        return measurement(seed=seed, readings=(clock, reading))


def test_a_single_search_gets_stuck_on_a_ridge_and_finds_the_bottom_of_a_bowl():
    assert coordinate_search(ridge, {"a": 0, "b": 0}, SPACE) == {"a": 0, "b": 0}
    assert coordinate_search(bowl, {"a": 0, "b": 3}, SPACE) == {"a": 2, "b": 1}


def test_joint_moves_change_two_settings_by_one():
    assert len(joint_moves({"a": 1, "b": 1}, SPACE)) == 4
    assert joint_moves({"a": 0, "b": 0}, SPACE) == [{"a": 1, "b": 1}]


def test_what_was_left_is_found_on_the_ridge_with_its_sign():
    found = joint_tuning_gap(FromTable(ridge), {"a": 0, "b": 0}, SPACE, fresh=range(7, 12))
    assert found.best == {"a": 1, "b": 1}
    assert found.ratio.value == pytest.approx(8 / 10)
    assert "cheaper" in found.why


def test_nothing_is_left_at_the_bottom_of_a_bowl():
    found = joint_tuning_gap(FromTable(bowl), {"a": 2, "b": 1}, SPACE, fresh=range(7, 12))
    assert (found.best, found.ratio) == (None, None)
    assert found.why == "none of 4 joint moves was cheaper"


def test_luck_on_the_seeds_of_the_search_does_not_pass_for_a_gain():
    class Lucky(FromTable):
        def run(self, setting, seed):
            lucky = setting == {"a": 1, "b": 1} and seed in self.seeds
            self.luck = {seed: 0.5 if lucky else 1 + 0.1 * (seed % 3)}
            return super().run(setting, seed)

    found = joint_tuning_gap(Lucky(lambda setting: 10.0), {"a": 0, "b": 0}, SPACE, fresh=range(7, 12))
    assert found.best == {"a": 1, "b": 1}
    assert found.ratio.value == pytest.approx(1)
    assert "not shown to differ" in found.why


def test_seeds_that_the_search_has_used_are_not_fresh():
    with pytest.raises(ValueError, match=r"seeds \[2\] are not fresh"):
        joint_tuning_gap(FromTable(bowl), {"a": 0, "b": 0}, SPACE, fresh=(2, 8, 9))


def test_apart_and_jointly_spend_the_same_number_of_trials():
    parts = [{"a": SPACE["a"]}, {"b": SPACE["b"]}]
    for search in (tune_separately, tune_jointly):
        asked = []
        search(lambda s, asked=asked: asked.append(tuple(s.items())) or bowl(s), {"a": 9, "b": 9}, parts, 6, seed=0)
        assert len(set(asked) - {(("a", 9), ("b", 9))}) <= 6
    assert tune_jointly(bowl, {"a": 0, "b": 0}, parts, 16, seed=0) == {"a": 2, "b": 1}
    assert tune_separately(bowl, {"a": 0, "b": 0}, parts, 8, seed=0) == {"a": 2, "b": 1}
    assert tune_separately(ridge, {"a": 0, "b": 0}, parts, 8, seed=0) == {"a": 0, "b": 0}  # stuck
    assert ridge(tune_jointly(ridge, {"a": 0, "b": 0}, parts, 16, seed=0)) == 4


def test_a_setting_that_does_not_solve_the_problem_costs_infinity():
    seen = []
    model = MLPClassifier(max_epochs=1, lr=1e-5)
    trials = CostEvaluator(Digits(), model, OperationCount(), (0, 1), on_measurement=seen.append)
    assert trials.cost({"hidden": 8}) == math.inf
    assert len(seen) == 1  # the second seed would not change that
    with pytest.raises(ValueError, match="does not solve the problem"):
        coordinate_search(trials.cost, {"hidden": 8}, {"hidden": (8, 16)})


@pytest.mark.slow
def test_real_trials_are_measured_once_and_told_of():
    told = []
    trials = CostEvaluator(Digits(), MLPClassifier(), OperationCount(), (0,), on_measurement=told.append)
    assert trials.cost({"hidden": 64}) == trials.cost({"hidden": 64}) > 1e6
    assert len(told) == 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((10, 3), (30, 1), 10), ((30, 1), (10, 3), 10), ((10, 1), (30, 3), None), ((10, 1), (10, 1), None)],
)
def test_the_break_even_is_where_both_lives_cost_the_same(one, other, expected):
    a, b = (Lifetime(*values, "J") for values in (one, other))
    assert break_even(a, b) == expected
    if expected:
        assert a.total(expected) == pytest.approx(b.total(expected))


def test_lifetimes_in_different_units_do_not_break_even():
    with pytest.raises(ValueError, match=r"the same unit \(got J and s\)"):
        break_even(Lifetime(1, 1, "J"), Lifetime(1, 1, "s"))


def test_a_lifetime_is_read_off_whole_measurements():
    readings = [Reading("cost", 7.0, "J", Kind.MODELLED), Reading("inference-cost", 2000.0, "J", Kind.MODELLED)]
    assert lifetime([measurement(readings=tuple(readings))], "cost") == Lifetime(7.0, 2.0, "J")
    with pytest.raises(KeyError, match="inference-cost"):
        lifetime([measurement()], "cost")


def test_bad_budgets_and_starts_are_refused():
    with pytest.raises(ValueError, match="budget must be at least 2 trials"):
        tune_separately(bowl, {}, [{"a": (0,)}, {"b": (0,)}], 1, 0)
    with pytest.raises(ValueError, match="budget must be at least 1 trial"):
        tune_jointly(bowl, {}, [{"a": (0,)}], 0, 0)
    with pytest.raises(ValueError, match=r"a must be one of 0, 1, 2, 3 \(got 9\)"):
        coordinate_search(bowl, {"a": 9, "b": 0}, SPACE)


def test_settings_that_solve_nothing_have_no_gap_and_a_space_without_moves_says_so():
    unsolved = FromTable(ridge)
    unsolved.known[(("a", 0), ("b", 0))] = math.inf
    with pytest.raises(ValueError, match=r"\{'a': 0, 'b': 0\} do not solve the problem"):
        joint_tuning_gap(unsolved, {"a": 0, "b": 0}, SPACE, fresh=range(7, 12))
    found = joint_tuning_gap(FromTable(ridge), {"a": 0, "b": 0}, {"a": (0, 1)}, fresh=range(7, 12))
    assert found.why == "there is no joint move"
