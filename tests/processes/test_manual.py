import dataclasses
import json

import pytest

from sutrolib.core.stats import Interval
from sutrolib.measurement.comparison import Verdict
from sutrolib.measurement.measure import measure
from sutrolib.meters import OperationCount
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.dimension import Range
from sutrolib.processes.manual import ManualTuning, ProposedChange, _decide
from sutrolib.processes.space import space_of

pytestmark = pytest.mark.usefixtures("steady_clock")

PROBLEM = SparseParity(n=6, k=2, n_train=400, n_test=200)
START = TwoLayerNetwork(hidden=200)
FIELDS = ("hidden", "lr", "batch", "weight_decay", "max_epochs")
WIDE = {"lr": Range(1e-6, 100.0, log=True), "hidden": Range(1, 1000, log=True, integer=True)}
SPACE = space_of(START, *FIELDS, **WIDE, batch=Range(1, 256, log=True, integer=True))
BUDGET = SearchBudget(trials=10)


def improve(*changes, **options):
    return ManualTuning(changes, pairs=5, **options).improve(PROBLEM, SPACE, OperationCount(), BUDGET, seed=0)


def test_a_cheaper_setting_is_kept_and_a_dearer_one_is_not():
    less, more = ProposedChange("less", {"hidden": 50}, "cheaper"), ProposedChange("more", {"hidden": 400}, "dearer")
    study = improve(less, more)
    assert [trial.kept for trial in study.trials] == [True, True, False]
    assert study.model == dataclasses.replace(START, hidden=50)
    assert study.best is study.trials[1]
    assert study.stopped == "no more changes"
    assert study.trials[2].why == "worse in cost"
    assert study.trials[1].ratio("operations").high < 1


def test_a_setting_that_does_not_learn_is_rejected_however_cheap():
    study = improve(ProposedChange("hardly any training", {"max_epochs": 1, "hidden": 1}, "cheap"))
    assert not study.trials[1].kept
    assert "solved on 0 of" in study.trials[1].why
    assert study.trials[1].verdict is None
    assert study.trials[1].ratio("operations") is None


def test_a_setting_that_diverges_is_a_rejected_trial_and_the_walk_goes_on():
    explode = ProposedChange("explode", {"lr": 100.0, "batch": 1, "weight_decay": 0.0}, "diverges")
    study = improve(explode, ProposedChange("less", {"hidden": 50}, "cheaper"))
    assert "finite" in study.trials[1].why
    assert [trial.kept for trial in study.trials] == [True, False, True]


def test_the_first_setting_that_is_correct_is_kept_whatever_it_costs():
    hopeless = dataclasses.replace(START, max_epochs=1, hidden=1)
    change = ProposedChange("learn", {"max_epochs": 100, "hidden": 200}, "solves it")
    space = space_of(hopeless, "max_epochs", hidden=WIDE["hidden"])
    study = ManualTuning([change], pairs=5).improve(PROBLEM, space, OperationCount(), BUDGET)
    assert study.model.hidden == 200
    assert study.trials[1].why == "the first that is correct"


def test_a_misspelt_field_is_refused_before_anything_runs():
    measured = []
    with pytest.raises(ValueError, match=r"'typo': two-layer network: unknown 'hiden'; the settings are hidden, lr"):
        improve(ProposedChange("typo", {"hiden": 50}, ""), on_measurement=measured.append)
    assert measured == []


def test_the_walk_ends_within_the_budget_and_says_so():
    changes = [ProposedChange(f"{n} hidden units", {"hidden": n}, "") for n in (150, 100, 50)]
    study = ManualTuning(changes, pairs=5).improve(PROBLEM, SPACE, OperationCount(), SearchBudget(trials=2))
    assert [trial.title for trial in study.trials] == ["start", "150 hidden units", "100 hidden units"]
    assert study.stopped == "budget spent: 2 of 2 trials"


def test_a_step_is_kept_as_plain_json_and_its_checkpoint_can_be_run_again():
    study = improve(ProposedChange("less", {"hidden": 50}, "cheaper"))
    kept = json.loads(json.dumps(study.trials[1].to_dict()))
    assert (kept["title"], kept["kept"], kept["proposal"]["settings"]["hidden"]) == ("less", True, 50)
    again = SPACE.model(SPACE.validate(kept["proposal"]["family"], kept["proposal"]["settings"]))
    run = measure(PROBLEM, again, [OperationCount()], 0)
    assert run.reading("operations") == study.trials[1].runs[0].reading("operations")


def test_every_measurement_and_trial_is_reported_as_it_ends():
    measurements, trials = [], []
    study = improve(
        ProposedChange("less", {"hidden": 50}, "cheaper"), on_measurement=measurements.append, on_trial=trials.append
    )
    assert tuple(trials) == study.trials
    assert len(measurements) == 5 + 5 + 5  # the start, the candidate, and the start timed again beside it


def test_counts_carried_over_to_the_rival_are_what_measuring_again_gives():
    study = improve(ProposedChange("less", {"hidden": 50}, "cheaper"))
    for rival in study.trials[1].baseline_runs:
        again = measure(PROBLEM, START, [OperationCount()], rival.seed)
        assert rival.reading("operations") == again.reading("operations")


BELOW, LEVEL, ABOVE = Interval(0.5, 0.4, 0.6), Interval(1.0, 0.9, 1.1), Interval(2.0, 1.5, 2.5)
HELD, LOST = Interval(0.0, 0.0, 0.0), Interval(-0.1, -0.2, -0.05)


@pytest.mark.parametrize(
    ("cost", "time", "score", "kept", "why"),
    [
        (BELOW, LEVEL, HELD, True, "better in cost"),
        (LEVEL, BELOW, HELD, True, "better in time"),
        (BELOW, BELOW, HELD, True, "better in time and cost"),
        (LEVEL, LEVEL, HELD, False, "better in neither time nor cost"),
        (BELOW, ABOVE, HELD, False, "worse in time"),
        (ABOVE, BELOW, HELD, False, "worse in cost"),
        (BELOW, BELOW, LOST, False, "worse in score"),
    ],
)
def test_the_rule_of_keeping(cost, time, score, kept, why):
    verdict = Verdict("x", cost, time, score, 5, 0.1, 0.01)
    assert _decide(verdict) == (kept, why)


def test_too_few_pairs_are_refused():
    with pytest.raises(ValueError, match=r"pairs must be at least 5 \(got 4\)"):
        ManualTuning([], pairs=4)


def test_a_start_that_solves_nothing_is_no_result():
    lost = TwoLayerNetwork(max_epochs=1, lr=1e-6)
    study = ManualTuning().improve(
        PROBLEM, space_of(lost, lr=Range(1e-6, 1.0)), OperationCount(), SearchBudget(trials=1)
    )
    assert study.best is None
    with pytest.raises(ValueError, match="none of 1 trials solved"):
        study.model  # noqa: B018
