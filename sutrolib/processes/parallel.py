"""Several processes at work on one study: each proposes, evaluates and keeps trials in the same journal.

They share the trials, not the machine's meters: a trial that is measured in seconds or joules holds the machine-wide
lock, so only counted and modelled metrics gain from a second worker. Each computes on one thread. The processes are
Dask workers: on this machine, or those of a scheduler, which may be on other machines that share the disk with the
journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

import psutil

from sutrolib.core.dask_cluster import Cluster, open_cluster
from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.processes.budget import Override, SearchBudget
from sutrolib.processes.recheck import PROXY_AUDIT
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study

_POLL_S = 0.2
_RECHECK_LATER = Override(PROXY_AUDIT, "each worker", "the best are re-checked when all have ended")


class SearchStopped(Exception):
    """The process that began the search has ended it, or is gone."""


def improve_parallel(
    search: Search,
    problem: Problem,
    space: SearchSpace,
    meter: Meter,
    budget: SearchBudget,
    seed: int = 0,
    workers: int = 2,
    scheduler: str | None = None,
) -> Study:
    """As ``search.improve``, with several processes at once; ``on_trial`` is called in this one.

    A worker that dies costs only its current trial, which is tried again. However this function ends, no worker goes on
    after its current trial: Dask cancels the tasks of a client that is gone. A trial whose whole host is lost cannot be
    told from a long one, and is waited for.

    Args:
        search: It needs a journal. ``on_measurement`` is called in the workers, so it must be picklable.
        workers: Number of processes.
        scheduler: Address of a Dask scheduler, such as tls://127.0.0.1:8786, whose workers are used. None starts
            processes on this machine. Timed trials only go to workers with the resource ``meter``, one of each host.

    Raises:
        ValueError: Without a journal, without a worker, where a worker has another version of this library, and for
            estimated joules, which cannot be told apart for trials at the same time.
        OSError: Where no scheduler answers, or it has no worker for the trials.
    """
    if search.journal is None:
        raise ValueError("several workers need a journal file to share (got journal=None)")
    if workers < 1:
        raise ValueError(f"workers must be at least 1 (got {workers!r})")
    if search.charges_joules(budget):
        raise ValueError("estimated joules need workers=1: use a budget of trials or seconds")
    storage = search.open_storage(problem, space, meter, seed)
    reported = {trial.number for trial in storage.finished()}
    timed = search.timed or isinstance(meter, WindowMeter)
    journal = search.journal.absolute()
    worker_search = dataclasses.replace(search, journal=journal, on_trial=_check_going_on, on_wait=_check_going_on)
    worker_search = dataclasses.replace(worker_search, overrides=(*search.overrides, _RECHECK_LATER), check_best=False)
    work = (worker_search, problem, space, meter, budget, seed)
    with open_cluster(workers, scheduler) as cluster:
        able = [worker for worker in cluster.workers().values() if worker.meters or not timed]
        if not able:
            needed = "with the resource meter, which timed trials need" if timed else "at all"
            raise OSError(
                f"the scheduler at {scheduler} has no worker {needed}: start one for each host by"
                f" 'dask worker {scheduler} --nthreads 1 --resources meter=1'"
            )
        running = [cluster.submit(_work, *work, meter=timed) for _ in range(min(workers, len(able)))]
        try:
            while running:
                ended = [future for future in running if future.done()]  # before the storage is read
                running = [future for future in running if future not in ended]
                for trial in storage.finished():
                    if trial.number not in reported:
                        reported.add(trial.number)
                        search.on_trial(trial)
                for future in ended:
                    error = future.exception()
                    if error is not None and not cluster.lost(error):
                        raise error
                if running:
                    cluster.wait(_POLL_S)
        except BaseException:
            _end_local_workers(cluster)
            raise
    return search.improve(problem, space, meter, budget, seed)  # finishes what dead workers left, and re-checks


def _end_local_workers(cluster: Cluster) -> None:
    """End the workers of this machine, and what they started: their current trials may be long, and can be repeated."""
    for pid in cluster.client.run(os.getpid, on_error="ignore").values() if cluster.local else ():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            for one in (*process.children(recursive=True), process):
                with contextlib.suppress(psutil.Error):
                    one.kill()


def _check_going_on(_: object = None) -> None:
    """Called by a worker's search between trials: stops the search when Dask has cancelled its task."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.tasks[worker.get_current_task()].state != "executing":
        raise SearchStopped


def _work(search: Search, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(SearchStopped):
        search.improve(problem, space, meter, budget, seed)
