"""Two batches of notebooks compared: what only one of them ran, what differs in the circumstances, what changed.

A case is a notebook with its parameters except the seed; runs of a case with other seeds are its repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.changes import Comparison, Facts, Value, case_of, compare
from sutrolib.batch.executed import read_executed
from sutrolib.batch.records import RunResult, as_float
from sutrolib.core.markdown import finding_in


def results_of(folder: Path) -> list[RunResult]:
    """The newest run of each notebook and parameters in a batch's folder: its records, or else its executed copies."""
    return records.read_newest(folder) or [
        _read_copy(path, number) for number, path in enumerate(sorted(folder.glob("*.ipynb")), start=1)
    ]


def _read_copy(path: Path, number: int) -> RunResult:
    executed, payload = read_executed(path), finding_in(path)
    said: dict[str, Any] = {name: payload.get(name) or {} for name in ("parameters", "results", "kinds")}
    run = ("", number, executed.name, executed.name)
    when = executed.when.isoformat()
    return RunResult(*run, seconds=0.0, when=when, sign=executed.sign, error=executed.error, **said)


def compare_batches(first: Path, second: Path) -> Comparison:
    """What changed from one batch to another. Raises ValueError for a folder that holds no run."""
    sides = results_of(first), results_of(second)
    for folder, results in zip((first, second), sides, strict=True):
        if not results:
            raise ValueError(f"{folder} holds no run; name the folder of a batch, such as those under data/runs/")
    times = [sorted(result.when[:16] for result in side) for side in sides]
    ran = " -> ".join(f"{when[0]} to {when[-1]} UTC, {len(when)} runs" for when in times)
    return compare(
        [list(_values(s)) for s in sides], [_facts(s) for s in sides], [f"ran: {ran}", *_changed_sources(*sides)]
    )


def _case(result: RunResult) -> str:
    return case_of((result.notebook, {name: value for name, value in result.parameters.items() if name != "seed"}))


def _values(results: Iterable[RunResult]) -> Iterator[Value]:
    for result in results:
        for quantity, found in result.results.items():
            value = as_float(found)
            if value is not None and math.isfinite(value):
                seed = result.parameters.get("seed", 0)
                yield _case(result), quantity, seed, result.kinds.get(quantity, ""), "", value


def _facts(results: Sequence[RunResult]) -> Facts:
    """The version of the library, and failures and signs of life by case."""
    versions = ", ".join(sorted({result.library for result in results if result.library}))
    facts = {("", "version of the library"): versions or "not recorded"}
    for case in dict.fromkeys(map(_case, results)):
        runs = [result for result in results if _case(result) == case]
        facts[case, "failed"] = f"{sum(not run.passed for run in runs)} of {len(runs)}"
        facts[case, "sign of life"] = ", ".join(sorted({run.sign for run in runs if run.sign})) or "none"
    return facts


def _changed_sources(*sides: Sequence[RunResult]) -> Iterator[str]:
    """Notebooks whose source changed: the same parameters and version, and yet another identity.

    A run that was killed or interrupted has no version, and its identity is the planned one.
    """
    before, after = (
        {(_case(r), r.parameters.get("seed"), r.library): r for r in side if r.identity and r.library} for side in sides
    )
    changed = {before[key].notebook for key in before if key in after and before[key].identity != after[key].identity}
    return (f"source changed: {name}" for name in sorted(changed))
