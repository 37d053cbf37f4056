"""An n-gram and a GPT, trained separately, that predict together.

    p(w | h)  ~  p_ngram(w | h)^a  p_gpt(w | h)^b

An n-gram knows the training text by heart; a GPT, even a poor one, makes different mistakes. Their normalised product
is better than either (logarithmic opinion pool: Hinton, Training Products of Experts by Minimizing Contrastive
Divergence, Neural Computation 14, 2002). Choose the exponents on held-out training text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, FittedModel, float_field
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
