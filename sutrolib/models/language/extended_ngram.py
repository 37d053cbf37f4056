"""Two models that are better than the n-gram in them: a product with a GPT, and one that learns while it reads.

*A product of experts*: an n-gram and a GPT, trained separately, that predict together.

    p(w | h)  ~  p_ngram(w | h)^a  p_gpt(w | h)^b

An n-gram knows the training text by heart; a GPT, even a poor one, makes different mistakes. Their normalised product
is better than either (logarithmic opinion pool: Hinton, Training Products of Experts by Minimizing Contrastive
Divergence, Neural Computation 14, 2002). Choose the exponents on held-out training text.

*An online n-gram* keeps learning from the text while it reads it. What it reads is counted in strings of ``min_order``
to ``max_order`` characters, in plain dictionaries, one update per character; shorter strings are left to the training
text, which is longer. With the trained distribution P_0 and the counts c of what was read, from the shortest contexts
to the longest,

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
from sutrolib.models.fields import CheckedModel, FittedModel, float_field, int_field
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.kneser_ney import FittedNGram, NGramDecoder
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.models.language.transformer import FittedGPT, GPTDecoder


@dataclass(frozen=True)
class FittedProduct(FittedModel):
    """Both fitted models, with their exponents; ``history`` and ``steps`` are those of the GPT."""

    ngram: FittedNGram
    gpt: FittedGPT
    exponents: tuple[float, float]
    alphabet: str

    def decoder(self, streams: int) -> ProductDecoder:
        """A decoder of ``streams`` streams, with an empty context."""
        return ProductDecoder(self.ngram.decoder(streams), self.gpt.decoder(streams), self.exponents)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) after ids x of shape (samples, 1 to block_size)."""
        return log_product(self.ngram.predict(x), self.gpt.predict(x), self.exponents)


@dataclass(frozen=True)
class ProductDecoder:
    """Passes the text to both decoders, and multiplies their predictions."""

    ngram: NGramDecoder
    gpt: GPTDecoder
    exponents: tuple[float, float]

    def step(self, ids: Tensor) -> Tensor:
        """Read ids (streams,); returns log-probabilities (streams, characters)."""
        return log_product(self.ngram.step(ids), self.gpt.step(ids), self.exponents)


def log_product(first: Tensor, second: Tensor, exponents: tuple[float, float]) -> Tensor:
    """The logarithm of the normalised product of two distributions, given as logarithms, raised to ``exponents``."""
    return torch.log_softmax(exponents[0] * first + exponents[1] * second, 1)


@dataclass(frozen=True)
class ProductOfExperts(CheckedModel):
    """``ngram`` raised to ``ngram_exponent`` times ``gpt`` raised to ``gpt_exponent``.

    Raises ValueError for fields out of range.
    """

    ngram: LeaveOneOutNGram = field(default_factory=LeaveOneOutNGram)
    gpt: DistilledGPT = field(default_factory=lambda: DistilledGPT(max_steps=400, distill_weight=0.0))
    ngram_exponent: float = float_field(0.8, 0.0, 2.0, search=(0.0, 1.0))
    gpt_exponent: float = float_field(0.3, 0.0, 2.0, search=(0.0, 1.0))

    name: ClassVar[str] = "n-gram x GPT"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedProduct:
        """Count, then train the GPT within ``budget``. Raises as both models do."""
        ngram, gpt = self.ngram.fit(task, seed), self.gpt.fit(task, seed, budget)
        exponents = self.ngram_exponent, self.gpt_exponent
        return FittedProduct(ngram, gpt, exponents, task.alphabet, history=gpt.history, steps=gpt.steps)


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
