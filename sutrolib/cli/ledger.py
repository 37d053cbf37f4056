"""The command ledger: list what there is, and publish chosen runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.publish import publish


def list_sources(options: argparse.Namespace) -> int:
    """Show each publication and each local run: how many records it holds, of which days and commits, and damage."""
    rows: dict[str, list[tuple[str, str, str, bool]]] = {}
    ledger = Ledger()
    damaged: dict[Path, str] = {}
    for kind in ("measurement", "study"):

        def add(record: dict[str, Any], source: str, dirty: bool, kind: str = kind) -> None:
            rows.setdefault(source, []).append((kind, record["when"], record.get("commit", ""), dirty))

        damaged |= ledger.scan(kind, add)[1]
    table = Table(Column("source", overflow="fold"), "measurements", "studies", "days (UTC)", "commits", "dirty")
    for source in sorted(rows):
        kinds, days, commits, dirty = zip(*rows[source], strict=True)
        table.add_row(
            escape(source),
            f"{kinds.count('measurement'):,}",
            f"{kinds.count('study'):,}",
            " to ".join(sorted({min(days)[:10], max(days)[:10]})),
            escape(", ".join(sorted({commit or "unknown" for commit in commits}))),
            f"{sum(dirty):,}",
        )
    console = Console()
    console.print(table)
    for path, why in damaged.items():
        console.print(f"{path}: {why}", markup=False, highlight=False, soft_wrap=True)
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
