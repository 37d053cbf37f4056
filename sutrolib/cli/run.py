"""The commands run and list: batches of notebooks, with progress bars on a terminal and lines elsewhere."""

import argparse
import os
import shlex
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich import progress
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from sutrolib.batch import batch, records
from sutrolib.batch.dask import check_workers
from sutrolib.batch.execute import Batch, PlannedRun
from sutrolib.batch.parameters import ParameterError
from sutrolib.batch.records import RunResult
from sutrolib.batch.stored import estimate_text, expected_seconds
from sutrolib.cli.doctor import check_kernel
from sutrolib.cli.ledger import unreadable_files
from sutrolib.cli.text import console as plain_console
from sutrolib.cli.text import paragraph
from sutrolib.core import paths
from sutrolib.core.dask_cluster import open_cluster
from sutrolib.core.format import duration

_SOME_FAILED = 1
_INTERRUPTED = 130  # as a shell reports Ctrl-C
_MAX_AT_ONCE = 4  # a notebook's kernel takes about 0.6 GB of memory
_MAX_ROWS = 40  # of the last lists; with more runs only those that failed are listed


class ProgressView:
    """Reports a batch: a line for each run that ended, and on a terminal a bar, with what runs where."""

    def __init__(self, console: Console, resume: bool = False) -> None:
        self.console, self.resume = console, resume
        self.progress = progress.Progress(console=console, transient=True, disable=not console.is_terminal)
        self.folder, self.total, self.ended = Path(), 0, 0
        self.expected: dict[int, float] = {}  # seconds of each run to make, by number
        self.bars: dict[int, progress.TaskID] = {}  # of the runs that are being made, by number

    def batch_started(self, batch: Batch) -> None:
        self.folder, self.total, self.ended = batch.folder, batch.total, len(batch.done)
        expected = {run.number: expected_seconds(run.job.notebook.path, run.job.values) for run in batch.runs}
        known = [seconds for seconds in expected.values() if seconds is not None]
        if batch.runs and not known:
            self.say(f"Time: {estimate_text(None)}.")
        elif batch.runs:
            unknown = len(known) < len(expected)
            some = f" for {len(known)} of {len(expected)} runs, unknown for the others" if unknown else ""
            beside = sum(expected[run.number] or 0.0 for run in batch.beside)
            seconds = sum(known) - beside + beside / batch.at_once
            self.say(f"Time: {estimate_text(seconds)}{some}.")
        # A bar of seconds: the time left follows from what each run is expected to take.
        typical = sum(known) / len(known) if known else 1.0
        self.expected = {number: typical if seconds is None else seconds for number, seconds in expected.items()}
        self.all = self.progress.add_task("all runs", total=sum(self.expected.values()))
        if batch.repeated:
            self.say(f"{batch.repeated} of the runs were given more than once; each is made once.")
        if batch.done or self.resume:
            self.say(f"Resuming {batch.folder}: {self.ended} of {self.total} runs are done.")

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
        self.progress.advance(self.all, self.expected.get(result.number, 0.0))
        where = f" (worker {result.worker})" if result.worker else ""
        line = Text(f"run {self.ended} of {self.total}: {result.label}  ")
        line.append(result.status, "green" if result.passed else "red").append(f" in {result.seconds:.1f} s{where}")
        self.say(line)
        if result.finding or result.error:
            self.say(result.error or f"  {result.finding}", style="red" if result.error else "dim")

    def _remove_bar(self, number: int) -> None:
        if number in self.bars:
            self.progress.remove_task(self.bars.pop(number))

    def say(self, text: str | Text, style: str | None = None) -> None:
        """Print a line, above the bars if there are any."""
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def run(options: argparse.Namespace) -> int:
    """Run the notebooks; 1 if any failed, 130 if it was interrupted."""
    if not options.scheduler and not (kernel := check_kernel()).ok:  # workers elsewhere have their own environment
        raise FileNotFoundError(kernel.what)  # before it begins: without a kernel every notebook would fail
    notebooks = batch.select(batch.find_notebooks(), options.notebooks)
    if not notebooks:
        raise ValueError("there are no notebooks to run")
    profile = [("profile", options.profile)] if options.profile else []
    jobs = batch.plan(notebooks, _by_name([*options.parameter, *profile]), _by_name(options.grid))
    folder = Path(options.output) if options.output else None
    on_dask = options.jobs is not None or options.scheduler is not None
    began = time.perf_counter()
    view = ProgressView(plain_console(), options.resume)
    try:
        with open_cluster(options.jobs, options.scheduler) if on_dask else nullcontext() as cluster, view.progress:
            if cluster:  # before a folder is made: a refused batch leaves nothing to resume
                left = batch.prepare(jobs, folder, resume=True).runs if options.resume else ()
                names = {run.job.notebook.name for run in left}
                needed = [one for one in notebooks if one.name in names or not options.resume]
                view.say(check_workers(cluster, needed, options.scheduler or "this machine"))
            settings = {"keep_figures": options.keep_figures, "resume": options.resume}
            results = batch.run(jobs, view, folder, cluster, at_once=min(_MAX_AT_ONCE, os.cpu_count() or 1), **settings)
    except KeyboardInterrupt:
        view.say("Interrupted.")
        return _INTERRUPTED
    except (OSError, ValueError):
        if view.total:
            view.say(_to_resume(options, view.folder))
        raise
    if results:
        _print_summary(view.console, results, view.total, time.perf_counter() - began)
        _print_changes(view.console, view.folder)
        for line in unreadable_files():
            view.say(line)
        view.say(f"Executed copies, figures, results.csv, results.parquet and findings.md are in {view.folder}")
    if len(results) < view.total or any(result.status == records.INTERRUPTED for result in results):
        view.say(f"Interrupted. {_to_resume(options, view.folder)}")
        return _INTERRUPTED
    return _SOME_FAILED if any(not result.passed for result in results) else 0


def list_notebooks(options: argparse.Namespace) -> int:
    """Show the notebooks with their axis, step and parameters."""
    console = plain_console(highlight=False, soft_wrap=True)
    for notebook in batch.select(batch.find_notebooks(), options.notebooks):
        console.print(f"[bold]{escape(notebook.name)}[/]  {escape(notebook.title)}")
        if notebook.error:
            console.print(f"  broken: {escape(notebook.error)}", style="red")
            continue
        defaults = {parameter.name: parameter.default for parameter in notebook.parameters.values()}
        lines = [
            f"axis: {notebook.axis}; step: {notebook.step}",
            f"time: {estimate_text(expected_seconds(notebook.path, defaults))}",
            *(f"-p {one}" for one in notebook.parameters.values()),
        ]
        print("\n".join(paragraph(line, "  ") for line in lines))
    return 0


def _by_name(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The value of each parameter. Raises ParameterError for one that was given twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ParameterError(f"{name} is given twice; write --grid {name}=V1,V2,... to run once for each value")
        found[name] = value
    return found


def _to_resume(options: argparse.Namespace, folder: Path) -> str:
    words = ["python", "-m", "sutrolib", *options.words, *([] if options.resume else ["--resume"])]
    return f"Continue with: {shlex.join([*words, *([] if options.output else ['-o', str(folder)])])}"


def _print_summary(console: Console, results: Sequence[RunResult], total: int, seconds: float) -> None:
    """A line for each run, with its finding below, and the time of all."""
    console.rule("The walk")
    lost = batch.lost_premises(batch.find_notebooks(), {result.notebook: result.sign for result in results})
    for result in results:
        if len(results) <= _MAX_ROWS or not result.passed:
            line = Text(f"{result.label}  {result.seconds:.1f} s  {result.sign}  ")
            console.print(line.append(result.status, "green" if result.passed else "red"))
            console.print(Padding(Text(result.finding if result.passed else result.error, "dim"), (0, 0, 0, 4)))
            if premises := lost.get(result.notebook):
                why = f"its premise turned back: it builds on {', '.join(premises)}"
                console.print(Padding(Text(why, "yellow"), (0, 0, 0, 4)))
    passed = sum(result.passed for result in results)
    console.print(f"{passed} of {total} passed in {duration(seconds)}", style="bold")


def _print_changes(console: Console, folder: Path) -> None:
    """What moved beyond noise against the published notebooks, and the command that shows all of it."""
    from sutrolib.batch.changes import ChangeStatus
    from sutrolib.batch.comparisons import compare_batches
    from sutrolib.cli.compare import summary

    try:
        changes = compare_batches(paths.NOTEBOOKS, folder).changes
    except ValueError as error:
        return console.print(f"Not compared with the published notebooks: {error}", markup=False)
    console.print(f"Against the published notebooks: {summary(changes)}", markup=False, highlight=False)
    for change in [change for change in changes if change.status is ChangeStatus.MOVED][:_MAX_ROWS]:
        console.print(Padding(Text(f"{change.case}: {change.quantity} {change.change} ({change.kind})"), (0, 0, 0, 4)))
    if not changes:
        return None
    command = f"python -m sutrolib compare {shlex.quote(str(paths.NOTEBOOKS))} {shlex.quote(str(folder))}"
    return console.print(f"To see all: {command}", markup=False, soft_wrap=True)
