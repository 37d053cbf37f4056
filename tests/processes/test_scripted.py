import pytest
from searches import CRASHING, METER, PROBLEM, SPACE, START

from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.scripted import ScriptedTuning
from sutrolib.processes.space import SearchSpace

CHANGES = ({"hidden": 50}, {"hidden": 190}, {"lr": 0.3}, {"hidden": 70, "lr": 0.2})


def tune(space=SPACE, trials=20, changes=CHANGES):
    return ScriptedTuning(changes=changes, check_best=False).improve(PROBLEM, space, METER, SearchBudget(trials=trials))


def test_each_change_is_tried_on_the_best_so_far():
    study = tune()
    tried = [trial.proposal.settings for trial in study.trials]
    assert tried[0] == {"hidden": START.hidden, "lr": START.lr}
    assert tried[1] == {**tried[0], "hidden": 50}
    for number, change in enumerate(CHANGES[1:], start=2):
        before = [t for t in study.trials[:number] if t.cost is not None]
        best = min(before, key=lambda trial: trial.cost).proposal.settings if before else tried[0]
        expected = {**best, **change}
        assert expected not in tried[:number]
        assert tried[number] == expected
    assert len(tried) == 5
    assert study.best.cost == min(trial.cost for trial in study.trials if trial.cost is not None)
    assert "list of changes has ended" in study.stopped


def test_a_change_that_was_tried_is_passed_over():
    study = tune(changes=({"hidden": START.hidden}, {"hidden": 50}, {"hidden": 50}, {"lr": 0.3}))
    assert len({trial.proposal.key for trial in study.trials}) == len(study.trials) == 3


def test_the_budget_ends_it():
    assert len(tune(trials=2).trials) == 2


def test_it_goes_on_from_the_start_where_nothing_is_solved():
    study = tune(space=SearchSpace((CRASHING,)), changes=({"how": "memory"}, {"how": "learn"}))
    assert [trial.proposal.settings["how"] for trial in study.trials] == ["raise", "memory", "learn"]
    assert study.best.number == 2


def test_a_change_outside_the_space_names_the_field():
    with pytest.raises(ValueError, match="hidden"):
        tune(changes=({"hidden": 10_000},))
