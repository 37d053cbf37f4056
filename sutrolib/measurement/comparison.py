"""compare(candidate, baseline) -> Verdict: is the candidate cheaper, without being slower or less accurate?

Runs are paired by seed. Cost and time are compared by the geometric mean of the paired ratios, the score by the mean of
the paired differences, each with its interval (:mod:`sutrolib.core.stats`). Nothing is concluded from a time or from
joules that were read on a busy machine (:mod:`sutrolib.meters.load`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sutrolib.core.stats import CONFIDENCE, MIN_PAIRS, Interval, paired_difference, paired_ratio
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Reading, too_high_load

_Runs = Sequence[Measurement]


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

    @property
    def cheaper(self) -> bool:
        """The cost ratio's upper bound is below 1."""
        return self.cost.high < 1

    @property
    def faster(self) -> bool:
        """The time ratio's upper bound is below 1 by the margin."""
        return self.time.high < 1 - self.time_margin

    @property
    def costlier(self) -> bool:
        """The cost ratio's lower bound is above 1."""
        return self.cost.low > 1

    @property
    def slower(self) -> bool:
        """The time ratio's lower bound is above 1."""
        return self.time.low > 1

    @property
    def time_held(self) -> bool:
        """The time ratio's upper bound is at most 1 plus the margin."""
        return self.time.high <= 1 + self.time_margin

    @property
    def score_held(self) -> bool:
        """The score difference's lower bound is at least minus the margin."""
        return self.score.low >= -self.score_margin

    @property
    def passed(self) -> bool:
        """Cheaper, and neither slower nor less accurate beyond the margins."""
        return self.cheaper and self.time_held and self.score_held

    @property
    def state(self) -> str:
        """``passed``, ``not passed``, or ``not decided`` if all that keeps it from passing could not be decided."""
        parts = ((self.cost, self.cheaper), (self.time, self.time_held), (self.score, self.score_held))
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
        cheaper = "below 1" if self.cheaper else "not shown to be below 1"
        in_time, as_good = ("within" if held else "not within" for held in (self.time_held, self.score_held))
        return (
            f"{self.state} at {CONFIDENCE:.0%} over {self.pairs} pairs; "
            f"{self.cost_name} ratio {_judged(self.cost, cheaper)}; "
            f"time ratio {_judged(self.time, f'{in_time} 1 + {self.time_margin:g}')}; "
            f"score difference {_judged(self.score, f'{as_good} -{self.score_margin:g}')}"
        )


def _judged(change: Interval, judgement: str) -> str:
    return f"{change}: {judgement}" if change.bounded else str(change)


def _points(interval: Interval) -> str:
    return ", ".join(f"{point:.3g}" for point in interval.points)


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
    ours, theirs = (np.array([run.score for run in runs], float) for runs in zip(*pairs, strict=True))
    score = paired_difference(ours, theirs)
    return Verdict(cost, cost_ratio, time, score, len(pairs), time_margin, score_margin)


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
    """The paired ratio of the readings' values; a BusyRatio if the load was too high in one of the windows."""
    ratio = paired_ratio(*([reading.value for reading in readings] for readings in (candidate, baseline)))
    load = too_high_load([*candidate, *baseline])
    return BusyRatio(ratio.value, 0.0, math.inf, ratio.points, load) if load else ratio


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
