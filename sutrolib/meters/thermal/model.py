"""How a device warms and cools, to plan a heat check with: how long a run and a rest must be.

The device is one warm lump of heat capacity C (J/K) that a thermal resistance R (K/W) parts from the room:

    C dT/dt = P - (T - T_room) / R,   so that from rest   T - T_rest = P R (1 - exp(-t / RC))

with P in watts above idle. This is Newton's law of cooling with a lumped capacitance (Incropera et al., Fundamentals of
Heat and Mass Transfer, ch. 5). What comes of it is modelled: it plans an experiment, and no verdict rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sutrolib.core.types import check_fields
from sutrolib.meters.thermal.protocol import Arm, Observation, Plan, ReadingScale, check_reading_scale, check_rounds

Z = 3.24  # 1.96 + 1.28: a two-sided test at 5 % that finds the difference in 9 of 10 experiments


@dataclass(frozen=True)
class ThermalModel:
    """A device as one warm lump, and how well its temperature is told. ValueError for fields out of range."""

    resistance: float  # K/W, from the device to the room, 0.001 to 1000
    capacity: float  # J/K, 0.001 to 10 million
    noise: float = 0.5  # K, the standard deviation of one reading, 0.001 to 100
    touch: float = 3.0  # K, the least difference that a hand tells: an assumption, to be tried out, 0.001 to 100

    def __post_init__(self) -> None:
        check_fields(
            self,
            {"resistance": (1e-3, 1e3), "capacity": (1e-3, 1e7), "noise": (1e-3, 100), "touch": (1e-3, 100)},
        )

    @property
    def time_constant(self) -> float:
        """R C in seconds: after it, a rise is at 63 % of its steady state."""
        return self.resistance * self.capacity

    def rise(self, power_w: float, seconds: float) -> float:
        """Kelvins above the rested state after ``seconds`` (infinity is the steady state) at ``power_w`` above idle."""
        _check_amount("power_w", power_w, "W")
        _check_amount("seconds", seconds, "s", math.inf)
        return -power_w * self.resistance * math.expm1(-seconds / self.time_constant)

    def remaining_rise(self, rise: float, seconds: float) -> float:
        """What is left, in kelvins, of a ``rise`` (K) after ``seconds`` of rest: rise exp(-t / RC)."""
        _check_amount("rise", rise, "K")
        _check_amount("seconds", seconds, "s", math.inf)
        return rise * math.exp(-seconds / self.time_constant)

    def rest_seconds(self, rise: float) -> float:
        """Seconds of rest until a ``rise`` (K) is down to the noise of one reading; 0 where it is not above that."""
        _check_amount("rise", rise, "K")
        return self.time_constant * math.log(max(rise / self.noise, 1.0))

    def detectable_difference(self, rounds: int, scale: ReadingScale = "celsius") -> float:
        """The least difference of two rises, in kelvins, that tells them apart.

        A hand tells ``touch``, however many rounds there are. A thermometer tells Z standard errors of the mean
        difference, 2 noise / sqrt(rounds), as a difference of rises holds four readings; that is for many rounds, and
        with few of them Student's t asks for more.
        """
        check_rounds(rounds)
        check_reading_scale(scale)
        return self.touch if scale == "touch" else Z * 2 * self.noise / math.sqrt(rounds)

    def run_seconds_needed(self, power_a: float, power_b: float, rounds: int, scale: ReadingScale = "celsius") -> float:
        """How long each run must last for the rises at two powers (W above idle) to differ by :meth:`detectable_difference`.

        Raises ValueError where no time is long enough, as the steady states are too close to each other.
        """
        least = self.detectable_difference(rounds, scale)
        steady = abs(self.rise(power_a, math.inf) - self.rise(power_b, math.inf))
        if steady <= least:
            raise ValueError(
                f"power_a={power_a!r} W, power_b={power_b!r} W: the difference in steady state is {steady:.3g} K, "
                f"accepted is above the {least:.3g} K that can be told over {rounds} rounds ({scale})"
            )
        return -self.time_constant * math.log1p(-least / steady)


def simulate_readings(
    plan: Plan, model: ThermalModel, watts: Mapping[Arm, float], seed: int, room: float = 25.0
) -> list[Observation]:
    """What the model would read, in deg C, with A and B at ``watts`` above idle and Gaussian noise: modelled.

    The device starts rested in a ``room`` (deg C), every rest takes all of rest_s, and what a rest leaves of a rise is
    carried on into the next run.
    """
    rng = np.random.default_rng(seed)
    observations = []
    above = 0.0
    for (number, slot), arm in plan.reveal().items():
        above = model.remaining_rise(above, plan.rest_s)
        before = room + above + model.noise * float(rng.standard_normal())
        above = model.remaining_rise(above, plan.run_s) + model.rise(watts[arm], plan.run_s)
        after = room + above + model.noise * float(rng.standard_normal())
        observations.append(Observation(number, slot, before, after))
    return observations


def _check_amount(name: str, value: float, unit: str, most: float = 1e9) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name}={value!r} {unit}, accepted are 0 to {most:g}")
