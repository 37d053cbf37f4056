"""One line of a verdict: a cost or a score of baseline and candidate, how they compare, and what is asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sutrolib.core.format import amount
from sutrolib.core.stats import Interval, paired_difference
from sutrolib.measurement.comparison import BusyRatio, EstimatedRatio, kinds_of, ratio_of_readings, undecided
from sutrolib.measurement.measure import Measurement

Pairs: TypeAlias = Sequence[tuple[Measurement, Measurement]]  # baseline and candidate, by seed


@dataclass(frozen=True)
class VerdictLine:
    """One quantity: the means of baseline and candidate, and their ``change`` over ``pairs`` seeds, with its kind.

    ``change`` is candidate / baseline if ``ratio``, else candidate - baseline. ``criterion`` is what the verdict
    requires of it, and ``met`` whether that holds; a cost without a criterion has ``met=None``. ``bound`` is the number
    that an interval of a criterion must not exceed, where one that includes it decides nothing; 0 if there is none.
    """

    quantity: str
    unit: str
    kind: str
    baseline: float
    candidate: float
    change: Interval
    pairs: int
    ratio: bool = True
    criterion: str = ""
    met: bool | None = None
    bound: float = 0.0

    @property
    def high(self) -> float:
        """The upper end of the change. (A single pair is a count: its value decides.)"""
        return self.change.high if self.pairs > 1 else self.change.value

    @property
    def costlier(self) -> bool:
        """Whether this is a cost without a criterion that has risen. (A single pair is a count: its value decides.)"""
        low = self.change.low if self.pairs > 1 else self.change.value
        return self.met is None and self.ratio and low > 1

    @property
    def kind_and_power(self) -> str:
        """The kind; of an estimate also the mean power."""
        return f"{self.kind}, {self.change.power}" if isinstance(self.change, EstimatedRatio) else self.kind

    @property
    def state(self) -> str:
        """``met``, ``not met``, or ``not decided: ...`` with the reason; empty without a criterion."""
        if self.met is None:
            return ""
        open_ = f"not decided: it may be {self.bound:g}" if self.bound and self.change.low <= self.bound else ""
        return "met" if self.met else undecided(self.change) or open_ or "not met"

    def __str__(self) -> str:
        form = ".3g" if self.ratio else "+.4f"
        value, low, high = (f"{number:{form}}" for number in (self.change.value, self.change.low, self.change.high))
        if isinstance(self.change, BusyRatio):
            return f"{value} (busy: load {self.change.load:.2f})"
        return f"{value} [{low}, {high}]" if self.change.bounded and self.change.low < self.change.high else value


def comparison_cells(line: VerdictLine) -> tuple[str, ...]:
    """Quantity, kind, baseline, candidate and change, as text."""
    values = amount(line.baseline, line.unit), amount(line.candidate, line.unit)
    return line.quantity, line.kind_and_power, *values, f"x {line}" if line.ratio else str(line)


def ratio_line(name: str, quantity: str, pairs: Pairs) -> VerdictLine:
    """The line of a reading that all runs have, as a ratio."""
    readings = [(b.reading(name), c.reading(name)) for b, c in pairs]
    kinds = kinds_of([reading for pair in readings for reading in pair])
    baseline, candidate = zip(*((b.value, c.value) for b, c in readings), strict=True)
    unit = "" if readings[0][0].unit == name else readings[0][0].unit
    means = statistics.fmean(baseline), statistics.fmean(candidate)
    change = ratio_of_readings([c for _, c in readings], [b for b, _ in readings])
    return VerdictLine(quantity, unit, kinds, *means, change, len(pairs))


def difference_line(name: str, unit: str, pairs: Pairs) -> VerdictLine:
    """The line of a score, as a difference."""
    baseline, candidate = zip(*((b.scores[name], c.scores[name]) for b, c in pairs), strict=True)
    means = statistics.fmean(baseline), statistics.fmean(candidate)
    change = paired_difference(candidate, baseline)
    return VerdictLine(name, unit, "counted", *means, change, len(pairs), ratio=False)


def has_reading(run: Measurement, name: str) -> bool:
    """Whether a run has the reading of this name."""
    return any(reading.name == name for reading in run.readings)
