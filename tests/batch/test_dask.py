"""Batches on Dask: workers killed in mid-run, meters that are never read twice at once, schedulers of others."""

import gc
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import dask
import psutil
import pytest
from batches import END, FIND, Silent, copy_checkout, write_notebook
from light_runs import die, nap, nap_and_say_when, refuse
from slow_work import until
from tls import settings, write_keys

from sutrolib.__main__ import main
from sutrolib.batch import batch, kernel, records
from sutrolib.batch import dask as batch_dask
from sutrolib.batch.execute import MAX_ATTEMPTS, WORKERS_DIED, attempt, sweep
from sutrolib.batch.parameters import declared_in
from sutrolib.batch.plan import Job, Notebook
from sutrolib.batch.records import INTERRUPTED
from sutrolib.core.dask_cluster import LibraryMismatch, open_cluster
from sutrolib.core.paths import ROOT
from sutrolib.meters.lock import meter_lock

LIGHT = declared_in("n: int = 0  # 0 to 1000")


def light_jobs(folder, count, meter=False):
    """Jobs that stand for notebooks, and are run by one of the functions below."""
    about = {"axis": "", "step": "", "parameters": LIGHT, "cells": 1, "sources": "none"}
    notebook = Notebook(path=folder / f"{int(meter)}1_light.ipynb", title="light", meter=meter, **about)
    return [Job(notebook, {"n": n}) for n in range(count)]


def worker_processes():
    """The processes of this test's own workers: not the ones that look after them."""
    return [child for child in psutil.Process().children(recursive=True) if is_worker(child)]


def is_worker(process):
    try:
        return "spawn_main" in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Killer(Silent):
    """Kills a worker, chosen by the seed, whenever so many more runs have ended."""

    def __init__(self, kills, every, seed):
        super().__init__()
        self.rng, self.every, self.left, self.killed = random.Random(seed), every, kills, []

    def job_ended(self, result):
        super().job_ended(result)
        ended = sum(told[0] == "end" for told in self.events)
        if self.left and ended % self.every == 0:
            self.left -= 1
            victim = self.rng.choice(sorted(worker_processes(), key=lambda process: process.pid))
            victim.send_signal(signal.SIGKILL)
            self.killed.append(victim.pid)


@pytest.mark.slow
def test_200_runs_on_four_workers_of_which_ten_are_killed_are_each_recorded_exactly_once(tmp_path):
    jobs, reporter = light_jobs(tmp_path, 200), Killer(kills=10, every=18, seed=7)
    with open_cluster(4, None) as cluster:
        results = batch.run(jobs, reporter, tmp_path / "run", cluster=cluster, execute=nap)
    assert len(reporter.killed) == 10
    stored = [json.loads(path.read_text()) for path in (tmp_path / "run" / "records").iterdir()]
    assert Counter(record["parameters"]["n"] for record in stored) == dict.fromkeys(range(200), 1)
    assert len(results) == len({result.identity for result in results}) == 200
    assert [told[0] for told in reporter.events].count("end") == 200
    # A run ends without a result only where both of its workers were killed, and no run is begun a third time.
    begun = Counter(path.name.split("-")[0] for path in (tmp_path / "run" / "begun").iterdir())
    assert max(begun.values()) <= 2
    lost = [told for told in reporter.events if told[0] == "lost"]
    assert lost, "no worker was killed while it was at a run"
    assert {o.number for o in results if not o.passed} == {number for _, number, again in lost if not again}
    assert all(o.error == WORKERS_DIED for o in results if not o.passed)
    rows = (tmp_path / "run" / "results.csv").read_text().splitlines()
    assert len(rows) == 201
    assert not (tmp_path / "run" / "attempts").exists()


@pytest.mark.slow
def test_runs_that_meter_never_overlap_and_the_others_go_beside_them(tmp_path):
    jobs = light_jobs(tmp_path, 6, meter=True) + light_jobs(tmp_path, 12)
    with open_cluster(3, None) as cluster:
        results = batch.run(jobs, Silent(), tmp_path / "run", cluster=cluster, execute=nap_and_say_when)
    assert all(result.passed for result in results)
    spans = {meter: [] for meter in (True, False)}
    for result in results:
        spans[result.notebook.startswith("1")].append((result.results["began"], result.results["ended"]))
    metering = sorted(spans[True])
    assert all(ended <= began for (_, ended), (began, _) in itertools.pairwise(metering))
    assert {o.worker for o in results if o.notebook.startswith("1")} == {"1"}
    assert any(b < ended and began < e for b, e in spans[False] for began, ended in metering), "nothing was in parallel"


@pytest.mark.slow
def test_runs_that_meter_nothing_are_beside_each_other_and_those_that_meter_come_after_them_in_this_process(tmp_path):
    jobs = light_jobs(tmp_path, 2, meter=True) + light_jobs(tmp_path, 6)
    results = batch.run(jobs, Silent(), tmp_path / "run", execute=nap_and_say_when, at_once=2)
    light, metering = ([o for o in results if o.notebook.startswith(number)] for number in "01")
    assert (len(light), len(metering)) == (6, 2)
    assert {o.worker for o in light} == {"1", "2"}
    assert {o.worker for o in metering} == {""}
    assert max(o.results["ended"] for o in light) <= min(o.results["began"] for o in metering)


def test_no_workers_are_started_for_few_runs_that_meter_nothing(tmp_path):
    results = batch.run(light_jobs(tmp_path, 2), Silent(), tmp_path / "run", execute=nap, at_once=2)
    assert {o.worker for o in results} == {""}


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_given_up_after_the_second(tmp_path):
    reporter = Silent()
    with open_cluster(2, None) as cluster:
        (result,) = batch.run(light_jobs(tmp_path, 1), reporter, tmp_path / "run", cluster=cluster, execute=die)
    assert (result.error, result.attempts) == (WORKERS_DIED, 2)
    assert len(set((tmp_path / "run" / "deaths").read_text().split())) == 2
    assert [told for told in reporter.events if told[0] == "lost"] == [("lost", 1, True), ("lost", 1, False)]
    assert [o.error for o in records.read_all(tmp_path / "run")] == [WORKERS_DIED]


def test_an_error_outside_the_notebook_is_recorded_as_the_runs(tmp_path):
    with open_cluster(1, None) as cluster:
        (result,) = batch.run(light_jobs(tmp_path, 1), Silent(), tmp_path / "run", cluster=cluster, execute=refuse)
    assert result.error == "OSError: [Errno 28] No space left on device"
    assert records.read_all(tmp_path / "run") == [result]


DIE_ON_TWO = """
import os, signal
if n == 2:
    os.kill(int(os.environ["JPY_PARENT_PID"]), signal.SIGKILL)
"""
SLEEP = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
pathlib.Path("{}").write_text(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""


@pytest.mark.slow
def test_notebooks_of_which_one_fails_and_one_kills_its_worker_are_all_reported(tmp_path):
    write_notebook(tmp_path / "01_mixed.ipynb", "1 / (n - 1)", DIE_ON_TWO, FIND)
    jobs = batch.plan(batch.find_notebooks(tmp_path), {}, {"n": ["0", "1", "2", "0"]})
    with open_cluster(2, None) as cluster:
        results = batch.run(jobs, Silent(), tmp_path / "run", cluster=cluster)
    assert [o.parameters["n"] for o in results] == [0, 1, 2], "the fourth is the first again"
    assert (results[0].finding, results[0].error, results[0].attempts) == ("n is 0", "", 1)
    assert "ZeroDivisionError" in results[1].error
    assert (results[2].error, results[2].attempts) == (WORKERS_DIED, 2)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Watching(Silent):
    """Waits, beside the batch, until the notebook says which processes it consists of; then does something."""

    def __init__(self, note, act):
        super().__init__()
        self.note, self.act, self.pids, self.thread = note, act, [], None

    def job_started(self, run):
        self.thread = self.thread or threading.Thread(target=self._watch)
        if not self.thread.is_alive() and not self.pids:
            self.thread.start()

    def _watch(self):
        until(lambda: self.note.exists() and len(self.note.read_text().split()) == 2)
        self.pids = [int(pid) for pid in self.note.read_text().split()]
        self.act(self)


@pytest.mark.slow
def test_a_killed_worker_leaves_neither_its_kernel_nor_what_the_notebook_started(tmp_path):
    note = tmp_path / "note"
    write_notebook(
        tmp_path / "01_long.ipynb",
        f"import pathlib\nif not pathlib.Path({str(note)!r}).exists():\n    exec({SLEEP.format(note)!r})",
        END,
    )
    reporter = Watching(note, lambda self: psutil.Process(self.pids[0]).parent().kill())
    with open_cluster(2, None) as cluster:
        jobs = batch.plan(batch.find_notebooks(tmp_path), {}, {})
        (result,) = batch.run(jobs, reporter, tmp_path / "run", cluster=cluster)
    assert (result.error, result.attempts) == ("", 2), "the second attempt finds the note, and passes"
    assert ("lost", 1, True) in reporter.events
    until(lambda: all(map(gone, reporter.pids)), 10)


def test_a_run_whose_attempt_is_removed_ends_wherever_it_is(tmp_path):
    note = tmp_path / "note"
    write_notebook(tmp_path / "01_long.ipynb", SLEEP.format(note))
    attempts = tmp_path / "run" / "attempts"
    reporter = Watching(note, lambda self: next(attempts.glob("*/*-1")).unlink())
    result = batch.run(batch.plan(batch.find_notebooks(tmp_path), {}, {}), reporter, tmp_path / "run")[0]
    assert "Kernel died" in result.error
    assert records.read_all(tmp_path / "run") == []
    until(lambda: all(map(gone, reporter.pids)), 10)


@pytest.fixture
def planned(tmp_path):
    """A run of a batch that has begun."""
    (run,) = batch.prepare(light_jobs(tmp_path, 1), tmp_path / "run").runs
    run.attempts.mkdir(parents=True)
    return run


def test_a_run_is_attempted_twice_and_not_a_third_time(planned):
    started = []

    def crash(run):
        raise SystemExit

    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(SystemExit):
            attempt(planned, crash, started.append)
    result = attempt(planned, nap, started.append)
    assert (result.error, result.attempts) == (WORKERS_DIED, 2)
    assert [run.attempt for run in started] == [1, 2]
    assert records.read_all(planned.folder) == [result]


def test_a_run_that_was_recorded_before_its_worker_died_is_not_repeated(planned):
    first = attempt(planned, nap)
    assert attempt(planned, die) == first


def test_an_attempt_that_another_one_has_replaced_ends_and_is_not_recorded(planned):
    results = []

    def overtaken(run):
        results.append(attempt(planned, nap))
        assert kernel.has_ended(run.attempt_file)
        return run.result(1.0, "late")

    attempt(planned, overtaken)
    assert records.read_all(planned.folder) == results
    assert results[0].attempts == 2


def test_a_late_attempt_finds_nothing_to_begin(planned):
    sweep(planned.folder)
    with pytest.raises(FileNotFoundError):
        attempt(planned, nap)
    assert records.read_all(planned.folder) == []


def test_the_workers_are_all_there_at_every_look():
    import dask

    with dask.config.set({"distributed.client.scheduler-info-interval": "10ms"}), open_cluster(1, None) as cluster:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert len(cluster.workers()) == 1


class Naming(Silent):
    def job_started(self, run):
        self.events.append(("start", run.worker))


@pytest.fixture
def pool():
    with open_cluster(1, None) as cluster:
        yield batch_dask._WorkerPool(cluster, nap, Naming())


def test_a_run_that_dask_gives_up_is_submitted_again_unless_it_was_begun_twice_or_submitted_often(pool, planned):
    from distributed import KilledWorker

    given_up = KilledWorker("task", None, 0)
    assert pool._after_error(planned, given_up) is None
    results = []
    until(lambda: results.extend(filter(None, [pool.next_result()])) or results)
    assert results[0].passed
    assert pool.reporter.events == [("start", "1")]
    pool.submissions[planned.identity] = batch_dask.MAX_SUBMISSIONS
    assert "died, 10 times" in pool._after_error(planned, given_up).error
    for number in (1, 2):
        (planned.attempts / f"{planned.identity}-{number}").touch()
    assert pool._after_error(planned, given_up).error == WORKERS_DIED


def test_what_is_recorded_until_an_interruption_cancels_it_stands_and_the_rest_is_interrupted(pool, planned):
    pool.running[planned.identity] = (planned, 0.0)
    pool.close()
    assert [result.error for result in records.read_all(planned.folder)] == [INTERRUPTED]
    recorded = attempt(planned, nap)
    pool.close()
    assert records.read_all(planned.folder) == [recorded]


# A scheduler of others, started by Dask's own commands as a user would.


@pytest.fixture
def elsewhere(tmp_path):
    """A function that starts a scheduler or worker by Dask's command line, in another folder than the checkout.

    They have keys, and so has this process.
    """
    started, keys = [], write_keys(tmp_path)
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | keys

    def start(*words, **environment):
        log = (tmp_path / f"dask{len(started)}.log").open("w")
        command = [sys.executable, "-P", "-m", "dask", *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=clean | environment, stdout=log, stderr=log))

    with dask.config.set(settings(keys)):
        yield start
    for process in reversed(started):
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        for child in children:
            child.kill() if child.is_running() else None
        process.wait(20)


@pytest.fixture
def scheduler(elsewhere, tmp_path):
    """The address of a scheduler without workers, on a port that was free."""
    found = tmp_path / "scheduler.json"
    words = ["--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    words += ["--scheduler-file", str(found)]
    elsewhere("scheduler", *words)
    until(lambda: found.exists() and found.read_text().endswith("}"))
    return json.loads(found.read_text())["address"]


def worker_of(scheduler, *words):
    return ["worker", scheduler, "--nthreads", "1", "--no-dashboard", "--local-directory", "scratch", *words]


@pytest.mark.slow
def test_a_batch_runs_on_the_workers_of_a_scheduler_that_is_already_there(
    tmp_path, elsewhere, scheduler, monkeypatch, capsys
):
    write_notebook(tmp_path / "01_good.ipynb", FIND)
    found = batch.find_notebooks(tmp_path)
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    command = ["run", "--grid", "n=1,2", "--scheduler", scheduler, "-o", str(tmp_path / "run")]
    assert main(command) == 2
    assert f"has no workers: start some with 'dask worker {scheduler}" in capsys.readouterr().err

    elsewhere(*worker_of(scheduler))
    with open_cluster(None, scheduler) as cluster:
        until(lambda: len(cluster.workers()) == 1)
        assert not cluster.local
        assert main(command) == 2
        assert "none of the 1 workers" in (said := capsys.readouterr().err)
        assert "has the resource meter, which 01_good needs" in said
        assert not (tmp_path / "run").exists()

        elsewhere(*worker_of(scheduler, "--resources", "meter=1"))
        until(lambda: len(cluster.workers()) == 2)
        assert main(command) == 0
        assert "2 of 2 passed" in capsys.readouterr().out
        assert [o.finding for o in records.read_all(tmp_path / "run")] == ["n is 1", "n is 2"]

        monkeypatch.setattr("sutrolib.core.provenance.library", lambda: "another version")
        assert main(command) == 2
        said = capsys.readouterr().err
    assert "has sutrolib " in said
    assert "and this command has another vers" in said


@pytest.mark.slow
def test_a_worker_that_has_loaded_the_library_before_an_edit_is_refused(scheduler, elsewhere, monkeypatch):
    elsewhere(*worker_of(scheduler))
    with open_cluster(None, scheduler) as cluster:
        until(lambda: len(cluster.workers()) == 1)
    monkeypatch.setattr("sutrolib.core.provenance.library", lambda: "edited")
    with open_cluster(None, scheduler) as cluster, pytest.raises(LibraryMismatch, match="and restart the worker"):
        cluster.workers()


@pytest.mark.slow
def test_a_worker_without_the_library_is_refused(tmp_path, scheduler, elsewhere):
    (tmp_path / "sutrolib.py").write_text("raise ModuleNotFoundError('No module named sutrolib', name='sutrolib')")
    elsewhere(*worker_of(scheduler), PYTHONPATH=str(tmp_path))
    with open_cluster(None, scheduler) as cluster, pytest.raises(LibraryMismatch, match="cannot import sutrolib"):
        until(cluster.workers)


def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sutrolib.core.dask_cluster.CONNECT_TIMEOUT_S", 1)
    monkeypatch.setenv("COLUMNS", "400")
    with dask.config.set(settings(write_keys(tmp_path))):
        assert main(["run", "00", "--scheduler", "tls://127.0.0.1:9", "-o", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert "no Dask scheduler answers at tls://127.0.0.1:9" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_local_cluster_listens_on_loopback_alone_and_one_worker_meters():
    with open_cluster(2, None) as cluster:
        workers = cluster.workers().values()
        addresses = [
            cluster.client.scheduler.address,
            cluster.client.dashboard_link,
            *(worker.address for worker in workers),
        ]
        assert all("//127.0.0.1:" in address for address in addresses)
        assert sorted(worker.meters for worker in workers) == [False, True]
        scratch = Path(cluster.submit(os.getcwd).result(20))
        folders = cluster.client.run(lambda dask_worker: dask_worker.local_directory).values()
        assert not any(Path(folder).is_relative_to(ROOT) for folder in folders)
        assert scratch.exists()
    assert worker_processes() == []
    assert not any(Path(folder).exists() for folder in folders)
    with pytest.raises(ValueError, match=r"jobs must be at least 1 \(got 0\)"), open_cluster(0, None):
        pass


@pytest.mark.parametrize(
    ("scheduler", "why"),
    [
        ("tcp://127.0.0.1:9", "has no keys, so whoever reaches its port can run programs as you"),
        ("127.0.0.1:9", "has no keys, so whoever reaches its port can run programs as you"),
        ("tls://127.0.0.1:9", "has keys, and this command has none"),
    ],
)
def test_a_scheduler_without_keys_is_refused_unless_that_is_wanted(tmp_path, capsys, scheduler, why, monkeypatch):
    monkeypatch.setattr("sutrolib.core.dask_cluster.CONNECT_TIMEOUT_S", 1)
    command = ["run", "00", "--scheduler", scheduler, "-o", str(tmp_path / "run")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"the Dask scheduler at {scheduler} {why}" in said
    assert said.count("\n") == 1
    if "no keys" in why:
        with dask.config.set({"distributed.comm.require-encryption": False}):
            assert main(command) == 2
        assert f"no Dask scheduler answers at {scheduler}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_client_that_found_no_scheduler_is_not_collected_while_another_one_starts(monkeypatch):
    """Dask's event loops share one lock, which a client that is collected takes, too: the command would hang."""
    from distributed import Client
    from distributed.utils import LoopRunner

    locked, close, start = [], Client.__del__, LoopRunner._start_unlocked

    def delete(client):
        locked.append(LoopRunner._lock.locked())
        if not locked[-1]:
            close(client)

    def collect_first(runner):
        gc.collect()
        start(runner)

    monkeypatch.setattr("sutrolib.core.dask_cluster.CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(Client, "__del__", delete)
    monkeypatch.setattr(LoopRunner, "_start_unlocked", collect_first)
    for _ in range(2):
        with (
            dask.config.set({"distributed.comm.require-encryption": False}),
            pytest.raises(OSError, match="no Dask scheduler answers"),
            open_cluster(1, "127.0.0.1:9"),
        ):
            pass
    with open_cluster(1, None):
        pass
    assert len(locked) >= 2
    assert not any(locked)


@pytest.mark.parametrize("required", [None, False], ids=["", "though Dask's setting for encryption is off"])
def test_a_client_without_the_keys_of_a_local_cluster_is_refused(tmp_path, required):
    from distributed import Client

    with dask.config.set({"distributed.comm.require-encryption": required}), open_cluster(1, None) as cluster:
        address = cluster.client.scheduler.address
        assert address.startswith("tls://")
        gc.collect()
        with pytest.raises(TypeError, match="ssl_context"):
            Client(address, timeout=5)
        for foreign in ({}, settings(write_keys(tmp_path))):  # without keys, and with others
            gc.collect()
            with dask.config.set(foreign), pytest.raises(OSError, match=r"TCP|TLS|Timed out"):
                Client(address if foreign else address.replace("tls", "tcp"), timeout=2)
        assert cluster.submit(sum, [1, 2]).result(20) == 3


# Interrupted by Ctrl-C.


def test_a_first_ctrl_c_is_raised_where_the_command_waits_and_a_second_one_at_once():
    before = signal.getsignal(signal.SIGINT)
    with open_cluster(1, None) as cluster:
        cluster.wait(0)
        signal.raise_signal(signal.SIGINT)  # such as in a callback of the garbage collector
        with pytest.raises(KeyboardInterrupt):
            cluster.wait(60)
        cluster.wait(0)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_ctrl_c_that_nothing_waited_for_is_raised_when_the_workers_are_no_longer_needed():
    with pytest.raises(KeyboardInterrupt), open_cluster(1, None):
        signal.raise_signal(signal.SIGINT)
    assert worker_processes() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "interrupt",
    [lambda process: os.killpg(process.pid, signal.SIGINT), lambda process: process.terminate()],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ctrl_c_and_sigterm_leave_what_is_done_in_order_and_say_how_to_resume(tmp_path, interrupt):
    copy_checkout(tmp_path)
    for path in (tmp_path / "notebooks").iterdir():
        path.unlink()
    slow = f"import pathlib, time\nif n > 1 and not pathlib.Path({str(tmp_path / 'again')!r}).exists():\n"
    sleep = SLEEP.format("note").replace('"note"', f"{str(tmp_path)!r} + f'/note-{{n}}'")
    write_notebook(tmp_path / "notebooks" / "01_slow.ipynb", slow + f"    exec({sleep!r})", FIND, meter=False)
    words = ["run", "--grid", "n=1,2,3", "--jobs", "2", "-o", str(tmp_path / "run")]
    command = [sys.executable, "-m", "sutrolib", *words]
    # A group of its own, all of which is sent the signal, as a terminal does.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    clean = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=clean, **pipes)
    notes = [tmp_path / "note-2", tmp_path / "note-3"]
    until(lambda: all(note.exists() and len(note.read_text().split()) == 2 for note in notes))
    interrupt(process)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert err == ""
    assert f"Continue with: python -m sutrolib {' '.join(words)} --resume" in out
    assert [(o.parameters["n"], o.status) for o in records.read_all(tmp_path / "run")] == [
        (1, "passed"),
        (2, "interrupted"),
        (3, "interrupted"),
    ]
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 1 + 2 + 1 + 1
    until(lambda: all(gone(int(pid)) for note in notes for pid in note.read_text().split()), 10)

    (tmp_path / "again").touch()
    again = [*command, "--resume"]
    done = subprocess.run(again, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 3 runs are done" in done.stdout
    assert "3 of 3 passed" in done.stdout
    assert done.stdout.count("n=1  passed") == 0


HOLD = """
from sutrolib.meters.lock import meter_lock
with meter_lock():
    exec({!r})
"""


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [(), ("--jobs", "2")], ids=["in its process", "on Dask"])
def test_a_command_that_is_killed_leaves_no_worker_kernel_or_lock(tmp_path, jobs, monkeypatch):
    monkeypatch.setenv("SUTRO_METER_LOCK", str(tmp_path))
    copy_checkout(tmp_path)
    for path in (tmp_path / "notebooks").iterdir():
        path.unlink()
    note = tmp_path / "note"
    write_notebook(tmp_path / "notebooks" / "01_long.ipynb", HOLD.format(SLEEP.format(note)))
    command = [sys.executable, "-P", "-m", "sutrolib", "run", *jobs, "-o", str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}) as process:
        until(lambda: note.exists() and len(note.read_text().split()) == 2)
        with pytest.raises(TimeoutError):
            meter_lock().acquire(timeout=0.1)
        started = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        started |= {int(pid) for pid in note.read_text().split()}
        process.kill()
    until(lambda: all(map(gone, started)), 10)
    with meter_lock().acquire(timeout=1):
        pass
