"""Which numbers changed beyond their noise between two sets of runs.

Runs are paired by case and seed. With enough pairs the change is the mean of the paired log ratios (of differences, if
a value is not above 0) with Student's interval at 95 % (:mod:`sutrolib.core.stats`). With fewer the noise is unknown,
and the status says so. A counted number has no noise, so any change of it is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_difference, paired_ratio
from sutrolib.meters.base import Kind

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ["case", "quantity", "seed", "kind", "unit", "value"]


class ChangeStatus(StrEnum):
    """What can be said of a number in two sets of runs."""

    MOVED = "moved"
    UNKNOWN = "noise unknown"
    NOT_COMPARABLE = "not comparable"
    WITHIN = "within its noise"
    SAME = "the same"


@dataclass(frozen=True)
class Change:
    """One quantity of one case: its means over the common seeds, and what follows from them."""

    case: str
    quantity: str
    kind: str
    before: float | None
    after: float | None
    pairs: int
    status: ChangeStatus
    why: str
    interval: Interval | None = None  # of the ratio, or of the difference
    ratio: bool = True

    @property
    def change(self) -> str:
        """The change as text: a ratio or difference, with its interval if there is one."""
        if self.interval is not None:
            return f"{'x ' if self.ratio else '+ '}{self.interval}"
        if self.before is None or self.after is None or self.before == self.after:
            return ""
        if self.before > 0 and self.after > 0:
            return f"x {self.after / self.before:.3g}"
        return f"{self.after - self.before:+.3g}"


@dataclass(frozen=True)
class Comparison:
    """Two sets of runs: lines about their circumstances, the cases of only one, and a change for each quantity."""

    first: str
    second: str
    differences: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    changes: tuple[Change, ...]


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


def value_table(rows: Iterable[tuple[str, str, int, str, str, float]]) -> pd.DataFrame:
    """Values by case, quantity and seed, with their kind and unit: the median of those measured more than once."""
    import pandas as pd

    table = pd.DataFrame(list(rows), columns=_COLUMNS)
    table = table.groupby(_COLUMNS[:-1], sort=False)["value"].median().reset_index()
    return table.drop_duplicates(_COLUMNS[:3], keep="last")


def compare_tables(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Change, ...]:
    """The change of each quantity of the cases that are in both tables."""
    common = set(first["case"]) & set(second["case"])
    sides = (side[side["case"].isin(common)] for side in (first, second))
    pairs = next(sides).merge(next(sides), on=_COLUMNS[:3], how="outer", suffixes=("_a", "_b"))
    groups = pairs.groupby(["case", "quantity"], sort=False)
    return tuple(_change(str(case), str(quantity), group) for (case, quantity), group in groups)


def _change(case: str, quantity: str, group: pd.DataFrame) -> Change:
    sides = [group[group[f"value_{side}"].notna()] for side in "ab"]
    kinds = [
        sorted({(kind, unit) for kind, unit in zip(rows[f"kind_{side}"], rows[f"unit_{side}"], strict=True)})
        for rows, side in zip(sides, "ab", strict=True)
    ]
    kind, unit = (kinds[0] or kinds[1])[0]
    pairs = sides[0][sides[0]["value_b"].notna()]
    before, after = pairs["value_a"].to_numpy(), pairs["value_b"].to_numpy()
    interval, ratio = None, True
    if not (kinds[0] and kinds[1]):
        status, why = ChangeStatus.NOT_COMPARABLE, f"only in {'A' if kinds[0] else 'B'}"
    elif kinds[0] != kinds[1]:
        texts = (" or ".join(f"{kind or 'not stated'} {unit}".strip() for kind, unit in side) for side in kinds)
        status, why = ChangeStatus.NOT_COMPARABLE, " against ".join(texts)
    elif not len(pairs):
        status, why = ChangeStatus.NOT_COMPARABLE, "no common seed"
    elif (before == after).all():
        status, why = ChangeStatus.SAME, "to the last digit"
    elif kind == Kind.COUNTED:
        status, why = ChangeStatus.MOVED, "counted: no noise"
    elif len(pairs) < MIN_PAIRS:
        status, why = ChangeStatus.UNKNOWN, f"{len(pairs)} of {MIN_PAIRS} pairs needed"
    else:
        ratio = bool(min(before.min(), after.min()) > 0)
        interval = paired_ratio(after, before) if ratio else paired_difference(after, before)
        moved = not interval.low <= (1 if ratio else 0) <= interval.high
        status, why = ChangeStatus.MOVED if moved else ChangeStatus.WITHIN, f"{len(pairs)} pairs, 95 %"
    name = f"{quantity}, {unit}" if unit and unit != quantity else quantity
    a, b = (float(before.mean()), float(after.mean())) if len(pairs) else (None, None)
    return Change(case, name, kind or "not stated", a, b, len(pairs), status, why, interval, ratio)
