"""Mistake 1, too simple an objective: does a cheap metric rank runs as a more realistic one does?

Agreement is Kendall's tau-b (Kendall 1945): over all pairs of runs, the share that two metrics order alike minus the
share that they order oppositely. 1 is the same ranking, 0 is no relation, -1 is the reverse. A high agreement can hide
the one pair that an optimiser exploits, so a single pair that is clearly ranked the wrong way makes a metric unsafe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Literal

import numpy as np

from sutrolib.core.stats import CONFIDENCE, Interval
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import too_high_load

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 1000
_SAFE_TAU = 0.5  # three of four pairs ordered alike


def rank_agreement(runs: Sequence[Sequence[Measurement]], metric: str, reference: str) -> Interval:
    """Kendall's tau between ``metric`` and ``reference``, with a two-level percentile bootstrap interval.

    ``runs`` holds one sequence of measurements for each candidate; medians over seeds are ranked. A resample draws
    candidates, and seeds within each, so the interval covers both the choice of candidates and the noise that orders
    near-equal ones. A resample in which a metric has a single value counts as 0.
    Raises ValueError for fewer than four candidates, and KeyError for a reading that is not there.
    """
    from scipy.stats import kendalltau

    if len(runs) < 4:
        raise ValueError(f"a ranking needs at least 4 candidates (got {len(runs)})")
    readings = [_readings(group, (metric, reference)) for group in runs]
    rng = np.random.default_rng(0)

    def tau(groups: Sequence[np.ndarray]) -> float:
        one, other = np.array([np.median(group, axis=0) for group in groups]).T
        return float(np.nan_to_num(kendalltau(one, other).statistic))

    def resample() -> list[np.ndarray]:
        drawn = [readings[index] for index in rng.integers(len(readings), size=len(readings))]
        return [group[rng.integers(len(group), size=len(group))] for group in drawn]

    taus = [tau(resample()) for _ in range(RESAMPLES)]
    low, high = np.quantile(taus, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = tau(readings)
    # Rounding can put a bound of a perfect ranking just beyond the value itself.
    return Interval(value, min(float(low), value), max(float(high), value))


def median_readings(runs: Sequence[Sequence[Measurement]], metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each candidate, one column for each metric: the median of its readings over the seeds."""
    import pandas as pd

    return pd.DataFrame([np.median(_readings(group, metrics), axis=0) for group in runs], columns=list(metrics))


def _readings(group: Sequence[Measurement], metrics: Sequence[str]) -> np.ndarray:
    """Readings of shape (runs, metrics)."""
    return np.array([[run.reading(metric).value for metric in metrics] for run in group])


@dataclass(frozen=True)
class MisrankedPair:
    """Two candidates that a metric and the reference rank oppositely; ratios are ``cheaper`` over ``dearer``."""

    cheaper: str  # by the metric
    dearer: str
    metric_ratio: float  # below 1
    reference_ratio: float  # above 1


@dataclass(frozen=True)
class ProxyAudit:
    """How a metric ranks candidates compared with a more realistic one.

    ``n_resolved_pairs`` counts the pairs that the reference tells apart.
    """

    metric: str
    reference: str
    tau: Interval
    n_resolved_pairs: int
    misranked: tuple[MisrankedPair, ...]
    load: float = 0.0  # of a machine that was too busy while one of the readings was taken

    @property
    def verdict(self) -> Literal["safe", "not safe", "cannot tell"]:
        """Not safe with one misranked pair; safe without any, if tau is above one half; unknown on a busy machine."""
        if self.load:
            return "cannot tell"
        if self.misranked:
            return "not safe"
        return "safe" if self.n_resolved_pairs and self.tau.low > _SAFE_TAU else "cannot tell"

    @property
    def why(self) -> str:
        """The verdict in words, with its numbers and the worst misranked pair."""
        if self.load:
            return f"{self.metric} cannot be judged by {self.reference}: the machine was busy, load {self.load:.2f}"
        verdict = "cannot be judged" if self.verdict == "cannot tell" else f"is {self.verdict}"
        text = f"{self.metric} {verdict} as a stand-in for {self.reference}: tau {self.tau}, "
        text += f"{len(self.misranked)} of {self.n_resolved_pairs} pairs misranked"
        if self.misranked:
            worst = max(self.misranked, key=lambda pair: pair.reference_ratio)
            text += f"; worst: {worst.cheaper} has {worst.metric_ratio:.2g} times the {self.metric} of {worst.dearer}, "
            text += f"and {worst.reference_ratio:.2g} times its {self.reference}"
        return text


def audit_proxy(
    candidates: Mapping[str, Sequence[Measurement]], metric: str, reference: str, margin: float = 0.1
) -> ProxyAudit:
    """Is it safe to optimise ``metric`` in place of ``reference``, judging by these candidates?

    The reference tells a pair apart if its medians differ by more than ``margin`` and its ranges over seeds do not
    overlap. The metric misranks such a pair if its ranges do not overlap either, and it orders them oppositely.
    Raises as :func:`rank_agreement`, and ValueError for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0 (got {margin!r})")
    values = {label: _readings(group, (metric, reference)).T for label, group in candidates.items()}
    n_resolved, misranked = 0, []
    for one, other in permutations(values, 2):
        (low_metric, high_reference), (high_metric, low_reference) = values[one], values[other]
        ratio = float(np.median(high_reference) / np.median(low_reference))
        if ratio <= 1 + margin or high_reference.min() <= low_reference.max():
            continue
        n_resolved += 1
        if low_metric.max() < high_metric.min():
            metric_ratio = float(np.median(low_metric) / np.median(high_metric))
            misranked.append(MisrankedPair(one, other, metric_ratio, ratio))
    tau = rank_agreement(list(candidates.values()), metric, reference)
    runs = (run for group in candidates.values() for run in group)
    load = too_high_load(run.reading(name) for run in runs for name in (metric, reference))
    return ProxyAudit(metric, reference, tau, n_resolved, tuple(misranked), load)


def audit_ladder(
    candidates: Mapping[str, Sequence[Measurement]], ladder: Sequence[str], margin: float = 0.1
) -> list[ProxyAudit]:
    """Every metric of ``ladder``, from cheap to realistic, against all above it. Raises as :func:`audit_proxy`."""
    return [audit_proxy(candidates, metric, reference, margin) for metric, reference in combinations(ladder, 2)]
