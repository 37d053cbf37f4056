"""A local learning rule that fails on parity: a documented negative result.

    h = tanh(W x),   W <- rows of unit length of (W + lr * mean of (h + y) x^T),   v <- v + lr * mean of y h

Each weight sees only the activity on its two sides, plus the label, which is the same for all units. A parity is
uncorrelated with every bit and every product of fewer than k bits, so the rule gets no signal. Hebb, The Organization
of Behavior, 1949; unit length: Oja, A Simplified Neuron Model as a Principal Component Analyzer, 1982.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, EpochLoop, FittedModel, float_field, int_field


@dataclass(frozen=True)
class FittedHebbian(FittedModel):
    """Weights W (hidden, n) and v (1, hidden)."""

    W: Tensor
    v: Tensor

    def predict(self, x: Tensor) -> Tensor:
        """Outputs of shape (samples, 1); their sign is the predicted label."""
        return F.linear(torch.tanh(F.linear(x, self.W)), self.v)


@dataclass(frozen=True)
class Hebbian(CheckedModel):
    """A hidden layer and an output, both trained by the rule above for ``epochs``."""

    hidden: int = int_field(200, "units", 1, 100_000, search=(8, 1000), log=True)
    lr: float = float_field(0.1, 1e-6, 10.0, search=(0.003, 1.0), log=True)
    batch: int = int_field(32, "samples", 1, 1_000_000)
    epochs: int = int_field(20, "epochs", 1, 1_000_000)
    holdout: float = float_field(0.2, 0.0, 0.9, "share")

    name: ClassVar[str] = "Hebbian rule"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedHebbian:
        """Train for ``epochs``, or until ``budget`` is spent."""
        loop = EpochLoop(budget)
        x, y = task.train.x, task.train.y
        kept = len(x) - int(self.holdout * len(x))
        generator = torch.Generator().manual_seed(seed)
        W = F.normalize(torch.randn(self.hidden, x.shape[1], generator=generator))
        v = torch.zeros(1, self.hidden)
        with torch.inference_mode():
            for _ in range(self.epochs):
                for rows in loop.batches(torch.randperm(kept, generator=generator), self.batch):
                    h = torch.tanh(F.linear(x[rows], W))
                    W = F.normalize(W + self.lr / len(rows) * (h + y[rows]).t().mm(x[rows]))
                    v = v + self.lr / len(rows) * y[rows].t().mm(h)
                scored = slice(kept, None) if kept < len(x) else slice(None)
                if loop.ended(task.score(FittedHebbian(W, v).predict(x[scored]), y[scored])):
                    break
        return FittedHebbian(W, v, history=tuple(loop.history), steps=loop.steps)
