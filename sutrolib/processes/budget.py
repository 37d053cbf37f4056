"""What a search may spend, and mistake 3, risk mismanagement: going far without a sign of life.

A *budget* limits trials, seconds or estimated joules. Except for the first, no trial begins that is expected to go
beyond it; one may still take more than expected, and then the study says so. A *milestone* is a cost to reach by a
deadline, stated before the search begins; it may name a *control* that the best candidate must beat by then. A search
that misses a milestone stops. A person may override that, and the override stays in the record.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sutrolib.core.types import Model, Problem
from sutrolib.problems.holdout import ShuffledLabels

if TYPE_CHECKING:
    from sutrolib.meters.energy.codecarbon import CumulativeJoules

_LATEST = 25  # trials that say what the next one will use


@dataclass(frozen=True)
class ResourceUse:
    """What was spent: trials, seconds, and estimated joules (0 where they were not estimated)."""

    trials: int = 0
    seconds: float = 0.0
    joules: float = 0.0

    def __add__(self, other: ResourceUse) -> ResourceUse:
        return ResourceUse(self.trials + other.trials, self.seconds + other.seconds, self.joules + other.joules)

    def __str__(self) -> str:
        joules = f", {self.joules:.3g} J (estimated)" if self.joules else ""
        return f"{self.trials} trials, {self.seconds:.3g} s{joules}"


NO_USE = ResourceUse()


def start_clock(estimator: CumulativeJoules | None) -> Callable[[int], ResourceUse]:
    """Start counting seconds and joules. The returned function says what so many trials have used since then."""

    def joules() -> float:
        return estimator.joules if estimator else 0.0

    began, before = time.perf_counter(), joules()
    return lambda trials: ResourceUse(trials, time.perf_counter() - began, joules() - before)


@dataclass(frozen=True)
class SearchBudget:
    """The most that a search may spend; at least one limit. Raises ValueError for none, or one that is not positive."""

    trials: int | None = None
    seconds: float | None = None
    joules: float | None = None

    def __post_init__(self) -> None:
        limits = dataclasses.asdict(self)
        if all(limit is None for limit in limits.values()):
            raise ValueError("a search needs a limit: give trials, seconds or joules")
        for name, limit in limits.items():
            integer = name == "trials"
            known = isinstance(limit, int if integer else int | float) and not isinstance(limit, bool)
            if limit is not None and not (known and math.isfinite(limit) and limit > 0):
                raise ValueError(f"{name} must be {'an integer' if integer else 'a number'} above 0 (got {limit!r})")

    def exhausted(self, spent: Sequence[ResourceUse], others: ResourceUse = NO_USE, running: int = 0) -> str:
        """Why there is no room for another trial, in words; empty while there is.

        Args:
            spent: by each finished trial. Their medians are what the next one is expected to use; the first one begins.
            others: what was spent besides.
            running: how many trials are not finished; each is expected to use as much.
        """
        for name, unit in (("trials", "trials"), ("seconds", "s"), ("joules", "J (estimated)")):
            if (limit := getattr(self, name)) is None:
                continue
            uses = [getattr(one, name) for one in spent]
            expected = 1 if name == "trials" else statistics.median(uses[-_LATEST:] or [0.0])
            used = sum(uses) + getattr(others, name) + running * expected
            if used < limit and used + expected <= limit:
                continue
            note = f", too little left for a trial of about {expected:.3g}" if used < limit else ""
            note = f", overspent {used / limit:.3g} times" if used > limit else note
            return f"{used:.4g} of {limit:g} {unit}{note}"
        return ""

    def share_used(self, used: ResourceUse) -> float:
        """The largest of seconds and joules used / limit, above 1 for a budget that is overspent; 0 without them."""
        limits = {"seconds": self.seconds, "joules": self.joules}
        return max((getattr(used, name) / limit for name, limit in limits.items() if limit), default=0.0)


@dataclass(frozen=True)
class Control:
    """What a candidate must beat to be believed: a ``rival``, made from the problem and the candidate itself.

    A candidate beats it by solving the problem where the rival does not, or by costing less.
    """

    title: str
    rival: Callable[[Problem, Model], tuple[Problem, Model]]


def baseline_control(baseline: Model) -> Control:
    """The untouched baseline: a candidate must be cheaper."""
    return Control("the untouched baseline", lambda problem, _: (problem, baseline))


def _with_random_features(problem: Problem, model: Any) -> tuple[Problem, Model]:
    if not hasattr(model, "features"):
        raise ValueError(f"{type(model).__name__} has no field 'features': this control needs a model that has one")
    return problem, dataclasses.replace(model, features="random")


# The candidate on labels that carry no information: if it solves that, it solves something else.
SHUFFLED_LABELS_CONTROL = Control("shuffled labels", lambda problem, model: (ShuffledLabels(problem), model))
# The candidate with a random first layer: learning features must be worth its cost.
RANDOM_FEATURES_CONTROL = Control("random features", _with_random_features)


@dataclass(frozen=True)
class Milestone:
    """A sign of life, stated in advance: the best cost is at most ``max_cost`` when ``deadline`` is spent, ``because``.

    With a ``control``, the best candidate must also beat it before it gets more budget.
    """

    title: str
    deadline: SearchBudget
    max_cost: float = math.inf
    control: Control | None = None
    because: str = ""

    def result(self, best: float | None, beaten: bool | None, overrides: Sequence[Override]) -> MilestoneResult:
        """The result at the deadline, from the ``best`` cost and whether the control was beaten (None: no control)."""
        met = best is not None and best <= self.max_cost and beaten is not False
        why = "nothing solved" if best is None else f"best cost {best:.4g}"
        if math.isfinite(self.max_cost):
            why += f", at most {self.max_cost:.4g} was expected"
        if self.control is not None and beaten is not None:
            why += f"; {self.control.title} {'beaten' if beaten else 'not beaten'}"
        override = next((o for o in overrides if o.milestone == self.title), None)
        return MilestoneResult(self.title, met, why, None if met else override)


@dataclass(frozen=True)
class Override:
    """A person's decision to go on past a missed milestone: which, who, and why. ValueError without any of these."""

    milestone: str
    who: str
    why: str

    def __post_init__(self) -> None:
        if not (self.milestone and self.who and self.why.strip()):
            raise ValueError(f"an override needs a milestone, a person and a reason (got {self})")


@dataclass(frozen=True)
class MilestoneResult:
    """A milestone after its deadline: whether it was met, in words, and who overrode it if it was not."""

    title: str
    met: bool
    why: str
    override: Override | None = None


@dataclass(frozen=True)
class AbandonedFamily:
    """A family that was given up, and the mechanism that makes it fail.

    ``tried`` says how much of its space was tried: one bad subset of settings does not rule out a method.
    """

    family: str
    tried: str
    mechanism: str
