"""Mistake 1, too simple an objective: does a cheap metric rank runs as a more realistic one does?

Agreement is Kendall's tau-b (Kendall 1945): over all pairs of runs, the share that two metrics order alike minus the
share that they order oppositely. 1 is the same ranking, 0 is no relation, -1 is the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sutrolib.measure import Measurement

if TYPE_CHECKING:
    import pandas as pd


def rank_agreement(runs: Sequence[Sequence[Measurement]], metrics: Sequence[str]) -> pd.DataFrame:
    """Kendall's tau between every two of ``metrics``.

    ``runs`` holds one sequence of measurements for each candidate; its median over seeds is what is ranked.
    Raises ValueError for fewer than three candidates, and KeyError for a reading that is not there.
    """
    import pandas as pd
    from scipy.stats import kendalltau

    if len(runs) < 3:
        raise ValueError(f"{len(runs)} candidates are too few to rank, accepted are 3 and above")
    medians = median_readings(runs, metrics)
    taus = [[float(kendalltau(medians[a], medians[b]).statistic) for b in metrics] for a in metrics]
    return pd.DataFrame(taus, index=list(metrics), columns=list(metrics))


def median_readings(runs: Sequence[Sequence[Measurement]], metrics: Sequence[str]) -> pd.DataFrame:
    """One row for each candidate, one column for each metric: the median of its readings over the seeds."""
    import pandas as pd

    values = [[pd.Series([m.reading(metric).value for m in group]).median() for metric in metrics] for group in runs]
    return pd.DataFrame(values, columns=list(metrics))
