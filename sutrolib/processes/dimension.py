"""The dimensions of a search space: one of several values, or a number from a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

SettingValue: TypeAlias = bool | int | float | str
_PERTURB_STD = 0.2  # standard deviation of a small change, as a share of a range


@dataclass(frozen=True)
class Choice:
    """One of ``values``, in no order."""

    values: tuple[SettingValue, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values must not be empty")

    def validate(self, value: object) -> SettingValue:
        """``value`` as it is. Raises ValueError that lists the choices for any other value."""
        for known in self.values:  # by type as well: 1, 1.0 and True are equal, and not the same setting
            if type(value) is type(known) and value == known:
                return known
        raise ValueError(f"must be one of {', '.join(map(repr, self.values))}")

    def sample(self, rng: np.random.Generator) -> SettingValue:
        """One of the values, each equally likely."""
        return self.values[int(rng.integers(len(self.values)))]

    def perturb(self, value: SettingValue, rng: np.random.Generator) -> SettingValue:
        """Another of the values."""
        return Choice(tuple(other for other in self.values if other != value) or self.values).sample(rng)

    def grid_points(self, count: int) -> list[SettingValue]:
        """All values."""
        return list(self.values)

    @property
    def size(self) -> float:
        """The number of values."""
        return len(self.values)

    def describe(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"choices": list(self.values)}


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, integers where ``integer``, evenly spread by their logarithm where ``log``."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        got = f"(got low={self.low!r}, high={self.high!r})"
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"low and high must be finite, and low at most high {got}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 for a logarithmic range {got}")
        if self.integer and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"low and high must be integers {got}")

    def validate(self, value: object) -> SettingValue:
        """``value`` as an int or a float. Raises ValueError that states the range for anything else."""
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if number is None or not self.low <= number <= self.high or (self.integer and number != int(number)):
            kind = "an integer" if self.integer else "a number"
            raise ValueError(f"must be {kind} from {self.low:g} to {self.high:g}")
        return int(number) if self.integer else float(number)

    def sample(self, rng: np.random.Generator) -> SettingValue:
        """A number from the range."""
        return self._at(float(rng.random()))

    def perturb(self, value: SettingValue, rng: np.random.Generator) -> SettingValue:
        """A number near ``value``, and another one unless the range holds no other."""
        for _ in range(100):
            found = self._at(min(1.0, max(0.0, self._fraction(float(value)) + _PERTURB_STD * float(rng.normal()))))
            if found != value:
                return found
        return self.sample(rng)

    def grid_points(self, count: int) -> list[SettingValue]:
        """``count`` numbers from end to end, fewer where there are not as many integers."""
        return list(dict.fromkeys(self._at(fraction) for fraction in np.linspace(0, 1, count).tolist()))

    @property
    def size(self) -> float:
        """How many numbers there are; infinite unless they are integers."""
        return self.high - self.low + 1 if self.integer or self.low == self.high else math.inf

    def describe(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"low": self.low, "high": self.high, "log": self.log, "integer": self.integer}

    def _at(self, fraction: float) -> SettingValue:
        if self.log:
            found = math.exp(math.log(self.low) + fraction * math.log(self.high / self.low))
        else:
            found = self.low + fraction * (self.high - self.low)
        found = min(max(found, self.low), self.high)
        return round(found) if self.integer else found

    def _fraction(self, value: float) -> float:
        if self.low == self.high:
            return 0.0
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


Dimension: TypeAlias = Choice | Range
