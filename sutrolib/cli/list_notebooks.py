"""The command list: the notebooks with their axis, step and parameters."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.markup import escape

from sutrolib.batch import batch


def run(options: argparse.Namespace) -> int:
    """Show the notebooks."""
    console = Console()
    for notebook in batch.find_notebooks():
        console.print(f"[bold]{escape(notebook.name)}[/]  {escape(notebook.title)}", highlight=False, soft_wrap=True)
        console.print(f"  axis: {notebook.axis}; step: {notebook.step}", markup=False, highlight=False, soft_wrap=True)
        for parameter in notebook.parameters.values():
            console.print(f"  -p {parameter}", markup=False, highlight=False, soft_wrap=True)
    return 0
