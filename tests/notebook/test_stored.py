import dataclasses
import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from builders import measurement

from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.notebook.session import Session
from sutrolib.notebook.stored import LIVE_S, StoredResults, choose_live, equal, repeatable

PARAMETERS = {"seed": 0}


def session(folder, **options):
    return Session("99_test", SimpleNamespace(**PARAMETERS), Ledger(folder), folder, **options)


@pytest.fixture
def texts(monkeypatch):
    """What the display of progress showed."""
    shown = []
    monkeypatch.setattr("sutrolib.notebook.session.updated_display", lambda: lambda c: shown.append(c["text/plain"]))
    return shown


class Task:
    """A computation that counts how often it was made."""

    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def stored_of(seconds, values):
    stored = StoredResults(PARAMETERS, commit="abc")
    for key, value in values.items():
        stored.add(f"all, {key}", seconds[key], value)
    return stored


def test_the_profile_anew_computes_all_and_stores_it_for_others_to_read(tmp_path, texts):
    values = {("a", 1): [measurement(seed=3)], "b": {"x": np.arange(3), "y": (1.5, float("inf"))}}
    tasks = {key: Task(value) for key, value in values.items()}
    found = session(tmp_path, kept=StoredResults(PARAMETERS)).compute("all", tasks)
    assert list(found) == list(values)
    assert [task.calls for task in tasks.values()] == [1, 1]
    assert texts[-1].startswith("Computed here in ")
    read = StoredResults.read(paths.stored_results("99_test", tmp_path), PARAMETERS)
    assert read.value("all, ('a', 1)") == values["a", 1]
    assert read.value("all, b")["y"] == values["b"]["y"]
    assert read.value("all, b")["x"].tolist() == [0, 1, 2]


def test_the_quick_profile_reads_what_is_stored_and_computes_the_quickest_to_compare(tmp_path, texts):
    tasks = {key: Task(10) for key in ("dear", "cheap", "new")}
    stored = stored_of({"dear": 60.0, "cheap": 0.5}, {"dear": 10, "cheap": 10})
    found = session(tmp_path, stored=stored).compute("all", tasks)
    assert found == {"dear": 10, "cheap": 10, "new": 10}
    assert [task.calls for task in tasks.values()] == [0, 1, 1]
    assert "2 of 3 results (all, cheap), equal to what is stored. The others are stored, computed in" in texts[-1]
    assert "commit abc" in texts[-1]
    assert not paths.stored_results("99_test", tmp_path).exists()


def test_a_result_that_is_not_repeated_is_named(tmp_path, texts):
    stored = stored_of({"cheap": 0.5, "dear": 9.0}, {"cheap": 11, "dear": 10})
    found = session(tmp_path, stored=stored).compute("all", {"cheap": Task(10), "dear": Task(10)})
    assert found["cheap"] == 10
    assert "not equal to what is stored: all, cheap" in texts[-1]


def test_what_was_computed_before_an_error_is_kept(tmp_path, texts):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        session(tmp_path, kept=StoredResults(PARAMETERS)).compute("all", {"a": Task(1), "b": fail})
    assert StoredResults.read(paths.stored_results("99_test", tmp_path), PARAMETERS).value("all, a") == 1


def test_stored_results_are_of_one_set_of_parameters(tmp_path):
    path = tmp_path / "one.json.gz"
    assert StoredResults.read(path, PARAMETERS) is None
    StoredResults(PARAMETERS).write(path)
    assert StoredResults.read(path, PARAMETERS).results == {}
    assert StoredResults.read(path, {"seed": 1}) is None
    for damaged in (b"", b"text", gzip.compress(b"[]"), gzip.compress(b'{"other": 1}'), path.read_bytes()[:-9]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"one.json.gz cannot be read .*restore it with git"):
            StoredResults.read(path, PARAMETERS)


def test_at_least_one_and_no_more_than_a_few_seconds_are_computed_here():
    stored = stored_of({"a": LIVE_S * 10, "b": LIVE_S / 2, "c": LIVE_S / 3, "d": LIVE_S}, dict.fromkeys("abcd", 1))
    assert choose_live(stored, stored.results) == {"all, b", "all, c"}
    assert choose_live(stored, ["all, a"]) == {"all, a"}


def test_seconds_and_joules_need_not_be_repeated_and_counts_must():
    run = measurement()
    other = [
        dataclasses.replace(r, value=2 * r.value) if r.kind in ("measured", "estimated") else r for r in run.readings
    ]
    assert equal(repeatable([run]), repeatable([dataclasses.replace(run, readings=tuple(other), when="later")]))
    counted = [dataclasses.replace(r, value=2 * r.value) if r.kind == "counted" else r for r in run.readings]
    assert not equal(repeatable([run]), repeatable([dataclasses.replace(run, readings=tuple(counted))]))
    assert not equal(repeatable({"a": 1}), repeatable({"a": 2}))
    assert repeatable({"seconds": 1.5}) == []
