"""compare(candidate, baseline) -> Verdict: is the candidate cheaper, without being slower or less accurate?

Runs are paired by seed. Cost and time are compared by the geometric mean of the paired ratios, the score by the mean of
the paired differences, each with its interval (:mod:`sutrolib.core.stats`). Nothing is concluded from a time or from
joules that were read on a busy machine (:mod:`sutrolib.meters.load`).

Estimated joules are a power times seconds. If the mean power of the runs compared hardly differs (:class:`MeanPower`),
they only tell the time: they are shown, and said to be a clock, but time alone decides. What differs stands beside
them: operations and the modelled cache energy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sutrolib.core.stats import CONFIDENCE, MIN_PAIRS, Interval, paired_difference, paired_ratio
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind, Reading, too_high_load

A_CLOCK = "energy = time x a constant here"
_Runs = Sequence[Measurement]


@dataclass(frozen=True)
class MeanPower:
    """The lowest and the highest mean power, in watts, of the windows of some estimated joules."""

    low: float
    high: float

    @property
    def is_clock(self) -> bool:
        """Whether they spread by less than 5 %, so that the joules are the seconds times a constant."""
        return self.high < 1.05 * self.low

    @property
    def kind(self) -> str:
        """The kind of the joules, for a label: ``estimated``, and whether they are a clock."""
        return f"{Kind.ESTIMATED}: {A_CLOCK}" if self.is_clock else str(Kind.ESTIMATED)

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g} W, spread {100 * (self.high / self.low - 1):.2g} %"


def mean_power(readings: Sequence[Reading]) -> MeanPower | None:
    """The mean power of at least two readings; None unless all are estimated joules of windows of known length."""
    if len(readings) < 2 or any(r.kind != Kind.ESTIMATED or not {"window_s", "runs"} <= {*r.detail} for r in readings):
        return None
    watts = [r.value * r.detail["runs"] / r.detail["window_s"] for r in readings]
    return MeanPower(min(watts), max(watts))


def kinds_of(readings: Sequence[Reading]) -> str:
    """The kinds of these readings, as in ``counted and modelled``; of estimates also whether they are a clock."""
    power = mean_power(readings)
    return power.kind if power else " and ".join(sorted({str(reading.kind) for reading in readings}))


@dataclass(frozen=True)
class EstimatedRatio(Interval):
    """A ratio of estimated joules, with the mean power of both sides."""

    power: MeanPower = field(kw_only=True)

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.power}{f': {A_CLOCK}' if self.power.is_clock else ''})"


def is_clock(change: Interval) -> bool:
    """Whether this is a ratio of estimated joules that only tell the time."""
    return isinstance(change, EstimatedRatio) and change.power.is_clock


@dataclass(frozen=True)
class BusyRatio(Interval):
    """A ratio of readings of a busy machine: unbounded, so that nothing follows from it. ``load`` is the highest."""

    load: float = 0.0

    def __str__(self) -> str:
        return f"{self.value:.3g} ({undecided(self)})"


def undecided(change: Interval) -> str:
    """Why nothing follows from this interval, in words; empty if it is bounded."""
    if isinstance(change, BusyRatio):
        return f"not decided: the machine was busy, load {change.load:.2f}"
    return "" if change.bounded else f"not decided: an interval needs {MIN_PAIRS} pairs"


@dataclass(frozen=True)
class Verdict:
    """Candidate against baseline over ``pairs`` seeds: ratios of cost and time, and the difference of the scores.

    With fewer than MIN_PAIRS pairs the intervals are unbounded, so none of the properties below is true. On a busy
    machine that holds for time, and for a cost that was read in a window of time.
    """

    cost_name: str
    cost: Interval
    time: Interval
    score: Interval
    pairs: int
    time_margin: float
    score_margin: float
    beside: Mapping[str, Interval] = field(default_factory=dict)  # operations and cache energy, for an estimated cost

    @property
    def cheaper(self) -> bool:
        """The cost ratio's upper bound is below 1. Never of a cost that only tells the time: there it is the time's."""
        return self.cost.high < 1 and not is_clock(self.cost)

    @property
    def faster(self) -> bool:
        """The time ratio's upper bound is below 1 by the margin."""
        return self.time.high < 1 - self.time_margin

    @property
    def costlier(self) -> bool:
        """The cost ratio's lower bound is above 1; never of a cost that only tells the time."""
        return self.cost.low > 1 and not is_clock(self.cost)

    @property
    def slower(self) -> bool:
        """The time ratio's lower bound is above 1."""
        return self.time.low > 1

    @property
    def time_held(self) -> bool:
        """The time ratio's upper bound is at most 1 plus the margin; below 1 where the time stands for the cost."""
        return self.time.high < 1 if is_clock(self.cost) else self.time.high <= 1 + self.time_margin

    @property
    def score_held(self) -> bool:
        """The score difference's lower bound is at least minus the margin."""
        return self.score.low >= -self.score_margin

    @property
    def passed(self) -> bool:
        """Cheaper, and neither slower nor less accurate beyond the margins."""
        return (self.cheaper or is_clock(self.cost)) and self.time_held and self.score_held

    @property
    def state(self) -> str:
        """``passed``, ``not passed``, or ``not decided`` if all that keeps it from passing could not be decided."""
        cheaper = self.cheaper or is_clock(self.cost)
        parts = ((self.cost, cheaper), (self.time, self.time_held), (self.score, self.score_held))
        failed = any(change.bounded and not held for change, held in parts)
        return "passed" if self.passed else "not passed" if failed else "not decided"

    @property
    def why(self) -> str:
        """The verdict in words, each part with its numbers."""
        if self.pairs < MIN_PAIRS:
            return (
                f"no verdict: {self.pairs} pairs are too few, at least {MIN_PAIRS} are needed; {self.cost_name} ratio "
                f"{_points(self.cost)}; time ratio {_points(self.time)}; score difference {_points(self.score)}"
            )
        cheaper, faster = ("below 1" if one else "not shown to be below 1" for one in (self.cheaper, self.time_held))
        in_time, as_good = ("within" if held else "not within" for held in (self.time_held, self.score_held))
        cost, time = _judged(self.cost, cheaper), _judged(self.time, f"{in_time} 1 + {self.time_margin:g}")
        if is_clock(self.cost):
            cost, time = str(self.cost), _judged(self.time, faster)
        ratios = {self.cost_name: self.cost, "time": self.time, **self.beside}
        decided = [name for name, ratio in ratios.items() if not is_clock(ratio) and not undecided(ratio)]
        worst = max(decided, key=lambda name: ratios[name].value, default="")
        return (
            f"{self.state} at {CONFIDENCE:.0%} over {self.pairs} pairs; {self.cost_name} ratio {cost}; "
            f"time ratio {time}; score difference {_judged(self.score, f'{as_good} -{self.score_margin:g}')}"
            + "".join(f"; {name} ratio {ratio}" for name, ratio in self.beside.items())
            + (f"; least favourable: {worst}" if self.beside and worst else "")
        )


def _judged(change: Interval, judgement: str) -> str:
    return f"{change}: {judgement}" if change.bounded else str(change)


def _points(interval: Interval) -> str:
    return ", ".join(f"{point:.3g}" for point in interval.points) + (f" ({A_CLOCK})" if is_clock(interval) else "")


def compare(
    candidate: _Runs, baseline: _Runs, cost: str, *, time_margin: float = 0.05, score_margin: float = 0.01
) -> Verdict:
    """Compare runs, paired by seed, on the reading named ``cost``.

    Raises:
        ValueError: the seeds of both do not match or occur twice, a run failed, problems differ, or the readings are of
            different kinds, such as estimated and measured joules.
        KeyError: a run has no such reading.
    """
    cost_ratio, time = (reading_ratio(candidate, baseline, name) for name in (cost, "time"))
    pairs = _paired(candidate, baseline)
    beside: dict[str, Interval] = {}
    if pairs[0][0].reading(cost).kind == Kind.ESTIMATED:
        shared = set.intersection(*({r.name for r in run.readings} for pair in pairs for run in pair))
        beside = {n: reading_ratio(candidate, baseline, n) for n in ("operations", "cache-energy") if n in shared}
    ours, theirs = (np.array([run.score for run in runs], float) for runs in zip(*pairs, strict=True))
    score = paired_difference(ours, theirs)
    return Verdict(cost, cost_ratio, time, score, len(pairs), time_margin, score_margin, beside)


def reading_ratio(candidate: _Runs, baseline: _Runs, name: str) -> Interval:
    """The geometric mean, over seeds, of candidate / baseline in the reading ``name``; raises as :func:`compare`.

    It is a BusyRatio, without bounds, if the load was too high in one of the windows.
    """
    pairs = [(one.reading(name), other.reading(name)) for one, other in _paired(candidate, baseline)]
    kinds = sorted({f"{reading.kind} {reading.unit}" for pair in pairs for reading in pair})
    if len(kinds) > 1:
        raise ValueError(f"{name}: readings of different kinds ({', '.join(kinds)}) cannot be compared")
    return ratio_of_readings([one for one, _ in pairs], [other for _, other in pairs])


def ratio_of_readings(candidate: Sequence[Reading], baseline: Sequence[Reading]) -> Interval:
    """The paired ratio of the readings' values: an EstimatedRatio of joules that are estimated in windows.

    It is a BusyRatio if the load was too high in one of the windows.
    """
    ratio = paired_ratio(*([reading.value for reading in readings] for readings in (candidate, baseline)))
    if load := too_high_load([*candidate, *baseline]):
        return BusyRatio(ratio.value, 0.0, math.inf, ratio.points, load)
    power = mean_power([*candidate, *baseline])
    return EstimatedRatio(ratio.value, ratio.low, ratio.high, ratio.points, power=power) if power else ratio


def _paired(candidate: _Runs, baseline: _Runs) -> list[tuple[Measurement, Measurement]]:
    for name, runs in (("candidate", candidate), ("baseline", baseline)):
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{name}: some seeds occur more than once ({seeds}); give one run for each seed")
    first, second = ({run.seed: run for run in runs} for runs in (candidate, baseline))
    if set(first) != set(second):
        raise ValueError(f"candidate and baseline have different seeds ({sorted(first)} and {sorted(second)})")
    pairs = [(first[seed], second[seed]) for seed in sorted(first)]
    for one, other in pairs:
        for run in (one, other):
            if run.failure:
                raise ValueError(f"seed {run.seed}: {run.model['name']} failed ({run.failure}); compare trained runs")
        if dict(one.problem) != dict(other.problem):
            raise ValueError(f"seed {one.seed}: {one.problem} and {other.problem} are different problems")
    return pairs
