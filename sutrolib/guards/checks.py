"""What the checks of a surprising result have in common: a finding, a disguised problem, and a fit with its trace.

A disguise leaves a problem as hard as it was and changes what its right answers are called: whoever learns from the
samples does not notice, and whoever brought an answer along has the wrong one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, ParamSpec

import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Problem, Split, Task
from sutrolib.measurement.passes import score_of
from sutrolib.meters.access.trace import TorchTrace

P = ParamSpec("P")
Observation = tuple[bool | None, str]  # passed, and what was seen

UNRELATED = 7_654_321  # from the seed of a task to that of a fit: no seed in use is so far from another
NOT = "not applicable"
CUT = 97  # characters, the most that a text loses at its beginning
LEVEL = 0.999  # of the intervals in which a share must lie


@dataclass(frozen=True)
class CheckResult:
    """One check: ``passed`` is None for a statement, and where it does not apply; ``seen`` holds the numbers.

    A failed check that is a ``limit`` says where the result ends; any other one speaks against it.
    """

    title: str
    passed: bool | None
    seen: str
    why: str
    limit: bool = False

    @property
    def word(self) -> str:
        """The outcome in a word or two."""
        if self.passed is None:
            return "not tested" if self.seen.startswith(NOT) else "stated"
        return "passed" if self.passed else "a limit" if self.limit else "failed"


def check(title: str, why: str) -> Callable[[Callable[P, Observation]], Callable[P, CheckResult]]:
    """Make a check of a function that returns whether it passed and what it saw.

    A fit that comes to no model leaves nothing to check; whatever else a model raises is a failed check.
    """

    def decorate(function: Callable[P, Observation]) -> Callable[P, CheckResult]:
        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> CheckResult:
            try:
                passed, seen = function(*args, **kwargs)
            except FailedRun as error:
                passed, seen = None, f"{NOT}, as the fit came to no model: {error}"
            except Exception as error:  # a candidate may do anything, and the other checks go on
                passed, seen = False, f"it raised {type(error).__name__}: {error}"
            return CheckResult(title, passed, seen, why)

        return checked

    return decorate


@dataclass(frozen=True)
class PermutedProblem:
    """``problem`` with its training rows in another order, and with other names for what its answers are made of.

    The columns of inputs whose labels are real numbers change places, in training and test alike; labels that are
    class numbers are renamed; a text loses some characters at its beginning. Of a teacher's help, labels and lessons
    are translated, and no other help is offered.
    """

    problem: Problem

    name: ClassVar[str] = "disguised"

    @property
    def rung(self) -> str:
        """None: it stands nowhere on the cube."""
        return ""

    def sample(self, seed: int) -> Task:
        """The task of this seed, disguised by the same seed."""
        task = self.problem.sample(seed)
        generator = torch.Generator().manual_seed(seed + UNRELATED)
        if task.alphabet:
            cut = 1 + int(torch.randint(CUT, (1,), generator=generator).item())
            return dataclasses.replace(task, train=Split(task.train.x[cut:].clone(), task.train.y[cut:].clone()))
        rows = torch.randperm(len(task.train), generator=generator)
        train, test = Split(task.train.x[rows], task.train.y[rows]), task.test_split
        if not train.y.is_floating_point():
            names = torch.randperm(int(max(train.y.max(), test.y.max()).item()) + 1, generator=generator)
            return dataclasses.replace(
                task, train=Split(train.x, names[train.y]), test=Split(test.x, names[test.y]), oracles={}
            )
        columns = torch.randperm(train.x.shape[1], generator=generator)
        return dataclasses.replace(
            task,
            train=Split(train.x[:, columns], train.y),
            test=Split(test.x[:, columns], test.y),
            oracles=_translated(task, columns.argsort()),
        )


def _translated(task: Task, back: Tensor) -> dict[str, Callable[..., Tensor]]:
    """The helps of a task whose column b now stands at ``back[b]``."""
    found: dict[str, Callable[..., Tensor]] = {}
    if "labels" in task.oracles:
        found["labels"] = lambda x: task.oracles["labels"](x[:, back])
    if "lessons" in task.oracles:
        found["lessons"] = lambda bits: back[task.oracles["lessons"](bits)].sort().values
    return found


@dataclass(frozen=True)
class FitResult:
    """What came of one fit: the score on the test split, and why there is none."""

    score: float | None
    solved: bool
    failure: str = ""


def fit_and_score(problem: Problem, model: Model, task_seed: int, fit_seed: int | None = None) -> FitResult:
    """Fit on the task of one seed with another one, the same where it is None, and score it.

    Whatever the model raises is an outcome.
    """
    task = problem.sample(task_seed)
    try:
        fitted = model.fit(task.for_training(model.required_oracles), task_seed if fit_seed is None else fit_seed)
        score = score_of(task, fitted)
    except Exception as error:  # a candidate may do anything
        return FitResult(None, False, f"{type(error).__name__}: {error}")
    return FitResult(score, score >= task.target)


@dataclass(frozen=True)
class TraceCost:
    """What a trace counted: accesses, bytes accessed, arithmetic operations."""

    accesses: int
    nbytes: int
    operations: int

    @classmethod
    def of(cls, trace: TorchTrace) -> TraceCost:
        """The cost of a finished trace."""
        return cls(len(trace.accesses), int(trace.accesses.nbytes.sum()), sum(trace.operations.values()))

    def __str__(self) -> str:
        return f"{self.accesses:,} accesses to {self.nbytes:,} B and {self.operations:,} operations"


def traced_fit(model: Model, task: Task, seed: int, budget: Budget | None = None) -> tuple[Fitted, TorchTrace]:
    """A fit and its trace, the training samples loaded first. ``task`` is a copy made for training."""
    trace = TorchTrace()
    with trace:
        trace.load_inputs({"x": task.train.x, "y": task.train.y})
        fitted = model.fit(task, seed, budget)
    return fitted, trace
