"""The command ledger: list what there is, and publish chosen runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.publish import publish


def list_sources(options: argparse.Namespace) -> int:
    """Show each publication and each local run: how many records it holds, of which days and commits, and damage."""
    ledger = Ledger()
    rows: list[tuple[str, str, str, str, bool]] = []
    damaged: dict[Path, str] = {}
    for kind in ("measurement", "study"):
        found, bad = ledger.scan(kind, lambda r, source, dirty: (source, r["when"][:10], r.get("commit", ""), dirty))
        rows += [(kind, *row) for row in found]
        damaged |= bad
    table = Table(Column("source", overflow="fold"), "measurements", "studies", "days (UTC)", "commits", "dirty")
    for source in sorted({row[1] for row in rows}):
        kinds, _, days, commits, dirty = zip(*(row for row in rows if row[1] == source), strict=True)
        counts = f"{kinds.count('measurement'):,}", f"{kinds.count('study'):,}"
        period = " to ".join(sorted({min(days), max(days)}))
        names = ", ".join(sorted({commit or "unknown" for commit in commits}))
        table.add_row(source, *counts, period, names, f"{sum(dirty):,}")
    console = Console(markup=False, highlight=False)
    console.print(table)
    for path, why in damaged.items():
        console.print(f"{path}: {why}", soft_wrap=True)
    console.print("A record that is in several files counts where it stands first: publications before local runs.")
    return 0


def publish_runs(options: argparse.Namespace) -> int:
    """Publish the records of the named runs."""
    done = publish(options.runs, options.dirty)
    for why in done.unreadable:
        print(f"left out: {why}")
    name = done.path.relative_to(paths.ROOT) if done.path.is_relative_to(paths.ROOT) else done.path
    known = f" ({done.known} were published before)" if done.known else ""
    print(f"{name}: {done.measurements} measurements and {done.studies} studies{known}. Commit it to share it:")
    print(f"  git add {name} && git commit")
    return 0
