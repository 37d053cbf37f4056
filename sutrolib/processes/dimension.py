"""What a setting of a space may be: one of several values, or a number of a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Plain: TypeAlias = bool | int | float | str  # what a setting may be
NUDGE = 0.2  # standard deviation of a small change, as a share of a range


@dataclass(frozen=True)
class Choice:
    """One of ``values``, in no order."""

    values: tuple[Plain, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values=(), accepted are one and above")

    def check(self, value: object) -> Plain:
        """``value`` as it is. Raises ValueError, with what is accepted, for another one."""
        for known in self.values:  # by type as well: 1, 1.0 and True are equal, and not the same setting
            if type(value) is type(known) and value == known:
                return known
        raise ValueError(f"accepted are {', '.join(map(repr, self.values))}")

    def draw(self, rng: np.random.Generator) -> Plain:
        """One of the values, each as likely."""
        return self.values[int(rng.integers(len(self.values)))]

    def near(self, value: Plain, rng: np.random.Generator) -> Plain:
        """Another of the values."""
        others = [other for other in self.values if other != value] or list(self.values)
        return others[int(rng.integers(len(others)))]

    def points(self, count: int) -> list[Plain]:
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
    """Numbers from ``low`` to ``high``, whole ones where ``whole``, evenly spread by their logarithm where ``log``."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"low={self.low!r}, high={self.high!r}, accepted are finite numbers in this order")
        if self.log and self.low <= 0:
            raise ValueError(f"low={self.low!r} has no logarithm, accepted are numbers above 0")
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"low={self.low!r}, high={self.high!r}, accepted are whole numbers")

    def check(self, value: object) -> Plain:
        """``value`` as an int or a float. Raises ValueError, with what is accepted, for anything else."""
        kind = "whole numbers" if self.whole else "numbers"
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if number is None or not self.low <= number <= self.high or (self.whole and number != int(number)):
            raise ValueError(f"accepted are {kind} from {self.low:g} to {self.high:g}")
        return int(number) if self.whole else float(number)

    def draw(self, rng: np.random.Generator) -> Plain:
        """A number of the range."""
        return self._at(float(rng.random()))

    def near(self, value: Plain, rng: np.random.Generator) -> Plain:
        """A number near ``value``, and never the same where there are others."""
        for _ in range(100):
            found = self._at(min(1.0, max(0.0, self._place(float(value)) + NUDGE * float(rng.normal()))))
            if found != value:
                return found
        return self.draw(rng)

    def points(self, count: int) -> list[Plain]:
        """``count`` numbers from end to end, fewer where there are no more whole ones."""
        return list(dict.fromkeys(self._at(place) for place in np.linspace(0, 1, count).tolist()))

    @property
    def size(self) -> float:
        """How many numbers there are; infinite unless they are whole."""
        return self.high - self.low + 1 if self.whole or self.low == self.high else math.inf

    def describe(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"low": self.low, "high": self.high, "log": self.log, "whole": self.whole}

    def _at(self, place: float) -> Plain:
        if self.log:
            found = math.exp(math.log(self.low) + place * math.log(self.high / self.low))
        else:
            found = self.low + place * (self.high - self.low)
        found = min(max(found, self.low), self.high)
        return round(found) if self.whole else found

    def _place(self, value: float) -> float:
        if self.low == self.high:
            return 0.0
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


Dimension: TypeAlias = Choice | Range
