"""The command compare: what changed between two batches, or between two states of the ledger, as a table."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Column, Table

from sutrolib.batch import records
from sutrolib.batch.changes import Change, ChangeStatus, Comparison
from sutrolib.batch.comparisons import CURRENT, commit_of, compare_batches, compare_ledgers, ledger_at, recent_commits
from sutrolib.batch.parameters import did_you_mean
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement

_COLUMNS = ("quantity", "kind", "A", "B", "B/A (x), B-A (+)", "answer", "reason")
_STYLES = {  # of the rows, in this order; what is the same is only counted
    ChangeStatus.MOVED: "bold",
    ChangeStatus.UNKNOWN: "",
    ChangeStatus.NOT_COMPARABLE: "",
    ChangeStatus.WITHIN: "dim",
}


def run(options: argparse.Namespace) -> int:
    """Show what changed from A to B."""
    first, second = (_run_folder(name) for name in (options.first, options.second))
    if first and second:
        comparison = compare_batches(first, second)
    elif first or second:
        run, other = (options.first, options.second) if first else (options.second, options.first)
        raise ValueError(f"{run!r} is a run and {other!r} is not; give two runs, or two states of the ledger")
    else:
        comparison = compare_ledgers(_ledger(options.first), _ledger(options.second))
    console = Console(highlight=False, markup=False)
    console.print(f"A: {options.first}    B: {options.second}", soft_wrap=True)
    show(comparison, console)
    return 0


def _run_folder(name: str) -> Path | None:
    """The folder of a run, by its path or its name under data/runs/; None if there is none."""
    for folder in (Path(name), paths.RUNS / name):
        if folder.is_dir() and ((folder / records.RECORDS).is_dir() or any(folder.glob("*.ipynb"))):
            return folder
    return None


def _ledger(name: str) -> list[Measurement]:
    """The measurements of a commit, of a folder, or of the ledger as it is. Raises ValueError, with what there is."""
    if name == CURRENT:
        return Ledger().measurements()
    if Path(name).is_dir() and Ledger(name).files():
        return Ledger(name).measurements()
    if commit := commit_of(name):
        return ledger_at(commit)
    folders = paths.RUNS.iterdir() if paths.RUNS.is_dir() else ()
    runs = sorted((folder.name for folder in folders if _run_folder(folder.name)), reverse=True)
    raise ValueError(
        f"{name!r} is neither a run nor a commit{did_you_mean(name, [CURRENT, *runs])}; the newest runs are "
        f"{', '.join(runs[:5]) or 'none'}, the last commits of the ledger {', '.join(recent_commits()) or 'none'}, "
        f"and {CURRENT!r} is the ledger as it is"
    )


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison: circumstances, cases of only one side, and a table of the numbers that are not the same."""
    console.print(*(f"  {line}" for line in comparison.differences), sep="\n", soft_wrap=True)
    shown = [change for status in _STYLES for change in comparison.changes if change.status == status]
    tables: dict[str, Table] = {}  # first those of cases in which a number moved
    for change in shown:
        table = tables.setdefault(change.case, Table(*(Column(name, overflow="fold") for name in _COLUMNS), box=SIMPLE))
        values = ("" if value is None else f"{value:.4g}" for value in (change.before, change.after))
        cells = (change.quantity, change.kind, *values, change.change, str(change.status), change.why)
        table.add_row(*cells, style=_STYLES[change.status])
    for case, table in tables.items():
        console.print(f"\n{case}", soft_wrap=True)
        console.print(table)
    console.print(summary(comparison.changes), soft_wrap=True)


def summary(changes: Sequence[Change]) -> str:
    """How many numbers moved beyond noise, and of how many that cannot be said."""
    if not changes:
        return "There is no number on both sides, so nothing can have moved."
    counts = Counter(change.status for change in changes)
    text = ", ".join(f"{counts[status]} {status}" for status in ChangeStatus if counts[status])
    known = sum(change.interval is not None for change in changes)
    note = f" Of the {known} with an interval, one in twenty moves by chance." if known > 1 else ""
    return f"{len(changes)} numbers on both sides: {text}.{note}"
