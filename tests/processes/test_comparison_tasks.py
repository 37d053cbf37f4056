import dataclasses
import json

import pytest
from searches import PROBLEM, SPACE, START

from sutrolib.meters import OperationCount
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import compare_searches
from sutrolib.processes.model_families import comparison_tasks, stored_comparisons

TASKS = comparison_tasks()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_search_begins_at_the_baseline_and_those_with_all_algorithms_have_more(task):
    for config in task.configs.values():
        begun = config.space.model(config.space.start)
        assert type(begun) is type(task.baseline)
        same = {f.name for f in dataclasses.fields(begun) if getattr(begun, f.name) == getattr(task.baseline, f.name)}
        assert {f.name for f in dataclasses.fields(begun)} - same <= {"max_epochs"}
    assert len(task.configs["evolution"].space.families) > len(task.configs["TPE"].space.families) == 1


@pytest.mark.parametrize("name", ["digits", "27 letters"])
def test_what_has_a_fixed_test_split_is_searched_on_its_training_part(name):
    real = {"digits": 1797, "27 letters": 100_000}[name]
    task = TASKS[name].problem.sample(0)
    assert len(task.train) + len(task.test) < 0.91 * real


def test_the_latest_result_of_a_task_comes_back_from_the_ledger():
    task, meter, budget = TASKS["parity"], OperationCount(), SearchBudget(trials=2)
    small = {"evolution": dataclasses.replace(task.configs["evolution"], space=SPACE)}
    found = compare_searches(small, PROBLEM, START, meter, budget, (0,))
    record = json.loads(json.dumps(task.record("parity", meter, (0,), found), allow_nan=False))
    older = {**record, "results": {}}
    assert stored_comparisons([{"process": "TPE"}, older, record]) == {"parity": found}
