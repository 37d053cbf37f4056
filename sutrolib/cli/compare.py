"""The command compare: what changed between two runs, or between two states of the ledger, as a table."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sutrolib.batch import records
from sutrolib.batch.changes import Answer, Change
from sutrolib.batch.compare_batches import Comparison, compare_runs
from sutrolib.batch.compare_ledgers import WORKING, at_commit, commit_of, compare_ledgers, recent_commits
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement

SHOWN = (Answer.MOVED, Answer.UNKNOWN, Answer.APART, Answer.WITHIN)  # in this order; what is the same is counted
ONLY = 5  # cases that are named, of those that one side has alone
STYLES = {Answer.MOVED: "bold", Answer.UNKNOWN: "", Answer.APART: "", Answer.WITHIN: "dim"}


def run(options: argparse.Namespace) -> int:
    """Show what changed from A to B."""
    runs = [_run_folder(name) for name in (options.first, options.second)]
    first, second = runs
    if first and second:
        comparison = compare_runs(first, second)
    elif first or second:
        run, other = (options.first, options.second) if first else (options.second, options.first)
        raise ValueError(f"{run!r} is a run and {other!r} is none, accepted are two runs, or two states of the ledger")
    else:
        sides = [_ledger(name) for name in (options.first, options.second)]
        comparison = compare_ledgers(options.first, sides[0], options.second, sides[1])
    show(comparison, Console())
    return 0


def _run_folder(name: str) -> Path | None:
    """The folder of a run, by its path or its name under data/runs/; None where there is none."""
    for folder in (Path(name), paths.RUNS / name):
        if folder.is_dir() and ((folder / records.RECORDS).is_dir() or any(folder.glob("*.ipynb"))):
            return folder
    return None


def _ledger(name: str) -> list[Measurement]:
    """The measurements of a commit, of a folder, or of the ledger as it is. ValueError lists what there is."""
    if name == WORKING:
        return Ledger().measurements()
    if Path(name).is_dir() and Ledger(name).files():
        return Ledger(name).measurements()
    if commit := commit_of(name):
        return at_commit(commit)
    folders = paths.RUNS.iterdir() if paths.RUNS.is_dir() else ()
    runs = sorted((folder.name for folder in folders if _run_folder(folder.name)), reverse=True)
    raise ValueError(
        f"{name!r} is neither a run nor a commit; the newest runs are {', '.join(runs[:5]) or 'none'}, the last "
        f"commits of the ledger {', '.join(recent_commits()) or 'none'}, and {WORKING!r} is the ledger as it is"
    )


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison: circumstances, what one side has alone, and a table of the numbers that are not the same."""

    def line(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    line(f"A: {comparison.first}    B: {comparison.second}")
    for difference in comparison.differences:
        line(f"  {difference}")
    for side, cases in (("A", comparison.only_first), ("B", comparison.only_second)):
        if cases:
            line(f"  only in {side}: {len(cases)}, such as" if len(cases) > ONLY else f"  only in {side}:")
            for case in cases[:ONLY]:
                line(f"    {case}")
    shown = [change for answer in SHOWN for change in comparison.changes if change.answer == answer]
    for case in dict.fromkeys(change.case for change in shown):  # those with a number that moved come first
        console.print()
        line(case)
        console.print(_table([change for change in shown if change.case == case]))
    line(_summary(comparison.changes))


def _table(changes: Sequence[Change]) -> Table:
    table = Table(box=SIMPLE)
    for name in ("quantity", "kind", "A", "B", "B/A (x), B-A (+)", "answer", "by"):
        table.add_column(name, overflow="fold")
    for change in changes:
        cells = (change.quantity, change.kind, _value(change.before), _value(change.after), change.change)
        table.add_row(*map(escape, (*cells, str(change.answer), change.why)), style=STYLES[change.answer])
    return table


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _summary(changes: Sequence[Change]) -> str:
    if not changes:
        return "There is no number on both sides, so nothing can have moved."
    counts = Counter(change.answer for change in changes)
    told = ", ".join(f"{counts[answer]} {answer}" for answer in Answer if counts[answer])
    judged = sum(change.interval is not None for change in changes)
    chance = f" Of the {judged} with an interval about one in twenty moves by chance alone." if judged > 1 else ""
    return f"{len(changes)} numbers on both sides: {told}.{chance}"
