"""Whether a number moved beyond its noise between two sets of runs, as far as the runs can tell.

Runs are paired by seed. From five pairs on, the change is the mean of the paired log ratios (of differences, where a
value is not above 0) with Student's interval at 95 % (Student, The Probable Error of a Mean, 1908). With fewer the
noise is unknown, and that is what is said; only a counted number has none, so that any change of it is real.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_difference, paired_ratio
from sutrolib.meters.base import Kind


class Answer(StrEnum):
    """What can be said of a number in two sets of runs."""

    MOVED = "moved"
    UNKNOWN = "noise unknown"
    APART = "not comparable"
    WITHIN = "within its noise"
    SAME = "the same"


@dataclass(frozen=True)
class Sample:
    """One quantity on one side: its kind, its unit, and its value by seed."""

    kind: str
    by_seed: Mapping[int, float]
    unit: str = ""


@dataclass(frozen=True)
class Change:
    """One quantity of one case on both sides, their means over the common seeds, and what follows."""

    case: str
    quantity: str
    kind: str
    before: float | None
    after: float | None
    interval: Interval | None  # of the ratio, or of the difference
    ratio: bool
    pairs: int
    answer: Answer
    why: str

    @property
    def change(self) -> str:
        """The change in words: a ratio with its interval, or without one where there is none."""
        if self.interval is not None:
            return f"{'x ' if self.ratio else '+ '}{self.interval}"
        if self.before is None or self.after is None or self.before == self.after:
            return ""
        if self.before > 0 and self.after > 0:
            return f"x {self.after / self.before:.3g}"
        return f"{self.after - self.before:+.3g}"


def judge(case: str, quantity: str, first: Sample, second: Sample) -> Change:
    """What became of one quantity from the first runs to the second."""
    unit = f", {first.unit}" if first.unit and first.unit != quantity else ""
    name, kind = quantity + unit, first.kind or second.kind or "not stated"
    seeds = sorted(set(first.by_seed) & set(second.by_seed))

    before, after = (_mean([sample.by_seed[seed] for seed in seeds]) for sample in (first, second))

    def told(answer: Answer, why: str, interval: Interval | None = None, ratio: bool = True) -> Change:
        return Change(case, name, kind, before, after, interval, ratio, len(seeds), answer, why)

    if not (first.by_seed and second.by_seed):
        return told(Answer.APART, f"only in {'A' if first.by_seed else 'B'}")
    if (first.kind, first.unit) != (second.kind, second.unit):
        mine, other = (f"{sample.kind or 'not stated'} {sample.unit}".strip() for sample in (first, second))
        return told(Answer.APART, f"{mine} against {other}")
    if not seeds:
        return told(Answer.APART, "no common seed")
    ones, others = ([sample.by_seed[seed] for seed in seeds] for sample in (first, second))
    if ones == others:
        return told(Answer.SAME, "to the last digit")
    if kind == Kind.COUNTED:
        return told(Answer.MOVED, "counted: no noise")
    if len(seeds) < MIN_PAIRS:
        return told(Answer.UNKNOWN, f"{len(seeds)} of {MIN_PAIRS} pairs needed")
    ratio = min(*ones, *others) > 0
    interval = (paired_ratio if ratio else paired_difference)(others, ones)
    moved = not interval.low <= (1 if ratio else 0) <= interval.high
    why = f"{len(seeds)} pairs, 95 %"
    return told(Answer.MOVED if moved else Answer.WITHIN, why, interval, ratio)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
