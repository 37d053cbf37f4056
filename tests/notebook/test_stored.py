import dataclasses
import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
from builders import measurement

from sutrolib.batch.stored import StoredResults
from sutrolib.core.paths import ROOT
from sutrolib.measurement.ledger import Ledger
from sutrolib.meters import OperationCount
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.notebook.session import Session
from sutrolib.notebook.stored import REPEAT_S, Results, equal, repeatable
from sutrolib.problems.parity import SparseParity

PARAMETERS = {"seed": 0}


class Task:
    """A computation that counts how often it was made."""

    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def stored_of(values, seconds):
    stored = StoredResults(PARAMETERS, commit="abc")
    for label, value in values.items():
        stored.add(label, seconds, value)
    return stored


def test_what_was_computed_is_kept_at_once_and_read_again(tmp_path):
    path = tmp_path / "one.json.gz"
    values = {"a": [measurement(seed=3)], "b": {("x", 1): np.arange(3), "y": (1.5, float("inf"))}}
    results = Results(kept=StoredResults(PARAMETERS), path=path)
    for label, value in values.items():
        assert results.compute(label, Task(value)) is value
        assert StoredResults.read(path).results.keys() == results.kept.results.keys()
    read = StoredResults.read(path)
    assert read.value("a") == values["a"]
    assert read.value("b")["y"] == values["b"]["y"]
    assert read.value("b")["x", 1].tolist() == [0, 1, 2]
    assert results.text == ""


def test_what_is_dear_is_read_and_what_is_quick_is_repeated(tmp_path):
    dear, cheap, new = Task(10), Task(10), Task(10)
    stored = stored_of({"dear": 10}, 2 * REPEAT_S)
    stored.add("cheap", REPEAT_S / 2, 10)
    results = Results(stored)
    assert [results.compute("dear", dear), results.compute("cheap", cheap), results.compute("new", new)] == [10] * 3
    assert (dear.calls, cheap.calls, new.calls) == (0, 1, 1)
    assert results.text.startswith("Stored results that were read: 1 (")
    assert "commit abc" in results.text
    assert results.text.endswith("Repeated here: 1, with the same scores and counts")


def test_repetitions_end_when_their_time_is_used():
    tasks = {label: Task(1) for label in "abc"}
    results = Results(stored_of(dict.fromkeys(tasks, 1), 0.4 * REPEAT_S))
    for label, task in tasks.items():
        results.compute(label, task)
    assert [task.calls for task in tasks.values()] == [1, 1, 0]


def test_a_result_that_is_not_repeated_counts_and_is_named():
    results = Results(stored_of({"one": 11}, 0.1))
    assert results.compute("one", Task(10)) == 10
    assert results.text.endswith("not the same: one")


def test_stored_results_are_of_one_set_of_parameters_and_of_the_sources_that_made_them(tmp_path):
    path = tmp_path / "one.json.gz"
    assert StoredResults.read(path) is None
    StoredResults(PARAMETERS).write(path)
    stored = StoredResults.read(path)
    assert "sutrolib/measurement/measure.py" in stored.sources
    assert not any(name.startswith("sutrolib/plots/") for name in stored.sources)
    assert stored.outdated(PARAMETERS) == ""
    assert stored.outdated({"seed": 1}) == "they are of other parameters"
    stored.sources = {**stored.sources, "sutrolib/meters/gone.py": "0"}
    assert stored.outdated(PARAMETERS) == "sources of the library have changed since: sutrolib/meters/gone.py"
    assert all((ROOT / name).exists() for name in StoredResults.read(path).sources)


@pytest.mark.parametrize("text", ["", "text", "[]", '{"other": 1}'])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path, text, pack):
    path, content = tmp_path / "one.json.gz", pack(text.encode())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"one.json.gz cannot be read .*restore it with git"):
        StoredResults.read(path)


def test_seconds_and_joules_need_not_be_repeated_and_counts_must():
    run = measurement()
    timed = [dataclasses.replace(r, value=2 * r.value) if r.kind == "measured" else r for r in run.readings]
    assert equal(repeatable([run]), repeatable([dataclasses.replace(run, readings=tuple(timed), when="later")]))
    counted = [dataclasses.replace(r, value=2 * r.value) if r.kind == "counted" else r for r in run.readings]
    assert not equal(repeatable([run]), repeatable([dataclasses.replace(run, readings=tuple(counted))]))
    assert not equal(repeatable({"a": 1}), repeatable({"a": 2}))
    assert repeatable({"seconds": 1.5}) == []


def test_runs_are_read_by_all_that_decides_them(tmp_path):
    def session(results):
        return Session("99_test", SimpleNamespace(), Ledger(tmp_path / "ledger"), tmp_path, results=results)

    kept = StoredResults(PARAMETERS)
    what = (SparseParity(), GF2Elimination(), [OperationCount()])
    first = session(Results(kept=kept, path=tmp_path / "one.json.gz")).measure(*what, range(2), timed=False)
    (label, (_, content)) = kept.results.popitem()
    kept.results[label] = 2 * REPEAT_S, content
    assert json.loads(label)[2] == [0, 1]
    reading = session(Results(kept))
    assert reading.measure(*what, range(2), timed=False) == first
    assert reading.measure(*what, range(1, 2), timed=False)[0].seed == 1
    assert reading.results.read == 1
    assert len(reading.ledger.measurements()) == 3  # what was read is not kept again
