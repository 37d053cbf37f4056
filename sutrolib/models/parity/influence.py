"""Influence estimation: flip one bit at a time, and see whether the label changes.

    Inf_i = P( f(x) != f(x with bit i flipped) ),   1 for the bits of a parity and 0 for the others

The first step of Kushilevitz and Mansour, Learning Decision Trees Using the Fourier Spectrum, SIAM J. Comput. 1993. It
has to ask for the labels of inputs that it makes up, which no fixed set of samples can answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.gf2 import FittedParity


@dataclass(frozen=True)
class InfluenceEstimation:
    """Takes the bits whose flips change more than half of ``probes`` labels; noisy labels need more probes."""

    probes: int = field(
        default=8, metadata={"unit": "queries a bit", "low": 1, "high": 1_000_000, "log": True, "search": (1, 128)}
    )

    name: ClassVar[str] = "influence estimation"
    prior_knowledge: ClassVar[str] = "that it is a parity, and the label of any input it asks for"
    required_oracles: ClassVar[tuple[str, ...]] = ("labels",)

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Ask for the labels of ``probes`` random inputs, and of each with every bit flipped in turn."""
        ask, n = task.oracles["labels"], task.train.x.shape[1]
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            x = torch.randint(0, 2, (self.probes, n), generator=generator).mul_(2).sub_(1).float()
            flipped = x[:, None] * (1 - 2 * torch.eye(n))  # (probes, n, n): bit i of copy i flipped
            before, after = ask(x), ask(flipped.flatten(0, 1)).view(self.probes, n)
            influence = (before != after).float().mean(0)
            subset = (influence > 0.5).nonzero().flatten()
        return FittedParity(tuple(subset.tolist()), self.probes * (n + 1))
