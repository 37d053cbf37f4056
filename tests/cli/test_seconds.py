"""Commands say beforehand how long they take."""

import argparse
import json

import pytest

from sutrolib.cli import seconds
from sutrolib.core import provenance


@pytest.fixture
def files(tmp_path, monkeypatch):
    published, kept = tmp_path / "published.json", tmp_path / "runs" / "seconds.json"
    monkeypatch.setattr(seconds, "_PUBLISHED", published)
    monkeypatch.setattr(seconds, "_KEPT", kept)
    monkeypatch.setattr(provenance, "reference_seconds", lambda: 0.02)
    published.write_text(json.dumps({"deck format=html": {"seconds": 15.0, "reference_seconds": 0.01}}))
    return kept


def announce(capsys, took: float, monkeypatch, **options) -> str:
    times = iter((0.0, took))
    monkeypatch.setattr(seconds.time, "perf_counter", lambda: next(times))
    with seconds.announced(argparse.Namespace(words=["deck", "-o", "x"], **options)):
        said = capsys.readouterr().err
    return said


def test_the_first_time_is_scaled_to_this_machine_and_then_that_of_the_last_run_counts(files, capsys, monkeypatch):
    assert "about 30 s" in announce(capsys, 40.0, monkeypatch, format="html")
    assert json.loads(files.read_text()) == {"deck format=html": 40.0}
    assert "about 40 s" in announce(capsys, 50.0, monkeypatch, format="html")
    assert "about 50 s" in announce(capsys, 3.0, monkeypatch, format="html")


def test_a_command_is_silent_if_it_is_quick_or_was_never_timed(files, capsys, monkeypatch):
    assert announce(capsys, 3.0, monkeypatch, format="pdf") == ""
    assert not files.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"deck format=html": "long"}', '{"deck format=html": null}'])
def test_a_damaged_file_of_times_does_no_harm(files, capsys, monkeypatch, content):
    files.parent.mkdir()
    files.write_text(content)
    announce(capsys, 40.0, monkeypatch, format="html")
    assert json.loads(files.read_text())["deck format=html"] == 40.0
