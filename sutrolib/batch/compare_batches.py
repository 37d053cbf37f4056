"""Two batches of notebooks compared: what only one of them ran, what differs in the circumstances, what changed.

A case is a notebook with its parameters except the seed; runs of a case with other seeds are its repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from sutrolib.batch import records
from sutrolib.batch.changes import Comparison, case_of, compare_tables, label_cases, value_table
from sutrolib.batch.executed import read_executed
from sutrolib.batch.records import RunResult
from sutrolib.core.markdown import finding_in

_Cases: TypeAlias = Mapping[str, Sequence[RunResult]]  # by the label of the case


def results_of(folder: Path) -> list[RunResult]:
    """The newest run of each notebook and parameters in a batch's folder: its records, or else its executed copies."""
    return records.newest_of_each(records.read_all(folder)) or [
        _read_copy(path, number) for number, path in enumerate(sorted(folder.glob("*.ipynb")), start=1)
    ]


def _read_copy(path: Path, number: int) -> RunResult:
    executed, payload = read_executed(path), finding_in(path)
    return RunResult(
        identity="",
        number=number,
        notebook=executed.name,
        label=executed.name,
        parameters=payload.get("parameters") or {},
        seconds=0.0,
        when=executed.when.isoformat(),
        finding=executed.finding,
        sign=executed.sign,
        results=payload.get("results") or {},
        kinds=payload.get("kinds") or {},
        error=executed.error,
    )


def compare_batches(first: Path, second: Path) -> Comparison:
    """What changed from one batch to another. Raises ValueError for a folder that holds no run."""
    sides = results_of(first), results_of(second)
    for folder, results in zip((first, second), sides, strict=True):
        if not results:
            raise ValueError(f"{folder} holds no run; name the folder of a batch, such as those under data/runs/")
    labels = label_cases(map(_case, [*sides[0], *sides[1]]))
    before, after = (_by_label(side, labels) for side in sides)
    return Comparison(
        first=first.name,
        second=second.name,
        differences=(*_circumstances(*sides), *_sources(*sides), *_failures_and_signs(before, after)),
        only_first=tuple(label for label in before if label not in after),
        only_second=tuple(label for label in after if label not in before),
        changes=compare_tables(value_table(_rows(before)), value_table(_rows(after))),
    )


def _case(result: RunResult) -> str:
    return case_of((result.notebook, {name: value for name, value in result.parameters.items() if name != "seed"}))


def _by_label(results: Iterable[RunResult], labels: Mapping[str, str]) -> _Cases:
    found: dict[str, list[RunResult]] = {}
    for result in results:
        found.setdefault(labels[_case(result)], []).append(result)
    return found


def _rows(cases: _Cases) -> Iterator[tuple[str, str, int, str, str, float]]:
    for label, results in cases.items():
        for result in results:
            for quantity, value in result.results.items():
                if value is not None:
                    seed = result.parameters.get("seed", 0)
                    yield label, quantity, seed, result.kinds.get(quantity, ""), "", float(value)


def _circumstances(*sides: Sequence[RunResult]) -> list[str]:
    """When each side ran, and with which version of the library."""
    times = [
        f"{min(r.when for r in side)[:16]} to {max(r.when for r in side)[:16]} UTC, {len(side)} runs" for side in sides
    ]
    versions = [", ".join(sorted({r.library for r in side if r.library})) or "not recorded" for side in sides]
    changed = [f"version of the library: {versions[0]} -> {versions[1]}"] if versions[0] != versions[1] else []
    return [f"ran: {times[0]} -> {times[1]}", *changed]


def _sources(*sides: Sequence[RunResult]) -> list[str]:
    """Notebooks whose source changed: the same parameters and version, and yet another identity.

    A run that was killed or interrupted has no version, and its identity is the planned one.
    """
    before, after = (
        {(_case(r), r.parameters.get("seed"), r.library): r for r in side if r.identity and r.library} for side in sides
    )
    changed = {before[key].notebook for key in before if key in after and before[key].identity != after[key].identity}
    return [f"source changed: {name}" for name in sorted(changed)]


def _failures_and_signs(first: _Cases, second: _Cases) -> list[str]:
    """Cases in which more or fewer runs failed, or the sign of life changed."""
    lines = []
    for label in (label for label in first if label in second):
        sides = first[label], second[label]
        failed = [sum(bool(result.error) for result in side) for side in sides]
        if failed[0] != failed[1]:
            counts = [f"{count} of {len(side)}" for count, side in zip(failed, sides, strict=True)]
            lines.append(f"{label}: failed {counts[0]} -> {counts[1]}")
        signs = [", ".join(sorted({result.sign for result in side if result.sign})) for side in sides]
        if all(signs) and signs[0] != signs[1]:
            lines.append(f"{label}: sign of life {signs[0]} -> {signs[1]}")
    return lines
