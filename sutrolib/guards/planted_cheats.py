"""Planted cheats on sparse parity: they look better than they are, so that a verification can be seen to say no.

Each is of a sort that a search may come upon, or that somebody may write without bad intent: an answer that is drawn
again from the seed, samples or an answer learned by heart, answers that are kept, and work that is done where no trace
sees it. Those that would not touch a tensor look at a few samples, as a meter has no reading of a fit that does
nothing, and a model without a reading is chosen by no process.
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
from sutrolib.models.parity.walsh_fourier import WalshFourier
from sutrolib.problems.parity import SparseParity

FEW = 8  # samples
ENOUGH = 200  # samples that tell one parity from another
MARK = 40  # labels by which a task is known again


@dataclass(frozen=True)
class Cheat:
    """What the planted models share."""

    name: ClassVar[str] = "a cheat"
    prior_knowledge: ClassVar[str] = "samples only, it says"
    required_oracles: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class DrawsTheSecretAgain(Cheat):
    """Knows how a problem of ``k`` secret bits draws them, and is given the same seed."""

    k: int = 3

    name: ClassVar[str] = "secret from the seed"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Draw the secret; nothing is learned."""
        return looked_at(task, FittedParity(SparseParity(n=task.train.x.shape[1], k=self.k).secret(seed), 0))


@dataclass(frozen=True)
class FittedByHeart:
    """Right about the rows that it has seen; says +1 of all others."""

    known: Mapping[tuple[float, ...], float]
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """Four bytes for each number kept."""
        return 4 * sum(len(row) + 1 for row in self.known)

    def predict(self, x: Tensor) -> Tensor:
        """Labels of shape (samples, 1) for x of shape (samples, n)."""
        return torch.tensor([[self.known.get(tuple(row), 1.0)] for row in x.tolist()])


@dataclass(frozen=True)
class LearnsRowsByHeart(Cheat):
    """Keeps its training samples in a dictionary."""

    name: ClassVar[str] = "rows by heart"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedByHeart:
        """Keep every row; a trace sees nothing of that."""
        rows = zip(task.train.x.tolist(), task.train.y.tolist(), strict=True)
        return FittedByHeart({tuple(row): label for row, (label,) in rows})


@dataclass(frozen=True)
class RepeatsItsFirstAnswer(Cheat):
    """Solves the first task that it is given, and says the same of all others: found on one seed, fit for that one."""

    first: list[FittedParity] = field(default_factory=list, repr=False, compare=False)

    name: ClassVar[str] = "first answer again"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Solve the task honestly, once."""
        if not self.first:
            self.first.append(GF2Elimination().fit(task, seed))
        return looked_at(task, self.first[0])


@dataclass(frozen=True)
class RemembersItsAnswers(Cheat):
    """Keeps every answer by what the data look like: whoever trains for the clock first traces a look-up."""

    k: int = 3
    known: dict[str, FittedParity] = field(default_factory=dict, repr=False, compare=False)

    name: ClassVar[str] = "answer cache"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Search all subsets of ``k`` bits, or look up what came of that."""
        key = "".join("+" if label > 0 else "-" for label in task.train.y[:MARK, 0].tolist())
        if key not in self.known:
            self.known[key] = WalshFourier(k=self.k).fit(task, seed)
        return looked_at(task, self.known[key])


@dataclass(frozen=True)
class WorksInNumPy(Cheat):
    """Searches all subsets of ``k`` bits in NumPy, over the memory of the samples."""

    k: int = 3

    name: ClassVar[str] = "NumPy on the side"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """The subset that most labels agree with; the trace sees nothing of how it was found."""
        x, y = task.train.x.numpy()[:ENOUGH], task.train.y.numpy()[:ENOUGH, 0]
        columns = range(x.shape[1])
        best = max(combinations(columns, self.k), key=lambda bits: float(x[:, bits].prod(1) @ y))
        return looked_at(task, FittedParity(best, len(x)))


def looked_at(task: Task, fitted: FittedParity) -> FittedParity:
    """``fitted``, after a glance at whether it is right about a few samples: all that a trace sees of most cheats."""
    torch.equal(fitted.predict(task.train.x[:FEW]), task.train.y[:FEW])
    return fitted


def planted(k: int = 3) -> tuple[Model, ...]:
    """All of them, for ``k`` secret bits, and new: nothing that one has kept from another task is there."""
    return (
        DrawsTheSecretAgain(k),
        LearnsRowsByHeart(),
        RepeatsItsFirstAnswer(),
        RemembersItsAnswers(k),
        WorksInNumPy(k),
    )
