"""The command findings: data/FINDINGS.md, one page of what the committed notebooks found, read off their outputs."""

import argparse
from collections import Counter
from pathlib import Path

from jinja2 import Template

from sutrolib.batch.executed import Executed, read_executed
from sutrolib.batch.plan import find_notebooks
from sutrolib.core import paths
from sutrolib.core.format import plain
from sutrolib.core.io import write_atomically
from sutrolib.core.markdown import markdown_table
from sutrolib.measurement.ledger import Ledger
from sutrolib.meeting.collect import NO_FINDINGS
from sutrolib.meeting.layout import date_text

PAGE = paths.DATA / "FINDINGS.md"
_HELD = {True: "yes", False: "no", None: ""}


def run(options: argparse.Namespace) -> int:
    """Write the page anew."""
    write_atomically(PAGE, page().encode())
    print(f"The findings of the notebooks are in {PAGE}.")
    return 0


def page() -> str:
    """The page in Markdown: a part for each notebook, in their order."""
    found = [read_executed(n.path) for n in find_notebooks() if not (n.error or n.number.startswith(NO_FINDINGS))]
    measurements, _ = Ledger(paths.published_ledger()).read()
    machines = Counter(str(run.machine.get("processor") or "an unnamed processor") for run in measurements)
    made = "; ".join(f"{count:,} on {name}" for name, count in machines.most_common())
    parts = [(executed, _table(executed), date_text(executed.when)) for executed in found if executed.finding]
    template = Template(Path(__file__).with_suffix(".md").read_text(encoding="utf-8"))
    return plain(template.render(total=f"{len(measurements):,}", made=made, parts=parts))


def _table(executed: Executed) -> str:
    rows = [(row.quantity, row.kind, row.expected, row.saw, _HELD[row.held]) for row in executed.rows]
    return markdown_table(("quantity", "kind", "expected", "saw", "held"), rows)
