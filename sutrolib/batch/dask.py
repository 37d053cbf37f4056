"""The runs of a batch on Dask's workers.

Each run is a task; one whose notebook may read seconds or joules needs the resource ``meter``. Dask assigns tasks to
workers, and repeats those of a worker that died. A scheduler counts such a death against all tasks of that worker, even
if they only waited there; so how often a run was begun is counted by the files of its attempts.
"""

import dataclasses
import queue
import secrets
import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.execute import MAX_ATTEMPTS, WORKERS_DIED, Execute, PlannedRun, Reporter, attempt
from sutrolib.batch.plan import Notebook
from sutrolib.batch.records import INTERRUPTED, RunResult
from sutrolib.core.dask_cluster import Cluster

# Runs that do not meter use one core each, so that those beside them have theirs.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
MAX_SUBMISSIONS = 10  # of a run that Dask gives up before it was begun twice
_POLL_S = 0.05
_LOOK_S = 1.0  # between two looks at the workers
NO_WORKER_TIMEOUT_S = 60


def check_workers(cluster: Cluster, notebooks: Sequence[Notebook], where: str) -> str:
    """How many workers there are, and how they meter.

    Raises OSError if there is none, and ValueError if a notebook needs a meter and no worker has one.
    """
    workers = cluster.workers().values()
    meters, metering = sum(worker.meters for worker in workers), [one.name for one in notebooks if one.meter]
    start = f"'dask worker {where} --nthreads 1 --resources meter=1'"
    if not workers:
        raise OSError(f"the scheduler at {where} has no workers: start some with {start}")
    if metering and not meters:
        has_none = f"none of the {len(workers)} workers at {where} has the resource meter"
        raise ValueError(f"{has_none}, which {metering[0]} needs: start one per host with {start}")
    dashboard = cluster.client.dashboard_link
    text = f"{len(workers)} workers on {where}" + (f"; Dask's dashboard: {dashboard}" if dashboard else "")
    how = "one at a time" if meters == 1 else f"on {meters} workers, one for each host"
    return f"{text}\nRuns that may read seconds or joules go {how}" if metering and len(workers) > 1 else text


def run_on_workers(
    runs: Sequence[PlannedRun], cluster: Cluster, execute: Execute, reporter: Reporter
) -> Generator[RunResult, None, None]:
    """Make the runs, and yield their results as they end.

    If this ends early, what was running is recorded as interrupted. Raises OSError if the scheduler is gone or
    no worker can take what is left for NO_WORKER_TIMEOUT_S, LibraryMismatch for a worker with another library.
    """
    pool = _WorkerPool(cluster, execute, reporter)
    try:
        for run in runs:
            pool.submit(run)
        while pool.submitted:
            if result := pool.next_result():
                yield result
    finally:
        pool.close()


class _WorkerPool:
    """The runs that Dask has."""

    def __init__(self, cluster: Cluster, execute: Execute, reporter: Reporter) -> None:
        self.cluster, self.execute, self.reporter = cluster, execute, reporter
        self.submitted: dict[Any, PlannedRun] = {}  # by its Future
        self.running: dict[str, tuple[PlannedRun, float]] = {}  # by identity, with the time when it was begun
        self.submissions: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()  # attempts, as reported
        self.topic = f"sutrolib-{secrets.token_hex(8)}"
        self.started: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        cluster.client.subscribe_topic(self.topic, lambda event: self.started.put(event[1]))
        self.looked = self.able = time.monotonic()

    def submit(self, run: PlannedRun) -> None:
        """Runs that meter are made one after the other, so they come first; each of the others has one thread."""
        meter = run.job.meter
        run = run if meter else dataclasses.replace(run, environment={**ONE_THREAD, **run.environment})
        self.submissions[run.identity] += 1
        work = (_attempt_on_worker, run, self.execute, self.topic)
        self.submitted[self.cluster.submit(*work, meter=meter, priority=int(meter))] = run

    def next_result(self) -> RunResult | None:
        """The next result, after a moment's wait; None if there is none yet."""
        future = next((future for future in self.submitted if future.done()), None)
        self._note_started()
        if future is None:
            self._look_at_workers()
            self.cluster.wait(_POLL_S)
            return None
        run = self.submitted.pop(future)
        if future.status == "cancelled":
            raise OSError("the Dask scheduler does not answer any more; what was running is lost")
        try:
            result: RunResult | None = future.result()
        except Exception as error:
            result = self._after_error(run, error)
        if result is not None:
            self._report_lost(run, MAX_ATTEMPTS if result.error == WORKERS_DIED else 0)
            self.running.pop(run.identity, None)
        return result

    def _after_error(self, run: PlannedRun, error: Exception) -> RunResult | None:
        """The result of a run whose task failed; None if it is submitted again."""
        if not self.cluster.lost(error):
            return self._failed(run, f"{type(error).__name__}: {error}")  # such as a full disk
        if dataclasses.replace(run, attempt=MAX_ATTEMPTS).attempt_file.exists():
            return self._failed(run, WORKERS_DIED)
        if self.submissions[run.identity] >= MAX_SUBMISSIONS:
            return self._failed(run, f"the workers that it was given to died, {MAX_SUBMISSIONS} times")
        self.submit(run)
        return None

    def _note_started(self) -> None:
        while not self.started.empty():
            about = self.started.get()
            run = next((run for run in self.submitted.values() if run.identity == about["identity"]), None)
            if run is None:
                continue
            self._report_lost(run, about["attempt"] - 1)
            run = dataclasses.replace(run, attempt=about["attempt"], worker=about["name"])
            self.running[run.identity] = (run, time.monotonic())
            self.reporter.job_started(run)

    def _report_lost(self, run: PlannedRun, attempts: int) -> None:
        """Report that so many attempts are lost, unless it is reported already."""
        run, _ = self.running.get(run.identity, (run, 0.0))
        for number in range(self.lost[run.identity] + 1, attempts + 1):
            self.reporter.job_lost(run, number < MAX_ATTEMPTS)
            self.lost[run.identity] = number

    def _look_at_workers(self) -> None:
        now = time.monotonic()
        if now - self.looked < _LOOK_S:
            return
        self.looked, workers = now, self.cluster.workers().values()
        left = [run.job for run in self.submitted.values()]
        if any(worker.meters or not job.meter for worker in workers for job in left):
            self.able = now
        elif now - self.able > NO_WORKER_TIMEOUT_S:
            raise OSError(
                f"{len(left)} runs are left, and for {NO_WORKER_TIMEOUT_S} s there was no worker that could take"
                f" {left[0].label}; start workers and continue with --resume"
            )

    def _failed(self, run: PlannedRun, error: str, seconds: float = 0.0) -> RunResult:
        run = self.running.get(run.identity, (run, 0.0))[0]
        run.attempt_file.unlink(missing_ok=True)
        return records.write(run.folder, run.result(seconds, error))

    def close(self) -> None:
        """Cancel all tasks and record what is running as interrupted, unless it has just ended.

        A kernel that runs on a worker ends when the file of its attempt is removed.
        """
        self._note_started()
        if self.cluster.client.status == "running":
            self.cluster.client.cancel(list(self.submitted), force=True)
        for run, since in self.running.values():
            if not records.read(run.folder, run.identity):
                self._failed(run, INTERRUPTED, time.monotonic() - since)


def _attempt_on_worker(run: PlannedRun, execute: Execute, topic: str) -> RunResult:
    from distributed import get_worker

    worker = get_worker()

    def report(run: PlannedRun) -> None:
        about = {"identity": run.identity, "attempt": run.attempt, "name": run.worker}  # worker would be its address
        worker.log_event(topic, about)

    name = str(worker.name).rpartition("//")[2]
    return attempt(dataclasses.replace(run, worker=name), execute, report)
