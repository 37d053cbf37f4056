"""Batches of notebooks: jobs go to an executor, outcomes come back, are recorded and gathered in tables.

The executor is this process, one run after the other; or Dask's workers, where a cluster is given. A batch has a folder
of its own: executed copies, figures, a record of every run, ``results.parquet`` and ``results.csv``, ``findings.md``.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sutrolib.batch import execute as executing
from sutrolib.batch import records
from sutrolib.batch.execute import Ticket
from sutrolib.batch.plan import Job as Job  # part of this module's face, as are the next five
from sutrolib.batch.plan import Notebook as Notebook
from sutrolib.batch.plan import find_notebooks as find_notebooks
from sutrolib.batch.plan import plan as plan
from sutrolib.batch.plan import select as select
from sutrolib.batch.records import INTERRUPTED, Outcome
from sutrolib.batch.tables import Tables
from sutrolib.core import paths, provenance

if TYPE_CHECKING:
    from sutrolib.core.dask_cluster import Cluster

# What keeps a run that does not meter to one core, so that those beside it have theirs.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Reporter(Protocol):
    """Who is told how a batch gets on."""

    def batch_started(self, batch: Batch) -> None: ...
    def job_started(self, ticket: Ticket) -> None: ...
    def cell_started(self, cell: int) -> None: ...
    def job_lost(self, ticket: Ticket, again: bool) -> None: ...
    def job_ended(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True)
class Batch:
    """What there is to do: the folder, the runs to be made, those that were made, and how many were named again."""

    folder: Path
    tickets: tuple[Ticket, ...]
    done: tuple[Outcome, ...] = ()
    repeated: int = 0

    @property
    def total(self) -> int:
        """How many different runs were asked for."""
        return len(self.tickets) + len(self.done)


def prepare(
    jobs: Sequence[Job], folder: Path | None = None, *, keep_figures: bool = False, resume: bool = False
) -> Batch:
    """Give each job its place in ``folder``: the one that is named, else a new one, or to resume the newest.

    Equal jobs are run once. To resume, what passed with the same sources, parameters and library is not run again.
    Raises ValueError for figures that are to be kept from several runs of one notebook, as they have the same names,
    where there is nothing to resume, and where another command is at work in the folder.
    """
    names = [job.notebook.name for job in jobs]
    if keep_figures and len(set(names)) < len(names):
        raise ValueError("--keep-figures with several runs of one notebook, accepted is one run of each")
    if resume and folder is not None and not (folder / records.RECORDS).is_dir():
        raise ValueError(f"there is no run to resume in {folder}; leave out --resume to begin one there")
    folder = (folder or (records.newest_batch() if resume else new_run_folder())).resolve()
    (folder / records.RECORDS).mkdir(parents=True, exist_ok=True)  # from now on there is a run to resume
    with _alone(folder):
        if not resume:
            records.note_begun(folder)
        return _placed(jobs, folder, keep_figures, resume)


def _placed(jobs: Sequence[Job], folder: Path, keep_figures: bool, resume: bool) -> Batch:
    names = [job.notebook.name for job in jobs]
    library = provenance.library()
    wanted = {job.identity(library): job for job in jobs}
    before = {outcome.identity: outcome for outcome in records.read_all(folder)}
    done = tuple(before[identity] for identity in wanted if resume and identity in before and before[identity].passed)
    left = {identity: job for identity, job in wanted.items() if identity not in {o.identity for o in done}}
    # A number stands in the names of files, so one that a recorded run has is not given to another.
    taken = {identity: outcome.number for identity, outcome in before.items()}
    free = (number for number in itertools.count(1) if number not in taken.values())
    others = [outcome.notebook for identity, outcome in before.items() if identity not in left]
    tickets, order = [], secrets.token_hex(4)
    for identity, job in left.items():
        number = taken.get(identity) or next(free)
        alone = names.count(job.notebook.name) == 1 and job.notebook.name not in others
        figures = folder / "figures" if alone else folder / "figures" / f"{number:03d}"
        environment = {
            "SUTRO_FIGURES": str(paths.ROOT / "figures" if keep_figures else figures),
            "SUTRO_LEDGER": str(paths.ledger().resolve()),  # notebooks run in a folder of their own
            "SUTRO_EXAM": str(paths.exam().resolve()),
        }
        tickets.append(Ticket(number, identity, job, folder, environment, order=order))
    return Batch(folder, tuple(tickets), done, len(jobs) - len(wanted))


def run(
    jobs: Sequence[Job],
    reporter: Reporter,
    folder: Path | None = None,
    keep_figures: bool = False,
    *,
    resume: bool = False,
    cluster: Cluster | None = None,
    limit: int | None = None,
    execute: Callable[[Ticket], Outcome] | None = None,
) -> list[Outcome]:
    """Run the jobs; a failed one does not stop the others, an interruption (Ctrl-C) does.

    They run one after the other in this process, or on the workers of ``cluster``, ``limit`` of them at most. The
    outcomes are returned in the order of the jobs, those of runs that were not repeated among them. ``execute`` runs a
    notebook; another function of a module stands in for it where that is to be tried out.
    Raises as :func:`prepare`, and OSError where the cluster is gone; what has ended by then is recorded.
    """
    return carry_out(prepare(jobs, folder, keep_figures=keep_figures, resume=resume), reporter, cluster, limit, execute)


def carry_out(
    batch: Batch,
    reporter: Reporter,
    cluster: Cluster | None = None,
    limit: int | None = None,
    execute: Callable[[Ticket], Outcome] | None = None,
) -> list[Outcome]:
    """As :func:`run`, for a batch that is prepared. Raises ValueError where another command is at work on it."""
    with _alone(batch.folder):
        return _carry_out(batch, reporter, cluster, limit, execute)


def _carry_out(
    batch: Batch,
    reporter: Reporter,
    cluster: Cluster | None,
    limit: int | None,
    execute: Callable[[Ticket], Outcome] | None,
) -> list[Outcome]:
    executing.sweep(batch.folder)  # what a command that was killed had left running is called back
    reporter.batch_started(batch)
    source = _source(batch.tickets, reporter, cluster, limit, execute)
    tables = Tables(batch.folder)
    outcomes = list(batch.done)
    with ExitStack() as stack:  # each of these is done, whatever becomes of the others; the last comes first
        stack.callback(tables.finish)
        stack.callback(executing.sweep, batch.folder)
        stack.callback(source.close)
        try:
            for outcome in source:
                outcomes.append(outcome)
                tables.add(outcome)
                reporter.job_ended(outcome)
        except KeyboardInterrupt:
            pass
    return sorted(outcomes, key=lambda outcome: outcome.number)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others out of the folder: they would run the same, and take away what is running."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"another command is at work in {folder}; wait for it, or name another folder by -o") from None
    try:
        yield
    finally:
        lock.release()


def _source(
    tickets: Sequence[Ticket],
    reporter: Reporter,
    cluster: Cluster | None,
    limit: int | None,
    execute: Callable[[Ticket], Outcome] | None,
) -> Generator[Outcome, None, None]:
    if cluster is None:
        run_here = execute or (lambda ticket: executing.execute(ticket, reporter.cell_started))
        return _one_after_the_other(tickets, run_here, reporter)
    from sutrolib.batch.dask import on_workers

    return on_workers(list(_for(cluster, tickets)), cluster, execute or executing.execute, reporter, limit)


def _for(cluster: Cluster, tickets: Iterable[Ticket]) -> Iterator[Ticket]:
    """The tickets with what a worker is to keep to."""
    library = "" if cluster.local else provenance.library()  # our own workers are of this checkout
    for ticket in tickets:
        own: Mapping[str, str] = {} if ticket.job.notebook.meter else ONE_THREAD
        yield dataclasses.replace(ticket, environment={**own, **ticket.environment}, library=library)


def _one_after_the_other(
    tickets: Iterable[Ticket], execute: Callable[[Ticket], Outcome], reporter: Reporter
) -> Generator[Outcome, None, None]:
    for ticket in tickets:
        ticket.announce()
        reporter.job_started(ticket)
        try:
            outcome = executing.attempt(ticket, execute)
        finally:
            ticket.call_back()
        yield outcome
        if outcome.error == INTERRUPTED:
            return


def new_run_folder() -> Path:
    """A fresh folder under data/runs/, named after the time in UTC."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in itertools.chain([""], (f"-{n}" for n in itertools.count(2))):
        folder = paths.RUNS / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")
