"""Two batches of notebooks side by side: what ran on one side only, what it ran with, and which results moved.

A case is a notebook with its parameters but for the seed; the runs of a case that differ in their seed are its repeats.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.changes import Change, Sample, judge
from sutrolib.batch.executed import read_executed
from sutrolib.batch.records import RunResult
from sutrolib.core.markdown import finding_in

SEED = "seed"


@dataclass(frozen=True)
class Comparison:
    """What two sides have in common and what not: lines about the circumstances, and a change for each quantity."""

    first: str
    second: str
    differences: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    changes: tuple[Change, ...]


def outcomes_of(folder: Path) -> list[RunResult]:
    """The newest run of each notebook and parameters in a batch's folder: its records, or else its executed copies."""
    return records.newest_of_each(records.read_all(folder)) or [
        _outcome(path, number) for number, path in enumerate(sorted(folder.glob("*.ipynb")), start=1)
    ]


def _outcome(path: Path, number: int) -> RunResult:
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


def compare_runs(first: Path, second: Path) -> Comparison:
    """What changed from one batch to another. Raises ValueError for a folder that holds no run."""
    one, other = outcomes_of(first), outcomes_of(second)
    for folder, outcomes in ((first, one), (second, other)):
        if not outcomes:
            raise ValueError(f"{folder} holds no run; name the folder of a batch, such as those under data/runs/")
    before, after = _by_case(one), _by_case(other)
    labels = _labels([*before, *after])
    both = [case for case in before if case in after]
    return Comparison(
        first=first.name,
        second=second.name,
        differences=(*_circumstances(one, other), *_sources(one, other), *_ends(before, after, labels)),
        only_first=tuple(labels[case] for case in before if case not in after),
        only_second=tuple(labels[case] for case in after if case not in before),
        changes=tuple(change for case in both for change in _changes(labels[case], before[case], after[case])),
    )


def _case(outcome: RunResult) -> str:
    others = {name: value for name, value in outcome.parameters.items() if name != SEED}
    return json.dumps([outcome.notebook, others], sort_keys=True)


def _by_case(outcomes: Iterable[RunResult]) -> dict[str, list[RunResult]]:
    found: dict[str, list[RunResult]] = defaultdict(list)
    for outcome in outcomes:
        found[_case(outcome)].append(outcome)
    return dict(found)


def _labels(cases: Sequence[str]) -> dict[str, str]:
    """Each case by its notebook and those of its parameters in which the cases of that notebook differ."""
    read: dict[str, tuple[str, dict[str, Any]]] = {case: tuple(json.loads(case)) for case in cases}
    labels = {}
    for case, (notebook, parameters) in read.items():
        others = [p for name, p in read.values() if name == notebook]
        telling = [f"{k}={v}" for k, v in parameters.items() if any(p.get(k, v) != v or k not in p for p in others)]
        labels[case] = " ".join([notebook, *telling])
    return labels


def _changes(label: str, first: Sequence[RunResult], second: Sequence[RunResult]) -> list[Change]:
    quantities = dict.fromkeys(name for outcome in (*first, *second) for name in outcome.results)
    samples = {name: (_sample(first, name), _sample(second, name)) for name in quantities}
    return [judge(label, name, a, b) for name, (a, b) in samples.items() if a.by_seed or b.by_seed]


def _sample(outcomes: Sequence[RunResult], quantity: str) -> Sample:
    kinds = [outcome.kinds[quantity] for outcome in outcomes if quantity in outcome.kinds]
    values = {o.parameters.get(SEED, 0): o.results.get(quantity) for o in outcomes}
    return Sample(kinds[0] if kinds else "", {seed: float(v) for seed, v in values.items() if v is not None})


def _circumstances(first: Sequence[RunResult], second: Sequence[RunResult]) -> list[str]:
    """When each side ran, and with which version of the library."""
    times = [
        f"{min(o.when for o in side)[:16]} to {max(o.when for o in side)[:16]} UTC, {len(side)} runs"
        for side in (first, second)
    ]
    versions = [", ".join(sorted({o.library for o in side if o.library})) or "not recorded" for side in (first, second)]
    version = f"version of the library: {versions[0]} -> {versions[1]}" if versions[0] != versions[1] else ""
    return [f"ran: {times[0]} -> {times[1]}", *filter(None, [version])]


def _sources(first: Sequence[RunResult], second: Sequence[RunResult]) -> list[str]:
    """Notebooks whose source changed: the same parameters and version, and yet another identity.

    A run that was killed or interrupted has no version, and the identity that was planned with one.
    """

    def known(outcomes: Sequence[RunResult]) -> dict[tuple[str, Any, str], str]:
        return {(_case(o), o.parameters.get(SEED), o.library): o.identity for o in outcomes if o.identity and o.library}

    before, after = known(first), known(second)
    changed = {json.loads(key[0])[0] for key in before if key in after and before[key] != after[key]}
    return [f"source changed: {name}" for name in sorted(changed)]


def _ends(
    first: Mapping[str, list[RunResult]], second: Mapping[str, list[RunResult]], labels: Mapping[str, str]
) -> list[str]:
    """Cases that failed on one side and not on the other, and signs of life that changed."""
    lines = []
    for case in (case for case in first if case in second):
        failed = [sum(bool(o.error) for o in side[case]) for side in (first, second)]
        if failed[0] != failed[1]:
            totals = [len(side[case]) for side in (first, second)]
            lines.append(f"{labels[case]}: failed {failed[0]} of {totals[0]} -> {failed[1]} of {totals[1]}")
        signs = [", ".join(sorted({o.sign for o in side[case] if o.sign})) for side in (first, second)]
        if all(signs) and signs[0] != signs[1]:
            lines.append(f"{labels[case]}: sign of life {signs[0]} -> {signs[1]}")
    return lines
