"""Mistake 1, too simple an objective: does a cheap metric rank runs as a more realistic one does?

Agreement is Kendall's tau (Kendall 1938): the share of pairs that two metrics order alike minus the share that they
order oppositely. 1 is the same ranking, 0 is no relation, -1 is the reverse. A pair that is equal by construction, such
as a count of the same work in another order, says nothing and is left out (as in Goodman and Kruskal's gamma, 1954). A
high agreement can hide the one pair that an optimiser exploits, so a single pair that is clearly ranked the wrong way
makes a metric unsafe. A metric that the reference is computed from, as CodeCarbon's estimate from the time, always
agrees with it: that is no evidence.

:func:`save_verdicts` keeps what an audit says where searches ask for it (:mod:`sutrolib.processes.recheck`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sutrolib.core import paths
from sutrolib.core.io import write_json
from sutrolib.core.stats import CONFIDENCE, MIN_PAIRS, Interval
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import too_high_load
from sutrolib.meters.energy.wall_time import WallTime

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 1000
_SAFE_TAU = 0.5  # three of four pairs ordered alike
_SAME_RATIO = 0.05  # up to which the ratio of two metrics counts as constant
_POWER_MODELS = {"load x TDP", "constant", "none"}  # sources of CodeCarbon's watts that no counter is behind


def rank_agreement(runs: Sequence[Sequence[Measurement]], metric: str, reference: str) -> Interval:
    """Kendall's tau between ``metric`` and ``reference``, with a two-level percentile bootstrap interval.

    ``runs`` holds one sequence of measurements for each candidate; medians over seeds are ranked. A resample draws
    candidates, and seeds within each, so the interval covers both the choice of candidates and the noise that orders
    near-equal ones. A candidate that is drawn twice is no pair, and a resample without a pair counts as 0.
    Raises ValueError for fewer than four candidates, and KeyError for a reading that is not there.
    """
    if len(runs) < 4:
        raise ValueError(f"a ranking needs at least 4 candidates (got {len(runs)})")
    readings = [_readings(group, (metric, reference)) for group in runs]
    equal = np.array([[_equal(one, other) for other in readings] for one in readings])
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(readings), size=(RESAMPLES, len(readings)))
    medians = np.empty((*drawn.shape, 2))
    for index, group in enumerate(readings):
        seeds = rng.integers(len(group), size=(np.count_nonzero(drawn == index), len(group)))
        medians[drawn == index] = np.median(group[seeds], axis=1)
    taus = _tau(medians, equal[drawn[:, :, None], drawn[:, None, :]])
    low, high = np.quantile(taus, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(_tau(np.array([np.median(group, axis=0) for group in readings]), equal))
    # Rounding can put a bound of a perfect ranking just beyond the value itself.
    return Interval(value, min(float(low), value), max(float(high), value))


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether either metric gives two candidates the same numbers, seed by seed; each has shape (seeds, metrics)."""
    many = min(len(one), len(other))
    return bool(np.isclose(one[:many], other[:many], rtol=1e-9, atol=0).all(axis=0).any())


def _tau(medians: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Kendall's tau of medians (..., candidates, 2 metrics), without the pairs ``left_out`` (..., candidates, same)."""
    ranked = np.sign(medians[..., :, None, :] - medians[..., None, :, :]).prod(axis=-1) * ~left_out
    return np.asarray(ranked.sum(axis=(-2, -1)) / np.maximum(1, np.abs(ranked).sum(axis=(-2, -1))))


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

    ``n_resolved_pairs`` counts the pairs that the reference tells apart, ``n_equal_pairs`` those that are left out as
    equal by construction, ``n_busy_runs`` the runs that are left out as the machine was busy. ``rung`` is that of the
    problem; ``when`` and ``commit`` are those of the last run.
    """

    metric: str
    reference: str
    tau: Interval
    n_resolved_pairs: int
    misranked: tuple[MisrankedPair, ...]
    n_equal_pairs: int = 0
    n_busy_runs: int = 0
    undecided: str = ""  # why nothing follows: the machine was busy, or the reference is a function of the metric
    rung: str = ""
    when: str = ""
    commit: str = ""

    @property
    def verdict(self) -> Literal["safe", "not safe", "cannot tell"]:
        """Not safe with one misranked pair; safe without any, if tau is above one half."""
        if self.undecided:
            return "cannot tell"
        if self.misranked:
            return "not safe"
        return "safe" if self.n_resolved_pairs and self.tau.low > _SAFE_TAU else "cannot tell"

    @property
    def why(self) -> str:
        """The verdict in words, with its numbers and the worst misranked pair."""
        if self.undecided:
            return f"{self.metric} cannot be judged by {self.reference}: {self.undecided}"
        verdict = "cannot be judged" if self.verdict == "cannot tell" else f"is {self.verdict}"
        text = f"{self.metric} {verdict} as a stand-in for {self.reference}: tau {self.tau}, "
        text += f"{len(self.misranked)} of {self.n_resolved_pairs} pairs misranked"
        text += f" ({self.n_equal_pairs} equal by construction left out)" if self.n_equal_pairs else ""
        text += f" ({self.n_busy_runs} runs on a busy machine left out)" if self.n_busy_runs else ""
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
    overlap. The metric misranks such a pair if its ranges do not overlap either, and it orders them oppositely. Pairs
    to which either gives the same numbers are left out, and so are runs on a busy machine, while each candidate keeps
    MIN_PAIRS runs.
    Raises as :func:`rank_agreement`, and ValueError for a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin must be above 0 (got {margin!r})")
    every = [run for group in candidates.values() for run in group]
    quiet = {
        label: [run for run in group if not _load((run,), metric, reference)] for label, group in candidates.items()
    }
    if all(len(quiet[label]) >= min(MIN_PAIRS, len(group)) for label, group in candidates.items()):
        candidates = quiet
    values = {label: _readings(group, (metric, reference)) for label, group in candidates.items()}
    equal = {pair for pair in permutations(values, 2) if _equal(values[pair[0]], values[pair[1]])}
    n_resolved, misranked = 0, []
    for one, other in (pair for pair in permutations(values, 2) if pair not in equal):
        (low_metric, high_reference), (high_metric, low_reference) = values[one].T, values[other].T
        ratio = float(np.median(high_reference) / np.median(low_reference))
        if ratio <= 1 + margin or high_reference.min() <= low_reference.max():
            continue
        n_resolved += 1
        if low_metric.max() < high_metric.min():
            metric_ratio = float(np.median(low_metric) / np.median(high_metric))
            misranked.append(MisrankedPair(one, other, metric_ratio, ratio))
    tau = rank_agreement(list(candidates.values()), metric, reference)
    runs, last = [run for group in candidates.values() for run in group], every[-1]
    left_out, undecided = (len(equal) // 2, len(every) - len(runs)), _undecided(runs, metric, reference)
    about = (*left_out, undecided, last.rungs.get("problem", ""), last.when, last.commit)
    return ProxyAudit(metric, reference, tau, n_resolved, tuple(misranked), *about)


def _load(runs: Sequence[Measurement], metric: str, reference: str) -> float:
    return too_high_load(run.reading(name) for run in runs for name in (metric, reference))


def _undecided(runs: Sequence[Measurement], metric: str, reference: str) -> str:
    """Why nothing follows from these runs, in words; empty if something does.

    The machine was busy, or the reference is a function of the metric: their ratio is constant, or it is the time
    multiplied by a modelled power.
    """
    if load := _load(runs, metric, reference):
        return f"the machine was busy, load {load:.2f}"
    ratios = [run.reading(reference).value / run.reading(metric).value for run in runs]
    if max(ratios) <= (1 + _SAME_RATIO) * min(ratios):
        return f"their ratio is the same in all runs, to within {_SAME_RATIO:.0%}"
    sources = {part for run in runs for part in run.reading(reference).detail.get("source_by_part", {}).values()}
    if metric == WallTime.name and sources and sources <= _POWER_MODELS:
        return f"{reference} is the time multiplied by a modelled power ({', '.join(sorted(sources - {'none'}))})"
    return ""


def audit_ladder(
    candidates: Mapping[str, Sequence[Measurement]], ladder: Sequence[str], margin: float = 0.1
) -> list[ProxyAudit]:
    """Every metric of ``ladder``, from cheap to realistic, against all above it. Raises as :func:`audit_proxy`."""
    return [audit_proxy(candidates, metric, reference, margin) for metric, reference in combinations(ladder, 2)]


def save_verdicts(audits: Sequence[ProxyAudit], folder: Path) -> Path:
    """Write what audits say, with date and commit, to ``results/audit.json`` of a run's folder, which is published."""
    fields = ("rung", "metric", "reference", "verdict", "why", "when", "commit")
    return write_json(paths.audit(folder), [{field: getattr(audit, field) for field in fields} for audit in audits])
