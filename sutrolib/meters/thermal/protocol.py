"""Which of two algorithms leaves the device warmer? The common-sense check of an energy claim: all energy ends as heat.

The protocol rests the device, runs one of A and B for a fixed time, rests it and runs the other, over several rounds
and in an order that is hidden from whoever reads the temperature. From one state of rest and over equal times, the
rise of any linear thermal system is proportional to the power above idle, so that the ratio of the rises is the ratio
of these powers. A fan that speeds up, or a processor that throttles, pulls that ratio towards 1.

That is power, not energy for a task: an algorithm of equal power and half the time is equally warm. Give both works the
same pace, one call a period with the faster one sleeping for the rest of it, and the ratio is that of joules a call.

Intervals and the sign test are those of :mod:`sutrolib.core.stats`. Touch scores have no unit, and give signs only.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias, get_args

import numpy as np

from sutrolib.core.stats import (
    CONFIDENCE,
    MIN_PAIRS,
    Interval,
    NoInterval,
    paired_difference,
    ratio_of_means,
    sign_test,
)
from sutrolib.core.types import check_fields
from sutrolib.meters.base import Kind, NoReading, Reading

Arm: TypeAlias = Literal["A", "B"]
Slot: TypeAlias = Literal["first", "second"]
ReadingScale: TypeAlias = Literal["celsius", "touch"]

MIN_CELSIUS, MAX_CELSIUS = -20.0, 150.0  # deg C: what is outside is a slip of the pen or a broken sensor
TOUCH_SCORES = range(1, 6)
MAX_ROUNDS = 1000
SKIPPED = "-"


@dataclass(frozen=True)
class Plan:
    """Seconds of each run, the most seconds of rest before it, and an order of runs that no print of it shows."""

    run_s: float
    rest_s: float
    orders: tuple[tuple[Arm, Arm], ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_fields(self, {"run_s": (1e-3, 1e6), "rest_s": (1e-3, 1e6)})
        if not self.orders or any(sorted(order) != ["A", "B"] for order in self.orders):
            raise ValueError(f"orders={self.orders!r}, accepted are one or more rounds that run A and B once each")

    @classmethod
    def make(cls, rounds: int, run_s: float, rest_s: float, seed: int) -> Self:
        """A hidden order drawn from ``seed``: A is first in half of the rounds, within one, so that drift cancels."""
        check_rounds(rounds)
        rng = random.Random(seed)
        both: list[tuple[Arm, Arm]] = [("A", "B"), ("B", "A")]
        rng.shuffle(both)  # an odd number of rounds holds one order once more: which one is drawn too
        orders = (both * rounds)[:rounds]
        rng.shuffle(orders)
        return cls(run_s, rest_s, tuple(orders))

    @property
    def rounds(self) -> int:
        """How often both are run."""
        return len(self.orders)

    @property
    def seconds(self) -> float:
        """The longest that the whole protocol takes."""
        return 2 * self.rounds * (self.run_s + self.rest_s)

    def reveal(self) -> dict[tuple[int, Slot], Arm]:
        """Which of A and B runs in each (round from 1, slot), in the order of time."""
        slots: tuple[Slot, ...] = get_args(Slot)
        return {
            (number, slot): arm
            for number, order in enumerate(self.orders, start=1)
            for slot, arm in zip(slots, order, strict=True)
        }


def check_rounds(rounds: int, name: str = "rounds") -> None:
    """Raise ValueError unless ``rounds`` is a whole number from 1 to MAX_ROUNDS."""
    if type(rounds) is not int or not 1 <= rounds <= MAX_ROUNDS:
        raise ValueError(f"{name}={rounds!r}, accepted are whole numbers from 1 to {MAX_ROUNDS}")


def check_reading_scale(scale: str) -> None:
    """Raise ValueError unless ``scale`` is one of Scale."""
    if scale not in get_args(ReadingScale):
        raise ValueError(f"scale={scale!r}, accepted are {', '.join(get_args(ReadingScale))}")


@dataclass(frozen=True)
class Observation:
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
        if self.slot not in get_args(Slot):
            raise ValueError(f"slot={self.slot!r}, accepted are {', '.join(get_args(Slot))}")
        check_reading_scale(self.scale)
        check_fields(self, dict.fromkeys(("before", "after"), (MIN_CELSIUS, MAX_CELSIUS)))
        for name in ("before", "after"):
            value = getattr(self, name)
            if self.scale == "touch" and value not in TOUCH_SCORES:
                raise ValueError(f"touch score {name}={value!r}, accepted are the whole numbers 1 (cold) to 5 (hot)")

    @property
    def rise(self) -> float:
        """After minus before: kelvins, or steps of the touch score."""
        return self.after - self.before


def next_run(plan: Plan, observations: Iterable[Observation]) -> tuple[int, Slot] | None:
    """The first (round, slot) of the plan that is not observed yet; None where all are."""
    done = {(o.round, o.slot) for o in observations}
    return next((key for key in plan.reveal() if key not in done), None)


def parse_readings(plan: Plan, text: str, scale: ReadingScale = "celsius") -> list[Observation]:
    """Observations from text such as "30.1 35.2; 30.3 33.0": before and after each run, in the order of time.

    A run that was not read is a ``-``; runs at the end may be left out. Raises ValueError that names the run.
    """
    check_reading_scale(scale)
    parts = [part.strip() for part in text.strip().removesuffix(";").split(";")] if text.strip() else []
    if len(parts) > 2 * plan.rounds:
        raise ValueError(f"{len(parts)} runs in readings={text!r}, accepted are up to {2 * plan.rounds}, as planned")
    observations = []
    for number, ((rnd, slot), part) in enumerate(zip(plan.reveal(), parts, strict=False), start=1):
        if part == SKIPPED:
            continue
        try:
            before, after = map(float, part.split())
        except ValueError:
            raise ValueError(
                f"run {number} of readings is {part!r}, accepted are two numbers, before and after, or {SKIPPED}"
            ) from None
        try:
            observations.append(Observation(rnd, slot, before, after, scale))
        except ValueError as error:
            raise ValueError(f"run {number} of readings is {part!r}: {error}") from None
    return observations


def format_readings(plan: Plan, observations: Iterable[Observation]) -> str:
    """The text that :func:`parse_readings` reads these observations from; what is beyond 0.001 is rounded off."""
    found = {(o.round, o.slot): f"{round(o.before, 3):g} {round(o.after, 3):g}" for o in observations}
    parts = [found.get(key, SKIPPED) for key in plan.reveal()]
    while parts and parts[-1] == SKIPPED:
        parts.pop()
    return "; ".join(parts)


@dataclass(frozen=True)
class RoundRises:
    """By how much A and B warmed the device in one round: kelvins, or steps of the touch score."""

    round: int
    a: float
    b: float


@dataclass(frozen=True)
class HeatVerdict:
    """What the complete rounds say of A against B; intervals are of 95 %."""

    scale: ReadingScale
    rises: tuple[RoundRises, ...]
    incomplete: int  # rounds of the plan without both observations: left out
    p_value: float  # two-sided sign test, rounds without a difference left out
    difference: Interval | None  # rise of A minus rise of B, in kelvins
    ratio: Interval | None  # rise of A over rise of B, which is that of their powers above idle
    missing: str  # why there is no difference or no ratio; empty where there are both

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
        """Which is shown to be the warmer: by the interval of the difference where there is one, else by the signs."""
        if self.difference is not None:
            return "A" if self.difference.low > 0 else "B" if self.difference.high < 0 else None
        if self.p_value >= 1 - CONFIDENCE:
            return None
        return "A" if self.warmer_a > self.warmer_b else "B"

    @property
    def why(self) -> str:
        """The verdict in words, with its numbers."""
        results = {"A": "A is warmer than B", "B": "B is warmer than A", None: "neither is shown to be the warmer"}
        clauses = [
            f"{results[self.warmer]}: A rose more in {self.warmer_a} and B in {self.warmer_b} of {len(self.rises)} "
            f"complete rounds (sign test p = {self.p_value:.3g})"
        ]
        if self.difference is not None:
            clauses.append(f"rise of A minus rise of B {self.difference} K")
        if self.ratio is not None:
            clauses.append(f"power above idle, A over B, {self.ratio}")
        if self.missing:
            clauses.append(self.missing)
        if self.incomplete:
            clauses.append(f"incomplete and left out: {self.incomplete} of {self.incomplete + len(self.rises)} rounds")
        return "; ".join(clauses)

    @property
    def reading(self) -> Reading:
        """The power of A over that of B, both above idle, measured. Raises NoReading, saying why, without a ratio."""
        if self.ratio is None:
            raise NoReading(f"heat: {self.missing}")
        detail = {
            "low": self.ratio.low,
            "high": self.ratio.high,
            "confidence": CONFIDENCE,
            "rounds": len(self.rises),
            "incomplete": self.incomplete,
            "sign_test_p": self.p_value,
            "rises_a_k": [r.a for r in self.rises],
            "rises_b_k": [r.b for r in self.rises],
        }
        return Reading("heat-ratio", self.ratio.value, "ratio", Kind.MEASURED, detail)


def heat_verdict(plan: Plan, observations: Iterable[Observation], scale: ReadingScale = "celsius") -> HeatVerdict:
    """Compare A with B over the rounds of ``plan`` in which both runs were observed.

    Raises ValueError for an observation of a round that the plan has not, of a run observed before, or on another
    scale, and NoReading where no round is complete.
    """
    check_reading_scale(scale)
    rises = _rises(plan, observations, scale)
    if not rises:
        raise NoReading(f"heat: nothing was measured, as none of {plan.rounds} rounds holds both of its runs")
    a, b = np.array([[r.a, r.b] for r in rises]).T
    difference: Interval | None = None
    ratio: Interval | None = None
    missing = ""
    if scale == "touch":
        missing = "no difference and no ratio, as touch scores have no unit"
    elif len(rises) < MIN_PAIRS:
        missing = f"no difference and no ratio, as an interval needs {MIN_PAIRS} complete rounds (got {len(rises)})"
    elif np.ptp(a - b) == 0:  # a coarse scale must not pass for certainty
        missing = f"no difference and no ratio, as all {len(rises)} rounds have the same difference"
    else:
        difference = paired_difference(a, b)
        try:
            ratio = ratio_of_means(a, b)
        except NoInterval as error:
            missing = f"no ratio, as {error}"
    return HeatVerdict(scale, rises, plan.rounds - len(rises), sign_test(a - b), difference, ratio, missing)


def _rises(plan: Plan, observations: Iterable[Observation], scale: ReadingScale) -> tuple[RoundRises, ...]:
    arms = plan.reveal()
    found: dict[tuple[int, Arm], float] = {}
    for o in observations:
        if (o.round, o.slot) not in arms:
            raise ValueError(f"round={o.round!r} is not in the plan, accepted are 1 to {plan.rounds}")
        if o.scale != scale:
            raise ValueError(f"round {o.round}, {o.slot} run: scale={o.scale!r}, accepted is {scale}")
        key = o.round, arms[o.round, o.slot]
        if key in found:
            raise ValueError(f"round {o.round}, {o.slot} run: observed more than once, accepted is one observation")
        found[key] = o.rise
    numbers = [n for n in range(1, plan.rounds + 1) if (n, "A") in found and (n, "B") in found]
    return tuple(RoundRises(n, found[n, "A"], found[n, "B"]) for n in numbers)
