"""What is written down before a step is taken: its budget, its expectation, and the rule for its sign of life.

Each plan is a file, ``data/walk/plans/NN.toml``, and must be committed before its step is run: a walk refuses a plan
that git does not know, or that differs from what was committed. A record names the commit that last changed its plan.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.cube import Step, path_to_b
from sutrolib.core.provenance import git
from sutrolib.measurement.walk_records import Sign
from sutrolib.processes.manual import ProposedChange

# What a plan may expect and decide by; ratios are of the step's metric, over fresh seeds.
QUANTITIES = {
    "ratio": "cost, with 1,000 predictions, of the new champion / of the model that the step began with",
    "solved": "share of the fresh seeds on which the new champion solves the problem",
    "inherited solved": "share of the fresh seeds on which the inherited champion solves the problem",
    "correlation": "rank correlation (Kendall's tau) of old and new metric over the trials",
    "process ratio": "cost, with 1,000 predictions, of what this process found / of what the one before did",
}
ENOUGH = 0.8  # share of the fresh seeds that a champion must solve, as the plans of problem steps ask
REMEDIES = ("more budget", "the other metric", "the next process")


@dataclass(frozen=True)
class Expectation:
    """The expected ``value`` of a quantity, with a range, and the reason."""

    quantity: str
    value: float
    low: float
    high: float
    because: str

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)} (got {self.quantity!r})")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"the expectation must satisfy low <= value <= high (got {self})")
        if not self.because.strip():
            raise ValueError(f"an expectation needs a reason: give 'because' (got {self.because!r})")


@dataclass(frozen=True)
class Rule:
    """When to go on: a ``quantity`` that is shown to be ``at_most`` or ``at_least`` so much. Beyond ``stop``, it ends.

    Shown is what holds at the unfavourable end of the interval. Otherwise the walk turns back, and the step before is
    repeated with the ``remedy``.
    """

    quantity: str
    remedy: str
    at_most: float | None = None
    at_least: float | None = None
    stop: float | None = None

    def __post_init__(self) -> None:
        if self.quantity not in QUANTITIES or self.remedy not in REMEDIES:
            known = f"{', '.join(QUANTITIES)}; and of {', '.join(REMEDIES)}"
            raise ValueError(f"a rule needs a quantity, one of {known} (got {self.quantity!r} and {self.remedy!r})")
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("a rule needs either at_most or at_least")

    @property
    def bound(self) -> float:
        """The number that decides."""
        return float(self.at_least if self.at_most is None else self.at_most)  # type: ignore[arg-type]  # one is given

    def sign(self, value: float | None) -> Sign:
        """The sign of life for this value; None and NaN are no sign of life."""
        if value is None or math.isnan(value):
            return Sign.TURN_BACK
        bound, holds = self.bound, operator.ge if self.at_most is None else operator.le
        if holds(value, bound):
            return Sign.GO
        return Sign.STOP if self.stop is not None and not holds(value, self.stop) else Sign.TURN_BACK

    def __str__(self) -> str:
        bound = f"at {'least' if self.at_most is None else 'most'} {self.bound:g}"
        beyond = "" if self.stop is None else f"; stop beyond {self.stop:g}"
        asked = f"go if the {QUANTITIES[self.quantity]} is {bound}{beyond}"
        return f"{asked}; otherwise repeat the step before with {self.remedy}"


@dataclass(frozen=True)
class StepPlan:
    """The plan of step ``number``, 1 for the first.

    ``trials`` is the budget of each of the ``searches``, ``seconds`` what each may take at most, ``pairs`` the seeds of
    each trial, ``changes`` what is tried by hand. ``divisions`` holds, by the name of a narrower space, what of these
    differs in its searches. ``commit`` is the commit that last changed the file.
    """

    number: int
    trials: int
    searches: int
    expectation: Expectation
    rule: Rule
    seconds: float | None = None
    pairs: int = 2
    changes: tuple[ProposedChange, ...] = ()
    divisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    commit: str = ""

    def of_division(self, name: str) -> StepPlan:
        """The plan of the searches of a narrower space. Raises TypeError for a field that a plan does not have."""
        return dataclasses.replace(self, **self.divisions.get(name, {}))

    @property
    def step(self) -> Step:
        """The step of the path."""
        return path_to_b()[self.number - 1]


def plan_path(number: int) -> Path:
    """The file of the plan of a step."""
    return paths.walk() / "plans" / f"{number:02}.toml"


def read_plan(number: int, committed: bool = True) -> StepPlan:
    """The plan of a step, as it is committed; or, unless it must be ``committed``, as it is, with no commit.

    Raises ValueError for a plan that is missing, damaged or not committed, and says what to do.
    """
    path = plan_path(number)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        ask = "write what you expect, with a reason and a rule, and commit it"
        raise ValueError(f"step {number} has no plan {path}: {ask}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no TOML ({error}): mend it and commit it") from error
    return _parsed(number, path, content, commit_of(path) if committed else "")


def _parsed(number: int, path: Path, content: Mapping[str, Any], commit: str) -> StepPlan:
    try:
        given = dict(content)
        moves, step = given.pop("moves"), path_to_b()[number - 1]
        if moves != str(step):
            raise ValueError(f"it moves {moves!r}, and step {number} of the path is {str(step)!r}")
        expectation, rule = Expectation(**given.pop("expectation")), Rule(**given.pop("rule"))
        changes = tuple(ProposedChange(**change) for change in given.pop("changes", ()))
        plan = StepPlan(number, expectation=expectation, rule=rule, changes=changes, commit=commit, **given)
        for name in plan.divisions:
            plan.of_division(name)
        return plan
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is no plan of step {number} ({type(error).__name__}: {error})") from error


def commit_of(path: Path) -> str:
    """The commit that last changed this file. Raises ValueError for one that differs from what is committed."""
    try:
        if git(path.parent, "status", "--porcelain", "--", path.name):
            raise ValueError(f"{path} is not committed as it is: commit it before its step is run")
        found = git(path.parent, "log", "-1", "--format=%H", "--", path.name).strip()
    except OSError as error:
        raise ValueError(f"git does not tell the commit of {path} ({error}): a plan must be committed") from error
    if not found:
        raise ValueError(f"{path} is in no commit: commit it before its step is run")
    return found
