"""What the runs of a batch found, gathered: results.parquet and results.csv for programs, findings.md for people.

One row for each run and quantity, with a column for every parameter of every notebook; a run without a finding has one
row without a quantity. Whatever mixture of notebooks was run, the table has the same shape.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sutrolib.batch import records
from sutrolib.batch.records import Outcome
from sutrolib.core.io import write_atomically
from sutrolib.core.markdown import markdown_table

if TYPE_CHECKING:
    import pyarrow as pa

RESULTS, FINDINGS, FIGURE = "results", "findings.md", "comparison"
BEFORE = ("run", "notebook")
AFTER = ("status", "seconds", "attempts", "worker", "when", "sign")
QUANTITY = ("quantity", "value", "kind", "low", "high")
LAST = ("finding", "error")
TYPES = {"seconds": float, "attempts": int, "value": float, "low": float, "high": float}  # of the rest, str
WIDEST = 2**63  # integers from here on do not fit a column
SHARE = 10  # between two writings pass so many times the seconds that one takes


class Tables:
    """The tables of a batch's folder, kept up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known = {outcome.identity: outcome for outcome in records.read_all(folder)}
        self.took = self.last = 0.0

    def add(self, outcome: Outcome) -> None:
        """Take in how a run ended, and write the tables, unless that would slow a batch of many runs down."""
        self.known[outcome.identity] = outcome
        if time.monotonic() - self.last >= min(SHARE * self.took, 60.0) or self.took < 0.02:
            self._write(list(self.known.values()))

    def finish(self) -> None:
        """Write the tables of all records there are, and then draw the figure that compares them.

        A figure that cannot be drawn costs no row: findings.md and a line on stderr say why there is none.
        """
        outcomes = records.newest_of_each(records.read_all(self.folder))
        if not outcomes:
            return
        self._write(outcomes)
        try:
            from sutrolib.batch.plots import compare

            above = _picture(compare(outcomes, self.folder / FIGURE))
        except Exception as failure:  # whatever it is, the runs are what counts
            words = f"The figure that compares the runs could not be drawn: {type(failure).__name__}: {failure}"
            print(words, file=sys.stderr)
            above = f"{_harmless(words)}\n\n"
        write_atomically(self.folder / FINDINGS, _findings(outcomes, above).encode())

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        began = time.monotonic()
        outcomes = records.newest_of_each(outcomes)
        header, rows = tidy(outcomes)
        write_atomically(self.folder / f"{RESULTS}.csv", _csv(header, rows))
        write_atomically(self.folder / f"{RESULTS}.parquet", _parquet(header, rows))
        write_atomically(self.folder / FINDINGS, _findings(outcomes).encode())
        self.last = time.monotonic()
        self.took = self.last - began


def tidy(outcomes: Iterable[Outcome]) -> tuple[list[str], list[list[Any]]]:
    """The columns, and a row for each run and quantity. A parameter named as one of the others has a prefix."""
    outcomes = list(outcomes)
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.parameters))
    fixed = {*BEFORE, *AFTER, *QUANTITY, *LAST}
    header = [*BEFORE, *(f"parameter.{name}" if name in fixed else name for name in names), *AFTER, *QUANTITY, *LAST]
    return header, [row for outcome in outcomes for row in _rows(outcome, names)]


def _rows(outcome: Outcome, names: Sequence[str]) -> Iterable[list[Any]]:
    before = [outcome.identity, outcome.notebook, *(outcome.parameters.get(name) for name in names)]
    before += [getattr(outcome, name) for name in AFTER]
    last = [outcome.finding, outcome.error]
    if not outcome.results:
        yield [*before, *([None] * len(QUANTITY)), *last]
    for quantity, value in outcome.results.items():
        low, high = expected(outcome, quantity) or (None, None)
        yield [*before, quantity, number(value), outcome.kinds.get(quantity), low, high, *last]


def expected(outcome: Outcome, quantity: str) -> tuple[float, float] | None:
    """The range that was predicted for a quantity."""
    stated = outcome.expected.get(quantity)
    low, high = (
        (number(bound) for bound in stated[:2]) if isinstance(stated, list) and len(stated) > 1 else (None, None)
    )
    return None if low is None or high is None else (low, high)


def number(value: Any) -> float | None:
    """The value as a float, None for what is no number."""
    return float(value) if isinstance(value, int | float) else None


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    return text.getvalue().encode()


def _parquet(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    fixed = {*BEFORE, *AFTER, *QUANTITY, *LAST}
    columns = {}
    for index, name in enumerate(header):
        cells = [row[index] for row in rows]
        kind = TYPES.get(name, str) if name in fixed else common_type(cells)
        columns[name] = pa.array([None if cell is None else kind(cell) for cell in cells], _arrow(kind))
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def common_type(cells: Iterable[Any]) -> type:
    """The type that a column of these has: theirs where they agree, float for numbers, str for any other mixture.

    Cells are left empty where a notebook has no such parameter. An integer beyond 64 bits makes the column one of str.
    """
    present = [cell for cell in cells if cell is not None]
    types = {type(cell) for cell in present}
    if any(isinstance(cell, int) and not -WIDEST <= cell < WIDEST for cell in present):
        return str
    if len(types) == 1 and types <= {int, float, bool}:
        return types.pop()
    return float if types == {int, float} else str


def _arrow(kind: type) -> pa.DataType:
    import pyarrow as pa

    return {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}[kind]


def _findings(outcomes: Sequence[Outcome], above: str = "") -> str:
    """A row for each run, in Markdown, under what is to stand above. Nothing in it is taken for HTML."""
    header = ["run", "seconds", "status", "sign", "finding", "error"]
    rows = [
        [
            escape(outcome.label, quote=False),
            f"{outcome.seconds:.1f}",
            outcome.status,
            *(escape(text, quote=False) for text in (outcome.sign, outcome.finding, outcome.error)),
        ]
        for outcome in outcomes
    ]
    return f"{above}{markdown_table(header, rows)}\n"


def _picture(words: str) -> str:
    """The figure with its description, in Markdown; empty where none was drawn."""
    return f"![{_harmless(words)}]({FIGURE}.png)\n\n" if words else ""


def _harmless(words: str) -> str:
    return escape(" ".join(words.split()), quote=False).replace("[", "(").replace("]", ")")
