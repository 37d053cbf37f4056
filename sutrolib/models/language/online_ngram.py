"""An n-gram that keeps learning from the text while it reads it, starting from one that was trained before.

What it reads is counted in strings of ``min_order`` to ``max_order`` characters, in plain dictionaries, one update per
character; shorter strings are left to the training text, which is longer. With the trained distribution P_0 and the
counts c of what was read, from the shortest contexts to the longest,

    P_m(w | h) = (c(h w) + prior_weight P_{m-1}(w | h')) / (c(h) + prior_weight)

(Dirichlet smoothing: MacKay and Peto, A hierarchical Dirichlet language model, Natural Language Engineering 1, 1995):
the prior counts as much as ``prior_weight`` characters read after the same context. All of this is the cost of
inference; the cost of training is that of ``ngram``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, float_field, int_field
from sutrolib.models.language.kneser_ney import FittedNGram, NGramDecoder
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram

_Counts: TypeAlias = dict[tuple[int, ...], dict[int, int]]


@dataclass(frozen=True)
class FittedOnlineNGram(FittedNGram):
    """A trained n-gram, and the settings of what it learns while it reads, which adds to its bytes."""

    settings: OnlineNGram

    def decoder(self, streams: int) -> OnlineNGramDecoder:
        """A decoder of ``streams`` streams, each of which learns from its own text only."""
        return OnlineNGramDecoder(self, streams)


class OnlineNGramDecoder(NGramDecoder):
    """Also holds the last characters of each stream and the counts of what it has read."""

    def __init__(self, fitted: FittedOnlineNGram, streams: int) -> None:
        super().__init__(fitted, streams)
        self.settings = fitted.settings
        self.counts: list[_Counts] = [{} for _ in range(streams)]
        self.last: list[deque[int]] = [deque(maxlen=self.settings.max_order - 1) for _ in range(streams)]

    def read(self, ids: Tensor) -> None:
        """Read and count a character of each stream without predicting."""
        super().read(ids)
        for character, counts, last in zip(ids.tolist(), self.counts, self.last, strict=True):
            for context in self._contexts(last):
                after = counts.setdefault(context, {})
                after[character] = after.get(character, 0) + 1
            last.append(character)

    def step(self, ids: Tensor) -> Tensor:
        """Read ids (streams,); returns log-probabilities (streams, characters)."""
        found = super().step(ids).exp_()
        for row, counts, last in zip(found, self.counts, self.last, strict=True):
            for context in self._contexts(last):
                if after := counts.get(context, {}):
                    self._interpolate(row, after)
        return found.log_()

    def _contexts(self, last: deque[int]) -> list[tuple[int, ...]]:
        """The contexts that end here, the shortest first."""
        text = tuple(last)
        lengths = range(self.settings.min_order - 1, min(self.settings.max_order - 1, len(text)) + 1)
        return [text[len(text) - length :] for length in lengths]

    def _interpolate(self, row: Tensor, after: dict[int, int]) -> None:
        weight, total = self.settings.prior_weight, sum(after.values())
        row.mul_(weight / (total + weight))
        row[list(after)] += torch.tensor(list(after.values())) / (total + weight)


@dataclass(frozen=True)
class OnlineNGram(CheckedModel):
    """Trains ``ngram``, then keeps learning while it reads. Raises ValueError for fields out of range."""

    ngram: LeaveOneOutNGram = field(default_factory=LeaveOneOutNGram)
    min_order: int = int_field(5, "characters", 2, 20, search=(4, 8))
    max_order: int = int_field(9, "characters", 2, 20, search=(6, 12))
    prior_weight: float = float_field(40.0, 0.01, 1e6, unit="characters", log=True)

    name: ClassVar[str] = "online n-gram"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_order < self.min_order:
            raise ValueError(
                f"{self.name}: max_order must be at least min_order={self.min_order} (got {self.max_order})"
            )

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedOnlineNGram:
        """Train ``ngram``."""
        ngram = self.ngram.fit(task, seed, budget)
        return FittedOnlineNGram(ngram.alphabet, ngram.orders, self)
