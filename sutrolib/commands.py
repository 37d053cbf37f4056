"""The commands run, list, doctor and reproduce, as they are shown on a terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from sutrolib import batch
from sutrolib.batch import Job, Outcome

FAILED = 1


class ProgressReporter:
    """A progress bar on a terminal, a line for each notebook elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("cell {task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=1)
        self.position = ""

    def job_started(self, number: int, total: int, job: Job) -> None:
        self.position = f"notebook {number} of {total}"
        description = escape(f"{self.position}: {job.label}")
        self.bar.reset(self.task, total=job.notebook.cells, completed=0, description=description)

    def cell_started(self, cell: int) -> None:
        self.bar.update(self.task, completed=cell)

    def job_ended(self, outcome: Outcome) -> None:
        state = "[green]passed[/]" if outcome.passed else "[red]failed[/]"
        label = escape(outcome.job.label)
        self.console.print(f"{self.position}: {label}  {state} in {outcome.seconds:.1f} s", highlight=False)
        if not outcome.passed:
            self.console.print(outcome.error, style="red", markup=False, highlight=False)


def run(options: argparse.Namespace) -> int:
    """Walk the notebooks; 1 if any failed."""
    console = Console()
    notebooks = batch.select(batch.find_notebooks(), options.notebooks)
    if not notebooks:
        raise ValueError("there are no notebooks to run")
    jobs = batch.plan(notebooks, dict(options.parameter), dict(options.grid))
    folder = Path(options.output) if options.output else None
    reporter = ProgressReporter(console)
    with reporter.bar:
        outcomes = batch.run(jobs, reporter, folder, keep_figures=options.keep_figures)
    console.print(_summary(outcomes))
    written = outcomes[0].output.parent
    console.print(f"Executed copies, figures and findings.csv are in {written}", markup=False, highlight=False)
    return FAILED if any(not outcome.passed for outcome in outcomes) else 0


def _summary(outcomes: Sequence[Outcome]) -> Table:
    table = Table("notebook", "seconds", "finding", "result", title="The walk")
    for outcome in outcomes:
        result = "[green]passed[/]" if outcome.passed else "[red]failed[/]"
        finding = escape(outcome.finding if outcome.passed else outcome.error)
        table.add_row(escape(outcome.job.label), f"{outcome.seconds:.1f}", finding, result)
    total = sum(outcome.seconds for outcome in outcomes)
    table.add_section()
    passed = sum(outcome.passed for outcome in outcomes)
    table.add_row("all", f"{total:.1f}", "", f"{passed} of {len(outcomes)} passed")
    return table


def list_notebooks(options: argparse.Namespace) -> int:
    """Show the notebooks with their axis, step and parameters."""
    console = Console()
    for notebook in batch.find_notebooks():
        console.print(f"[bold]{escape(notebook.name)}[/]  {escape(notebook.title)}", highlight=False, soft_wrap=True)
        console.print(f"  axis: {notebook.axis}; step: {notebook.step}", markup=False, highlight=False, soft_wrap=True)
        for parameter in notebook.parameters.values():
            console.print(f"  -p {parameter}", markup=False, highlight=False, soft_wrap=True)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Show what this machine can measure."""
    console = Console()
    from sutrolib.doctor import examine

    table = Table("topic", "", "what")
    for check in examine():
        table.add_row(check.topic, "[green]yes[/]" if check.ok else "[red]no[/]", escape(check.what))
    console.print(table)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Compute every published figure that is claimed; 1 if any fails."""
    console = Console()
    from sutrolib.reproduce import reproduce

    found = reproduce(options.slow)
    if options.json:
        rows = [
            {
                "what": r.claim.what,
                "source": r.claim.source,
                "published": r.claim.published,
                "ours": r.ours,
                "difference": r.difference,
                "tolerance": r.claim.tolerance,
                "result": r.result,
                "why": r.missing or r.claim.apart,
            }
            for r in found
        ]
        print(json.dumps(rows, indent=1))
    else:
        sources = list(dict.fromkeys(r.claim.source for r in found))
        table = Table("what", "source", "published", "ours", "difference", "result")
        for r in found:
            ours = ("", "") if r.ours is None else (f"{r.ours:,.6g}", f"{r.difference:+.3g}")
            numbers = (f"{r.claim.published:,.7g}", *ours)
            colour = {"pass": "green", "fail": "red"}.get(r.result, "yellow")
            result = f"[{colour}]{r.result}[/]"
            table.add_row(r.claim.what, f"({sources.index(r.claim.source) + 1})", *numbers, result)
        console.print(table)
        for number, source in enumerate(sources, 1):
            console.print(f"({number}) {source}", markup=False, highlight=False)
        for r in found:
            if why := r.missing or r.claim.apart:
                console.print(f"{r.result}: {r.claim.what}: {why}", markup=False, highlight=False)
    return FAILED if any(r.result == "fail" for r in found) else 0
