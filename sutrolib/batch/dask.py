"""Runs of a batch on Dask's workers, each at one run at a time.

The queue stays here: a worker is handed its next run when it has ended the one before, so that a worker that is killed
takes one run with it. That run is begun once more, elsewhere where there is another, and then given up. Dask's own
count of such failures belongs to the scheduler, which may be anybody's; this one is kept by the files of the attempts.
"""

from __future__ import annotations

import dataclasses
import queue
import secrets
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sutrolib.batch import records
from sutrolib.batch.execute import KILLED_TWICE, BegunBefore, Ticket, attempt
from sutrolib.batch.plan import Notebook
from sutrolib.batch.records import INTERRUPTED, Outcome
from sutrolib.core.dask_cluster import Cluster, OtherLibrary, Worker, result_of

if TYPE_CHECKING:
    from distributed import Future

    from sutrolib.batch.batch import Reporter

MOST_ATTEMPTS = 2
MOST_MISSES = 10  # workers that may be lost with a run before they begin it
NEVER_BEGUN = f"{MOST_MISSES} workers were lost before they began it"
POLL = 0.3  # seconds between two looks at who is still there
GRACE = 60  # seconds to wait for a worker that could take what is left


@dataclass(frozen=True)
class _Begun:
    """A run that a worker is at."""

    ticket: Ticket
    worker: Worker
    future: Future[Any]
    since: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


def check(notebooks: Sequence[Notebook], workers: Sequence[Worker], where: str) -> None:
    """Raise OSError where there is no worker at all, and ValueError where none may take a run that meters."""
    if not workers:
        raise OSError(
            f"the scheduler at {where} has no workers: start some by"
            f" 'dask worker {where} --nthreads 1 --resources meter=1'"
        )
    metering = [notebook.name for notebook in notebooks if notebook.meter]
    if metering and not any(worker.meters for worker in workers):
        raise ValueError(
            f"none of the {len(workers)} workers at {where} has the resource meter, which {metering[0]} needs: start"
            f" one for each host by 'dask worker {where} --nthreads 1 --resources meter=1'"
        )


def on_workers(
    tickets: Sequence[Ticket],
    cluster: Cluster,
    execute: Callable[[Ticket], Outcome],
    reporter: Reporter,
    limit: int | None = None,
) -> Generator[Outcome, None, None]:
    """Run the tickets on no more than ``limit`` workers at once, and yield the outcomes as they come.

    However this ends, no run goes on after it. An interruption yields what was running as interrupted, and is raised.
    Raises OSError where nobody is left to run anything, and ValueError where a worker has another library.
    """
    crew = _Crew(list(tickets), cluster, execute, reporter, limit)
    try:
        while crew.pending or crew.running:
            workers = cluster.workers()
            yield from crew.miss(workers)
            crew.hand_out(workers)
            yield from crew.wait()
    except KeyboardInterrupt:
        yield from crew.interrupt()
        raise
    finally:
        crew.call_back()


class _Crew:
    """Who is at what, and what is still to be done."""

    def __init__(
        self,
        pending: list[Ticket],
        cluster: Cluster,
        execute: Callable[[Ticket], Outcome],
        reporter: Reporter,
        limit: int | None,
    ) -> None:
        self.pending, self.cluster, self.execute, self.reporter = pending, cluster, execute, reporter
        self.limit = limit or len(pending)
        self.running: dict[str, _Begun] = {}
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.shunned: dict[str, str] = {}  # the worker that was lost with a run
        self.misses: Counter[str] = Counter()  # how often a run's worker was lost before it began it
        self.progress = time.monotonic()

    def hand_out(self, workers: dict[str, Worker]) -> None:
        """Give each free worker a run that it may take. Raises OSError where there has long been none that may."""
        busy = {begun.worker.address for begun in self.running.values()}
        # Those that meter choose first, and what only they can do: so they are not kept from it by other runs.
        for worker in sorted(workers.values(), key=lambda worker: not worker.meters):
            if worker.address in busy or len(self.running) >= self.limit:
                continue
            fitting = [ticket for ticket in self.pending if self._may(worker, ticket, workers)]
            if fitting:
                self._begin(min(fitting, key=lambda ticket: not ticket.job.notebook.meter), worker)
        if self.running or not self.pending:
            self.progress = time.monotonic()
        elif time.monotonic() - self.progress > GRACE:
            raise OSError(
                f"{len(self.pending)} runs are left, and no worker came that could take {self.pending[0].job.label}"
                f" within {GRACE} s; start workers and go on with --resume"
            )

    def _may(self, worker: Worker, ticket: Ticket, workers: dict[str, Worker]) -> bool:
        able = [w for w in workers.values() if w.meters or not ticket.job.notebook.meter]
        unlucky = self.shunned.get(ticket.identity)
        return worker in able and (worker.address != unlucky or len(able) == 1)

    def _begin(self, ticket: Ticket, worker: Worker) -> None:
        self.pending.remove(ticket)
        ticket = dataclasses.replace(ticket, worker=worker.name)
        ticket.announce()
        meter = worker.meters and ticket.job.notebook.meter
        future = self.cluster.submit(attempt, ticket, self.execute, worker=worker.address, meter=meter)
        self.running[str(future.key)] = _Begun(ticket, worker, future, time.monotonic())
        self.reporter.job_started(ticket)
        future.add_done_callback(lambda future: self.ended.put(str(future.key)))

    def wait(self) -> Iterator[Outcome]:
        """The outcomes of runs that have ended, after a moment's wait for the first."""
        timeout: float | None = POLL
        while True:
            try:
                key = self.ended.get(timeout=timeout) if timeout else self.ended.get_nowait()
            except queue.Empty:
                return
            timeout = None
            if begun := self.running.pop(key, None):
                yield from self._end(begun)

    def _end(self, begun: _Begun) -> Iterator[Outcome]:
        ticket, worker = begun.ticket, begun.worker
        try:
            # Its record is there before the run counts as ended: so a worker that dies now takes nothing along.
            outcome: Outcome = records.read(ticket.folder, ticket.identity) or result_of(begun.future)
        except OtherLibrary as other:
            raise ValueError(
                f"worker {worker.name} has sutrolib {str(other)[:12]} and this command {ticket.library[:12]}:"
                " give both the same checkout, and start the worker anew"
            ) from None
        except ModuleNotFoundError as missing:
            if missing.name and missing.name.split(".")[0] == "sutrolib":
                raise OSError(
                    f"worker {worker.name} finds no sutrolib: it needs this checkout under the same path, on a disk"
                    " that both see"
                ) from None
            yield self._failed(begun, f"ModuleNotFoundError: {missing}")
        except (BegunBefore, TimeoutError):
            yield from self._lose(begun)
        except Exception as error:
            if begun.future.status == "error" and not self.cluster.lost(error):
                yield self._failed(begun, f"{type(error).__name__}: {error}")  # such as a full disk
            else:
                yield from self._lose(begun)
        else:
            ticket.call_back()
            yield outcome

    def miss(self, workers: dict[str, Worker]) -> Iterator[Outcome]:
        """Take note of runs whose worker is gone."""
        for key, begun in list(self.running.items()):
            if begun.worker.address not in workers:
                del self.running[key]
                yield from self._lose(begun)

    def _lose(self, begun: _Begun) -> Iterator[Outcome]:
        """A run's worker is gone: it had recorded how the run ended, or it is tried once more, or given up."""
        ticket = begun.ticket
        never_begun = ticket.withdraw()
        self._cancel([begun])
        if recorded := records.read(ticket.folder, ticket.identity):
            yield recorded
            return
        if never_begun:  # the same attempt, under another name: so nobody who was asked before can still begin it
            self.misses[ticket.identity] += 1
            again = self.misses[ticket.identity] < MOST_MISSES
            next_ = dataclasses.replace(ticket, order=secrets.token_hex(4))
        else:
            again = ticket.attempt < MOST_ATTEMPTS
            next_ = dataclasses.replace(ticket, attempt=ticket.attempt + 1)
        self.reporter.job_lost(ticket, again)
        if again:
            self.shunned[ticket.identity] = begun.worker.address
            self.pending.insert(0, next_)
        else:
            yield self._failed(begun, NEVER_BEGUN if never_begun else KILLED_TWICE)

    def _failed(self, begun: _Begun, error: str) -> Outcome:
        begun.ticket.call_back()
        outcome = begun.ticket.ended(begun.seconds, error)
        records.write(begun.ticket.folder, outcome)
        return outcome

    def interrupt(self) -> Iterator[Outcome]:
        """What was running, as it ended by then: the rest is interrupted."""
        for key, begun in list(self.running.items()):
            del self.running[key]
            self._cancel([begun])  # before the look: what a worker records from now on would be overwritten
            recorded = records.read(begun.ticket.folder, begun.ticket.identity)
            yield recorded or self._failed(begun, INTERRUPTED)

    def call_back(self) -> None:
        """End whatever runs."""
        self._cancel(list(self.running.values()))
        self.running.clear()

    def _cancel(self, begun: Sequence[_Begun]) -> None:
        for one in begun:
            one.ticket.call_back()
        futures = [one.future for one in begun if not one.future.done()]
        if futures and self.cluster.client.status == "running":
            self.cluster.client.cancel(futures, force=True)
