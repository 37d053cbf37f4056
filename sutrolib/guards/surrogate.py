"""Mistake 1, too simple an objective: does a cheap metric rank runs as a more realistic one does?

Agreement is Kendall's tau-b (Kendall 1945): over all pairs of runs, the share that two metrics order alike minus the
share that they order oppositely. 1 is the same ranking, 0 is no relation, -1 is the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sutrolib.measure import Measurement
from sutrolib.verdict import Interval

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 1000


def rank_agreement(
    runs: Sequence[Sequence[Measurement]], metric: str, reference: str, confidence: float = 0.95
) -> Interval:
    """Kendall's tau between ``metric`` and ``reference``, with a two-level percentile bootstrap interval.

    ``runs`` holds one sequence of measurements for each candidate; its median over seeds is what is ranked. A resample
    draws candidates, and seeds within each, so the interval covers both the choice of candidates and the noise that
    orders near-equal ones. A resample in which a metric takes a single value orders nothing and counts as 0.
    Raises ValueError for fewer than four candidates, and KeyError for a reading that is not there.
    """
    from scipy.stats import kendalltau

    if len(runs) < 4:
        raise ValueError(f"{len(runs)} candidates are too few to rank, accepted are 4 and above")
    readings = [np.array([[m.reading(name).value for name in (metric, reference)] for m in group]) for group in runs]
    rng = np.random.default_rng(0)

    def tau(groups: Sequence[np.ndarray]) -> float:
        one, other = np.array([np.median(group, axis=0) for group in groups]).T
        return float(np.nan_to_num(kendalltau(one, other).statistic))

    def resample() -> list[np.ndarray]:
        drawn = [readings[index] for index in rng.integers(len(readings), size=len(readings))]
        return [group[rng.integers(len(group), size=len(group))] for group in drawn]

    taus = [tau(resample()) for _ in range(RESAMPLES)]
    low, high = np.quantile(taus, [(1 - confidence) / 2, (1 + confidence) / 2])
    value = tau(readings)
    # Rounding can put a bound of a perfect ranking a hair beyond the value itself.
    return Interval(value, min(float(low), value), max(float(high), value))


def median_readings(runs: Sequence[Sequence[Measurement]], metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each candidate, one column for each metric: the median of its readings over the seeds."""
    import pandas as pd

    values = [[pd.Series([m.reading(metric).value for m in group]).median() for metric in metrics] for group in runs]
    return pd.DataFrame(values, columns=list(metrics))
