import json
import math

import numpy as np
import pytest
from searches import METER, PROBLEM, SPACE

from sutrolib.measurement.measure import measure
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import (
    ComparisonResult,
    SearchConfig,
    Trajectory,
    compare_searches,
    why_withheld,
)
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.samplers import RandomSearch, TPESearch
from sutrolib.processes.space import SearchSpace, family_of

START = TwoLayerNetwork(hidden=200, max_epochs=20)


def trajectory(*costs):
    """A search whose trials cost this much, None for one that solves nothing; each has a total cost of 10."""
    each = {"trials": 1.0, "total_cost": 10.0, "seconds": 2.0, "joules": 5.0}
    return Trajectory(costs, {unit: (value,) * len(costs) for unit, value in each.items()}, "made up")


def lifetime_cost(run):
    """Training and 1,000 predictions."""
    return run.reading("operations").value + run.reading("inference-operations").value


def test_every_search_runs_on_every_seed_and_the_baseline_is_measured_on_the_same_ones():
    seen = []
    configs = {"random": SearchConfig(RandomSearch(), SPACE), "TPE": SearchConfig(TPESearch(n_startup_trials=2), SPACE)}
    found = compare_searches(configs, PROBLEM, START, METER, SearchBudget(trials=4), (0, 7), on_study=seen.append)
    assert [study.process for study in seen] == ["random search", "TPE"] * 2
    assert [study.seed for study in seen] == [0, 0, 7, 7]
    expected = [lifetime_cost(measure(PROBLEM, START, [METER], seed, use="always")) for seed in (0, 7)]
    assert found["random"].baseline == found["TPE"].baseline == tuple(pytest.approx(cost) for cost in expected)


def test_a_space_with_a_cheaper_algorithm_beats_the_baseline_and_pays_for_itself():
    space = SearchSpace((*SPACE.families, family_of(GF2Elimination())))
    configs, seen = {"all": SearchConfig(RandomSearch(), space)}, []
    budget = SearchBudget(trials=6)
    found = compare_searches(configs, PROBLEM, START, METER, budget, range(3), on_study=seen.append)["all"]
    assert found.solved == 3
    assert found.beats_baseline([6]).tolist() == [1.0]
    for search, before, after in zip(seen, found.baseline, found.break_even, strict=True):
        assert after == pytest.approx(search.total_cost / (before - search.best.lifetime_cost))


def test_a_comparison_is_withheld_for_too_few_trials_an_unsolved_baseline_and_a_search_without_result():
    fine = ComparisonResult((trajectory(5.0, None, 4.0),) * 3, (9.0,) * 3)
    assert why_withheld({"grid": fine, "random": fine}, 3) == ""
    short = ComparisonResult((trajectory(5.0, 4.0, 3.0), trajectory(5.0)), (9.0, 9.0))
    assert why_withheld({"grid": fine, "TPE": short}, 3) == "not enough trials: TPE 1 of 3"
    assert why_withheld({"none": ComparisonResult((), ())}, 3).startswith("not enough trials: none 0 of 3; none found ")
    vain = ComparisonResult((trajectory(None, None, None), trajectory(1.0, None, None)), (9.0, math.inf))
    reasons = ["the baseline does not solve every seed", "random found something on 1 of 2 seeds"]
    assert why_withheld({"grid": fine, "random": vain}, 3) == "; ".join(reasons)


def test_quartiles_follow_the_best_so_far_and_are_infinite_while_nothing_is_solved():
    three = trajectory(None, 100.0, 50.0), trajectory(80.0, 90.0, 20.0), trajectory(60.0, 40.0, 70.0)
    result = ComparisonResult(three, (75.0, 75.0, 75.0))
    assert result.best_at([1, 2, 3]).tolist() == [[math.inf, 100, 50], [80, 80, 20], [60, 40, 40]]
    assert result.quartiles([1, 3])[1].tolist() == [pytest.approx(80 / 75), pytest.approx(40 / 75)]
    assert result.beats_baseline([0.5, 1, 2, 3]).tolist() == [0, pytest.approx(1 / 3), pytest.approx(1 / 3), 1]
    assert np.isinf(result.best_at([0.5])).all()
    assert result.best_at([20, 30], "total_cost")[:, 1].tolist() == [50, 20, 40]
    assert (
        result.best_at([4], "seconds")[:, 0].tolist() == result.best_at([10], "joules")[:, 0].tolist() == [100, 80, 40]
    )
    with pytest.raises(ValueError, match="unit must be one of trials, total_cost"):
        result.best_at([1], "euros")


def test_break_even_is_the_total_cost_over_what_a_training_saves():
    assert ComparisonResult((trajectory(None, 50.0),), (75.0,)).break_even == (pytest.approx(20 / 25),)
    assert ComparisonResult((trajectory(90.0),), (75.0,)).break_even == (math.inf,)
    assert ComparisonResult((trajectory(50.0),), (math.inf,)).break_even == (pytest.approx(10 / 50),)
    assert ComparisonResult((trajectory(None),), (math.inf,)).break_even == (math.inf,)


def test_a_result_comes_back_from_plain_json_as_it_was():
    result = ComparisonResult((trajectory(None, 50.0), trajectory(None, None)), (75.0, math.inf))
    assert ComparisonResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))) == result


@pytest.mark.usefixtures("steady_clock")
def test_by_hand_only_what_was_kept_counts_as_found():
    process = ManualTuning([ProposedChange("worse", {"hidden": 200}, "")], pairs=5)
    found = Trajectory.of(process.improve(PROBLEM, SPACE, METER, SearchBudget(trials=5)))
    assert [cost is None for cost in found.costs] == [False, True]
    assert "hidden=100" in found.found


def test_the_baseline_is_measured_on_as_many_seeds_as_the_trials():
    searches = {"one seed": RandomSearch(), "two seeds": RandomSearch(pairs=2)}
    configs = {name: SearchConfig(search, SPACE) for name, search in searches.items()}
    found = compare_searches(configs, PROBLEM, START, METER, SearchBudget(trials=1), (0,))
    runs = [measure(PROBLEM, START, [METER], seed, use="always") for seed in (0, 1)]
    first, second = (run.reading("operations").value for run in runs)
    use = runs[0].reading("inference-operations").value  # on the first seed alone
    assert found["one seed"].baseline == (pytest.approx(first + use),)
    assert found["two seeds"].baseline == (pytest.approx(math.sqrt(first * second) + use),)
