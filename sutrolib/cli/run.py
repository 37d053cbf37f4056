"""The command run: the walk and other batches, with how they get on shown on a terminal, or as lines elsewhere."""

from __future__ import annotations

import argparse
import shlex
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sutrolib.batch import batch, records
from sutrolib.batch.batch import Batch
from sutrolib.batch.execute import Ticket
from sutrolib.batch.parameters import ParameterError
from sutrolib.batch.records import Outcome
from sutrolib.core.dask_cluster import Cluster, Worker, open_cluster

T = TypeVar("T")
FAILED = 1
INTERRUPTED = 130  # as a shell has it for Ctrl-C
RECENT = 3  # findings that stay in sight
LONGEST = 40  # runs that the last table lists one by one


class Board:
    """How a batch gets on: what is running where, what was found last, how long the rest may take."""

    def __init__(self, console: Console, slots: int = 1) -> None:
        self.console, self.slots = console, slots
        self.total = self.skipped = self.cell = 0
        self.ended: list[Outcome] = []
        self.waiting: dict[str, Ticket] = {}
        self.running: dict[str, tuple[Ticket, float]] = {}
        self.recent: deque[Outcome] = deque(maxlen=RECENT)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the table that changes, where there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, get_renderable=self.render, refresh_per_second=4, transient=True):
            yield

    def batch_started(self, batch: Batch) -> None:
        self.total, self.skipped = batch.total, len(batch.done)
        self.waiting = {ticket.identity: ticket for ticket in batch.tickets}

    def job_started(self, ticket: Ticket) -> None:
        self.cell = 0
        self.waiting.pop(ticket.identity, None)
        self.running[ticket.identity] = (ticket, time.monotonic())

    def cell_started(self, cell: int) -> None:
        self.cell = cell

    def job_lost(self, ticket: Ticket, again: bool) -> None:
        self.running.pop(ticket.identity, None)
        if again:
            self.waiting[ticket.identity] = ticket
            self.say(f"worker {ticket.worker} was killed while at {ticket.job.label}, which is tried once more")

    def job_ended(self, outcome: Outcome) -> None:
        ended = next((key for key, (t, _) in self.running.items() if t.number == outcome.number), outcome.identity)
        self.running.pop(ended, None)
        self.waiting.pop(ended, None)
        self.ended.append(outcome)
        if outcome.finding:
            self.recent.append(outcome)
        colour = "green" if outcome.passed else "red"
        where = f" (worker {outcome.worker})" if outcome.worker else ""
        position = f"run {self.skipped + len(self.ended)} of {self.total}"
        line = (
            f"{escape(f'{position}: {outcome.label}')}  [{colour}]{outcome.status}[/] in {outcome.seconds:.1f} s{where}"
        )
        self.console.print(line, highlight=False, soft_wrap=True)
        if not outcome.passed:
            self.say(outcome.error, style="red")

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line above the table."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def render(self) -> RenderableType:
        """The table as it is now."""
        passed = sum(outcome.passed for outcome in self.ended)
        counts = [
            f"{passed + self.skipped} passed",
            f"{len(self.ended) - passed} failed",
            f"{len(self.running)} running",
            f"{len(self.waiting)} waiting",
        ]
        table = Table("worker", "run", "for", "", box=None)
        for ticket, since in list(self.running.values()):
            cell = f"cell {self.cell} of {ticket.job.notebook.cells}" if self.cell and not ticket.worker else ""
            attempt = "second attempt" if ticket.attempt > 1 else cell
            run = escape(f"{ticket.number}: {ticket.job.label}")
            table.add_row(escape(ticket.worker or "here"), run, _clock(time.monotonic() - since), attempt)
        recent = list(self.recent)  # this is rich's thread
        found = [Text(f"{o.label}: {o.finding}", no_wrap=True, overflow="ellipsis", style="dim") for o in recent]
        return Group(Text(f"\n{', '.join(counts)}; {self.left()}", style="bold"), table, *found)

    def left(self) -> str:
        """How long the rest may take, by what the same notebooks took so far."""
        took: dict[str, list[float]] = {}
        for outcome in self.ended:
            took.setdefault(outcome.notebook, []).append(outcome.seconds)
        if not took:
            return "no estimate of the time left yet"
        usual = mean(seconds for all_ in took.values() for seconds in all_)

        def of(ticket: Ticket) -> float:
            return mean(took.get(ticket.job.notebook.name, [usual]))

        now = time.monotonic()
        rest = [of(ticket) for ticket in list(self.waiting.values())]
        metering = sum(of(t) for t in list(self.waiting.values()) if t.job.notebook.meter)  # one after the other
        begun = [max(0.0, of(ticket) - (now - since)) for ticket, since in list(self.running.values())]
        seconds = max((sum(rest) + sum(begun)) / self.slots, metering, *begun, 0.0)
        return f"about {_clock(seconds)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def run(options: argparse.Namespace) -> int:
    """Walk the notebooks; 1 if any failed, 130 if it was interrupted."""
    console = Console()
    notebooks = batch.select(batch.find_notebooks(), options.notebooks)
    if not notebooks:
        raise ValueError("there are no notebooks to run")
    jobs = batch.plan(notebooks, _by_name(options.parameter), _by_name(options.grid))
    try:
        if options.jobs is None and options.scheduler is None:
            return _run(options, jobs, console, None)
        with open_cluster(options.jobs, options.scheduler) as cluster:
            return _run(options, jobs, console, cluster)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return INTERRUPTED


def _by_name(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What each parameter was given. Raises ParameterError for one that was given twice."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise ParameterError(f"{name}: given twice; write --grid {name}=V1,V2,... to run once for each value")
        found[name] = value
    return found


def _run(options: argparse.Namespace, jobs: Sequence[batch.Job], console: Console, cluster: Cluster | None) -> int:
    folder = Path(options.output) if options.output else None
    if cluster and not options.resume:  # before a folder is made: what is refused is no run to resume
        _check(cluster, options, [job.notebook for job in jobs])
    prepared = batch.prepare(jobs, folder, keep_figures=options.keep_figures, resume=options.resume)
    slots = _look_at(cluster, options, prepared, console) if cluster else 1
    board = Board(console, slots)
    if prepared.repeated:
        board.say(f"{prepared.repeated} of the runs were named more than once; each is made once.")
    if options.resume:
        board.say(f"Resuming {prepared.folder}: {len(prepared.done)} of {prepared.total} runs are done.")
    try:
        with board.shown():
            outcomes = batch.carry_out(prepared, board, cluster, options.jobs)
    except (OSError, ValueError):
        board.say(f"Go on with: {_to_resume(options, prepared.folder)}")
        raise
    if outcomes:
        console.print(_summary(outcomes, prepared.total))
        board.say(f"Executed copies, figures, results.csv, results.parquet and findings.md are in {prepared.folder}")
    unfinished = len(outcomes) < prepared.total or any(o.status == records.INTERRUPTED for o in outcomes)
    if unfinished:
        board.say(f"Interrupted. Go on with: {_to_resume(options, prepared.folder)}")
        return INTERRUPTED
    return FAILED if any(not outcome.passed for outcome in outcomes) else 0


def _look_at(cluster: Cluster, options: argparse.Namespace, prepared: Batch, console: Console) -> int:
    """Say what the workers are; how many runs they can be at. Raises as :func:`sutrolib.batch.dask.check`."""
    workers = _check(cluster, options, [ticket.job.notebook for ticket in prepared.tickets])
    where = _where(options)
    metering = sum(ticket.job.notebook.meter for ticket in prepared.tickets)
    meters = sum(worker.meters for worker in workers)
    dashboard = f"; Dask's dashboard: {cluster.dashboard}" if cluster.dashboard else ""
    console.print(f"{len(workers)} workers on {where}{dashboard}", markup=False, highlight=False, soft_wrap=True)
    if metering and len(workers) > 1:
        each = "one at a time" if meters == 1 else f"on {meters} workers, one for each host"
        text = f"{metering} of {len(prepared.tickets)} runs may read seconds or joules: {each}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    return min(options.jobs or len(workers), len(workers))


def _check(cluster: Cluster, options: argparse.Namespace, notebooks: Sequence[batch.Notebook]) -> list[Worker]:
    """The workers, which can run these notebooks. Raises as :func:`sutrolib.batch.dask.check`."""
    from sutrolib.batch.dask import check

    workers = list(cluster.workers().values())
    check(notebooks, workers, _where(options))
    return workers


def _where(options: argparse.Namespace) -> str:
    return str(options.scheduler or "this machine")


def _to_resume(options: argparse.Namespace, folder: Path) -> str:
    """The command that goes on where this one stopped."""
    words = ["python", "-m", "sutrolib", "run", *options.notebooks]
    words += [word for name, value in options.parameter for word in ("-p", name, value)]
    words += [word for name, values in options.grid for word in ("--grid", f"{name}={','.join(values)}")]
    words += ["--jobs", str(options.jobs)] if options.jobs is not None else []
    words += ["--scheduler", options.scheduler] if options.scheduler else []
    words += ["--keep-figures"] if options.keep_figures else []
    return shlex.join([*words, "--resume", "-o", options.output or str(folder)])


def _summary(outcomes: Sequence[Outcome], total: int) -> Table:
    table = Table("run", "seconds", "finding", "result", title="The walk")
    for outcome in outcomes if len(outcomes) <= LONGEST else [o for o in outcomes if not o.passed]:
        result = f"[{'green' if outcome.passed else 'red'}]{outcome.status}[/]"
        finding = escape(outcome.finding if outcome.passed else outcome.error)
        table.add_row(escape(outcome.label), f"{outcome.seconds:.1f}", finding, result)
    table.add_section()
    passed = sum(outcome.passed for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    table.add_row("all", f"{seconds:.1f}", "", f"{passed} of {total} passed")
    return table
