"""Records that are well-formed JSON and yet wrong: each is skipped and named, and nothing that reads them breaks."""

import gzip
import hashlib
import json
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest
from builders import measurement, study
from meetings import executed

from sutrolib.__main__ import main
from sutrolib.batch import records
from sutrolib.batch.comparisons import results_of
from sutrolib.batch.records import RunResult
from sutrolib.batch.stored import StoredResults
from sutrolib.core.cube import Position
from sutrolib.core.markdown import finding_in
from sutrolib.core.records import UnreadableRecord, moment, parse, read_json
from sutrolib.exam.record import read_record
from sutrolib.measurement.coverage import count_positions, count_rungs, describe_position
from sutrolib.measurement.ledger import FILE, Ledger, LedgerLine, UnreadableMeasurement, frame
from sutrolib.meeting.collect import Period, collect_meeting
from sutrolib.processes.model_families import stored_comparisons

WHEN = "2026-01-02T03:04:05+00:00"
GOOD = measurement().to_dict()
READING = GOOD["readings"][0]
DEEP = b"[" * 100_000 + b"]" * 100_000
LONG = b"1" * 400


def of(**fields):
    """The text of a measurement with these fields in place of its own."""
    return json.dumps(GOOD | fields).encode()


def raw(name, text):
    """The text of a measurement with this JSON for one field."""
    return json.dumps(GOOD | {name: "HERE"}).encode().replace(b'"HERE"', text)


def reading(**fields):
    return of(readings=[READING | fields])


MEASUREMENTS = {
    "when is a word": of(when="yesterday"),
    "when has no zone": of(when="2026-01-02T03:04:05"),
    "when is a day": of(when="2026-01-02"),
    "when is a number": of(when=5),
    "when is null": of(when=None),
    "when is empty": of(when=""),
    "when is beyond all years": of(when="9999-12-31T23:59:59-12:00"),
    "model is null": of(model=None),
    "model is a text": of(model="mlp"),
    "model has no name": of(model={"hidden": 5}),
    "model's name is a list": of(model={"name": ["mlp"]}),
    "problem is a list": of(problem=[]),
    "problem's name is null": of(problem={"name": None}),
    "seed is a text": of(seed="0"),
    "seed is null": of(seed=None),
    "seed is true": of(seed=True),
    "seed has 400 digits": raw("seed", LONG),
    "score is a text": of(score="good"),
    "score is a list": of(score=[1]),
    "score has 400 digits": raw("score", LONG),
    "target is null": of(target=None),
    "target is a word": of(target="high"),
    "readings are null": of(readings=None),
    "readings are an object": of(readings={"time": 1}),
    "a reading is a number": of(readings=[1]),
    "a reading's value is a text": reading(value="many"),
    "a reading's value is 0": reading(value=0),
    "a value has 400 digits": reading(value=1).replace(b'"value": 1', b'"value": ' + LONG),
    "a value is infinite": reading(value=1).replace(b'"value": 1', b'"value": 1e999'),
    "a reading's kind is unknown": reading(kind="guessed"),
    "a reading's name is null": reading(name=None),
    "a reading's unit is a list": reading(unit=[]),
    "a reading's detail is a text": reading(detail="much"),
    "a reading's load is a text": reading(detail={"load": "busy"}),
    "a window of no time": reading(detail={"runs": 3, "window_s": 0}),
    "rungs are null": of(rungs=None),
    "rungs are lists": of(rungs={"process": [], "problem": []}),
    "rungs lack the problem": of(rungs={"process": "by-hand"}),
    "missing is a list": of(missing=[]),
    "scores are texts": of(scores={"loss": "low"}),
    "failure is a number": of(failure=1),
    "machine is a text": of(machine="big"),
    "versions are numbers": of(versions={"torch": 2}),
    "commit is null": of(commit=None),
    "score_name is null": of(score_name=None),
    "prior_knowledge is an object": of(prior_knowledge={}),
    "another field": of(more=1),
    "no readings at all": json.dumps({k: v for k, v in GOOD.items() if k != "readings"}).encode(),
    "100,000 levels": raw("machine", b'{"a":' + DEEP + b"}"),
    "100 levels": raw("machine", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"),
}
STUDIES = {
    "when is a word": {"when": "yesterday"},
    "problem is null": {"problem": None},
    "best has no cost": {"best": {"score": 1}},
    "best is a text": {"best": "the first"},
    "n_trials is a text": {"n_trials": "many"},
    "trials are numbers": {"trials": [1]},
    "metric is a list": {"metric": []},
    "commit is null": {"commit": None},
    "task is a number": {"task": 1, "results": {}},
    "results are a list": {"task": "parity", "results": []},
    "a result without a baseline": {
        "task": "parity",
        "process": "comparison",
        "results": {"TPE": {"trajectories": []}},
    },
    "a result of texts": {"task": "parity", "results": {"TPE": {"trajectories": ["up"], "baseline": [1.0]}}},
}


def write(folder, kind, *texts):
    """A ledger of these records, whatever they hold, each with the hash of its text."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [LedgerLine(hashlib.sha256(text).hexdigest()[:16], kind, text).encode() for text in texts]
    with (folder / FILE).open("ab") as file:
        file.write(b"".join(lines))


@pytest.fixture
def folder(tmp_path):
    """The folder of the ledger, with one good measurement and one good study."""
    Ledger().add(measurement(seed=77, when=WHEN))
    Ledger().add_study(study(process="good"))
    return Ledger().folder


def read_all(tmp_path, capsys):
    """All that reads the ledger: its tables, coverage, notebook 00's calls, deck, compare and list."""
    ledger = Ledger()
    measurements = ledger.measurements()
    assert [m.seed for m in measurements] == [77]
    assert set(ledger.frame().seed) == set(frame(measurements).seed) == {77}
    assert [one["process"] for one in ledger.studies()] == ["good"]
    stored_comparisons(ledger.studies())
    count_positions(measurements)
    count_rungs(measurements)
    here = Position("by-hand", "ard", "parity")
    describe_position(here, measurements)
    until = datetime.now(UTC)
    meeting = collect_meeting(Period(until - timedelta(days=100_000), until), [str(executed(tmp_path / "run").parent)])
    assert (meeting.total, meeting.searches, meeting.damaged) == (1, 1, 1)
    assert main(["compare", str(ledger.folder), "ledger"]) == 0
    assert main(["ledger"]) == 0
    return capsys.readouterr()


@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_that_is_wrong_is_skipped_and_named(name, folder, tmp_path, capsys):
    write(folder, "measurement", MEASUREMENTS[name])
    (why,) = Ledger().read()[1].values()
    assert why.startswith("line 3 is not a measurement: ")
    assert len(why) < 400
    assert "line 3 is not a measurement" in " ".join(read_all(tmp_path, capsys).out.split())


@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_is_wrong_is_skipped_and_named(name, folder, tmp_path, capsys):
    wrong = study(process="wrong", when=WHEN, commit="abc") | STUDIES[name]
    write(folder, "study", json.dumps(wrong).encode())
    with pytest.warns(UnreadableMeasurement, match="line 3 is not a study: "):
        assert [one["process"] for one in Ledger().studies()] == ["good"]


def test_the_records_that_the_wrong_ones_are_made_of_are_right(folder):
    write(folder, "measurement", of(seed=1), reading(detail={"load": 0.1, "runs": 3, "window_s": 1.5}))
    result = {"trajectories": [{"costs": [None, 1], "spent": {"trials": [1, 2]}, "found": "x"}], "baseline": [None]}
    for more in ({}, {"best": {"cost": 1}}, {"task": "parity", "results": {"TPE": result}}):
        write(folder, "study", json.dumps(study(when=WHEN, commit="abc") | more).encode())
    assert (len(Ledger().measurements()), len(Ledger().studies())) == (3, 4)


def test_a_text_that_no_utf_8_can_hold_costs_no_record(folder):
    write(folder, "measurement", of(prior_knowledge="HERE").replace(b"HERE", rb"a \ud800 b"))
    assert Ledger().measurements()[-1].prior_knowledge == "a ? b"


def pipe(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def within_seconds(call):
    """The result of a call that could block for ever."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(30)
    assert found, "it waits for what never comes"
    return found[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.filterwarnings("ignore::sutrolib.measurement.ledger.UnreadableMeasurement")
@pytest.mark.filterwarnings("ignore::sutrolib.core.records.UnreadableRecord")
def test_a_pipe_or_a_device_is_no_record(folder, tmp_path):
    for name in ("a.jsonl", "b.jsonl.gz"):
        pipe(folder / name)
    (folder / "zero.jsonl").symlink_to("/dev/zero")
    found, damaged = within_seconds(Ledger().read)
    assert [m.seed for m in found] == [77]
    assert {path.name for path, why in damaged.items() if "is not a regular file" in why} == {
        "a.jsonl",
        "b.jsonl.gz",
        "zero.jsonl",
    }

    def refused(read, path):
        with pytest.raises(ValueError, match="is not a regular file"):
            read(path)
        return True

    for read, name in (
        (read_json, "a.json"),
        (read_record, "cpu_open.json"),
        (StoredResults.read, "10_a.json.gz"),
        (finding_in, "10_a.ipynb"),
    ):
        assert within_seconds(lambda read=read, name=name: refused(read, pipe(tmp_path / "pipes" / name)))
    identity = "a" * 64
    pipe(tmp_path / "run" / records.RECORDS / f"{identity}.json")
    assert within_seconds(lambda: records.read_all(tmp_path / "run")) == []
    pipe(tmp_path / "copies" / "001-10_a.ipynb")
    assert within_seconds(lambda: results_of(tmp_path / "copies")) == []
    with pytest.raises(ValueError, match="is not a regular file"):
        Ledger(tmp_path / "pipes").add(measurement()) if pipe(tmp_path / "pipes" / FILE) else None


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "1"},
        {"number": True},
        {"when": "yesterday"},
        {"when": None},
        {"parameters": []},
        {"results": {"q": "many"}},
        {"kinds": {"q": 1}},
        {"expected": None},
        {"seconds": "long"},
        {"error": None},
        {"label": 5},
        {"library": {}},
        {"sequence": "last"},
        {"attempts": 1.5},
        {"more": 1},
    ],
)
def test_a_batch_record_that_is_wrong_is_skipped_and_named(tmp_path, fields):
    good = {"identity": "a" * 64, "number": 1, "notebook": "10_a", "label": "10_a", "parameters": {}, "seconds": 1}
    path = tmp_path / records.RECORDS / f"{'a' * 64}.json"
    path.parent.mkdir()
    path.write_text(json.dumps(good | {"when": WHEN}))
    assert records.read_all(tmp_path) == [RunResult(**good, when=WHEN)]
    path.write_text(json.dumps(good | {"when": WHEN} | fields))
    with pytest.warns(UnreadableRecord, match=f"{path.name} was skipped"):
        assert records.read_all(tmp_path) == []


@pytest.mark.parametrize("content", [b"[]", b'{"parameters": [], "when": ""}', b'{"parameters": {}, "when": 5}', DEEP])
def test_stored_results_that_are_wrong_are_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "10_a.json.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"10_a.json.gz cannot be read .*: restore it with git, or remove it"):
        StoredResults.read(path)


@pytest.mark.parametrize("said", [[], {"parameters": {}, "results": [1], "when": 5}, {"kinds": "counted", "when": "x"}])
def test_an_executed_copy_that_is_wrong_is_skipped_and_named(tmp_path, said):
    executed(tmp_path, "001-10_good")
    executed(tmp_path, "002-11_wrong", {"finding": "x"})
    path = tmp_path / "002-11_wrong.ipynb"
    path.write_text(path.read_text().replace('{"finding": "x"}', json.dumps(said)))
    if isinstance(said, dict):
        with pytest.warns(UnreadableRecord, match=r"11_wrong.ipynb was skipped"):
            assert [result.notebook for result in results_of(tmp_path)] == ["10_good"]
    else:  # as if it had said nothing
        assert [result.finding for result in results_of(tmp_path)][1:] == [""]


def test_what_a_float_cannot_hold_and_what_is_nested_too_deeply_is_refused():
    assert parse(b"[1, NaN, -Infinity]") == [1, "NaN", "-Infinity"]
    for text in (LONG, DEEP, b"[" * 51 + b"]" * 51, b"\xff"):
        with pytest.raises(ValueError, match=r"digits|levels|utf"):
            parse(text)
    assert parse(b"[" * 50 + b"]" * 50)
    assert moment("2026-01-02T03:04:05+02:00") == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
