"""Studies on the workers of a Dask scheduler, which share a journal."""

import contextlib
import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from searches import METER, PROBLEM, SPACE
from slow_work import until
from tls import settings, write_keys

from sutrolib.core.dask_cluster import open_cluster
from sutrolib.core.paths import ROOT
from sutrolib.meters import WallTime
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.parallel import improve_parallel
from sutrolib.processes.samplers import RandomSearch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("scheduler"),  # the tests of one worker share what is made once
]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """The address of a scheduler with two workers of this machine; they and this process have keys."""
    import dask
    from distributed import LocalCluster
    from distributed.security import Security

    keys = write_keys(tmp_path_factory.mktemp("keys"))
    with pytest.MonkeyPatch.context() as patched, dask.config.set(settings(keys)):
        for name, value in keys.items():
            patched.setenv(name, value)  # for the client that is a process of its own
        options = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
        with LocalCluster(**options, protocol="tls://", security=Security()) as cluster:
            yield cluster.scheduler_address


def test_workers_of_a_scheduler_share_a_study_and_one_that_is_killed_takes_no_finished_trial_along(tmp_path, scheduler):
    seen, killed = [], []

    def watch(trial):
        seen.append(trial.number)
        if len(seen) == 3:
            with open_cluster(None, scheduler) as cluster:
                address = next(iter(cluster.workers()))
                psutil.Process(cluster.client.run(os.getpid, workers=[address])[address]).kill()
            killed.append(address)

    search = RandomSearch(pairs=2, journal=tmp_path / "study.log", on_trial=watch)
    study = improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=30), scheduler=scheduler)
    assert killed
    assert len(study.trials) == len({trial.proposal.key for trial in study.trials}) == 30
    assert sorted(seen) == sorted(trial.number for trial in study.trials)
    entries = [json.loads(line) for line in (tmp_path / "study.log").read_text().splitlines()]
    workers = {entry["user_attr"]["worker"]["pid"] for entry in entries if "worker" in entry.get("user_attr", {})}
    assert len(workers - {os.getpid()}) >= 2, "the trials were not made by the workers"


def test_a_timed_study_needs_a_worker_that_meters(tmp_path, scheduler):
    search = RandomSearch(journal=tmp_path / "study.log")
    with pytest.raises(OSError, match="no worker with the resource meter, which timed trials need"):
        improve_parallel(search, PROBLEM, SPACE, WallTime(), SearchBudget(trials=2), scheduler=scheduler)


def trials_in(journal):
    return journal.read_text().count('"result"')


@pytest.mark.parametrize("on_dask", [False, True], ids=["on this machine", "of a scheduler"])
def test_an_interruption_ends_the_workers_too(tmp_path, scheduler, on_dask):
    def interrupt(_):
        raise KeyboardInterrupt

    journal = tmp_path / "study.log"
    search = RandomSearch(pairs=2, journal=journal, on_trial=interrupt)
    budget, others = SearchBudget(trials=100_000), workers()
    with pytest.raises(KeyboardInterrupt):
        improve_parallel(search, PROBLEM, SPACE, METER, budget, scheduler=scheduler if on_dask else None)
    if on_dask:
        with open_cluster(None, scheduler) as cluster:
            until(lambda: not any(cluster.client.run(lambda dask_worker: dask_worker.state.executing_count).values()))
    else:
        until(lambda: workers() <= others)
    before = trials_in(journal)
    time.sleep(0.5)
    assert trials_in(journal) == before > 0


CLIENT = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from searches import METER, PROBLEM, SPACE
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.parallel import improve_parallel
from sutrolib.processes.samplers import RandomSearch
if __name__ == "__main__":
    search = RandomSearch(pairs=2, journal=Path({journal!r}))
    improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=100_000), scheduler={scheduler!r})
"""


@pytest.mark.parametrize("on_dask", [False, True], ids=["on this machine", "of a scheduler"])
def test_the_workers_end_when_who_began_the_search_is_killed(tmp_path, scheduler, on_dask):
    journal, address = tmp_path / "study.log", scheduler if on_dask else None
    script = CLIENT.format(root=str(ROOT), tests=str(ROOT / "tests"), journal=str(journal), scheduler=address)
    (tmp_path / "client.py").write_text(script)
    client = subprocess.Popen([sys.executable, str(tmp_path / "client.py")])
    until(lambda: journal.exists() and trials_in(journal) > 2)
    client.kill()
    client.wait()
    with open_cluster(None, scheduler) as cluster:
        until(lambda: not any(cluster.client.run(lambda dask_worker: dask_worker.state.executing_count).values()))
    time.sleep(0 if on_dask else 2)
    before = trials_in(journal)
    time.sleep(0.5)
    assert trials_in(journal) == before > 2


def workers():
    """This process's own children that run Python's pools, or Dask's workers."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found |= {child.pid} if "spawn_main" in " ".join(child.cmdline()) else set()
    return found
