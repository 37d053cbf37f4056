"""Work that a traced block gives to threads is counted; work given to processes and pools is refused."""

import multiprocessing
import multiprocessing.pool
import os
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch

from sutrolib.core.types import Fitted
from sutrolib.measurement.measure import measure
from sutrolib.meters import DataMovement, NoReading, OperationCount, PeakMemory
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.parity import SparseParity


class InThread:
    """A model that another one trains in a thread."""

    name, prior_knowledge, required_oracles = "in a thread", "", ()

    def __init__(self, model):
        self.model = model

    def fit(self, task, seed, budget=None) -> Fitted:
        found = []
        thread = threading.Thread(target=lambda: found.append(self.model.fit(task, seed, budget)))
        thread.start()
        thread.join()
        return found[0]


def in_thread(work, **options):
    thread = threading.Thread(target=work, **options)
    thread.start()
    return thread


def test_a_fit_in_a_thread_reads_what_the_fit_reads():
    problem, model = SparseParity(n=20, k=3), GF2Elimination()
    task = problem.sample(0).for_training(model.required_oracles)
    found = []
    meters = OperationCount(), PeakMemory(), DataMovement()
    for fitting in (model, InThread(model)):
        with meters[0], meters[1], meters[2]:
            fitting.fit(task, 0)
        found.append([meter.reading for meter in meters])
    assert found[0] == found[1]
    assert found[0][0].value == 7372
    measured = measure(problem, model, meters, 0, timed=False)
    assert list(measured.readings) == found[0]


def test_threads_of_threads_and_several_at_once_are_counted():
    x = torch.ones(100)

    def both():
        in_thread(lambda: [x + x for _ in range(200)]).join()
        x + x

    with OperationCount() as found:
        threads = [in_thread(both) for _ in range(4)]
        for thread in threads:
            thread.join()
    assert found.reading.value == 4 * 201 * 100
    in_thread(both).join()  # a thread from outside of the block
    assert found.reading.value == 4 * 201 * 100


def script_part(x):
    return x * 3


def fork(x):
    future = torch.jit.fork(script_part, x)
    return torch.jit.wait(future) + 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_threads_of_pytorch_are_seen():
    forked = torch.jit.script(fork)
    x = torch.ones(100, requires_grad=True)
    with OperationCount() as found:
        (forked(x) * 2).sum().backward()
    assert found.reading.detail["by_operator"]["mul"] >= 300


POOL = ThreadPoolExecutor(1)
THREADS = multiprocessing.pool.ThreadPool(1)
NOTHING = [sys.executable, "-c", ""]


@pytest.mark.parametrize(
    ("give_away", "named"),
    [
        (lambda work: POOL.submit(work).result(), "a pool of concurrent.futures"),
        (lambda work: THREADS.apply(work), "a pool of multiprocessing"),
        (lambda work: THREADS.map_async(lambda _: work(), [1]).get(), "a pool of multiprocessing"),
        (lambda work: multiprocessing.get_context("fork").Process(target=work, name="P").start(), "process P"),
        (lambda work: subprocess.run(NOTHING, check=True), "a subprocess"),
        (lambda work: os.system("true"), "a subprocess"),
        (lambda work: os.fork() or os._exit(0), "a fork of this process"),
    ],
)
def test_work_in_pools_and_processes_is_refused(give_away, named):
    POOL.submit(int).result()  # its thread is from before the block
    x = torch.ones(100)

    def work():
        x.add_(1)

    meter = OperationCount()

    def program():
        with meter:
            x + x
            give_away(work)

    with pytest.raises(NoReading, match=f"work ran outside the traced thread: {named}"):
        program()
    with meter:  # the next block is not affected
        x + x
    assert meter.reading.value == 100


def test_a_thread_that_has_not_ended_is_refused_unless_it_is_a_monitor():
    x, end = torch.ones(100), threading.Event()

    def deferred():
        end.wait()
        x.add_(1)

    def begun():
        x.add_(1)
        started.set()
        end.wait()

    started, meter, threads = threading.Event(), OperationCount(), []

    def program(work, daemon):
        with meter:
            x + x
            threads.append(in_thread(work, name="later", daemon=daemon))
            assert work is deferred or started.wait(60)

    for work, daemon in ((deferred, False), (begun, True)):
        with pytest.raises(NoReading, match="thread later has not ended"):
            program(work, daemon)
        end.set()
        threads.pop().join()
        end.clear()
    with meter:
        x + x
        monitor = in_thread(end.wait, daemon=True)
    end.set()
    monitor.join()
    assert meter.reading.value == 100


def test_functions_are_replaced_only_while_a_trace_is_open():
    def watched():
        return [
            *(threading.Thread.start, multiprocessing.process.BaseProcess.start, subprocess.Popen.__init__, os.system),
            *(Future.__init__, multiprocessing.pool.Pool._check_running),
        ]

    before, x = watched(), torch.ones(100)
    with OperationCount(), PeakMemory():
        x + x
        assert all(now is not then for now, then in zip(watched(), before, strict=True))
    assert watched() == before
    with pytest.raises(ZeroDivisionError), OperationCount():
        raise ZeroDivisionError
    assert watched() == before
    end = threading.Event()
    with OperationCount():
        x + x
        monitor = in_thread(end.wait, daemon=True)
    end.set()
    monitor.join()
    assert watched() == before
