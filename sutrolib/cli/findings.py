"""The command findings: data/FINDINGS.md, one page of what the committed notebooks found, read off their outputs."""

from __future__ import annotations

import argparse
from collections import Counter

from sutrolib.batch.executed import Executed, read_executed
from sutrolib.batch.plan import find_notebooks
from sutrolib.core import paths
from sutrolib.core.io import write_atomically
from sutrolib.core.markdown import markdown_table
from sutrolib.measurement.ledger import Ledger
from sutrolib.meeting.collect import NO_FINDINGS

PAGE = paths.DATA / "FINDINGS.md"
_HELD = {True: "yes", False: "no", None: ""}


def run(options: argparse.Namespace) -> int:
    """Write the page anew."""
    write_atomically(PAGE, page().encode())
    print(f"The findings of the notebooks are in {PAGE}.")
    return 0


def page() -> str:
    """The page in Markdown: a part for each notebook, in their order."""
    found = [read_executed(n.path) for n in find_notebooks() if not n.number.startswith(NO_FINDINGS)]
    parts = [_part(executed) for executed in found if executed.finding]
    return "\n\n".join([_head(), *parts]) + "\n"


def _head() -> str:
    measurements, _ = Ledger(paths.published_ledger()).read()
    machines = Counter(str(run.machine.get("processor") or "an unnamed processor") for run in measurements)
    made = "; ".join(f"{count:,} on {name}" for name, count in machines.most_common())
    return (
        "# Findings\n\n"
        "What each notebook found when it was last executed and committed. `python -m sutrolib findings` writes this "
        "page from the outputs of the notebooks, so no number here was typed. Every number has a kind: counted, "
        "modelled (from counts), estimated (a power model times seconds) or measured.\n\n"
        f"The published ledger holds {len(measurements):,} measurements: {made}."
    )


def _part(executed: Executed) -> str:
    rows = [(row.quantity, row.kind, row.expected, row.saw, _HELD[row.held]) for row in executed.rows]
    table = markdown_table(("quantity", "kind", "expected", "saw", "held"), rows)
    when = f"{executed.when.day} {executed.when:%B %Y}"
    link = f"[{executed.name}](../notebooks/{executed.name}.ipynb)"
    return (
        f"## {link}: {executed.title}\n\n{executed.finding}\n\n{table}\n\n"
        f"Sign of life: **{executed.sign}**. Computed on {when}; again with `{executed.command}`."
    )
