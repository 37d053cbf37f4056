import dataclasses
import json
import math
import statistics

import optuna
import pytest
from searches import CHOICES, CRASHING, METER, PROBLEM, SPACE, START, Crashing

from sutrolib.core.types import Budget
from sutrolib.measurement.measure import measure
from sutrolib.meters import CodeCarbon, WallTime
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import (
    RANDOM_FEATURES_CONTROL,
    SHUFFLED_LABELS_CONTROL,
    Milestone,
    Override,
    ResourceUse,
    SearchBudget,
    baseline_control,
)
from sutrolib.processes.comparison import Trajectory
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.evaluator import Evaluator, TrialState
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.samplers import GridSearch, ParetoSearch, PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.space import SearchSpace, family_of, space_of
from sutrolib.processes.study import Trial

TRIALS = SearchBudget(trials=8)
SEARCHES = [
    RandomSearch(),
    TPESearch(n_startup_trials=3),
    ParetoSearch(population_size=4),
    PrunedTPE(n_startup_trials=3),
    GridSearch(),
]
each_search = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.name)


@each_search
def test_every_search_finds_a_cheaper_model_within_the_budget_and_says_what_it_spent(search):
    study = search.improve(PROBLEM, SPACE, METER, TRIALS)
    baseline = measure(PROBLEM, START, [METER], 0)
    assert len(study.trials) == 8
    assert study.stopped == "budget spent: 8 of 8 trials"
    assert study.best.cost < baseline.reading("operations").value
    assert study.spent.trials == 8
    assert study.spent.seconds > 0
    assert study.total_cost == pytest.approx(sum(trial.total_cost for trial in study.trials))
    assert all(trial.spent.trials == 1 and trial.prior_knowledge == "samples only" for trial in study.trials)


@pytest.mark.slow
@each_search
def test_equal_seeds_give_equal_searches_and_others_do_not(search):
    if isinstance(search, ParetoSearch):
        pytest.skip("the wall time is one of its objectives, and never the same twice")
    one, again, other = (search.improve(PROBLEM, SPACE, METER, TRIALS, seed) for seed in (0, 0, 1))
    proposals = [[trial.proposal.key for trial in study.trials] for study in (one, again, other)]
    assert proposals[0] == proposals[1]
    assert isinstance(search, GridSearch) or proposals[0] != proposals[2]
    assert [t.cost for t in one.trials] == [t.cost for t in again.trials]


def test_what_is_found_is_what_measuring_it_again_gives():
    study = RandomSearch(pairs=2).improve(PROBLEM, SPACE, METER, TRIALS)
    runs = [measure(PROBLEM, study.model, [METER], seed).reading("operations").value for seed in (0, 1)]
    assert study.best.cost == pytest.approx(math.sqrt(runs[0] * runs[1]))


def test_a_grid_tries_every_combination_once_and_ends():
    study = GridSearch().improve(PROBLEM, CHOICES, METER, SearchBudget(trials=100))
    assert study.stopped == "the grid is used up"
    assert len({trial.proposal.key for trial in study.trials}) == len(study.trials) == 6
    assert study.tried == "6 of 6 settings"


def test_a_random_search_ends_when_the_space_is_used_up():
    study = RandomSearch().improve(PROBLEM, CHOICES, METER, SearchBudget(trials=100))
    assert "used up" in study.stopped
    assert len({trial.proposal.key for trial in study.trials}) == len(study.trials) == 6


def test_trials_that_crash_or_run_out_of_memory_are_recorded_and_the_search_goes_on():
    study = GridSearch().improve(PROBLEM, SearchSpace((CRASHING,)), METER, TRIALS)
    found = {trial.proposal.settings["how"]: (trial.state, trial.why) for trial in study.trials}
    assert found["raise"] == (TrialState.FAILED, "RuntimeError: out of order")
    assert found["memory"] == (TrialState.FAILED, "MemoryError: Unable to allocate 1.00 TiB")
    assert found["learn"][0] is TrialState.SOLVED
    assert study.model == Crashing("learn")


def test_settings_that_diverge_are_failed_trials():
    space = space_of(TwoLayerNetwork(lr=100.0, loss="square"), lr=Range(50.0, 100.0))
    study = RandomSearch().improve(PROBLEM, space, METER, SearchBudget(trials=2))
    assert study.best is None
    assert [t.state for t in study.trials] == [TrialState.FAILED] * 2
    assert all("not finite" in t.why for t in study.trials)
    with pytest.raises(ValueError, match="none of 2 trials solved the problem"):
        _ = study.model


def test_a_halving_search_ends_trainings_early_and_charges_them():
    space = space_of(dataclasses.replace(START, stop_accuracy=1.0, max_epochs=40), lr=Range(1e-4, 1.0, log=True))
    study = PrunedTPE(n_startup_trials=3, min_resource=1).improve(PROBLEM, space, METER, SearchBudget(trials=20))
    pruned = [trial for trial in study.trials if trial.state is TrialState.PRUNED]
    assert pruned
    assert all(trial.cost is None and trial.total_cost > 0 for trial in pruned)
    full = measure(PROBLEM, space.model(pruned[0].proposal), [METER], 0).reading("operations").value
    assert pruned[0].total_cost < full / 2


def test_a_held_out_score_that_is_not_finite_fails_the_trial_that_is_watched():
    class Watched(TwoLayerNetwork):
        def fit(self, task, seed, budget=None):
            budget.watch(1, math.nan)

    found = Evaluator(PROBLEM, METER, [0]).evaluate(Watched(), optuna.create_study().ask())
    assert (found.state, found.why) == (TrialState.FAILED, "held-out score is nan")


def test_who_watches_a_training_ends_all_of_its_passes():
    seen = []
    watch = Budget(watch=lambda updates, score: seen.append(updates) or len(seen) < 2)
    run = measure(PROBLEM, TwoLayerNetwork(lr=1e-4), [WallTime(runs=1, window=0), METER], 0, budget=watch)
    once = measure(PROBLEM, TwoLayerNetwork(lr=1e-4, max_epochs=2), [METER], 0)
    assert len(seen) == 2
    assert run.reading("operations") == once.reading("operations")


def test_a_pareto_front_holds_what_nothing_else_beats():
    study = ParetoSearch(population_size=4).improve(PROBLEM, SPACE, METER, SearchBudget(trials=12))
    values = {t.number: (t.cost or t.total_cost, t.seconds, -t.score) for t in study.trials if t.score is not None}
    front = {trial.number for trial in study.pareto_front}
    assert front
    for number, mine in values.items():
        beaten = any(t != mine and all(b <= a for a, b in zip(mine, t, strict=True)) for t in values.values())
        assert (number in front) != beaten


def test_a_search_without_the_clock_takes_no_time_reading_and_holds_no_lock():
    study = RandomSearch().improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    assert study.trials[0].seconds is None
    assert [r.name for r in study.trials[0].runs[0].readings] == ["operations", "inference-operations"]
    with pytest.raises(ValueError, match="timed=False"):
        measure(PROBLEM, START, [CodeCarbon()], 0, timed=False)


def test_a_budget_in_estimated_joules_ends_the_search_before_a_trial_that_would_overspend_it():
    study = RandomSearch().improve(PROBLEM, SPACE, METER, SearchBudget(joules=10.0))
    *before, last = [trial.spent.joules for trial in study.trials]
    assert sum(before) + (statistics.median(before) if before else 0) <= 10
    assert sum(before) + last + statistics.median([*before, last]) > 10
    assert "J (estimated)" in study.stopped
    assert study.overspent == study.spent.joules / 10


@pytest.fixture
def ten_seconds(monkeypatch):
    """Every trial takes 10 s."""
    for module in ("search", "manual"):
        clock = lambda estimator: lambda trials: ResourceUse(trials, 10.0)  # noqa: E731
        monkeypatch.setattr(f"sutrolib.processes.{module}.start_clock", clock)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "trials", "stopped"),
    [
        (35, 3, "30 of 35 s, too little left for a trial of about 10"),
        (30, 3, "30 of 30 s"),
        (4, 1, "10 of 4 s, overspent 2.5 times"),
    ],
)
def test_no_trial_begins_that_would_overspend_the_budget_but_the_first(ten_seconds, seconds, trials, stopped):
    budget = SearchBudget(seconds=seconds)
    study = RandomSearch(check_best=False).improve(PROBLEM, SPACE, METER, budget)
    assert (len(study.trials), study.stopped) == (trials, f"budget spent: {stopped}")
    assert study.overspent == Trajectory.of(study).overspent(budget) == 10 * trials / seconds
    changes = [ProposedChange(f"hidden = {n}", {"hidden": n}, "cheaper") for n in (20, 30, 40, 50)]
    by_hand = ManualTuning(changes).improve(PROBLEM, SPACE, METER, budget)
    assert (len(by_hand.trials), by_hand.stopped) == (trials, f"budget spent: {stopped}")


class _Waited(Exception):
    pass


def test_a_trial_that_another_worker_is_at_is_counted_before_one_begins(ten_seconds, tmp_path):
    def stop():
        raise _Waited

    search = RandomSearch(journal=tmp_path / "study.log", on_wait=stop)
    search.improve(PROBLEM, SPACE, METER, SearchBudget(seconds=10))
    storage = search.open_storage(PROBLEM, SPACE, METER, 0)
    storage.begin(search.sampler)  # by a process that is alive
    with pytest.raises(_Waited):  # it waits: the other one may die
        search.improve(PROBLEM, SPACE, METER, SearchBudget(seconds=25))
    assert len(storage.finished()) == 1
    with pytest.raises(_Waited):
        search.improve(PROBLEM, SPACE, METER, SearchBudget(seconds=30))
    assert len(storage.finished()) == 2


def test_a_milestone_is_judged_even_if_no_trial_fits_into_the_rest_of_its_time(ten_seconds):
    plan = Milestone("cheap", SearchBudget(seconds=25), 1.0)
    study = RandomSearch(milestones=(plan,)).improve(PROBLEM, SPACE, METER, SearchBudget(seconds=25))
    assert len(study.trials) == 2
    assert study.stopped.startswith("no sign of life: cheap: best cost ")


@pytest.mark.parametrize(
    "limits", [{}, {"trials": 0}, {"trials": 1.5}, {"seconds": -1}, {"joules": math.nan}, {"trials": True}]
)
def test_a_budget_without_a_sensible_limit_is_refused(limits):
    with pytest.raises(ValueError, match=r"needs a limit|must be a"):
        SearchBudget(**limits)


def milestone(at_most, trials=3, **fields):
    return Milestone("a tenth of the cost", SearchBudget(trials=trials), at_most, **fields)


def test_a_search_without_a_sign_of_life_stops_at_the_deadline_and_says_so():
    study = RandomSearch(milestones=(milestone(1.0),)).improve(PROBLEM, SPACE, METER, TRIALS)
    assert len(study.trials) == 3
    assert study.stopped.startswith("no sign of life: a tenth of the cost: best cost ")
    assert study.stopped.endswith("at most 1 was expected")
    assert [passed.met for passed in study.milestones] == [False]


def test_a_sign_of_life_lets_it_go_on():
    study = RandomSearch(milestones=(milestone(1e12),)).improve(PROBLEM, SPACE, METER, TRIALS)
    assert len(study.trials) == 8
    assert [passed.met for passed in study.milestones] == [True]


def test_a_person_can_override_and_the_override_is_in_the_record(tmp_path):
    search = RandomSearch(milestones=(milestone(1.0),), journal=tmp_path / "study.log")
    assert len(search.improve(PROBLEM, SPACE, METER, TRIALS).trials) == 3
    override = Override("a tenth of the cost", "Ada", "the first three were all large networks")
    going_on = dataclasses.replace(search, overrides=(override,))
    study = going_on.improve(PROBLEM, SPACE, METER, TRIALS)
    assert len(study.trials) == 8
    assert study.milestones[0].override == override
    assert json.loads(json.dumps(study.to_dict()))["overrides"] == [dataclasses.asdict(override)]
    with pytest.raises(ValueError, match="a reason"):
        Override("a tenth of the cost", "Ada", " ")


@pytest.mark.parametrize(
    ("control", "space", "beaten"),
    [
        (baseline_control(TwoLayerNetwork(hidden=1000)), SPACE, True),
        (baseline_control(GF2Elimination()), SPACE, False),
        (SHUFFLED_LABELS_CONTROL, SPACE, True),
        (SHUFFLED_LABELS_CONTROL, space_of(Crashing("learn"), how=Choice(("learn",))), True),
    ],
)
def test_a_candidate_has_to_beat_its_control_before_it_gets_more(control, space, beaten):
    plan = (milestone(math.inf, trials=1, control=control),)
    study = RandomSearch(milestones=plan).improve(PROBLEM, space, METER, TRIALS)
    assert study.milestones[0].met is beaten
    assert (len(study.trials) == 1) is (not beaten or space.size == 1)
    assert f"{control.title} {'beaten' if beaten else 'not beaten'}" in study.milestones[0].why
    assert study.control_use.seconds > 0


def test_learned_features_have_to_beat_random_ones():
    study = RandomSearch(milestones=(milestone(math.inf, trials=1, control=RANDOM_FEATURES_CONTROL),)).improve(
        SparseParity(n=12, k=3),
        space_of(TwoLayerNetwork(hidden=100), hidden=Choice((100,))),
        METER,
        SearchBudget(trials=1),
    )
    assert study.milestones[0].met


def test_a_trial_comes_back_from_plain_json_as_it_was():
    for trial in RandomSearch().improve(PROBLEM, SearchSpace((CRASHING, *SPACE.families)), METER, TRIALS).trials:
        assert Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) == dataclasses.replace(trial, runs=())


def test_an_unsolved_trial_ranks_behind_any_solved_one_and_by_its_score():
    evaluator = Evaluator(PROBLEM, METER, range(1))
    found = [evaluator.evaluate(model) for model in (START, TwoLayerNetwork(max_epochs=1, lr=1e-6), Crashing())]
    assert [evaluation.state for evaluation in found] == [TrialState.SOLVED, TrialState.MISSED, TrialState.FAILED]
    assert found[1].total_cost > 0
    assert found[1].cost is None


def test_seeds_are_not_measured_beyond_the_first_that_is_not_solved():
    seen = []
    hopeless = TwoLayerNetwork(max_epochs=1, lr=1e-6)
    evaluation = Evaluator(PROBLEM, METER, range(5), on_measurement=seen.append).evaluate(hopeless)
    assert len(evaluation.runs) == len(seen) == 1


def test_the_best_so_far_never_rises_along_its_curve():
    study = RandomSearch().improve(PROBLEM, SPACE, METER, TRIALS)
    for unit in ("trials", "seconds", "total_cost"):
        spent, best = zip(*study.curve(unit), strict=True)
        assert list(spent) == sorted(spent)
        assert list(best) == sorted(best, reverse=True)
    with pytest.raises(ValueError, match="unit must be one of trials"):
        study.curve("euros")


def test_every_family_of_a_space_can_be_suggested_by_a_model_of_what_is_good():
    space = SearchSpace((*SPACE.families, family_of(GF2Elimination())))
    study = TPESearch(n_startup_trials=6).improve(PROBLEM, space, METER, SearchBudget(trials=20))
    assert study.best.proposal.family == "GF(2) elimination"
    assert "2 of 2 families" in study.tried


def test_a_model_of_what_is_good_learns_from_what_diverged():
    model = TwoLayerNetwork(loss="square", hidden=200, max_epochs=5)
    space = space_of(model, lr=Range(0.01, 100.0, log=True))
    study = TPESearch(n_startup_trials=8).improve(PROBLEM, space, METER, SearchBudget(trials=24))
    failed = [trial.state is TrialState.FAILED for trial in study.trials]
    assert any(failed[:8]), "nothing diverged that could be learned from"
    assert sum(failed[8:]) / 16 < 0.5 * sum(failed[:8]) / 8


def test_two_milestones_of_one_title_are_refused():
    with pytest.raises(ValueError, match="must have different titles"):
        RandomSearch(milestones=(milestone(1.0), milestone(2.0)))
