"""An n-gram that learns from the text while it reads it, on top of one that was counted before.

What was read is counted in strings of ``shortest`` to ``longest`` characters, in plain dictionaries, a count a
character; shorter strings are left to the text that it was trained on, of which there is more. From the trained
distribution P and the counts c of what has been read, the shortest contexts first,

    P_m(w | h) = (c(h w) + weight P_{m-1}(w | h')) / (c(h) + weight)

(Dirichlet smoothing: MacKay and Peto, A hierarchical Dirichlet language model, Natural Language Engineering 1, 1995):
what was trained counts for as much as ``weight`` characters read after the same context. All of this is work of using
the model, and is weighed there: training is that of the n-gram below.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.language.kneser_ney import FittedNGram
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram

Counts: TypeAlias = dict[tuple[int, ...], dict[int, int]]


@dataclass(frozen=True)
class FittedAdapting:
    """The n-gram that was counted before, and how it is to go on."""

    counted: FittedNGram
    settings: AdaptingNGram
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def alphabet(self) -> str:
        """The characters that it was fitted on."""
        return self.counted.alphabet

    @property
    def nbytes(self) -> int:
        """The bytes before anything is read; what is read adds to them."""
        return self.counted.nbytes

    def reader(self, streams: int) -> AdaptingReader:
        """A reader of so many streams, each of which learns from itself alone."""
        return AdaptingReader(self, streams)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) of what follows ids x of shape (samples, characters of context)."""
        reader = self.reader(len(x))
        for column in x.unbind(1)[:-1]:
            reader.next(column)
        return reader.next(x[:, -1])


class AdaptingReader:
    """Keeps, of each stream, its last characters and the counts of what was read."""

    def __init__(self, fitted: FittedAdapting, streams: int) -> None:
        self.settings, self.before = fitted.settings, fitted.counted.reader(streams)
        self.read: list[Counts] = [{} for _ in range(streams)]
        self.last: list[deque[int]] = [deque(maxlen=self.settings.longest - 1) for _ in range(streams)]

    def next(self, ids: Tensor) -> Tensor:
        """Take in ids (streams,) and return log-probabilities (streams, characters)."""
        found = self.before.next(ids).exp_()
        for row, character, counts, last in zip(found, ids.tolist(), self.read, self.last, strict=True):
            for context in self._contexts(last):
                after = counts.setdefault(context, {})
                after[character] = after.get(character, 0) + 1
            last.append(character)
            for context in self._contexts(last):
                if after := counts.get(context, {}):
                    self._refine(row, after)
        return found.log_()

    def _contexts(self, last: deque[int]) -> list[tuple[int, ...]]:
        """The ends of what was read, the shortest first."""
        whole = tuple(last)
        lengths = range(self.settings.shortest - 1, min(self.settings.longest - 1, len(whole)) + 1)
        return [whole[len(whole) - length :] for length in lengths]

    def _refine(self, row: Tensor, after: dict[int, int]) -> None:
        weight, total = self.settings.weight, sum(after.values())
        row.mul_(weight / (total + weight))
        row[list(after)] += torch.tensor(list(after.values())) / (total + weight)


@dataclass(frozen=True)
class AdaptingNGram:
    """Counts and learns discounts as ``before``, then adapts while it reads. Fields out of range raise ValueError."""

    before: LeaveOneOutNGram = field(default_factory=LeaveOneOutNGram)
    shortest: int = field(default=5, metadata={"unit": "characters", "low": 2, "high": 20, "search": (4, 8)})
    longest: int = field(default=9, metadata={"unit": "characters", "low": 2, "high": 20, "search": (6, 12)})
    weight: float = field(default=40.0, metadata={"unit": "characters", "low": 0.01, "high": 1e6, "log": True})

    name: ClassVar[str] = "adapting n-gram"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)
        if self.longest < self.shortest:
            raise ValueError(f"{self.name}: longest={self.longest}, accepted are shortest={self.shortest} and above")

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedAdapting:
        """As ``before``."""
        return FittedAdapting(self.before.fit(task, seed, budget), self)
