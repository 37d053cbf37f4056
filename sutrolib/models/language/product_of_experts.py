"""An n-gram and a network, each trained for itself, that predict together.

    p(w | h)  ~  p_counted(w | h)^a  p_network(w | h)^b

Counts know what the text has said before, word by word; a network, even a poor one, errs elsewhere. Multiplied, and
made to sum to 1 again, they are better than either (logarithmic opinion pool: Hinton, Training Products of Experts,
Neural Computation 14, 2002). The exponents are settings, to be found on text held out for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.language.distilled_gpt import TaughtGPT
from sutrolib.models.language.kneser_ney import FittedNGram, NGramReader
from sutrolib.models.language.kv_cache import FittedGPT, GPTReader
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram

EXPONENT: Mapping[str, Any] = {"unit": "", "low": 0.0, "high": 2.0, "search": (0.0, 1.0)}


@dataclass(frozen=True)
class FittedBlend:
    """Both, with their exponents."""

    counted: FittedNGram
    network: FittedGPT
    exponents: tuple[float, float]

    @property
    def alphabet(self) -> str:
        """The characters that both were fitted on."""
        return self.counted.alphabet

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """That of the network."""
        return self.network.history

    @property
    def steps(self) -> int:
        """The updates of the network."""
        return self.network.steps

    @property
    def nbytes(self) -> int:
        """The bytes of both."""
        return self.counted.nbytes + self.network.nbytes

    def reader(self, streams: int) -> BlendReader:
        """A reader of so many streams, without any context yet."""
        return BlendReader(self.counted.reader(streams), self.network.reader(streams), self.exponents)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) of what follows ids x of shape (samples, 1 to block)."""
        return pooled(self.counted.predict(x), self.network.predict(x), self.exponents)


@dataclass(frozen=True)
class BlendReader:
    """Gives both readers what is read, and pools what they say."""

    counted: NGramReader
    network: GPTReader
    exponents: tuple[float, float]

    def next(self, ids: Tensor) -> Tensor:
        """Take in ids (streams,) and return log-probabilities (streams, characters)."""
        return pooled(self.counted.next(ids), self.network.next(ids), self.exponents)


def pooled(first: Tensor, second: Tensor, exponents: tuple[float, float]) -> Tensor:
    """The logarithm of the product of two distributions raised to ``exponents``, given as logarithms."""
    return torch.log_softmax(exponents[0] * first + exponents[1] * second, 1)


@dataclass(frozen=True)
class Blend:
    """``counts`` raised to ``trust_counts`` times ``network`` raised to ``trust_network``.

    Fields out of range raise ValueError.
    """

    counts: LeaveOneOutNGram = field(default_factory=LeaveOneOutNGram)
    network: TaughtGPT = field(default_factory=lambda: TaughtGPT(max_steps=400, trust=0.0))
    trust_counts: float = field(default=0.8, metadata=EXPONENT)
    trust_network: float = field(default=0.3, metadata=EXPONENT)

    name: ClassVar[str] = "counts and a network"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedBlend:
        """Count, then train within ``budget``. Raises as the two do."""
        counted = self.counts.fit(task, seed)
        network = self.network.fit(task, seed, budget)
        return FittedBlend(counted, network, (self.trust_counts, self.trust_network))
