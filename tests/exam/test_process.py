"""Training that is not charged: attacks on the exam, each of which fails by name or has no effect."""

import json
import os
import subprocess
import sys

import exam_attacks as attacks
import psutil
import pytest
from exams import SHAPE, TINY, fake_run

import sutrolib.exam.process
import sutrolib.exam.run
from sutrolib.core.paths import ROOT
from sutrolib.core.types import FailedRun
from sutrolib.exam.entries import CLOSED
from sutrolib.exam.evaluate import evaluate
from sutrolib.exam.isolation import LINUX, landlock_version
from sutrolib.exam.process import FreshProcess
from sutrolib.exam.record import exam_path, lock_record, read_record
from sutrolib.exam.run import run_exam
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.models.language.kneser_ney import KneserNey

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))


@pytest.fixture(scope="module")
def fresh():
    """One helper for the tests that share it, as for the runs of an exam."""
    with FreshProcess(1) as process:
        yield process


def run_of(model, fresh, closed=None, runs=1):
    return evaluate(
        TINY.problem, model, 0, CombinedMeter([], WallTime(runs=runs, window=0)), closed=closed, fresh=fresh
    )


def test_a_run_in_fresh_processes_gives_the_same_scores_as_in_one(fresh):
    for model, closed in ((TINY.baseline, TINY.baseline), (KneserNey(3), None)):
        task = TINY.problem.sample(0)
        found = task.inference.predictions(model.fit(task.for_training(), 0), task.test_split)
        run = run_of(model, fresh, closed)
        assert run.failure == ""
        assert run.score == pytest.approx(task.score(found, task.test_split.y), abs=1e-6)
        assert {"time", "validation-time", "inference-time", "model-size"} == {r.name for r in run.readings}


def test_a_hook_that_trains_when_the_network_is_read_is_refused_by_name(fresh):
    run = run_of(attacks.TrainsWhenRead(**SHAPE), fresh, TINY.baseline)
    assert "fitted.network.blocks.0._forward_pre_hooks is not what its arguments build" in run.failure


def test_a_class_of_its_own_is_refused_in_the_closed_division_by_name(fresh):
    run = run_of(attacks.ReturnsItsOwnClass(**SHAPE), fresh, TINY.baseline)
    assert "fitted: its class is of the module exam_attacks" in run.failure


def test_a_training_at_the_first_prediction_beyond_the_charged_ones_is_refused_by_name(fresh):
    run = run_of(attacks.TrainsAtFirstPrediction(2), fresh)
    assert "the first predictions took " in run.failure
    assert "work was put off until then" in run.failure


@pytest.mark.skipif(not landlock_version(), reason="the system has no Landlock")
def test_weights_kept_on_disk_are_not_found_by_the_next_training(fresh):
    for _ in range(2):
        assert run_of(attacks.KeepsItsWeightsOnDisk(2), fresh, runs=2).failure == ""
    assert not list(ROOT.rglob("weights-of-an-attack"))


def test_where_nothing_prevents_it_a_file_of_the_checkout_that_was_written_fails_the_run(fresh, monkeypatch):
    found = iter([{"data/a": (1, 1, 1)}, {"data/a": (1, 1, 1), "data/weights": (2, 2, 2)}])
    monkeypatch.setattr(sutrolib.exam.process, "landlock_version", lambda: 0)
    monkeypatch.setattr(sutrolib.exam.process, "files_of_checkout", lambda: next(found))
    fresh.start(TINY.problem, "shakespeare")
    with pytest.raises(FailedRun, match="files of the checkout were changed during the run: data/weights"):
        fresh.end()


@pytest.mark.skipif(not LINUX, reason="repetitions share a process where the system has no safe fork")
def test_each_repetition_of_a_short_training_starts_with_an_empty_memory(fresh):
    run = run_of(attacks.Remembers(2), fresh, runs=3)
    assert run.failure == ""
    assert run.reading("time").detail["runs"] == 3


@pytest.mark.skipif(not LINUX, reason="a process of a process is adopted on Linux only")
def test_threads_processes_and_exit_handlers_that_a_training_leaves_end_with_it(fresh, capfd):
    assert run_of(attacks.GoesOnTraining(2), fresh).failure == ""
    assert not [p for p in psutil.process_iter(["cmdline"]) if attacks.DAEMON in (p.info["cmdline"] or ())]
    assert "an exit handler ran" not in capfd.readouterr().err


def test_what_a_training_patches_does_not_reach_the_judge(fresh):
    honest, patched = (run_of(model, fresh) for model in (KneserNey(2), attacks.PatchesTheJudge(2)))
    assert patched.failure == ""
    assert patched.scores == honest.scores
    assert patched.reading("time").value > 0


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (attacks.HidesCode(2), r"fitted\.extra\[1\] is a exam_attacks\.Reduced, which cannot be saved"),
        (attacks.SendsAPickle(2), "the saved model cannot be rebuilt"),
        (attacks.Dies(2), "the process of the run ended without a result"),
    ],
)
def test_what_is_no_model_is_refused_by_name_and_no_code_of_it_runs(fresh, capfd, model, named):
    run = run_of(model, fresh)
    with pytest.raises(FailedRun, match=named):
        raise FailedRun(run.failure)
    assert "an attack ran" not in capfd.readouterr().err
    assert run_of(KneserNey(2), fresh).failure == ""  # the next run is not affected


def test_an_error_of_the_training_is_raised_as_text(fresh, capfd):
    with pytest.raises(RuntimeError, match="Raised: an error of its own"):
        run_of(attacks.RaisesCode(2), fresh)
    assert "an attack ran" not in capfd.readouterr().err


def test_a_training_finds_libraries_loaded_its_threads_and_a_home_of_its_own():
    with FreshProcess(2) as fresh:
        assert run_of(attacks.LooksAround(2), fresh).failure == "2 True True"


def test_a_model_of_the_main_program_is_refused_with_what_to_do(fresh, monkeypatch):
    monkeypatch.setattr(attacks.Remembers, "__module__", "__main__")
    with pytest.raises(ValueError, match="the class Remembers must stand at the top of a module that can be imported"):
        run_of(attacks.Remembers(2), fresh)


def test_a_second_exam_in_the_same_folder_is_refused_and_the_holder_is_named(monkeypatch):
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", lambda problem, model, seed, *_, **options: fake_run(seed))
    with (
        lock_record(exam_path("tiny", CLOSED)),
        pytest.raises(
            ValueError, match=rf"being written by another command \(process {os.getpid()}, .*, since .*wait for it"
        ),
    ):
        run_exam(TINY, CLOSED, 5, meters=[])
    assert run_exam(TINY, CLOSED, 5, meters=[]).finished
    with lock_record(exam_path("tiny", CLOSED)):  # a finished record is only read
        assert run_exam(TINY, CLOSED, 5, meters=[]).finished


@pytest.mark.parametrize(
    ("field", "value"),
    [("library", "0" * 64), ("threads", 99), ("affinity", [98, 99])],
    ids=["library", "threads", "affinity"],
)
def test_a_seed_begun_under_other_conditions_is_refused_and_a_finished_record_shown(monkeypatch, field, value):
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", lambda problem, model, seed, *_, **options: fake_run(seed))
    path = run_exam(TINY, CLOSED, 5, meters=[]).path
    fields = json.loads(path.read_bytes())
    assert not read_record(path).earlier_library
    fields["conditions"][field] = value
    path.write_text(json.dumps(fields))
    assert run_exam(TINY, CLOSED, 5, meters=[]).earlier_library == (field == "library")
    fields["measurements"]["baseline"].pop()
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=rf"conditions: \{{'{field}': .*, now .*Use --again"):
        run_exam(TINY, CLOSED, 5, meters=[])
    for runs in fields["measurements"].values():  # the same conditions for all that is compared: a whole seed
        runs[:] = [run for run in runs if run["seed"] < 4]
    path.write_text(json.dumps(fields))
    for record in (run_exam(TINY, CLOSED, 5, meters=[]), read_record(path)):
        assert record.finished
        assert [dict(sitting["conditions"])[field] for sitting in record.earlier_sittings] == [value]
        assert record.conditions[field] != value
        assert record.earlier_library == (field == "library")


def test_a_folder_that_cannot_be_written_to_is_found_before_the_first_training(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", lambda *_, **options: made.append(1))
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "file" / "exam"))
    with pytest.raises(OSError, match="exam"):
        run_exam(TINY, CLOSED, 5, meters=[])
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))
    monkeypatch.setattr("sutrolib.exam.record.write_json", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        run_exam(TINY, CLOSED, 5, meters=[])
    assert made == []


EXAM = """
import sys, time
sys.path.insert(0, "tests")
from exams import CLOSED, TINY, fake_run
import sutrolib.exam.run
from sutrolib.exam.run import run_exam
if sys.argv[1] != "0":  # the first one trains, and the others only write their records
    sutrolib.exam.run.evaluate = lambda problem, model, seed, *_, **options: time.sleep(0.1) or fake_run(seed)
run_exam(TINY, CLOSED, 5, meters=[], on_run=lambda number, *_: print(number, flush=True))
"""


def test_an_exam_that_is_killed_twelve_times_comes_to_all_its_runs_and_leaves_no_process():
    def helpers():
        return [p for p in psutil.process_iter(["cmdline"]) if "sutrolib.exam.process import serve" in str(p.info)]

    before, path = helpers(), exam_path("tiny", CLOSED)
    for kill in range(13):
        exam = subprocess.Popen([sys.executable, "-c", EXAM, str(kill)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if kill == 12:
            exam.communicate()
            break
        exam.stdout.readline()  # killed in the run after this one, or after the last
        exam.kill()
        exam.communicate()
        assert psutil.wait_procs([p for p in helpers() if p not in before], timeout=5)[1] == []
        if path.exists():
            read_record(path)
    assert exam.returncode == 0
    record = read_record(path)
    assert record.finished
    assert sum(len(runs) for runs in record.measurements.values()) == 10
    assert not any(run.failure for name in record.model_names for run in record.runs(name))


def test_an_exam_that_fails_before_its_first_run_leaves_no_record(tmp_path, monkeypatch):
    def missing(*about, **options):
        raise ValueError("there is no graphics card")

    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", missing)
    with pytest.raises(ValueError, match="no graphics card"):
        run_exam(TINY, CLOSED)
    assert list(tmp_path.glob("*.json")) == []


FRAGMENTS = """
import sys
import psutil, torch
from sutrolib.exam.isolation import return_freed_arrays
if sys.argv[1] == "return":
    return_freed_arrays()
kept = []
for _ in range(200):
    large = torch.zeros(2**19, dtype=torch.int64)  # 4 MB
    del large
    kept.append(torch.zeros(2**10))  # in the hole that it has left, where the next one does not fit then
print(psutil.Process().memory_info().rss >> 20)
"""


@pytest.mark.skipif(not LINUX, reason="the limit is one of glibc's")
def test_large_arrays_are_returned_to_the_system_when_freed():
    def megabytes(mode):
        found = subprocess.run(
            [sys.executable, "-c", FRAGMENTS, mode], capture_output=True, text=True, check=True, cwd=ROOT
        )
        return int(found.stdout)

    assert megabytes("return") < megabytes("keep") - 400  # of which 800 are freed
