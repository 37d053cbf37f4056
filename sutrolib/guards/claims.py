"""A published figure that this project claims to reproduce, and what came of computing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One published figure: what it is, who published it, its value and the tolerance within which ours must agree.

    ``apart`` says why ours is known to differ: it is shown beside the number, which then counts as differing and not as
    failing. ``slow`` marks what takes over ten seconds. ``ours`` may raise OSError where what it needs is not here.
    """

    what: str
    source: str
    published: float
    ours: Callable[[], float]
    tolerance: float = 0.5  # half a unit in the last place of a figure published as a whole number
    apart: str = ""
    slow: bool = False

    def compute(self) -> Reproduction:
        """Our value, or why there is none here."""
        try:
            return Reproduction(self, self.ours())
        except OSError as error:
            return Reproduction(self, None, str(error))


@dataclass(frozen=True)
class Reproduction:
    """A claim with our value beside it; None where it cannot be computed here, for the reason in ``missing``."""

    claim: Claim
    ours: float | None
    missing: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the published value."""
        return None if self.ours is None else self.ours - self.claim.published

    @property
    def passed(self) -> bool:
        """Whether the two agree within the claim's tolerance."""
        return self.difference is not None and abs(self.difference) <= self.claim.tolerance

    @property
    def result(self) -> str:
        """``pass``, ``fail``, ``differs`` where the claim says why, or ``not here`` where it could not be computed.

        A stated reason that no longer holds fails.
        """
        if self.ours is None:
            return "not here"
        if self.claim.apart:
            return "fail" if self.passed else "differs"
        return "pass" if self.passed else "fail"
