"""The command run: batches of notebooks, with progress bars on a terminal, and lines elsewhere."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from sutrolib.batch import batch, records
from sutrolib.batch.execute import PlannedRun
from sutrolib.batch.parameters import ParameterError
from sutrolib.batch.records import RunResult
from sutrolib.batch.reporter import Batch
from sutrolib.core.dask_cluster import Cluster, ClusterWorker, open_cluster

_T = TypeVar("_T")
_SOME_FAILED = 1
_INTERRUPTED = 130  # as a shell reports Ctrl-C
_MAX_ROWS = 40  # of the last table; with more runs it lists only those that failed


class ProgressView:
    """Reports a batch: a line for each run that ended, and on a terminal a bar, with what runs where."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
        self.total = self.ended = 0
        self.bars: dict[int, TaskID] = {}  # of the runs that are being made, by number

    def batch_started(self, batch: Batch) -> None:
        self.total, self.ended = batch.total, len(batch.done)
        self.all = self.progress.add_task("runs", total=self.total, completed=self.ended)

    def job_started(self, run: PlannedRun) -> None:
        where = f"worker {run.worker}: " if run.worker else ""
        again = " (second attempt)" if run.attempt > 1 else ""
        cells = None if run.worker else run.job.notebook.cells  # a worker does not report its cells
        self.bars[run.number] = self.progress.add_task(escape(f"{where}{run.job.label}{again}"), total=cells)

    def cell_started(self, cell: int) -> None:
        for bar in self.bars.values():  # there is only one, as only runs in this process report their cells
            self.progress.update(bar, completed=cell)

    def job_lost(self, run: PlannedRun, again: bool) -> None:
        self._remove_bar(run.number)
        if again:
            self.say(f"worker {run.worker} died while it ran {run.job.label}, which is tried once more")

    def job_ended(self, result: RunResult) -> None:
        self._remove_bar(result.number)
        self.ended += 1
        self.progress.update(self.all, completed=self.ended)
        where = f" (worker {result.worker})" if result.worker else ""
        line = Text(f"run {self.ended} of {self.total}: {result.label}  ")
        line.append(result.status, "green" if result.passed else "red").append(f" in {result.seconds:.1f} s{where}")
        self.console.print(line, soft_wrap=True)
        if result.finding or result.error:
            self.say(result.error or f"  {result.finding}", style="red" if result.error else "dim")

    def _remove_bar(self, number: int) -> None:
        if number in self.bars:
            self.progress.remove_task(self.bars.pop(number))

    def say(self, text: str, style: str | None = None) -> None:
        """Print a line, above the bars if there are any."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def run(options: argparse.Namespace) -> int:
    """Run the notebooks; 1 if any failed, 130 if it was interrupted."""
    console = Console()
    notebooks = batch.select(batch.find_notebooks(), options.notebooks)
    if not notebooks:
        raise ValueError("there are no notebooks to run")
    jobs = batch.plan(notebooks, _by_name(options.parameter), _by_name(options.grid))
    on_dask = options.jobs is not None or options.scheduler is not None
    try:
        with open_cluster(options.jobs, options.scheduler) if on_dask else nullcontext() as cluster:
            return _run(options, jobs, console, cluster)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return _INTERRUPTED


def _by_name(pairs: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    """The value of each parameter. Raises ParameterError for one that was given twice."""
    found: dict[str, _T] = {}
    for name, value in pairs:
        if name in found:
            raise ParameterError(f"{name} is given twice; write --grid {name}=V1,V2,... to run once for each value")
        found[name] = value
    return found


def _run(options: argparse.Namespace, jobs: Sequence[batch.Job], console: Console, cluster: Cluster | None) -> int:
    folder = Path(options.output) if options.output else None
    if cluster and not options.resume:  # before a folder is made: a refused batch leaves nothing to resume
        _workers(cluster, options, [job.notebook for job in jobs])
    prepared = batch.prepare(jobs, folder, keep_figures=options.keep_figures, resume=options.resume)
    view = ProgressView(console)
    if cluster:
        workers = _workers(cluster, options, [run.job.notebook for run in prepared.runs])
        view.say(_describe_workers(workers, cluster, options, prepared))
    if prepared.repeated:
        view.say(f"{prepared.repeated} of the runs were given more than once; each is made once.")
    if options.resume:
        view.say(f"Resuming {prepared.folder}: {len(prepared.done)} of {prepared.total} runs are done.")
    to_resume = f"Continue with: {_command_to_resume(options, prepared.folder)}"
    try:
        with view.progress if console.is_terminal else nullcontext():
            results = batch.run_prepared(prepared, view, cluster, options.jobs)
    except (OSError, ValueError):
        view.say(to_resume)
        raise
    if results:
        console.print(_summary(results, prepared.total))
        view.say(f"Executed copies, figures, results.csv, results.parquet and findings.md are in {prepared.folder}")
    if len(results) < prepared.total or any(result.status == records.INTERRUPTED for result in results):
        view.say(f"Interrupted. {to_resume}")
        return _INTERRUPTED
    return _SOME_FAILED if any(not result.passed for result in results) else 0


def _workers(cluster: Cluster, options: argparse.Namespace, notebooks: Sequence[batch.Notebook]) -> list[ClusterWorker]:
    """The workers. Raises as :func:`sutrolib.batch.dask.check_workers` if they cannot run these notebooks."""
    from sutrolib.batch.dask import check_workers

    workers = list(cluster.workers().values())
    check_workers(notebooks, workers, options.scheduler or "this machine")
    return workers


def _describe_workers(
    workers: Sequence[ClusterWorker], cluster: Cluster, options: argparse.Namespace, prepared: Batch
) -> str:
    metering = sum(run.job.notebook.meter for run in prepared.runs)
    meters = sum(worker.meters for worker in workers)
    text = f"{len(workers)} workers on {options.scheduler or 'this machine'}"
    text += f"; Dask's dashboard: {cluster.dashboard}" if cluster.dashboard else ""
    if metering and len(workers) > 1:
        how = "one at a time" if meters == 1 else f"on {meters} workers, one for each host"
        text += f"\n{metering} of {len(prepared.runs)} runs may read seconds or joules: {how}"
    return text


def _command_to_resume(options: argparse.Namespace, folder: Path) -> str:
    words = ["python", "-m", "sutrolib", "run", *options.notebooks]
    words += [word for name, value in options.parameter for word in ("-p", name, value)]
    words += [word for name, values in options.grid for word in ("--grid", f"{name}={','.join(values)}")]
    words += ["--jobs", str(options.jobs)] if options.jobs is not None else []
    words += ["--scheduler", options.scheduler] if options.scheduler else []
    words += ["--keep-figures"] if options.keep_figures else []
    return shlex.join([*words, "--resume", "-o", options.output or str(folder)])


def _summary(results: Sequence[RunResult], total: int) -> Table:
    table = Table("run", "seconds", "finding", "result", title="The walk")
    for result in results:
        if len(results) <= _MAX_ROWS or not result.passed:
            status = Text(result.status, "green" if result.passed else "red")
            finding = escape(result.finding if result.passed else result.error)
            table.add_row(escape(result.label), f"{result.seconds:.1f}", finding, status)
    table.add_section()
    passed, seconds = sum(result.passed for result in results), sum(result.seconds for result in results)
    table.add_row("all", f"{seconds:.1f}", "", f"{passed} of {total} passed")
    return table
