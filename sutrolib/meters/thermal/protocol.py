"""Which of two algorithms leaves the device warmer? The common-sense check of an energy claim: all energy ends as heat.

The protocol rests the device, runs one of A and B for a fixed time, rests it and runs the other. This is repeated over
several rounds, in an order that is hidden from the person who reads the temperature. From one state of rest and over
equal times, the rise of any linear thermal system is proportional to the power above idle, so the ratio of the rises is
the ratio of these powers. A fan that speeds up, or a processor that throttles, pulls that ratio towards 1.

This compares power, not energy per task: an algorithm of equal power and half the time is equally warm. Run both at the
same pace, one call per period with the faster one sleeping for the rest of it, and the ratio is that of joules a call.

Intervals and the sign test are those of :mod:`sutrolib.core.stats`. Touch scores have no unit, and give signs only.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np

from sutrolib.core import stats
from sutrolib.core.types import check_fields
from sutrolib.meters.base import NoReading

Arm: TypeAlias = Literal["A", "B"]
Slot: TypeAlias = Literal["first", "second"]
ReadingScale: TypeAlias = Literal["celsius", "touch"]

MIN_CELSIUS, MAX_CELSIUS = -20.0, 150.0  # deg C: anything outside is a typing error or a broken sensor
_TOUCH_SCORES = range(1, 6)
_MAX_ROUNDS = 1000
_SKIPPED = "-"


@dataclass(frozen=True)
class Plan:
    """Seconds of each run, the most seconds of rest before it, and the order of the runs, which repr does not show."""

    run_s: float
    rest_s: float
    orders: tuple[tuple[Arm, Arm], ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_fields(self, {"run_s": (1e-3, 1e6), "rest_s": (1e-3, 1e6)})
        if not self.orders or any(sorted(order) != ["A", "B"] for order in self.orders):
            raise ValueError(f"orders must be one or more rounds that run A and B once each (got {self.orders!r})")

    @classmethod
    def make(cls, rounds: int, run_s: float, rest_s: float, seed: int) -> Self:
        """A hidden order drawn from ``seed``: A is first in half of the rounds, within one, so that drift cancels."""
        check_rounds(rounds)
        rng = random.Random(seed)
        both: list[tuple[Arm, Arm]] = [("A", "B"), ("B", "A")]
        rng.shuffle(both)  # for an odd number of rounds, which order occurs once more is random too
        orders = (both * rounds)[:rounds]
        rng.shuffle(orders)
        return cls(run_s, rest_s, tuple(orders))

    @property
    def rounds(self) -> int:
        """How often both are run."""
        return len(self.orders)

    @property
    def seconds(self) -> float:
        """The longest time that the whole protocol takes."""
        return 2 * self.rounds * (self.run_s + self.rest_s)

    def reveal(self) -> dict[tuple[int, Slot], Arm]:
        """Which of A and B runs in each (round from 1, slot), in the order of time."""
        first, second = get_args(Slot)
        keys = ((number, slot) for number in range(1, self.rounds + 1) for slot in (first, second))
        return dict(zip(keys, (arm for order in self.orders for arm in order), strict=True))


def check_rounds(rounds: int, name: str = "rounds") -> None:
    """Raise ValueError unless ``rounds`` is a whole number from 1 to 1000."""
    if type(rounds) is not int or not 1 <= rounds <= _MAX_ROUNDS:
        raise ValueError(f"{name} must be a whole number from 1 to {_MAX_ROUNDS} (got {rounds!r})")


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise ValueError unless ``value`` is one of the type ``choices``, such as ReadingScale."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))} (got {value!r})")


@dataclass(frozen=True)
class HeatObservation:
    """What was read before and after one run: deg C, or whole touch scores from 1 (cold) to 5 (hot).

    ValueError for a round below 1, an unknown slot or scale, a temperature outside -20 to 150, or another touch score.
    """

    round: int
    slot: Slot
    before: float
    after: float
    scale: ReadingScale = "celsius"

    def __post_init__(self) -> None:
        check_rounds(self.round, "round")
        check_choice("slot", self.slot, Slot)
        check_choice("scale", self.scale, ReadingScale)
        check_fields(self, dict.fromkeys(("before", "after"), (MIN_CELSIUS, MAX_CELSIUS)))
        for name, value in (("before", self.before), ("after", self.after)):
            if self.scale == "touch" and value not in _TOUCH_SCORES:
                raise ValueError(f"touch score {name} must be a whole number from 1 (cold) to 5 (hot) (got {value!r})")

    @property
    def rise(self) -> float:
        """After minus before: kelvins, or steps of the touch score."""
        return self.after - self.before


def next_run(plan: Plan, observations: Iterable[HeatObservation]) -> tuple[int, Slot] | None:
    """The first (round, slot) of the plan that is not observed yet; None if all are."""
    done = {(o.round, o.slot) for o in observations}
    return next((key for key in plan.reveal() if key not in done), None)


def parse_readings(plan: Plan, text: str, scale: ReadingScale = "celsius") -> list[HeatObservation]:
    """Observations from text such as "30.1 35.2; 30.3 33.0": before and after each run, in the order of time.

    A run that was not read is a ``-``; runs at the end may be left out. Raises ValueError that names the run.
    """
    check_choice("scale", scale, ReadingScale)
    parts = [part.strip() for part in text.strip().removesuffix(";").split(";")] if text.strip() else []
    if len(parts) > 2 * plan.rounds:
        raise ValueError(
            f"readings must be at most the {2 * plan.rounds} runs of the plan (got {len(parts)}: {text!r})"
        )
    observations = []
    for number, ((rnd, slot), part) in enumerate(zip(plan.reveal(), parts, strict=False), start=1):
        if part == _SKIPPED:
            continue
        try:
            before, after = map(float, part.split())
            observations.append(HeatObservation(rnd, slot, before, after, scale))
        except ValueError as error:
            raise ValueError(
                f"run {number} of readings must be two numbers, before and after, or {_SKIPPED} (got {part!r}): {error}"
            ) from None
    return observations


def format_readings(plan: Plan, observations: Iterable[HeatObservation]) -> str:
    """The text that :func:`parse_readings` reads these observations from, with three decimals."""
    found = {(o.round, o.slot): f"{round(o.before, 3):g} {round(o.after, 3):g}" for o in observations}
    return "; ".join(found.get(key, _SKIPPED) for key in plan.reveal()).rstrip(f"; {_SKIPPED}")


@dataclass(frozen=True)
class RoundRises:
    """By how much A and B warmed the device in one round: kelvins, or steps of the touch score."""

    round: int
    a: float
    b: float


@dataclass(frozen=True)
class HeatVerdict:
    """What the complete rounds say of A against B; intervals are of 95 %."""

    rises: tuple[RoundRises, ...]
    incomplete: int  # rounds of the plan without both observations: left out
    p_value: float  # two-sided sign test, rounds without a difference left out
    difference: stats.Interval | None  # rise of A minus rise of B, in kelvins
    ratio: stats.Interval | None  # rise of A over rise of B, which is that of their powers above idle
    missing: str  # why there is no difference or no ratio; empty if there are both

    @property
    def warmer_a(self) -> int:
        """Rounds in which A rose more."""
        return sum(r.a > r.b for r in self.rises)

    @property
    def warmer_b(self) -> int:
        """Rounds in which B rose more."""
        return sum(r.b > r.a for r in self.rises)

    @property
    def warmer(self) -> Arm | None:
        """Which one is shown to be warmer: by the interval of the difference if there is one, else by the signs."""
        if self.difference is not None:
            return "A" if self.difference.low > 0 else "B" if self.difference.high < 0 else None
        more: Arm = "A" if self.warmer_a > self.warmer_b else "B"
        return more if self.p_value < 1 - stats.CONFIDENCE else None

    @property
    def why(self) -> str:
        """The verdict in words, with its numbers."""
        results = {"A": "A is warmer than B", "B": "B is warmer than A", None: "neither is shown to be warmer"}
        total = self.incomplete + len(self.rises)
        clauses = [
            f"{results[self.warmer]}: A rose more in {self.warmer_a} and B in {self.warmer_b} of {len(self.rises)} "
            f"complete rounds (sign test p = {self.p_value:.3g})",
            f"rise of A minus rise of B {self.difference} K" if self.difference is not None else "",
            f"power above idle, A over B, {self.ratio}" if self.ratio is not None else "",
            self.missing,
            f"incomplete and left out: {self.incomplete} of {total} rounds" if self.incomplete else "",
        ]
        return "; ".join(filter(None, clauses))


def heat_verdict(plan: Plan, observations: Iterable[HeatObservation], scale: ReadingScale = "celsius") -> HeatVerdict:
    """Compare A with B over the rounds of ``plan`` in which both runs were observed.

    Raises ValueError for an observation of a round that is not in the plan, of a run observed before, or on another
    scale, and NoReading if no round is complete.
    """
    check_choice("scale", scale, ReadingScale)
    rises = _rises(plan, observations, scale)
    if not rises:
        raise NoReading(f"heat: nothing was measured, because none of {plan.rounds} rounds has both of its runs")
    a, b = np.array([[r.a, r.b] for r in rises]).T
    difference = ratio = None
    missing = "no difference and no ratio: "
    if scale == "touch":
        missing += "touch scores have no unit"
    elif len(rises) < stats.MIN_PAIRS:
        missing += f"an interval needs {stats.MIN_PAIRS} complete rounds (got {len(rises)})"
    elif np.ptp(a - b) == 0:  # a coarse scale must not pass for certainty
        missing += f"all {len(rises)} rounds have the same difference"
    else:
        difference, missing = stats.paired_difference(a, b), ""
        try:
            ratio = stats.ratio_of_means(a, b)
        except stats.NoInterval as error:
            missing = f"no ratio: {error}"
    return HeatVerdict(rises, plan.rounds - len(rises), stats.sign_test(a - b), difference, ratio, missing)


def _rises(plan: Plan, observations: Iterable[HeatObservation], scale: ReadingScale) -> tuple[RoundRises, ...]:
    arms = plan.reveal()
    found: dict[tuple[int, Arm], float] = {}
    for o in observations:
        run = f"round {o.round}, {o.slot} run"
        if (o.round, o.slot) not in arms:
            raise ValueError(f"{run}: the plan has only {plan.rounds} rounds")
        if o.scale != scale:
            raise ValueError(f"{run}: scale must be {scale!r} (got {o.scale!r})")
        key = o.round, arms[o.round, o.slot]
        if key in found:
            raise ValueError(f"{run}: observed more than once; keep one observation")
        found[key] = o.rise
    numbers = [n for n in range(1, plan.rounds + 1) if (n, "A") in found and (n, "B") in found]
    return tuple(RoundRises(n, found[n, "A"], found[n, "B"]) for n in numbers)
