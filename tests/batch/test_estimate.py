import gzip
import json

import pytest

from sutrolib.batch import stored as stored_module
from sutrolib.batch.parameters import declared_in
from sutrolib.batch.plan import Job, Notebook
from sutrolib.batch.stored import StoredResults, estimate_text, expected_seconds
from sutrolib.core import paths
from sutrolib.core.markdown import FINDING_TYPE

QUICK = {"n": 1, "profile": "quick"}


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A notebook that took 20 s on a machine that is half as fast as this one."""
    monkeypatch.setattr(stored_module, "_here", lambda: 0.5)
    monkeypatch.setattr(paths, "DATA", tmp_path)
    path = tmp_path / "99_test.ipynb"
    said = {"seconds": 20.0, "reference_seconds": 1.0, "parameters": QUICK}
    path.write_text(json.dumps({"cells": [{"outputs": [{"data": {FINDING_TYPE: said}}]}]}))
    return path


def test_the_time_of_the_published_run_is_scaled_to_this_machine(notebook):
    assert expected_seconds(notebook, QUICK) == 10.0
    assert estimate_text(10.0) == "about 10 s on this machine"


def test_the_profile_anew_also_takes_what_its_stored_results_took(notebook):
    stored = StoredResults({"n": 1}, results={"a": (60.0, "1"), "b": (40.0, "2")})
    stored.write(paths.stored_results("99_test"))
    assert expected_seconds(notebook, QUICK) == 10.0
    assert expected_seconds(notebook, QUICK | {"profile": "anew"}) == 60.0


@pytest.mark.parametrize("other", [{"n": 2}, {"profile": "full"}])
def test_no_time_is_made_up_for_other_parameters(notebook, other):
    assert expected_seconds(notebook, QUICK | other) is None
    assert estimate_text(None) == "unknown for these parameters"


@pytest.mark.parametrize("content", ["", "{}", '{"cells": []}', '{"cells": [{"outputs": [{"data": null}]}]}'])
def test_a_notebook_that_was_never_run_has_no_time(notebook, content):
    notebook.write_text(content)
    assert expected_seconds(notebook, QUICK) is None


@pytest.mark.parametrize(
    ("meter", "parameters", "read"),
    [(True, {}, True), (True, {"n": 2}, False), (True, {"profile": "anew"}, False), ("live", {}, False)],
)
def test_a_run_that_reads_its_stored_results_meters_nothing(tmp_path, monkeypatch, meter, parameters, read):
    monkeypatch.setattr(paths, "DATA", tmp_path)
    declared = declared_in('n: int = 1  # 0 to 10\nprofile: str = "quick"  # quick, anew or full')
    notebook = Notebook(tmp_path / "99_test.ipynb", "test", "", "", declared, cells=1, meter=meter)
    assert Job(notebook, parameters).meter
    stored = StoredResults({"n": 1})
    stored.write(paths.stored_results("99_test"))
    assert Job(notebook, parameters).meter is not read
    stored.sources = {"sutrolib/meters/gone.py": "0"}
    paths.stored_results("99_test").write_bytes(gzip.compress(json.dumps(vars(stored)).encode()))
    assert Job(notebook, parameters).meter


@pytest.mark.parametrize(("meter", "profile", "meters"), [(False, "full", False), ("full", "quick", False)])
def test_a_notebook_says_when_it_meters_nothing(tmp_path, meter, profile, meters):
    declared = declared_in('profile: str = "quick"  # quick, anew or full')
    notebook = Notebook(tmp_path / "99_test.ipynb", "test", "", "", declared, cells=1, meter=meter)
    assert Job(notebook, {"profile": profile}).meter is meters
    assert Job(notebook, {"profile": "full"}).meter is (meter == "full")
