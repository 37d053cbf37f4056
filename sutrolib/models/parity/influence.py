"""Influence estimation: flip one bit at a time, and see whether the label changes.

    Inf_i = P( f(x) != f(x with bit i flipped) ),   1 for the bits of a parity and 0 for the others

The first step of Kushilevitz and Mansour, Learning Decision Trees Using the Fourier Spectrum, SIAM J. Comput. 1993. It
needs membership queries (labels of inputs that it makes up), which a fixed set of samples cannot answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.gf2 import FittedParity


@dataclass(frozen=True)
class InfluenceEstimation(CheckedModel):
    """Takes the bits whose flips change over half of ``queries_per_bit`` labels; noisy labels need more queries."""

    queries_per_bit: int = int_field(8, "queries a bit", 1, 1_000_000, search=(1, 128), log=True)

    name: ClassVar[str] = "influence estimation"
    prior_knowledge: ClassVar[str] = "that it is a parity, and the label of any input it asks for"
    required_oracles: ClassVar[tuple[str, ...]] = ("labels",)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Query the labels of ``queries_per_bit`` random inputs, and of each of them with every bit flipped in turn."""
        labels, n = task.oracles["labels"], task.train.x.shape[1]
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            x = torch.randint(0, 2, (self.queries_per_bit, n), generator=generator).mul_(2).sub_(1).float()
            flipped = x[:, None] * (1 - 2 * torch.eye(n))  # (probes, n, n): bit i of copy i flipped
            before, after = labels(x), labels(flipped.flatten(0, 1)).view(self.queries_per_bit, n)
            influence = (before != after).float().mean(0)
            subset = (influence > 0.5).nonzero().flatten()
        return FittedParity(tuple(subset.tolist()), self.queries_per_bit * (n + 1))
