"""Several processes at work on one study: each proposes, judges and keeps trials in the same journal.

They share the trials, not the machine's meters: a trial that is weighed in seconds or joules holds the machine-wide
lock, so only counted and modelled metrics gain from a second worker. Each computes on one thread. The processes are of
this machine, or the workers of a Dask scheduler, which may be on others that share the disk with the journal.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from sutrolib.core.dask_cluster import OtherLibrary, open_cluster
from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.search import Search
from sutrolib.processes.space import Space
from sutrolib.processes.study import Study

POLL = 0.2  # seconds between two looks at what the workers have finished
SILENCE = 300.0  # seconds; a shared disk may show a file's time a minute late


class Task(Protocol):
    """What is known of a worker's work, in a pool of processes and on Dask alike."""

    def done(self) -> bool: ...
    def exception(self) -> BaseException | None: ...


def improve_together(
    search: Search,
    problem: Problem,
    space: Space,
    meter: Meter,
    budget: SearchBudget,
    seed: int = 0,
    workers: int = 2,
    scheduler: str | None = None,
) -> Study:
    """As ``search.improve``, by so many processes at once; ``on_trial`` is told in this one.

    They are processes of this machine, or workers of the Dask ``scheduler`` of this address, such as
    tcp://127.0.0.1:8786; timed trials then go to workers that hold the resource ``meter``.
    A worker that dies costs the trial that it was at, which is tried again. ``on_measurement`` is called in the
    workers, so it has to be something that can be pickled. Raises ValueError for a search without a store, for less
    than one worker, and for estimated joules, which can only be told apart one trial at a time; OSError where no
    scheduler answers, or where it has no worker that may take the trials, or one with another library.
    However this ends, no worker goes on after the trial that it is at: they look for a file beside the journal, which
    is touched as long as this function is at work. A trial whose whole host is lost cannot be told from one that takes
    long, and is waited for.
    """
    if search.store is None:
        raise ValueError("store=None, accepted is a journal file that the workers can share")
    if workers < 1:
        raise ValueError(f"workers={workers!r}, accepted are 1 and above")
    if search.joules or budget.joules is not None:
        raise ValueError("a budget of joules with several workers, accepted are trials and seconds")
    store = search.open_store(problem, space, meter, seed)
    told = {trial.number for trial in store.finished()}
    timed = search.timed or isinstance(meter, WindowMeter)
    with ExitStack() as stack:
        going = stack.enter_context(_going(search.store))
        work = (dataclasses.replace(search, on_trial=going, on_wait=going), problem, space, meter, budget, seed)
        hired = _on_dask(scheduler, workers, work, timed) if scheduler else _in_pool(workers, work)
        tasks, lost = stack.enter_context(hired)
        while tasks:
            with contextlib.suppress(OSError):  # a shared disk that does not answer for a moment
                going.file.touch()
            ended = [task for task in tasks if task.done()]  # before the look at the store: their trials are there
            tasks = [task for task in tasks if task not in ended]
            for trial in store.finished():
                if trial.number not in told:
                    told.add(trial.number)
                    search.on_trial(trial)
            for task in ended:
                error = task.exception()
                if isinstance(error, OtherLibrary):
                    raise ValueError(
                        f"a worker has sutrolib {str(error)[:12]} and not that of this checkout: give it the same, on a"
                        " disk that both see, and start it anew"
                    ) from error
                if error is not None and not lost(error):
                    raise error
            if tasks:
                time.sleep(POLL)
    return search.improve(problem, space, meter, budget, seed)  # what dead workers left is done here


Tasks = tuple[list[Task], Callable[[BaseException], bool]]  # with what tells a lost worker from a failed search


class Stopped(Exception):
    """Whoever began the search has ended it."""


@dataclass(eq=False)
class Going:
    """What a worker's search calls between trials: it ends the search when the file is gone, or not touched any more.

    That is told by this host's own clock, as the clocks of two hosts may differ.
    """

    file: Path
    touched: int = 0  # nanoseconds, as the file says
    seen: float = 0.0  # when that was new, in seconds of this process's clock

    def __call__(self, _: object = None) -> None:
        try:
            touched = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            raise Stopped from None
        except OSError:  # a shared disk that does not answer for a moment
            return
        if touched != self.touched:
            self.touched, self.seen = touched, time.monotonic()
        elif time.monotonic() - self.seen > SILENCE:
            raise Stopped  # whoever began the search was killed, and could not take the file away


@contextmanager
def _going(store: Path) -> Iterator[Going]:
    going = Going(store.with_name(f"{store.name}.{secrets.token_hex(4)}.going").absolute())
    going.file.touch()
    try:
        yield going
    finally:
        going.file.unlink(missing_ok=True)


@contextmanager
def _in_pool(workers: int, work: tuple[Any, ...]) -> Iterator[Tasks]:
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on the locks of its threads
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures: list[Future[None]] = [pool.submit(_work, *work) for _ in range(workers)]
        try:
            yield list(futures), lambda error: isinstance(error, BrokenProcessPool)
        except BaseException:  # its end is not waited for: a trial may be long, and can be made again
            pids = list(pool._processes or ())
            pool.shutdown(wait=False, cancel_futures=True)
            for pid in pids:
                _end(pid)
            raise


def _end(pid: int) -> None:
    """End a process and what it started, such as the program of an agent."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                one.terminate()


@contextmanager
def _on_dask(scheduler: str, workers: int, work: tuple[Any, ...], timed: bool) -> Iterator[Tasks]:
    with open_cluster(None, scheduler) as cluster:
        able = [worker for worker in cluster.workers().values() if worker.meters or not timed]
        if not able:
            needed = "with the resource meter, which timed trials need" if timed else "at all"
            raise OSError(
                f"the scheduler at {scheduler} has no worker {needed}: start one for each host by"
                f" 'dask worker {scheduler} --nthreads 1 --resources meter=1'"
            )
        yield [cluster.submit(_work, *work, meter=timed) for _ in range(min(workers, len(able)))], cluster.lost


def _work(search: Search, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int) -> None:
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(Stopped):
        search.improve(problem, space, meter, budget, seed)
