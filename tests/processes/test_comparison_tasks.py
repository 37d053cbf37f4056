import dataclasses
import json

import pytest

from sutrolib.meters import OperationCount
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import race
from sutrolib.processes.comparison_tasks import contests, kept_races, record_of

CONTESTS = contests()


@pytest.mark.parametrize("contest", CONTESTS.values(), ids=CONTESTS)
def test_every_entrant_begins_at_the_baseline_and_those_with_all_algorithms_have_more(contest):
    for entrant in contest.entrants.values():
        begun = entrant.space.model(entrant.space.start)
        assert type(begun) is type(contest.baseline)
        same = {
            f.name for f in dataclasses.fields(begun) if getattr(begun, f.name) == getattr(contest.baseline, f.name)
        }
        assert {f.name for f in dataclasses.fields(begun)} - same <= {"max_epochs"}
    assert len(contest.entrants["blank slate"].space.families) > len(contest.entrants["TPE"].space.families) == 1


@pytest.mark.parametrize("name", ["digits", "27 letters"])
def test_what_has_a_fixed_test_split_is_searched_on_its_training_part(name):
    real = {"digits": 1797, "27 letters": 100_000}[name]
    task = CONTESTS[name].problem.sample(0)
    assert len(task.train) + len(task.test) < 0.91 * real


def test_the_last_outcome_of_a_contest_comes_back_from_the_ledger():
    contest = CONTESTS["parity"]
    entrants = {"blank slate": contest.entrants["blank slate"]}
    found = race(entrants, contest.problem, contest.baseline, OperationCount(), SearchBudget(trials=2), (0,))
    record = json.loads(json.dumps(record_of("parity", contest, OperationCount(), (0,), found), allow_nan=False))
    older = {**record, "results": {}}
    assert kept_races([{"process": "TPE"}, older, record]) == {"parity": found}
