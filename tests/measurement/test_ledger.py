import gzip
import json
import math
import signal
import subprocess
import sys
import tempfile
import textwrap
import time

import numpy as np
import pytest
import torch
from builders import measurement, study
from hypothesis import given
from hypothesis import strategies as st
from slow_work import until

from sutrolib.core import paths
from sutrolib.measurement.ledger import (
    FILE,
    Ledger,
    LedgerLine,
    UnreadableMeasurement,
    append,
    frame,
    is_dirty,
)
from sutrolib.meters.base import Kind, Reading


def test_what_is_added_is_what_is_read(tmp_path):
    added = measurement()
    path = Ledger(tmp_path).add(added)
    assert Ledger(tmp_path).measurements() == [added]
    assert path == tmp_path / FILE
    (line,) = path.read_bytes().splitlines()
    assert json.loads(line)["measurement"]["problem"] == {"name": "sparse parity", "n": 20, "k": 3}


text = st.text(max_size=20)
values = st.floats(min_value=5e-324, max_value=1.7e308)


@given(
    name=text,
    seed=st.integers(-(2**70), 2**70),
    score=st.floats(allow_nan=False, allow_infinity=False),
    value=values,
    kind=st.sampled_from(Kind),
    detail=st.dictionaries(text, st.one_of(text, st.integers(), values, st.booleans(), st.none())),
)
def test_any_measurement_survives_the_round_trip(name, seed, score, value, kind, detail):
    made = measurement(
        seed=seed, score=score, prior_knowledge=name, readings=(Reading(name, value, name, kind, detail),)
    )
    with tempfile.TemporaryDirectory() as folder:
        Ledger(folder).add(made)
        assert Ledger(folder).measurements() == [made]


def day(number):
    return f"2026-01-0{number}T00:00:00.000000+00:00"


def test_records_come_in_the_order_in_which_they_were_written_whatever_the_clock_said(tmp_path):
    ledger = Ledger(tmp_path)
    for seed, number in enumerate((3, 1, 2)):
        ledger.add(measurement(seed=seed, when=day(number)))
    assert [m.seed for m in ledger.measurements()] == [0, 1, 2]
    assert list(ledger.frame().seed) == [0, 0, 1, 1, 2, 2]
    assert list(frame(ledger.measurements()).seed) == [0, 0, 1, 1, 2, 2]


def test_records_of_several_files_are_merged_by_their_times_and_each_file_keeps_its_order(tmp_path):
    for name, seeds in (("a", {1: 1, 2: 7, 3: 2}), ("b", {4: 3, 5: 8})):
        path = Ledger(tmp_path).folder / f"{name}.jsonl"
        lines = [LedgerLine.of("measurement", measurement(seed=s, when=day(n)).to_dict()) for s, n in seeds.items()]
        path.write_bytes(b"".join(line.encode() for line in lines))
    assert [m.seed for m in Ledger(tmp_path).measurements()] == [1, 4, 2, 3, 5]


def test_times_are_merged_across_zones(tmp_path):
    for name, seed, when in (("a", 1, "2026-01-01T23:00:00+00:00"), ("b", 2, "2026-01-02T00:30:00+02:00")):
        line = LedgerLine.of("measurement", measurement(seed=seed, when=when).to_dict())
        (tmp_path / f"{name}.jsonl").write_bytes(line.encode())
    assert [m.seed for m in Ledger(tmp_path).measurements()] == [2, 1], "1 was measured half an hour after 2"


def test_studies_come_in_the_order_in_which_they_were_written(tmp_path):
    ledger = Ledger(tmp_path)
    for name in ("first", "second"):
        ledger.add_study(study(process=name))
    assert [study["process"] for study in ledger.studies()] == ["first", "second"]
    assert {study["source"] for study in ledger.studies()} == {f"run: {tmp_path.name}"}


def test_a_measurement_that_was_added_twice_counts_once(tmp_path):
    for _ in range(2):
        Ledger(tmp_path).add(measurement())
    (tmp_path / "again.jsonl.gz").write_bytes(gzip.compress((tmp_path / FILE).read_bytes()))
    assert Ledger(tmp_path).measurements() == [measurement()]
    assert len(Ledger(tmp_path).frame()) == 2


def two_of(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(measurement(seed=1))
    path = ledger.add(measurement(seed=2))
    return ledger, path, path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2] + b"\n",
        lambda line: line.replace(b'"value":10.0', b'"value":11.0'),
        lambda line: line.replace(b'"measurement"', b'"something"'),
        lambda line: b"\xff\x00\n",
        lambda line: b"{}\n",
        lambda line: b"\n",
        lambda line: LedgerLine.of("measurement", {"not": "a measurement"}).encode(),
        lambda line: LedgerLine.of("measurement", measurement().to_dict() | {"unknown": 1}).encode(),
        lambda line: LedgerLine.of("measurement", measurement().to_dict() | {"readings": [{}]}).encode(),
    ],
)
def test_a_damaged_line_is_named_and_skipped_and_never_deleted(tmp_path, damage):
    ledger, path, lines = two_of(tmp_path)
    damaged = damage(lines[0])
    assert damaged != lines[0]
    path.write_bytes(damaged + lines[1])
    with pytest.warns(UnreadableMeasurement, match=f"{path.name}.*line 1"):
        assert [m.seed for m in ledger.measurements()] == [2]
    with pytest.warns(UnreadableMeasurement, match=f"{path.name}.*line 1"):
        assert set(ledger.frame().seed) == {2}
    assert list(ledger.read()[1]) == [path]
    assert path.read_bytes() == damaged + lines[1]


@pytest.mark.parametrize("kept", [10, -30, -2])
def test_a_torn_last_line_is_skipped_and_the_next_one_is_not_glued_to_it(tmp_path, kept):
    ledger, path, lines = two_of(tmp_path)
    path.write_bytes(lines[0] + lines[1][:kept])
    with pytest.warns(UnreadableMeasurement, match="line 2"):
        assert [m.seed for m in ledger.measurements()] == [1]
    ledger.add(measurement(seed=3))
    with pytest.warns(UnreadableMeasurement, match="line 2"):
        assert [m.seed for m in ledger.measurements()] == [1, 3]


def test_a_last_line_that_lacks_only_its_end_of_line_is_whole(tmp_path):
    ledger, path, lines = two_of(tmp_path)
    path.write_bytes(b"".join(lines)[:-1])
    ledger.add(measurement(seed=3))
    assert [m.seed for m in ledger.measurements()] == [1, 2, 3]


def test_a_compressed_file_that_is_cut_short_gives_what_is_whole(tmp_path):
    lines = [LedgerLine.of("measurement", measurement(seed=seed).to_dict()).encode() for seed in range(2000)]
    packed = gzip.compress(b"".join(lines))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    found, damaged = Ledger(tmp_path).read()
    assert 100 < len(found) < 1900
    assert [path.name for path in damaged] == ["a.jsonl.gz"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
@pytest.mark.parametrize(("fields", "named"), [("score", "accuracy"), ("scores", "loss")])
def test_a_score_that_is_not_finite_is_kept_as_a_failed_run_that_names_it(tmp_path, value, fields, named):
    made = measurement(**{fields: {"loss": value, "top": 0.5} if fields == "scores" else value})
    Ledger(tmp_path).add(made)
    (found,) = Ledger(tmp_path).measurements()
    assert found == made
    assert found.failure == f"{named} is {value}"
    assert (found.score, found.scores, found.readings, found.solved) == (None, {}, (), False)


def test_what_json_has_no_form_for_is_kept_all_the_same(tmp_path):
    settings = {
        "name": "m",
        "clip": math.inf,
        "lr": math.nan,
        "hidden": np.int64(5),
        "size": torch.tensor(3),
        "file": tmp_path,
    }
    Ledger(tmp_path).add(measurement(seed=np.int64(3), score=np.float32(0.5), target=-math.inf, model=settings))
    (found,) = Ledger(tmp_path).measurements()
    assert found.model == settings | {"clip": "Infinity", "lr": "NaN", "size": 3, "file": str(tmp_path)}
    assert (found.seed, found.score, found.target, found.failure) == (3, 0.5, -math.inf, "")
    assert set(Ledger(tmp_path).frame().solved) == {True}


def test_a_study_with_a_number_that_is_not_finite_is_kept_and_names_it(tmp_path):
    Ledger(tmp_path).add_study(study(total_cost=math.nan, trials=[{"score": math.inf}]))
    (found,) = Ledger(tmp_path).studies()
    assert (found["failure"], found["total_cost"], found["trials"]) == (
        "total_cost is nan",
        "NaN",
        [{"score": "Infinity"}],
    )
    Ledger(tmp_path / "other").add_study(study(total_cost=1.0))
    assert "failure" not in Ledger(tmp_path / "other").studies()[0]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Ledger(tmp_path / "file").add(measurement())


def test_other_files_are_no_measurements(tmp_path):
    for name in (".abc.tmp", "results.csv", "001-10_a.ipynb", "a.jsonl.tmp", "a.json"):
        (tmp_path / name).write_text("{")
    assert Ledger(tmp_path).read() == ([], {})


def test_the_table_has_a_row_for_each_reading_and_a_column_for_each_field(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.add(measurement(seed=1))
    ledger.add(measurement(seed=2, kind=Kind.ESTIMATED, model={"name": "other", "wide": True}))
    ledger.add(measurement(seed=3, readings=(), score=None, failure="diverged"))
    table = ledger.frame()
    assert len(table) == 4
    assert sorted(table[table.metric == "cost"].kind) == ["counted", "estimated"]
    assert list(table[table.metric == "cost"].value) == [10.0, 10.0]
    assert set(table["problem.n"]) == {20}
    assert list(table["model.hidden"].dropna()) == [5, 5]
    assert list(table["model.wide"].dropna()) == [True, True]
    assert set(table.source) == {f"run: {tmp_path.name}"}
    assert table.dirty.all(), "a measurement of no commit cannot be traced"
    assert Ledger(tmp_path / "none").frame().empty
    assert "metric" in Ledger(tmp_path / "none").frame().columns
    assert frame(ledger.measurements()).equals(table.drop(columns=["source", "dirty"]))
    assert frame([]).empty


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a publication and two local runs, as a notebook finds it that was opened by hand."""
    monkeypatch.delenv("SUTRO_LEDGER")
    monkeypatch.setattr(paths, "DATA", tmp_path)
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    Ledger(tmp_path / "ledger").add(measurement(seed=0))
    for seed, run in enumerate(("first", "second"), 1):
        Ledger(tmp_path / "runs" / run).add(measurement(seed=seed))
    Ledger(tmp_path / "runs" / "first").add(measurement(seed=0))
    return tmp_path


def test_a_row_says_whether_it_is_published_or_of_which_run(checkout):
    sources = Ledger().frame().groupby("seed").source.unique().map(list).to_dict()
    assert sources == {0: [f"published: {FILE}"], 1: ["run: first"], 2: ["run: second"]}


def test_a_notebook_opened_by_hand_writes_beside_the_runs_and_sees_all(checkout):
    path = Ledger().add(measurement(seed=7))
    assert path == checkout / "runs" / "interactive" / FILE
    assert {m.seed for m in Ledger().measurements()} == {0, 1, 2, 7}


@pytest.mark.parametrize("folder", ["runs/mine", "elsewhere/mine"])
def test_a_batch_writes_to_its_own_folder_and_its_notebooks_see_all(checkout, monkeypatch, folder):
    for name, value in paths.ledger_environment(checkout / folder).items():
        monkeypatch.setenv(name, value)
    path = Ledger().add(measurement(seed=7))
    assert path == checkout / folder / FILE
    table = Ledger().frame()
    assert set(table.seed) == {0, 1, 2, 7}
    assert set(table[table.seed == 7].source) == {"run: mine"}


def test_a_folder_that_is_chosen_is_all_there_is_for_batches_too(checkout, monkeypatch):
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("SUTRO_LEDGER", "chosen")
    for name, value in paths.ledger_environment(checkout / "runs" / "mine").items():
        monkeypatch.setenv(name, value)
    assert Ledger().add(measurement(seed=7)) == checkout / "chosen" / FILE
    assert [m.seed for m in Ledger().measurements()] == [7]


@pytest.mark.parametrize(("commit", "dirty"), [("abc", False), ("abc+", True), ("", True)])
def test_what_cannot_be_traced_to_a_commit_is_dirty(tmp_path, commit, dirty):
    Ledger(tmp_path).add(measurement(commit=commit))
    assert is_dirty(commit) == dirty
    assert set(Ledger(tmp_path).frame().dirty) == {dirty}


WRITER = """
    import sys
    sys.path[:0] = [{root!r}, {tests!r}]
    from builders import measurement, study
    from sutrolib.measurement.ledger import Ledger
    ledger = Ledger({folder!r})
    for number in range(int(sys.argv[2])):
        # Large, so that a kill often falls into a write.
        ledger.add(measurement(seed=number, prior_knowledge=sys.argv[1] + "x" * 200_000))
        print(sys.argv[1], number, flush=True)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
def test_processes_writing_at_once_lose_nothing_and_a_killed_one_damages_nothing(tmp_path):
    tests = str(paths.ROOT / "tests")
    source = textwrap.dedent(WRITER).format(root=str(paths.ROOT), tests=tests, folder=str(tmp_path))

    def writer(name, count):
        return subprocess.Popen([sys.executable, "-c", source, name, str(count)], stdout=subprocess.PIPE, text=True)

    victim, survivors = writer("victim", 1_000_000), [writer(f"survivor{n}", 40) for n in range(2)]
    first = victim.stdout.readline()
    time.sleep(0.2)
    victim.send_signal(signal.SIGKILL)
    reported = [first, *victim.stdout.readlines()]
    reported += [line for process in survivors for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in survivors] == [0, 0]
    assert victim.wait() == -signal.SIGKILL
    written = {tuple(line.split()) for line in reported if len(line.split()) == 2}
    assert len(written) > 80
    measurements, damaged = Ledger(tmp_path).read()
    assert len(damaged) <= 1, "the line that the victim was writing"
    found = {(m.prior_knowledge.rstrip("x"), str(m.seed)) for m in measurements}
    assert {name for name in written if name[0] != "victim"} <= found
    assert len(written - found) <= 1, "its last report may be cut short"
    append(tmp_path, [LedgerLine.of("measurement", measurement(seed=-1).to_dict())])
    assert -1 in {m.seed for m in Ledger(tmp_path).measurements()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
def test_four_processes_that_are_killed_34_times_lose_no_measurement_that_was_acknowledged(tmp_path):
    source = textwrap.dedent(WRITER).replace("200_000", "2_000")
    source = source.format(root=str(paths.ROOT), tests=str(paths.ROOT / "tests"), folder=str(tmp_path))

    def writer(name):
        command = [sys.executable, "-c", source, name, "1000000"]
        return subprocess.Popen(command, stdout=(tmp_path / name).open("wb"))

    names, writers = iter(f"w{number}." for number in range(99)), []
    for kill in range(34):
        writers += [writer(next(names)) for _ in range(4 - len(writers))]
        newest = tmp_path / f"w{kill + 3}."
        until(lambda newest=newest: newest.stat().st_size)
        time.sleep(0.05 + 0.01 * (kill % 7))
        victim = writers.pop(0)
        victim.kill()
        victim.wait()
    for process in writers:
        process.kill()
        process.wait()
    said = [line.split() for path in tmp_path.glob("w*.") for line in path.read_text().splitlines(keepends=True)]
    written = {tuple(words) for words in said if len(words) == 2}
    measurements, damaged = Ledger(tmp_path).read()
    found = {(m.prior_knowledge.rstrip("x"), str(m.seed)) for m in measurements}
    lost = written - found
    torn = list(damaged.values())
    print(f"\n  34 kills of 4 processes: {len(written):,} acknowledged, {len(lost)} lost, damaged: {torn}")
    assert not lost
    assert len(written) > 34
