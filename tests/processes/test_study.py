import dataclasses
import json

import pytest

from sutrolib.measurement.ledger import Ledger
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.subset_search import ConstraintSearch, WalshFourier
from sutrolib.processes.budget import AbandonedFamily, SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.space import Proposal, SearchSpace, family_of
from sutrolib.processes.study import Study, Trial

SPACE = SearchSpace((family_of(Hebbian()), family_of(ConstraintSearch()), family_of(WalshFourier())))
WHY = "a local rule has no signal"


def trial(number, family, cost=None, score=None, **settings):
    state = TrialState.SOLVED if cost is not None else TrialState.MISSED if score is not None else TrialState.FAILED
    return Trial(number, Proposal(family, settings), state, "", cost=cost, score=score)


TRIALS = (
    trial(0, "Hebbian rule", score=0.51, hidden=10, lr=0.1),
    trial(1, "Hebbian rule", score=0.532, hidden=20, lr=0.1),
    trial(2, "Hebbian rule", hidden=20, lr=0.1),
    trial(3, "constraint search", k=4),
    Trial(4, None, TrialState.REFUSED, "no proposal"),
)
STUDY = Study(
    process="made up",
    problem={"name": "sparse parity"},
    space=SPACE,
    metric="operations",
    unit="operations",
    kind="counted",
    budget=SearchBudget(trials=5),
    seed=0,
    trials=TRIALS,
    stopped="budget spent",
)


def test_a_direction_is_dropped_with_how_much_of_it_was_tried_how_good_it_was_and_why():
    dropped = STUDY.drop("Hebbian rule", WHY).drop("constraint search", "noise").dropped
    assert dropped == (
        AbandonedFamily("Hebbian rule", "2 of infinitely many settings, best score 0.532", WHY),
        AbandonedFamily("constraint search", "1 of 4 settings, none ran to a score", "noise"),
    )
    assert STUDY.dropped == ()  # a study does not change


def test_what_was_dropped_is_kept_in_the_ledger(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add_study(STUDY.drop("Hebbian rule", WHY).to_dict())
    kept = ledger.studies()[0]["dropped"]
    assert [AbandonedFamily(**fields) for fields in kept] == [*STUDY.drop("Hebbian rule", WHY).dropped]
    assert json.loads(json.dumps(STUDY.to_dict()))["dropped"] == []


@pytest.mark.parametrize(
    ("family", "mechanism", "named"),
    [
        ("Walsh-Fourier search", WHY, "0 trials"),
        ("Hebbian rule", "  ", "mechanism='  '"),
        ("magic", WHY, "cannot drop 'magic' .0 trials"),
    ],
)
def test_what_was_not_tried_and_what_has_no_reason_is_not_dropped(family, mechanism, named):
    with pytest.raises(ValueError, match=named):
        STUDY.drop(family, mechanism)


def test_what_solved_the_problem_even_once_is_not_dropped():
    lucky = trial(5, "Hebbian rule", cost=7.0, score=1.0, hidden=99, lr=0.1)
    with pytest.raises(ValueError, match="4 trials, 1 solved"):
        dataclasses.replace(STUDY, trials=(*TRIALS, lucky)).drop("Hebbian rule", WHY)
