"""How a device warms and cools, to plan a heat check: how long must a run and a rest be?

The device is one lump of heat capacity C (J/K), connected to the room by a thermal resistance R (K/W):

    C dT/dt = P - (T - T_room) / R,   so that from rest   T - T_rest = P R (1 - exp(-t / RC))

with P in watts above idle. This is Newton's law of cooling with a lumped capacitance (Incropera et al., Fundamentals of
Heat and Mass Transfer, ch. 5). Its results are modelled: they plan an experiment, and no verdict depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sutrolib.core.types import check_fields
from sutrolib.meters.thermal.protocol import Arm, HeatObservation, Plan, ReadingScale, check_choice, check_rounds

_Z_SCORES = 3.24  # 1.96 + 1.28: a two-sided test at 5 % that finds the difference in 9 of 10 experiments


@dataclass(frozen=True)
class ThermalModel:
    """A device as one lump, and how well its temperature can be read. ValueError for fields out of range."""

    resistance: float  # K/W, from the device to the room, 0.001 to 1000
    capacity: float  # J/K, 0.001 to 10 million
    noise: float = 0.5  # K, the standard deviation of one reading, 0.001 to 100
    touch: float = 3.0  # K, the least difference that a hand feels: an assumption, to be tested, 0.001 to 100

    def __post_init__(self) -> None:
        limits = {"resistance": (1e-3, 1e3), "capacity": (1e-3, 1e7), "noise": (1e-3, 100), "touch": (1e-3, 100)}
        check_fields(self, limits)

    @property
    def time_constant(self) -> float:
        """R C in seconds: after it, a rise is at 63 % of its steady state."""
        return self.resistance * self.capacity

    def rise(self, power_w: float, seconds: float) -> float:
        """Kelvins above the rested state after ``seconds`` (infinity is the steady state) at ``power_w`` above idle."""
        _check_amounts(power_w=power_w, seconds=seconds)
        return -power_w * self.resistance * math.expm1(-seconds / self.time_constant)

    def remaining_rise(self, rise: float, seconds: float) -> float:
        """Kelvins that are left of a ``rise`` (K) after ``seconds`` of rest: rise exp(-t / RC)."""
        _check_amounts(rise=rise, seconds=seconds)
        return rise * math.exp(-seconds / self.time_constant)

    def rest_seconds(self, rise: float) -> float:
        """Seconds of rest until a ``rise`` (K) is down to the noise of one reading; 0 if it is not above that."""
        _check_amounts(rise=rise)
        return self.time_constant * math.log(max(rise / self.noise, 1.0))

    def detectable_difference(self, rounds: int, scale: ReadingScale = "celsius") -> float:
        """The least difference of two rises, in kelvins, that can be detected.

        A hand detects ``touch``, however many rounds there are. A thermometer detects 3.24 standard errors of the mean
        difference, 2 noise / sqrt(rounds), as a difference of rises holds four readings. This holds for many rounds;
        with few of them Student's t needs more.
        """
        check_rounds(rounds)
        check_choice("scale", scale, ReadingScale)
        return self.touch if scale == "touch" else _Z_SCORES * 2 * self.noise / math.sqrt(rounds)

    def run_seconds_needed(self, power_a: float, power_b: float, rounds: int, scale: ReadingScale = "celsius") -> float:
        """Seconds of each run until the rises at two powers (W above idle) differ by the detectable difference.

        Raises ValueError if no time is long enough, because the steady states are too close to each other.
        """
        least = self.detectable_difference(rounds, scale)
        steady = abs(self.rise(power_a, math.inf) - self.rise(power_b, math.inf))
        if steady <= least:
            raise ValueError(
                f"power_a={power_a!r} W, power_b={power_b!r} W: the steady states differ by {steady:.3g} K, but "
                f"{rounds} rounds can only detect more than {least:.3g} K ({scale})"
            )
        return -self.time_constant * math.log1p(-least / steady)


def simulate_readings(
    plan: Plan, model: ThermalModel, watts: Mapping[Arm, float], seed: int, room: float = 25.0
) -> list[HeatObservation]:
    """Modelled readings in deg C, with A and B at ``watts`` above idle, and Gaussian noise.

    The device starts rested in a ``room`` (deg C), and every rest takes all of rest_s. The rise that is left after a
    rest adds to the next run.
    """
    rng = np.random.default_rng(seed)
    observations = []
    above = 0.0
    for (number, slot), arm in plan.reveal().items():
        above = model.remaining_rise(above, plan.rest_s)
        before = room + above + model.noise * float(rng.standard_normal())
        above = model.remaining_rise(above, plan.run_s) + model.rise(watts[arm], plan.run_s)
        after = room + above + model.noise * float(rng.standard_normal())
        observations.append(HeatObservation(number, slot, before, after))
    return observations


def _check_amounts(**amounts: float) -> None:
    for name, value in amounts.items():
        most = math.inf if name == "seconds" else 1e9  # watts and kelvins
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise ValueError(f"{name} must be 0 to {most:g} (got {value!r})")
