"""What a search may spend, and mistake 3, risk mismanagement: going far without a sign of life.

A *budget* is in trials, seconds or estimated joules. A *milestone* is a number by a deadline, stated before the search
begins, and may name a *control* that the best candidate has to beat by then; where it is missed the search stops and
says so. A person may override that, and the override stays in the record.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sutrolib.core.types import Model, Problem
from sutrolib.problems.shuffled_labels import ShuffledLabels

T = TypeVar("T")


@dataclass(frozen=True)
class Spent:
    """What was spent: trials, seconds, and estimated joules (0 where nobody asked for an estimate)."""

    trials: int = 0
    seconds: float = 0.0
    joules: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.trials + other.trials, self.seconds + other.seconds, self.joules + other.joules)

    def __str__(self) -> str:
        joules = f", {self.joules:.3g} J (estimated)" if self.joules else ""
        return f"{self.trials} trials, {self.seconds:.3g} s{joules}"


NOTHING = Spent()


def total(parts: Sequence[Spent]) -> Spent:
    """The sum of many, as that of a whole history, in a third of the time that adding in pairs takes."""
    return Spent(sum(s.trials for s in parts), sum(s.seconds for s in parts), sum(s.joules for s in parts))


@dataclass(frozen=True)
class SearchBudget:
    """The most that a search may spend; at least one limit. Raises ValueError for none, or one that is not positive."""

    trials: int | None = None
    seconds: float | None = None
    joules: float | None = None

    def __post_init__(self) -> None:
        limits = dataclasses.asdict(self)
        if all(limit is None for limit in limits.values()):
            raise ValueError("a search without a limit, accepted are trials, seconds or joules")
        for name, limit in limits.items():
            whole = name == "trials"
            known = isinstance(limit, int if whole else int | float) and not isinstance(limit, bool)
            if limit is not None and not (known and math.isfinite(limit) and limit > 0):
                raise ValueError(f"{name}={limit!r}, accepted are {'whole ' if whole else ''}numbers above 0, or None")

    def used_up(self, spent: Spent) -> str:
        """Which limit ``spent`` has reached, in words; empty while there is something left of each."""
        for name, unit in (("trials", "trials"), ("seconds", "s"), ("joules", "J (estimated)")):
            limit, used = getattr(self, name), getattr(spent, name)
            if limit is not None and used >= limit:
                return f"{used:.4g} of {limit:g} {unit}"
        return ""


def as_it_is(thing: T) -> T:
    """``thing``."""
    return thing


def _instead(baseline: Model, _: Model) -> Model:
    return baseline


@dataclass(frozen=True)
class Control:
    """What a candidate has to beat to be believed: a rival made of the problem and of the candidate itself.

    It is beaten by a candidate that solves the problem where the rival does not, or that costs less.
    """

    title: str
    problem: Callable[[Problem], Problem] = as_it_is
    model: Callable[[Model], Model] = as_it_is


def untouched(baseline: Model) -> Control:
    """The baseline as it is: a candidate has to be cheaper."""
    return Control("the untouched baseline", model=functools.partial(_instead, baseline))


def shuffled_labels() -> Control:
    """The candidate on labels that tell nothing: it must not solve that, or it solves something else."""
    return Control("shuffled labels", problem=ShuffledLabels)


def random_features() -> Control:
    """The candidate with its first layer left at random: learning features has to be worth its cost.

    Raises ValueError, when it is tried, for a model without a field ``features``.
    """
    return Control("random features", model=_with_random_features)


def _with_random_features(model: Any) -> Model:
    if not hasattr(model, "features"):
        raise ValueError(f"{type(model).__name__} has no field 'features', accepted are models that have one")
    changed: Model = dataclasses.replace(model, features="random")
    return changed


@dataclass(frozen=True)
class Milestone:
    """A sign of life, stated in advance: the best cost is at most ``at_most`` when ``by`` is spent, because ...

    With a ``control``, the best candidate must also beat it before it gets more budget.
    """

    title: str
    by: SearchBudget
    at_most: float = math.inf
    control: Control | None = None
    because: str = ""


@dataclass(frozen=True)
class Override:
    """A person's decision to go on past a missed milestone: which, who, and why. ValueError without any of these."""

    milestone: str
    who: str
    why: str

    def __post_init__(self) -> None:
        if not (self.milestone and self.who and self.why.strip()):
            raise ValueError(f"{self}: accepted is an override with a milestone, a person and a reason")


@dataclass(frozen=True)
class Passed:
    """A milestone that is behind the search: whether it was met, in words, and who overrode it if it was not."""

    title: str
    met: bool
    why: str
    override: Override | None = None

    @property
    def stops(self) -> bool:
        """Whether the search ends here."""
        return not self.met and self.override is None


def judged(milestone: Milestone, best: float | None, beaten: bool | None, overrides: Sequence[Override]) -> Passed:
    """What becomes of a milestone whose deadline is over: ``beaten`` tells of its control, None where it has none."""
    known = "nothing solved" if best is None else f"best cost {best:.4g}"
    wanted = f", at most {milestone.at_most:.4g} was expected" if math.isfinite(milestone.at_most) else ""
    met = best is not None and best <= milestone.at_most and beaten is not False
    why = f"{known}{wanted}"
    if milestone.control is not None and beaten is not None:
        why += f"; {milestone.control.title} {'beaten' if beaten else 'not beaten'}"
    override = next((o for o in overrides if o.milestone == milestone.title), None)
    return Passed(milestone.title, met, why, None if met else override)


@dataclass(frozen=True)
class Dropped:
    """A direction that is given up, and the mechanism by which it must fail, where one is known.

    ``tried`` says how much of its space was tried: one bad subset of settings does not close a method.
    """

    direction: str
    tried: str
    mechanism: str = "not known"
