"""Statistics over pairs: how sure a ratio or a difference is, a test of signs, and the Pareto front.

*Paired ratios and differences.* The interval of a mean difference is Student's (Student, The Probable Error of a Mean,
Biometrika 6, 1908); that of a geometric mean of ratios is Student's on the logarithms. With fewer than MIN_PAIRS pairs
there is no interval: the points are shown instead. A bootstrap would not do for so few pairs, as it cannot leave the
range of the sample (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14): the true mean of
a symmetric distribution lies outside that range in 2 of 2^n samples, so that an interval from 3, 4 or 5 pairs covers it
in at most 75, 87.5 or 93.8 %.

*Ratio of two means.* With means a and b of n rounds, their variances and covariance s_aa, s_bb, s_ab, and Student's t
at n - 1 degrees of freedom, Fieller's interval of a / b is every r with

    (a - r b)^2 <= t^2 (s_aa - 2 r s_ab + r^2 s_bb) / n

(Fieller, Some problems in interval estimation, J. R. Stat. Soc. B 16, 1954). It is bounded where b differs from 0.

*Sign test.* Conover, Practical Nonparametric Statistics, section 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
MIN_PAIRS = 5

_Vector = npt.NDArray[np.float64]
_Values = Sequence[float] | _Vector


class NoInterval(ValueError):
    """These values have no confidence interval; the message says why."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    ``points`` are the single ratios or differences that ``value`` is the mean of. Where these are fewer than MIN_PAIRS,
    the interval is unbounded: it lies on neither side of any number, so nothing can be concluded from it.
    """

    value: float
    low: float
    high: float
    points: tuple[float, ...] = field(default=(), compare=False, repr=False)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def __str__(self) -> str:
        if self.bounded:
            return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"
        points = ", ".join(f"{point:.3g}" for point in self.points)
        return f"{self.value:.3g} (of {points}; an interval needs {MIN_PAIRS} pairs)"


def error_bars(intervals: Sequence[Interval]) -> list[list[float]]:
    """The lengths below and above the values, as Matplotlib's ``xerr`` takes them; 0 where there is no interval."""
    found = [(i.value - i.low, i.high - i.value) if i.bounded else (0.0, 0.0) for i in intervals]
    return [[below for below, _ in found], [above for _, above in found]]


def paired_ratio(candidate: _Values, baseline: _Values) -> Interval:
    """The geometric mean of candidate / baseline over pairs, with Student's interval on the logarithms.

    Raises ValueError if there is no pair, or a value is not finite and above 0.
    """
    values = [*map(float, candidate), *map(float, baseline)]
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"the values of a ratio must be finite and above 0 (got {values})")
    logs = paired_difference([math.log(c) for c in candidate], [math.log(b) for b in baseline])
    return Interval(math.exp(logs.value), math.exp(logs.low), _exp(logs.high), tuple(map(math.exp, logs.points)))


def paired_difference(candidate: _Values, baseline: _Values) -> Interval:
    """The mean of candidate - baseline over pairs, with Student's interval. Raises ValueError for no pairs."""
    gaps = np.subtract(np.asarray(candidate, float), np.asarray(baseline, float))
    if len(gaps) == 0:
        raise ValueError("there must be at least 1 pair (got 0)")
    points, mean = tuple(gaps.tolist()), float(gaps.mean())
    if len(gaps) < MIN_PAIRS:
        return Interval(mean, -math.inf, math.inf, points)
    if np.ptp(gaps) == 0:  # nothing here depends on the seed, as in the size of a model
        return Interval(points[0], points[0], points[0], points)
    half = math.sqrt(_quantile_squared(len(gaps)) * float(np.var(gaps, ddof=1)) / len(gaps))
    return Interval(mean, mean - half, mean + half, points)


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf  # the end of an interval may be infinite


def ratio_of_means(a: _Vector, b: _Vector) -> Interval:
    """Mean a over mean b with Fieller's interval, for a and b of shape (rounds,), two rounds and more.

    Raises:
        NoInterval: a mean is not shown to be above 0 (where the other one is, the message says how many times as large
            that one is at least), or all rounds agree exactly.
    """
    mean_a, mean_b = float(a.mean()), float(b.mean())
    aa, bb, ab = _coefficients(a, b, mean_a, mean_b)
    above_a, above_b = mean_a > 0 and aa > 0, mean_b > 0 and bb > 0
    if above_a and above_b:
        root = math.sqrt(max(0.0, ab**2 - aa * bb))
        if root <= 1e-9 * ab:
            raise NoInterval(f"all {len(a)} rounds have the same ratio")
        return Interval(mean_a / mean_b, (ab - root) / bb, (ab + root) / bb)
    if above_a:
        raise NoInterval(f"the rise of B is not shown to be above 0; A's is at least {_least(a, b):.3g} times as large")
    if above_b:
        raise NoInterval(f"the rise of A is not shown to be above 0; B's is at least {_least(b, a):.3g} times as large")
    raise NoInterval("neither rise is shown to be above 0")


def _least(strong: _Vector, weak: _Vector) -> float:
    """The lower bound of mean strong / mean weak, where strong is above 0: the inverse of Fieller's upper bound.

    A mean of weak below 0 is taken as 0: no work cools, so noise must not raise the bound.
    """
    ss, ww, sw = _coefficients(strong, weak, float(strong.mean()), max(0.0, float(weak.mean())))
    return float(np.divide(ss, sw + math.sqrt(max(0.0, sw**2 - ss * ww))))


def _coefficients(a: _Vector, b: _Vector, mean_a: float, mean_b: float) -> tuple[float, float, float]:
    """Those of 1, r^2 and -2 r in Fieller's inequality."""
    share = _quantile_squared(len(a)) / len(a)
    (s_aa, s_ab), (_, s_bb) = np.cov(a, b).tolist()
    return mean_a**2 - share * s_aa, mean_b**2 - share * s_bb, mean_a * mean_b - share * s_ab


def sign_test(differences: _Values) -> float:
    """The two-sided p-value of the exact sign test without the zeros; 1 where only zeros are given."""
    from scipy.stats import binomtest

    above, below = int(np.greater(differences, 0).sum()), int(np.less(differences, 0).sum())
    return float(binomtest(above, above + below).pvalue) if above + below else 1.0


def rounds_for_signs() -> int:
    """The least number of rounds, all of one sign, that is significant: 2 / 2^n below 1 - CONFIDENCE."""
    return math.floor(1 + math.log2(1 / (1 - CONFIDENCE))) + 1


def pareto_front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names whose point (cost, loss) no other one beats in both, from the cheapest on."""
    found: list[str] = []
    for name in sorted(points, key=lambda name: points[name]):
        if not found or points[name][1] < points[found[-1]][1]:
            found.append(name)
    return found


def _quantile_squared(rounds: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, rounds - 1)) ** 2
