"""The command compare: what changed between two batches, or between two states of the ledger."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.changes import Change, ChangeStatus, Comparison
from sutrolib.batch.comparisons import CURRENT, commit_of, compare_batches, compare_ledgers, ledger_at
from sutrolib.batch.parameters import did_you_mean
from sutrolib.cli.text import paragraph
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement


def run(options: argparse.Namespace) -> int:
    """Show what changed from A to B."""
    first, second = (_run_folder(name) for name in (options.first, options.second))
    if first and second:
        comparison = compare_batches(first, second)
    elif first or second:
        run, other = (options.first, options.second) if first else (options.second, options.first)
        raise ValueError(f"{run!r} is a run and {other!r} is not; give two runs, or two states of the ledger")
    else:
        known: dict[str, Any] = {}  # what both have is read once
        comparison = compare_ledgers(_ledger(options.first, known), _ledger(options.second, known))
    print(f"A: {options.first}    B: {options.second}")
    show(comparison)
    return 0


def _run_folder(name: str) -> Path | None:
    """The folder of a run, by its path or its name under data/runs/; None if there is none."""
    for folder in (Path(name), paths.RUNS / name):
        if folder.is_dir() and ((folder / records.RECORDS).is_dir() or any(folder.glob("*.ipynb"))):
            return folder
    return None


def _ledger(name: str, known: dict[str, Any]) -> list[Measurement]:
    """The measurements of a commit, of a folder, or of the ledger as it is. Raises ValueError, with what there is."""
    if name == CURRENT:
        return Ledger().measurements(known)
    if Path(name).is_dir() and Ledger(name).files():
        return Ledger(name).measurements(known)
    if commit := commit_of(name):
        return ledger_at(commit, known)
    folders = paths.RUNS.iterdir() if paths.RUNS.is_dir() else ()
    runs = sorted((folder.name for folder in folders if _run_folder(folder.name)), reverse=True)
    raise ValueError(
        f"{name!r} is neither a run nor a commit{did_you_mean(name, [CURRENT, *runs])}; the newest runs are "
        f"{', '.join(runs[:5]) or 'none'}, {CURRENT!r} is the ledger as it is, and `git log data/ledger` lists commits"
    )


def show(comparison: Comparison) -> None:
    """Print a comparison: circumstances, cases of only one side, and the numbers that are not the same."""
    for line in comparison.differences:
        print(paragraph(line, "  "))
    cases: dict[str, list[Change]] = {}  # first those in which a number moved; what is the same is only counted
    for status in ChangeStatus:
        for change in comparison.changes:
            if change.status == status != ChangeStatus.SAME:
                cases.setdefault(change.case, []).append(change)
    for case, changes in cases.items():
        print(f"\n{case}")
        for one in changes:
            values = " -> ".join("none" if value is None else f"{value:.4g}" for value in (one.before, one.after))
            ratio = f", {one.change}" if one.change else ""  # B / A (x) or B - A (+)
            print(paragraph(f"{one.status}: {one.quantity} ({one.kind}) {values}{ratio}; {one.why}", "  "))
    print(f"\n{paragraph(summary(comparison.changes))}")


def summary(changes: Sequence[Change]) -> str:
    """How many numbers moved beyond noise, and of how many that cannot be said."""
    if not changes:
        return "No number is on both sides: the parameters differ, or nothing was published."
    counts = Counter(change.status for change in changes)
    text = ", ".join(f"{counts[status]} {status}" for status in ChangeStatus if counts[status])
    known = sum(change.interval is not None for change in changes)
    note = f" Of the {known} with an interval, one in twenty moves by chance." if known > 1 else ""
    return f"{len(changes)} numbers on both sides: {text}.{note}"
