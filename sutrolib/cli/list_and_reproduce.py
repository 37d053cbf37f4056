"""The commands list, doctor and reproduce, as they are shown on a terminal."""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sutrolib.batch import batch

FAILED = 1


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
    from sutrolib.cli.doctor import examine

    table = Table("topic", "", "what")
    for check in examine():
        table.add_row(check.topic, "[green]yes[/]" if check.ok else "[red]no[/]", escape(check.what))
    console.print(table)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Compute every published figure that is claimed; 1 if any fails."""
    console = Console()
    from sutrolib.guards.reproduce import reproduce_claims

    found = reproduce_claims(options.slow)
    if options.json:
        rows = [
            {
                "what": r.claim.quantity,
                "source": r.claim.source,
                "published": r.claim.published,
                "ours": r.ours,
                "difference": r.difference,
                "tolerance": r.claim.tolerance,
                "result": r.result,
                "why": r.missing or r.claim.known_difference,
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
            table.add_row(r.claim.quantity, f"({sources.index(r.claim.source) + 1})", *numbers, result)
        console.print(table)
        for number, source in enumerate(sources, 1):
            console.print(f"({number}) {source}", markup=False, highlight=False)
        for r in found:
            if why := r.missing or r.claim.known_difference:
                console.print(f"{r.result}: {r.claim.quantity}: {why}", markup=False, highlight=False)
    return FAILED if any(r.result == "fail" for r in found) else 0
