"""What paired rounds of A and B say: the interval of their difference, that of their ratio, and a test of the signs.

With means a and b of n rounds, their variances and covariance s_aa, s_bb, s_ab, and Student's t at n - 1 degrees of
freedom, Fieller's interval of a / b is every r with

    (a - r b)^2 <= t^2 (s_aa - 2 r s_ab + r^2 s_bb) / n

(Fieller, Some problems in interval estimation, J. R. Stat. Soc. B 16, 1954). It is bounded where b differs from 0.
The sign test is that of Conover, Practical Nonparametric Statistics, section 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sutrolib.core.types import Interval
from sutrolib.meters.base import NoReading

Vector: TypeAlias = npt.NDArray[np.float64]

CONFIDENCE = 0.95


def difference_interval(a: Vector, b: Vector) -> Interval:
    """The mean of a - b with Student's interval, for a and b of shape (rounds,), two rounds and more.

    Raises NoReading where all rounds agree to the last digit: a coarse scale would pass for certainty.
    """
    gaps = a - b
    if np.ptp(gaps) == 0:
        raise NoReading(f"all {len(gaps)} rounds agree to the last digit, so that no interval can be made")
    half = math.sqrt(_quantile_squared(len(gaps)) * float(np.var(gaps, ddof=1)) / len(gaps))
    mean = float(gaps.mean())
    return Interval(mean, mean - half, mean + half)


def ratio_interval(a: Vector, b: Vector) -> Interval:
    """Mean a over mean b with Fieller's interval, for a and b of shape (rounds,), two rounds and more.

    Raises NoReading unless both means are shown to be above 0; where one alone is, it says how many times as
    large that one is at least.
    """
    mean_a, mean_b = float(a.mean()), float(b.mean())
    share = _quantile_squared(len(a)) / len(a)
    (s_aa, s_ab), (_, s_bb) = np.cov(a, b).tolist()
    aa, bb, ab = mean_a**2 - share * s_aa, mean_b**2 - share * s_bb, mean_a * mean_b - share * s_ab
    above_a, above_b = mean_a > 0 and aa > 0, mean_b > 0 and bb > 0
    if above_a and above_b:
        root = math.sqrt(max(0.0, ab**2 - aa * bb))
        if root <= 1e-9 * ab:
            raise NoReading(
                f"all {len(a)} rounds agree on the ratio to the last digit, so that no interval can be made"
            )
        return Interval(mean_a / mean_b, (ab - root) / bb, (ab + root) / bb)
    if above_a:
        raise NoReading(f"the rise of B is not shown to be above 0; that of A is at least {_least(a, b):.3g} times it")
    if above_b:
        raise NoReading(f"the rise of A is not shown to be above 0; that of B is at least {_least(b, a):.3g} times it")
    raise NoReading("neither rise is shown to be above 0")


def _least(strong: Vector, weak: Vector) -> float:
    """The lower bound of mean strong over mean weak, that of strong being above 0; Fieller's, turned over.

    A mean of weak below 0 is taken as 0: no work cools, and a fluke of the noise must not make the bound the larger.
    """
    share = _quantile_squared(len(strong)) / len(strong)
    mean_s, mean_w = float(strong.mean()), max(0.0, float(weak.mean()))
    (v_ss, v_sw), (_, v_ww) = np.cov(strong, weak).tolist()
    ss, ww, sw = mean_s**2 - share * v_ss, mean_w**2 - share * v_ww, mean_s * mean_w - share * v_sw
    return float(np.divide(ss, sw + math.sqrt(max(0.0, sw**2 - ss * ww))))


def sign_test(differences: Sequence[float] | Vector) -> float:
    """The two-sided p-value of the exact sign test, zeros left out; 1 where nothing else is left."""
    from scipy.stats import binomtest

    above, below = int(np.greater(differences, 0).sum()), int(np.less(differences, 0).sum())
    return float(binomtest(above, above + below).pvalue) if above + below else 1.0


def rounds_for_signs() -> int:
    """The fewest rounds, all of one sign, from which the sign test shows a difference: 2 / 2^n below 1 - CONFIDENCE."""
    return math.floor(1 + math.log2(1 / (1 - CONFIDENCE))) + 1


def _quantile_squared(rounds: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, rounds - 1)) ** 2
