"""Several processes at work on one study: each proposes, evaluates and keeps trials in the same journal.

They share the trials, not the machine's meters: a trial that is measured in seconds or joules holds the machine-wide
lock, so only counted and modelled metrics gain from a second worker. Each computes on one thread. The processes are on
this machine, or the workers of a Dask scheduler, which may be on other machines that share the disk with the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sutrolib.core.dask_cluster import open_cluster
from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study

_POLL_S = 0.2
HEARTBEAT_TIMEOUT_S = 300.0  # a shared disk may show a file's time a minute late

# The futures of the workers, of a process pool or of Dask, and whether an error means that a worker was lost.
_Workers = tuple[list[Any], Callable[[BaseException], bool]]


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
    after its current trial: they watch a file beside the journal that this function touches while it runs. A trial
    whose whole host is lost cannot be told from a long one, and is waited for.

    Args:
        search: It needs a journal. ``on_measurement`` is called in the workers, so it must be picklable.
        workers: Number of processes.
        scheduler: Address of a Dask scheduler, such as tcp://127.0.0.1:8786, whose workers are used; timed trials then
            go to workers with the resource ``meter``. None starts processes on this machine.

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
    with ExitStack() as stack:
        heartbeat = stack.enter_context(_beating(search.journal))
        worker_search = dataclasses.replace(search, on_trial=heartbeat, on_wait=heartbeat)
        work = (worker_search, problem, space, meter, budget, seed)
        pool = _on_dask(scheduler, workers, work, timed) if scheduler else _in_pool(workers, work)
        running, is_lost = stack.enter_context(pool)
        while running:
            with contextlib.suppress(OSError):  # a shared disk that does not answer for a moment
                heartbeat.file.touch()
            ended = [future for future in running if future.done()]  # before the storage is read: it has their trials
            running = [future for future in running if future not in ended]
            for trial in storage.finished():
                if trial.number not in reported:
                    reported.add(trial.number)
                    search.on_trial(trial)
            for future in ended:
                error = future.exception()
                if error is not None and not is_lost(error):
                    raise error
            if running:
                time.sleep(_POLL_S)
    return search.improve(problem, space, meter, budget, seed)  # finishes what dead workers left


class SearchStopped(Exception):
    """The process that began the search has ended it, or is gone."""


@dataclass(eq=False)
class Heartbeat:
    """Called by a worker's search between trials: stops the search when the file is gone, or is no longer touched.

    The time is measured by this host's own clock, as the clocks of two hosts may differ.
    """

    file: Path
    touched: int = 0  # nanoseconds, by the file's clock
    seen: float = 0.0  # when that was new, in seconds of this process's clock

    def __call__(self, _: object = None) -> None:
        try:
            touched = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            raise SearchStopped from None
        except OSError:  # a shared disk that does not answer for a moment
            return
        if touched != self.touched:
            self.touched, self.seen = touched, time.monotonic()
        elif time.monotonic() - self.seen > HEARTBEAT_TIMEOUT_S:
            raise SearchStopped  # the process that began the search was killed, and could not remove the file


@contextmanager
def _beating(journal: Path) -> Iterator[Heartbeat]:
    heartbeat = Heartbeat(journal.with_name(f"{journal.name}.{secrets.token_hex(4)}.heartbeat").absolute())
    heartbeat.file.touch()
    try:
        yield heartbeat
    finally:
        heartbeat.file.unlink(missing_ok=True)


@contextmanager
def _in_pool(workers: int, work: tuple[Any, ...]) -> Iterator[_Workers]:
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on the locks of its threads
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield [pool.submit(_work, *work) for _ in range(workers)], lambda e: isinstance(e, BrokenProcessPool)
        except BaseException:  # do not wait for the current trials: they may be long, and can be made again
            pids = list(pool._processes or ())
            pool.shutdown(wait=False, cancel_futures=True)
            for pid in pids:
                _terminate_tree(pid)
            raise


def _terminate_tree(pid: int) -> None:
    """End a process and what it started, such as the program of an agent."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                one.terminate()


@contextmanager
def _on_dask(scheduler: str, workers: int, work: tuple[Any, ...], timed: bool) -> Iterator[_Workers]:
    with open_cluster(None, scheduler) as cluster:
        able = [worker for worker in cluster.workers().values() if worker.meters or not timed]
        if not able:
            needed = "with the resource meter, which timed trials need" if timed else "at all"
            raise OSError(
                f"the scheduler at {scheduler} has no worker {needed}: start one for each host by"
                f" 'dask worker {scheduler} --nthreads 1 --resources meter=1'"
            )
        yield [cluster.submit(_work, *work, meter=timed) for _ in range(min(workers, len(able)))], cluster.lost


def _work(search: Search, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(SearchStopped):
        search.improve(problem, space, meter, budget, seed)
