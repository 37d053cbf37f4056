"""Shared parts of the checks of a result: what a check found, a permuted problem, and a fit with its trace.

A permuted problem is as hard as before, but its right answers have other names, and nobody can guess its seed: a model
that learns from the samples does not notice, and a model that brings an answer along has the wrong one.
"""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, ParamSpec

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Problem, Split, Task
from sutrolib.meters.access.trace import TorchTrace

_P = ParamSpec("_P")
Observation = tuple[bool | None, str]  # passed, and the evidence

SEED_OFFSET = 7_654_321  # from the seed of a task to an unrelated one: no two seeds in use are so far apart
CHECK_CONFIDENCE = 0.999  # of the intervals in which an accuracy must lie
_NOT_APPLICABLE = "not applicable"
_MAX_CUT = 97  # characters that a text loses at its beginning, at most


@dataclass(frozen=True)
class CheckResult:
    """The result of one check: ``passed`` is None for a statement or if the check does not apply.

    A failed check with ``limit`` says where the result ends; any other failed check is evidence against the result.
    """

    title: str
    passed: bool | None
    evidence: str
    why: str
    limit: bool = False

    @property
    def status(self) -> str:
        """One of ``passed``, ``failed``, ``a limit``, ``stated`` and ``not tested``."""
        if self.passed is None:
            return "not tested" if self.evidence.startswith(_NOT_APPLICABLE) else "stated"
        return "passed" if self.passed else "a limit" if self.limit else "failed"


def check(title: str, why: str) -> Callable[[Callable[_P, Observation]], Callable[_P, CheckResult]]:
    """Decorator: make a check of a function that returns whether it passed, and the evidence.

    A FailedRun leaves nothing to check; any other error of a model fails the check.
    """

    def decorate(function: Callable[_P, Observation]) -> Callable[_P, CheckResult]:
        @functools.wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> CheckResult:
            try:
                passed, evidence = function(*args, **kwargs)
            except FailedRun as error:
                passed, evidence = None, f"{_NOT_APPLICABLE}: the fit failed: {error}"
            except Exception as error:  # a model may do anything, and the other checks go on
                passed, evidence = False, f"it raised {type(error).__name__}: {error}"
            return CheckResult(title, passed, evidence, why)

        return checked

    return decorate


@dataclass(frozen=True)
class PermutedProblem:
    """``problem`` with its training rows in another order, and with other names for its answers.

    If labels are real numbers, the input columns are permuted, in training and test alike. Class numbers are renamed. A
    text loses some characters at its beginning. The oracles ``labels`` and ``lessons`` are translated; others are gone.

    The task and the permutation are drawn from ``salt`` and the seed together, so a model that is given the seed, as
    its own, cannot draw either of them again. Equal arguments, the salt among them, give equal bytes.
    """

    problem: Problem
    salt: int = field(default_factory=lambda: secrets.randbits(64), repr=False)

    name: ClassVar[str] = "permuted"
    rung: ClassVar[str] = ""  # it has no place on the cube

    def sample(self, seed: int) -> Task:
        """The task of the salt and this seed, permuted by both."""
        drawn, permuted = np.random.SeedSequence((self.salt, seed)).generate_state(2).tolist()
        task = self.problem.sample(drawn)
        generator = torch.Generator().manual_seed(permuted)
        if task.alphabet:
            cut = 1 + int(torch.randint(_MAX_CUT, (1,), generator=generator).item())
            return dataclasses.replace(task, train=Split(task.train.x[cut:].clone(), task.train.y[cut:].clone()))
        rows = torch.randperm(len(task.train), generator=generator)
        train, test = Split(task.train.x[rows], task.train.y[rows]), task.test_split
        oracles: dict[str, Callable[..., Tensor]] = {}
        if train.y.is_floating_point():
            columns = torch.randperm(train.x.shape[1], generator=generator)
            train, test = (Split(part.x[:, columns], part.y) for part in (train, test))
            position = columns.argsort()  # of each column of the problem
            oracles["labels"] = lambda x: task.oracles["labels"](x[:, position])
            oracles["lessons"] = lambda bits: position[task.oracles["lessons"](bits)].sort().values
        else:
            names = torch.randperm(int(max(train.y.max(), test.y.max()).item()) + 1, generator=generator)
            train, test = (Split(part.x, names[part.y]) for part in (train, test))
        oracles = {name: oracle for name, oracle in oracles.items() if name in task.oracles}
        return dataclasses.replace(task, train=train, test=test, oracles=oracles)


@dataclass(frozen=True)
class TraceCost:
    """The counts of a trace: accesses, bytes accessed, arithmetic operations."""

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
    """A fit on ``task``, a copy made for training, and its trace. The training samples are loaded first."""
    trace = TorchTrace()
    with trace:
        trace.load_inputs({"x": task.train.x, "y": task.train.y})
        fitted = model.fit(task, seed, budget)
    return fitted, trace


def fresh_seed() -> int:
    """A seed that nobody can guess; it fits NumPy's and PyTorch's generators, with room for offsets."""
    return secrets.randbits(30)
