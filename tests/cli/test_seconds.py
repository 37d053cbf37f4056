"""Commands say beforehand how long they take."""

import argparse
import json
from types import SimpleNamespace

import pytest

from sutrolib.cli import seconds


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(seconds, "_KEPT", tmp_path / "runs" / "seconds.json")
    return seconds._KEPT


def announce(capsys, took: float, monkeypatch, **options) -> str:
    times = iter((0.0, took))
    monkeypatch.setattr(seconds, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    with seconds.announced(argparse.Namespace(words=["deck", "-o", "x"], **options)):
        said = capsys.readouterr().err
    return said


def test_the_time_of_the_last_run_is_said_beforehand(kept, capsys, monkeypatch):
    assert announce(capsys, 40.0, monkeypatch, format="html") == ""
    assert json.loads(kept.read_text()) == {"deck format=html": 40.0}
    assert "about 40 s" in announce(capsys, 50.0, monkeypatch, format="html")
    assert "about 50 s" in announce(capsys, 3.0, monkeypatch, format="html")


def test_a_command_is_silent_if_it_is_quick_or_was_never_timed(kept, capsys, monkeypatch):
    assert announce(capsys, 3.0, monkeypatch, format="pdf") == ""
    assert not kept.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"deck format=html": "long"}', '{"deck format=html": null}'])
def test_a_damaged_file_of_times_does_no_harm(kept, capsys, monkeypatch, content):
    kept.parent.mkdir()
    kept.write_text(content)
    announce(capsys, 40.0, monkeypatch, format="html")
    assert json.loads(kept.read_text())["deck format=html"] == 40.0
