"""Several processes at work on one study: each proposes, judges and keeps trials in the same journal.

They share the trials, not the machine's meters: a trial that is weighed in seconds or joules holds the machine-wide
lock, so only counted and modelled metrics gain from a second worker. Each computes on one thread.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from sutrolib.meters.base import Meter
from sutrolib.nouns import Problem
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.judge import ignore
from sutrolib.processes.search import Search
from sutrolib.processes.space import Space
from sutrolib.processes.study import Study

POLL = 0.2  # seconds between two looks at what the workers have finished


def improve_together(
    search: Search,
    problem: Problem,
    space: Space,
    meter: Meter,
    budget: SearchBudget,
    seed: int = 0,
    workers: int = 2,
) -> Study:
    """As ``search.improve``, by so many processes at once; ``on_trial`` is told in this one.

    A worker that dies costs the trial that it was at, which is tried again. ``on_measurement`` is called in the
    workers, so it has to be something that can be pickled. Raises ValueError for a search without a store, for less
    than one worker, and for estimated joules, which can only be told apart one trial at a time.
    """
    if search.store is None:
        raise ValueError("store=None, accepted is a journal file that the workers can share")
    if workers < 1:
        raise ValueError(f"workers={workers!r}, accepted are 1 and above")
    if search.joules or budget.joules is not None:
        raise ValueError("a budget of joules with several workers, accepted are trials and seconds")
    quiet = dataclasses.replace(search, on_trial=ignore)
    store = search.open_store(problem, space, meter, seed)
    told = {trial.number for trial in store.finished()}
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on the locks of its threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        pending: set[Future[None]] = {
            pool.submit(_work, quiet, problem, space, meter, budget, seed) for _ in range(workers)
        }
        while pending:
            done, pending = wait(pending, timeout=POLL)
            for trial in store.finished():
                if trial.number not in told:
                    told.add(trial.number)
                    search.on_trial(trial)
            for future in done:
                error = future.exception()
                if error is not None and not isinstance(error, BrokenProcessPool):
                    raise error
    return search.improve(problem, space, meter, budget, seed)  # what dead workers left is done here


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _work(search: Search, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int) -> None:
    search.improve(problem, space, meter, budget, seed)
