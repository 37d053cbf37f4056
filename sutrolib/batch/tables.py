"""The results of a batch in tables: results.parquet and results.csv for programs, findings.md for people.

There is one row for each run and quantity; a run without a finding has one row without a quantity. ``run`` is the
beginning of the run's identity, ``parameters`` holds all of its parameters as JSON. Those that vary between runs of a
notebook, or were given on the command line, have a column of their own too, with its type, as many as there is room
for. So the table has at most MAX_COLUMNS columns for any mixture of notebooks.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet  # noqa: F401 - now, as importing it takes longer than writing the first table

from sutrolib.batch import records
from sutrolib.batch.records import RunResult
from sutrolib.core.format import plain
from sutrolib.core.io import as_float, write_atomically
from sutrolib.core.markdown import markdown_table

RESULTS, FINDINGS, FIGURE = "results", "findings.md", "comparison"
MAX_COLUMNS = 20
_MIN_ID = 8  # hexadecimal digits of a run's identity; more if needed to tell the runs of a batch apart
_FIRST = ("run", "notebook")
_RUN = ("status", "seconds", "attempts", "worker", "when", "sign")
_LAST = (*_RUN, "quantity", "value", "kind", "low", "high", "finding", "error", "parameters")
# Of pandas, all with missing values; of the fixed columns, and of others by what their cells are. Else "string".
_TYPES = {"seconds": "Float64", "attempts": "Int64", "value": "Float64", "low": "Float64", "high": "Float64"}
_INFERRED = {"integer": "Int64", "floating": "Float64", "mixed-integer-float": "Float64", "boolean": "boolean"}
_PAUSE, _QUICK_S = 9, 0.3  # times as long as writing the tables took beyond that, until they are written again


class Tables:
    """The tables of a batch's folder, kept up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.next = folder, 0.0

    def refresh(self) -> None:
        """Write the tables of all records, unless writing takes too large a share of the time."""
        if (began := time.monotonic()) >= self.next:
            self._write()
            ended = time.monotonic()
            self.next = ended + _PAUSE * max(0.0, ended - began - _QUICK_S)

    def finish(self) -> None:
        """Write the tables of all records, and draw the figure that compares them.

        If the figure fails, findings.md and a line on stderr say why, and no row is lost.
        """
        if not (results := self._write()):
            return
        try:
            from sutrolib.batch.plots import draw_comparison

            words = draw_comparison(results, self.folder / FIGURE)
            above = f"![{_escape_markdown(words)}]({FIGURE}.png)\n\n" if words else ""
        except Exception as failure:  # the runs are what counts
            words = f"The figure that compares the runs could not be drawn: {type(failure).__name__}: {failure}"
            print(words, file=sys.stderr)
            above = f"{_escape_markdown(words)}\n\n"
        write_atomically(self.folder / FINDINGS, _findings(results, above).encode())

    def _write(self) -> list[RunResult]:
        if results := records.read_newest(self.folder):
            table = tidy(results)
            write_atomically(self.folder / f"{RESULTS}.csv", table.to_csv(index=False).encode())
            write_atomically(self.folder / f"{RESULTS}.parquet", table.to_parquet(index=False))
            write_atomically(self.folder / FINDINGS, _findings(results).encode())
        return results


def tidy(results: Sequence[RunResult]) -> pd.DataFrame:
    """A row for each run and quantity. A parameter with the name of another column gets a prefix."""
    fixed = {*_FIRST, *_LAST}
    columns = _varied_or_given(results)[: MAX_COLUMNS - len(fixed)]
    digits = next(n for n in range(_MIN_ID, 65) if len({r.identity[:n] for r in results}) == len(results) or n == 64)
    rows: list[dict[str, Any]] = []
    for result in results:
        run = {name: getattr(result, name) for name in (*_RUN, "notebook", "finding", "error")}
        run |= {_column(name): result.parameters.get(name) for name in columns}
        run |= {"run": result.identity[:digits], "parameters": json.dumps(result.parameters, ensure_ascii=False)}
        for quantity, value in result.results.items() or [("", None)]:
            low, high = result.expected_range(quantity) or (None, None)
            found = {"quantity": quantity or None, "value": as_float(value), "kind": result.kinds.get(quantity)}
            rows.append({**run, **found, "low": low, "high": high})
    table = pd.DataFrame(rows, columns=[*_FIRST, *map(_column, columns), *_LAST], dtype=object)
    return table.astype({name: _TYPES.get(name, "string") if name in fixed else type_of(table[name]) for name in table})


def _column(parameter: str) -> str:
    return f"parameter.{parameter}" if parameter in {*_FIRST, *_LAST} else parameter


def _varied_or_given(results: Sequence[RunResult]) -> list[str]:
    """The parameters that have several values within a notebook, then those that were given, which labels name."""
    values = defaultdict[tuple[str, str], set[str]](set)
    for result in results:
        for name, value in result.parameters.items():
            values[result.notebook, name].add(repr(value))
    varied = [name for (_, name), found in values.items() if len(found) > 1]
    return list(dict.fromkeys([*varied, *(name for r in results for name in r.parameters if f" {name}=" in r.label)]))


def type_of(cells: "pd.Series[Any]") -> str:
    """The type of a column: that of its cells if they agree, float for numbers, text for any other mixture.

    An integer beyond 64 bits makes the column one of text.
    """
    found = _INFERRED.get(pd.api.types.infer_dtype(cells), "string")
    return "string" if found == "Int64" and not cells.dropna().between(-(2**63), 2**63 - 1).all() else found


def _findings(results: Sequence[RunResult], above: str = "") -> str:
    """A row for each run, in Markdown, below the text ``above``."""
    header = ["run", "seconds", "status", "sign", "finding", "error"]
    rows = [(r.label, f"{r.seconds:.1f}", r.status, r.sign, r.finding, r.error) for r in results]
    return f"{above}{markdown_table(header, [[escape(cell, quote=False) for cell in row] for row in rows])}\n"


def _escape_markdown(text: str) -> str:
    return escape(" ".join(plain(text).split()), quote=False).replace("[", "(").replace("]", ")")
