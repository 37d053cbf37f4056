import subprocess

import pytest
from builders import measurement, study

from sutrolib.__main__ import main
from sutrolib.core import paths
from sutrolib.measurement import publish as module
from sutrolib.measurement.ledger import Ledger, read_lines
from sutrolib.measurement.publish import pack, publish

CLEAN, DIRTY = "0123456789ab", "0123456789ab+"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A clean checkout with a run from it, one from before its changes were committed, and one of no ledger."""
    monkeypatch.delenv("SUTRO_LEDGER")
    for name, folder in (("ROOT", ""), ("DATA", "data"), ("RUNS", "data/runs")):
        monkeypatch.setattr(paths, name, tmp_path / folder)
    monkeypatch.setattr(module, "commit", lambda: CLEAN)
    for run, commit in (("clean", CLEAN), ("dirty", DIRTY)):
        for seed in range(3):
            Ledger(paths.RUNS / run).add(measurement(seed=seed, commit=commit))
    (paths.RUNS / "empty").mkdir()
    return tmp_path


def published():
    return Ledger(paths.published_ledger())


def test_a_run_is_published_as_one_file_and_its_rows_count_once(checkout):
    Ledger(paths.RUNS / "clean").add(measurement(seed=0, commit=CLEAN))
    done = publish(["clean"])
    assert (done.measurements, done.studies, done.known, done.unreadable) == (3, 0, 0, ())
    assert published().files() == [done.path]
    assert CLEAN in done.path.name
    assert [m.seed for m in published().measurements()] == [0, 1, 2]
    sources = Ledger().frame().groupby("commit").source.unique().map(list).to_dict()
    assert sources == {CLEAN: [f"published: {done.path.name}"], DIRTY: ["run: dirty"]}
    assert not published().frame().dirty.any()


def test_only_what_is_not_published_yet_is_published(checkout, monkeypatch):
    publish(["clean"])
    with pytest.raises(ValueError, match="nothing to publish: all 3 records of clean are published"):
        publish(["clean"])
    Ledger(paths.RUNS / "clean").add(measurement(seed=7, commit=CLEAN))
    monkeypatch.setattr(module, "now", lambda: "2027-01-01T00:00:00+00:00")
    done = publish([str(paths.RUNS / "clean")])
    assert (done.measurements, done.known, done.path.name) == (1, 3, f"20270101T000000Z-{CLEAN}.jsonl")
    assert [m.seed for m in published().measurements()] == [0, 1, 2, 7]


def test_a_run_of_nothing_but_stored_results_is_published(checkout, capsys):
    kept = paths.RUNS / "empty" / "results" / "40_final_exam.json.gz"
    kept.parent.mkdir()
    kept.write_bytes(b"results")
    assert main(["ledger", "publish", "empty"]) == 0
    assert (paths.DATA / "results" / kept.name).read_bytes() == b"results"
    assert published().files() == []
    assert "git add data/results && git commit" in capsys.readouterr().out


@pytest.mark.parametrize("here", [DIRTY, ""])
def test_a_checkout_with_uncommitted_changes_publishes_nothing_unless_every_row_says_so(checkout, monkeypatch, here):
    monkeypatch.setattr(module, "commit", lambda: here)
    with pytest.raises(ValueError, match=r"uncommitted changes.*--dirty"):
        publish(["clean"])
    assert published().files() == []
    publish(["clean"], allow_dirty=True)
    assert published().frame().dirty.all()
    assert all(line.dirty for _, line in read_lines(published().files()[0], []))


def test_measurements_of_uncommitted_code_are_refused_unless_their_rows_say_so(checkout):
    with pytest.raises(ValueError, match="3 of 6 records were measured with uncommitted changes"):
        publish(["clean", "dirty"])
    assert published().files() == []
    publish(["clean", "dirty"], allow_dirty=True)
    assert dict(published().frame().groupby("commit").dirty.all()) == {CLEAN: False, DIRTY: True}


@pytest.mark.parametrize("run", ["empty", "nothing", "../..", ""])
def test_what_has_no_ledger_is_refused_with_what_there_is(checkout, run):
    with pytest.raises(ValueError, match="no ledger; runs with one are clean, dirty"):
        publish([run])


def test_a_torn_line_is_left_out_and_named(checkout):
    path = paths.RUNS / "clean" / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    done = publish(["clean"])
    assert done.measurements == 2
    assert "line 3" in done.unreadable[0]


def test_large_publications_are_compressed_and_equal_ones_equal(checkout):
    path = paths.RUNS / "clean" / "ledger.jsonl"
    lines = [line for _, line in read_lines(path, [])]
    assert pack("a", lines) == ("a.jsonl", path.read_bytes())
    name, content = pack("a", lines * 400)
    assert name == "a.jsonl.gz"
    assert len(content) < 100_000
    assert pack("a", lines * 400) == (name, content)


def test_the_command_lists_and_publishes(checkout, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    Ledger(paths.RUNS / "clean").add_study(study())
    assert main(["ledger", "publish", "dirty"]) == 2
    assert "3 of 3 records were measured with uncommitted changes" in capsys.readouterr().err
    assert main(["ledger", "publish", "dirty", "--dirty"]) == 0
    assert "3 measurements and 0 studies" in capsys.readouterr().out
    torn = paths.RUNS / "clean" / "ledger.jsonl"
    torn.write_bytes(torn.read_bytes() + b"{")
    assert main(["ledger"]) == 0
    rows = {}
    said = capsys.readouterr().out
    for line in said.splitlines():
        if "│" in line:
            source, *cells = (cell.strip() for cell in line.strip("│").split("│"))
            rows[source] = cells
    assert rows["run: clean"][:2] == ["3", "1"]
    (name,) = [row for row in rows if row.startswith("published: ")]
    assert rows[name] == ["3", "0", "2026-01-02", DIRTY, "3"]
    assert "run: dirty" not in rows, "its rows stand first in the publication"
    assert f"{torn}: line 5" in said


def test_a_run_leaves_git_clean():
    """What runs, searches, decks and smoke exams write lies where git ignores it."""
    written = ["data/runs/x/ledger.jsonl", "data/runs/interactive/ledger.jsonl", "data/studies/x.log", "data/decks/d"]
    written += ["data/exam/smoke_closed.json", "data/ledger/.ledger.lock", "deck.html", "deck.pdf"]
    command = ["git", "check-ignore", "--no-index", *written]
    done = subprocess.run(command, cwd=module.Path(__file__).parents[2], capture_output=True, text=True)
    if done.returncode == 128:
        pytest.skip("no git repository")
    assert done.stdout.split() == written
