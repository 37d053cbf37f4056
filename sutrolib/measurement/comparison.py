"""compare(candidate, baseline) -> Verdict: is the candidate cheaper, without being slower or less accurate?

Runs are paired by seed. For cost and time the statistic is the geometric mean of the paired ratios, for the score the
mean of the paired differences; both get a bootstrap confidence interval over the pairs (Efron and Tibshirani,
An Introduction to the Bootstrap, 1993; BCa as in scipy.stats.bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sutrolib.core.types import Interval
from sutrolib.measurement.measure import Measurement

MIN_PAIRS = 3
RESAMPLES = 2000


@dataclass(frozen=True)
class Verdict:
    """Candidate against baseline over ``pairs`` seeds: ratios of cost and time, difference of score, what follows."""

    cost_name: str
    cost: Interval
    time: Interval
    score: Interval
    pairs: int
    confidence: float
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
    def why(self) -> str:
        """The verdict in words, each clause with its numbers."""
        level = f"{self.confidence:.0%}"
        clauses = [
            f"{self.cost_name} ratio {self.cost}: {'below 1' if self.cheaper else 'not shown to be below 1'}",
            f"time ratio {self.time}: {'within' if self.time_held else 'not within'} 1 + {self.time_margin:g}",
            f"score difference {self.score}: {'within' if self.score_held else 'not within'} -{self.score_margin:g}",
        ]
        result = "passed" if self.passed else "not passed"
        return f"{result} at {level} over {self.pairs} pairs; " + "; ".join(clauses)


def compare(
    candidate: Sequence[Measurement],
    baseline: Sequence[Measurement],
    cost: str,
    *,
    time_margin: float = 0.05,
    score_margin: float = 0.01,
    confidence: float = 0.95,
) -> Verdict:
    """Compare runs paired by seed on the reading named ``cost``.

    Raises ValueError for fewer than three pairs, seeds that do not match or occur twice, different problems, or
    readings of different kinds: joules of one sort are not compared with joules of another.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence={confidence!r}, accepted are 0.5 to below 1")
    pairs = _paired(candidate, baseline)
    return Verdict(
        cost_name=cost,
        cost=paired_ratio(candidate, baseline, cost, confidence),
        time=paired_ratio(candidate, baseline, "time", confidence),
        score=interval_of([_score(c) - _score(b) for c, b in pairs], confidence, float),
        pairs=len(pairs),
        confidence=confidence,
        time_margin=time_margin,
        score_margin=score_margin,
    )


def paired_ratio(
    candidate: Sequence[Measurement], baseline: Sequence[Measurement], name: str, confidence: float = 0.95
) -> Interval:
    """The geometric mean, over seeds, of candidate / baseline in the reading ``name``; raises as :func:`compare`."""
    pairs = _paired(candidate, baseline)
    kinds = {(m.reading(name).kind, m.reading(name).unit) for pair in pairs for m in pair}
    if len(kinds) > 1:
        named = ", ".join(sorted(f"{kind} {unit}" for kind, unit in kinds))
        raise ValueError(f"{name}: these runs hold readings of different kinds ({named}) and cannot be compared")
    logs = [math.log(c.reading(name).value / b.reading(name).value) for c, b in pairs]
    return interval_of(logs, confidence, np.exp)


def _paired(candidate: Sequence[Measurement], baseline: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    by_seed: list[dict[int, Measurement]] = []
    for name, runs in (("candidate", candidate), ("baseline", baseline)):
        seeds = [run.seed for run in runs]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{name}: seeds {seeds} occur more than once, accepted is one run a seed")
        by_seed.append({run.seed: run for run in runs})
    first, second = by_seed
    if set(first) != set(second):
        raise ValueError(f"seeds {sorted(first)} of the candidate are not those of the baseline, {sorted(second)}")
    if len(first) < MIN_PAIRS:
        raise ValueError(f"{len(first)} pairs are too few for an interval, accepted are {MIN_PAIRS} and above")
    pairs = [(first[seed], second[seed]) for seed in sorted(first)]
    for one, other in pairs:
        for run in (one, other):
            if run.failure:
                raise ValueError(
                    f"seed {run.seed}: {run.model['name']} failed ({run.failure}), accepted are trained runs"
                )
        if dict(one.problem) != dict(other.problem):
            raise ValueError(f"seed {one.seed}: {one.problem} and {other.problem} are different problems")
    return pairs


def _score(run: Measurement) -> float:
    assert run.score is not None, "runs that failed are not paired"
    return run.score


def interval_of(values: Sequence[float], confidence: float, back: Callable[[float], float]) -> Interval:
    """The mean of ``values`` with its bootstrap interval, all through ``back``; ValueError where none can be made."""
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if np.ptp(sample) == 0:  # all pairs agree: there is nothing to resample, and BCa is undefined
        return Interval(float(back(mean)), float(back(mean)), float(back(mean)))
    bounds = bootstrap(
        (sample,),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    if not (math.isfinite(bounds.low) and math.isfinite(bounds.high)):
        raise ValueError(f"no interval could be made from {sample.tolist()}, accepted are finite, scattered values")
    return Interval(float(back(mean)), float(back(bounds.low)), float(back(bounds.high)))
