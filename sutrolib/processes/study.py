"""A Study: what a process tried, what it kept, and what the search itself cost."""

from __future__ import annotations

from dataclasses import dataclass

from sutrolib.measure import Measurement
from sutrolib.nouns import Interval, Model
from sutrolib.verdict import Verdict, paired_ratio


@dataclass(frozen=True)
class Trial:
    """One candidate against the best before it.

    ``runs`` and ``rivals`` are the paired measurements of the candidate and of the best before it, seed by seed;
    ``verdict`` is None where the candidate was turned down before its cost was compared.
    """

    title: str
    expectation: str
    model: Model
    kept: bool
    why: str
    runs: tuple[Measurement, ...]
    rivals: tuple[Measurement, ...] = ()
    verdict: Verdict | None = None

    def ratio(self, name: str) -> Interval | None:
        """The reading ``name`` of the candidate over that of the best before it; None where it was not weighed."""
        return paired_ratio(self.runs, self.rivals, name) if self.verdict else None


@dataclass(frozen=True)
class Study:
    """The trials in order, the model that was best in the end, and the seconds that the search took."""

    trials: tuple[Trial, ...]
    best: Model
    seconds: float

    @property
    def kept(self) -> tuple[Trial, ...]:
        """The trials that were kept; the first of all is the starting point."""
        return tuple(trial for trial in self.trials if trial.kept)
