"""What changed between two sets of runs, and which numbers changed beyond their noise.

Runs are paired by case and seed. With enough pairs the change is the mean of the paired log ratios (of differences, if
a value is not above 0) with Student's interval at 95 % (:mod:`sutrolib.core.stats`). With fewer the noise is unknown,
and the status says so. A counted number has no noise, so any change of it is real.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_difference, paired_ratio
from sutrolib.meters.base import Kind

_MAX_CASES = 5  # that are named, of those that only one side has
Value = tuple[str, str, int | str, str, str, float]  # case as of case_of, quantity, seed, kind, unit, and the value
_BySeed = dict[int | str, tuple[str, str, float]]  # kind, unit, value
Facts = Mapping[tuple[str, str], str]  # what is known of a set of runs, by case ("" for all of them) and topic


class ChangeStatus(StrEnum):
    """What can be said of a number in two sets of runs."""

    MOVED = "moved"
    UNKNOWN = "noise unknown"
    NOT_COMPARABLE = "not comparable"
    WITHIN = "within its noise"
    SAME = "the same"


class Change(NamedTuple):
    """One quantity of one case: its means over the common seeds, and what follows from them."""

    case: str
    quantity: str
    kind: str
    before: float | None
    after: float | None
    change: str  # as a ratio (x) or difference (+), with its interval if there is one
    status: ChangeStatus
    why: str
    interval: Interval | None = None


class Comparison(NamedTuple):
    """What differs in the circumstances of two sets of runs, as lines, and a change for each quantity."""

    differences: list[str]
    changes: list[Change]


def compare(values: Sequence[Sequence[Value]], facts: Sequence[Facts], notes: Iterable[str] = ()) -> Comparison:
    """Compare two sets of runs by the values and the facts of each. Lines ``notes`` come before all others."""
    cases = [
        dict.fromkeys([*(case for case, _ in known if case), *(value[0] for value in found)])
        for known, found in zip(facts, values, strict=True)
    ]
    labels = label_cases({**cases[0], **cases[1]})
    lines = [*notes]
    for case, topic in {**facts[0], **facts[1]}:
        old, new = (known.get((case, topic), "none") for known in facts)
        if old != new and (not case or all(case in side for side in cases)):
            lines.append(f"{labels[case]}: {topic} {old} -> {new}" if case else f"{topic}: {old} -> {new}")
    for name, here, there in (("A", *cases), ("B", *cases[::-1])):
        only = [labels[case] for case in here if case not in there]
        more = f"; and {len(only) - _MAX_CASES} more" if len(only) > _MAX_CASES else ""
        lines += [f"only in {name}: {'; '.join(only[:_MAX_CASES])}{more}"] if only else []
    return Comparison(lines, [change._replace(case=labels[change.case]) for change in compare_values(*values)])


def case_of(*parts: tuple[str, Mapping[str, Any]]) -> str:
    """The key of a case: the names of its parts, such as model and problem, with their fields."""
    return json.dumps(parts, sort_keys=True)


def label_cases(cases: Iterable[str]) -> dict[str, str]:
    """A label for each case: the names of its parts, and those fields in which cases of the same names differ."""
    read: dict[str, list[tuple[str, dict[str, Any]]]] = {case: json.loads(case) for case in cases}
    labels = {}
    for case, parts in read.items():
        names = [name for name, _ in parts]
        words = []
        for index, (name, fields) in enumerate(parts):
            others = [other[index][1] for other in read.values() if [n for n, _ in other] == names]
            differ = [f"{k}={v}" for k, v in fields.items() if any(k not in o or o[k] != v for o in others)]
            words.append(f"{name} ({', '.join(differ)})" if differ else name)
        labels[case] = " on ".join(words)
    return labels


def compare_values(first: Iterable[Value], second: Iterable[Value]) -> list[Change]:
    """The change of each quantity of the cases that are on both sides; repeated values count by their median."""
    a, b = _medians(first), _medians(second)
    common = {case for case, _ in a} & {case for case, _ in b}
    keys = sorted(key for key in {**a, **b} if key[0] in common)
    return [_change(*key, a.get(key, {}), b.get(key, {})) for key in keys]


def _medians(values: Iterable[Value]) -> dict[tuple[str, str], _BySeed]:
    """By case and quantity, and then by seed, the kind, the unit and the median of the values; the last kind counts."""
    repeated: dict[tuple[Any, ...], list[float]] = {}
    for *key, value in values:
        repeated.setdefault(tuple(key), []).append(value)
    found: dict[tuple[str, str], _BySeed] = {}
    for (case, quantity, seed, kind, unit), several in repeated.items():
        found.setdefault((case, quantity), {})[seed] = kind, unit, statistics.median(several)
    return found


def _change(case: str, quantity: str, first: _BySeed, second: _BySeed) -> Change:
    measures = [sorted({(kind, unit) for kind, unit, _ in side.values()}) for side in (first, second)]
    kind, unit = (measures[0] or measures[1])[0]
    pairs = [seed for seed in first if seed in second]
    before, after = (np.array([side[seed][2] for seed in pairs], float) for side in (first, second))
    change, interval, status = "", None, ChangeStatus.NOT_COMPARABLE
    if not all(measures):
        why = f"only in {'A' if measures[0] else 'B'}"
    elif measures[0] != measures[1]:
        texts = (" or ".join(f"{kind or 'not stated'} {unit}".strip() for kind, unit in side) for side in measures)
        why = " against ".join(texts)
    elif not len(pairs):
        why = "no common seed"
    elif (before == after).all():
        status, why = ChangeStatus.SAME, "to the last digit"
    else:
        ratio = bool(min(before.min(), after.min()) > 0)
        found = (paired_ratio if ratio else paired_difference)(after, before)
        interval = found if found.bounded and kind != Kind.COUNTED else None
        change = f"{'x' if ratio else '+'} {interval or f'{found.value:.3g}'}"
        if kind == Kind.COUNTED:
            status, why = ChangeStatus.MOVED, "counted: no noise"
        elif interval is None:
            status, why = ChangeStatus.UNKNOWN, f"{len(pairs)} of {MIN_PAIRS} pairs needed"
        else:
            moved = not interval.low <= (1 if ratio else 0) <= interval.high
            status, why = ChangeStatus.MOVED if moved else ChangeStatus.WITHIN, f"{len(pairs)} pairs, 95 %"
    name = f"{quantity}, {unit}" if unit and unit != quantity else quantity
    a, b = (float(before.mean()), float(after.mean())) if len(pairs) else (None, None)
    return Change(case, name, kind or "not stated", a, b, change, status, why, interval)
