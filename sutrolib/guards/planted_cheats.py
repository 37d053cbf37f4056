"""Planted cheats on sparse parity: they look better than they are, to test that a verification can say no.

Each is a cheat that a search may find, or that a person may write without bad intent: an answer drawn again from the
seed, memorised samples or a memorised answer, a cache of answers, and work that no trace sees. Cheats that would touch
no tensor look at a few samples, because a fit that does nothing has no reading, and no search chooses a model without
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Model, Task
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination
from sutrolib.models.parity.subset_search import WalshFourier
from sutrolib.problems.parity import SparseParity

_N_CHECKED = 8  # samples that a cheat looks at
_N_SEARCHED = 200  # samples that tell one parity from another
_N_KEY_LABELS = 40  # labels that identify a task


@dataclass(frozen=True)
class Cheat:
    """Base of the planted models."""

    name: ClassVar[str] = "a cheat"
    prior_knowledge: ClassVar[str] = "samples only, it says"
    required_oracles: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class RedrawsSecret(Cheat):
    """Knows how a problem of ``k`` secret bits draws them, and gets the same seed."""

    k: int = 3

    name: ClassVar[str] = "secret from the seed"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Draw the secret; learn nothing."""
        return _checked(task, FittedParity(SparseParity(n=task.train.x.shape[1], k=self.k).secret(seed), 0))


@dataclass(frozen=True)
class FittedLookup:
    """Right on the rows it has seen; predicts +1 for all others."""

    known: Mapping[tuple[float, ...], float]
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """Four bytes for each number stored."""
        return 4 * sum(len(row) + 1 for row in self.known)

    def predict(self, x: Tensor) -> Tensor:
        """Labels of shape (samples, 1) for x of shape (samples, n)."""
        return torch.tensor([[self.known.get(tuple(row), 1.0)] for row in x.tolist()])


@dataclass(frozen=True)
class MemorisesRows(Cheat):
    """Stores its training samples in a dictionary."""

    name: ClassVar[str] = "memorised rows"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedLookup:
        """Store every row; a trace sees nothing of that."""
        rows = zip(task.train.x.tolist(), task.train.y.tolist(), strict=True)
        return FittedLookup({tuple(row): label for row, (label,) in rows})


@dataclass(frozen=True)
class RepeatsFirstAnswer(Cheat):
    """Solves its first task, and repeats that answer for all others."""

    first: list[FittedParity] = field(default_factory=list, repr=False, compare=False)

    name: ClassVar[str] = "first answer repeated"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Solve the task honestly, once."""
        if not self.first:
            self.first.append(GF2Elimination().fit(task, seed))
        return _checked(task, self.first[0])


@dataclass(frozen=True)
class CachesAnswers(Cheat):
    """Caches every answer by its data, so a trace after the timed training sees a lookup only."""

    k: int = 3
    known: dict[str, FittedParity] = field(default_factory=dict, repr=False, compare=False)

    name: ClassVar[str] = "answer cache"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Search all subsets of ``k`` bits, or look the result up."""
        key = "".join("+" if label > 0 else "-" for label in task.train.y[:_N_KEY_LABELS, 0].tolist())
        if key not in self.known:
            self.known[key] = WalshFourier(k=self.k).fit(task, seed)
        return _checked(task, self.known[key])


@dataclass(frozen=True)
class UsesNumPy(Cheat):
    """Searches all subsets of ``k`` bits in NumPy, in the memory of the samples."""

    k: int = 3

    name: ClassVar[str] = "untraced NumPy"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """The subset that agrees with most labels; the trace sees nothing of the search."""
        x, y = task.train.x.numpy()[:_N_SEARCHED], task.train.y.numpy()[:_N_SEARCHED, 0]
        columns = range(x.shape[1])
        best = max(combinations(columns, self.k), key=lambda bits: float(x[:, bits].prod(1) @ y))
        return _checked(task, FittedParity(best, len(x)))


def _checked(task: Task, fitted: FittedParity) -> FittedParity:
    """``fitted``, after a check on a few samples: all that a trace sees of most cheats."""
    torch.equal(fitted.predict(task.train.x[:_N_CHECKED]), task.train.y[:_N_CHECKED])
    return fitted


def planted_cheats(k: int = 3) -> tuple[Model, ...]:
    """New instances of all cheats, for ``k`` secret bits; they hold nothing from another task."""
    return RedrawsSecret(k), MemorisesRows(), RepeatsFirstAnswer(), CachesAnswers(k), UsesNumPy(k)
