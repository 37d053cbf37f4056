"""A local learning rule, which fails: a documented negative result.

    h = tanh(W x),   W <- rows of unit length of (W + lr * mean of (h + y) x^T),   v <- v + lr * mean of y h

Each weight sees the activity on its two sides, to which the label adds the same for all units. A parity is uncorrelated
with every bit and every product of fewer than k bits, so that this has nothing to go on. Hebb, The Organization of
Behavior, 1949; unit length: Oja, A Simplified Neuron Model as a Principal Component Analyzer, 1982.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Task, nbytes
from sutrolib.models.fields import check_model


@dataclass(frozen=True)
class FittedHebbian:
    """Weights W (hidden, n) and v (1, hidden)."""

    W: Tensor
    v: Tensor
    history: tuple[tuple[int, float], ...]
    steps: int

    @property
    def nbytes(self) -> int:
        """The bytes of the weights."""
        return nbytes(self.W, self.v)

    def predict(self, x: Tensor) -> Tensor:
        """Outputs of shape (samples, 1); their sign is the predicted label."""
        return F.linear(torch.tanh(F.linear(x, self.W)), self.v)


@dataclass(frozen=True)
class Hebbian:
    """A hidden layer and an output, both trained by the rule above for ``epochs``."""

    hidden: int = field(
        default=200, metadata={"unit": "units", "low": 1, "high": 100_000, "log": True, "search": (8, 1000)}
    )
    lr: float = field(
        default=0.1, metadata={"unit": "", "low": 1e-6, "high": 10.0, "log": True, "search": (0.003, 1.0)}
    )
    batch: int = field(default=32, metadata={"unit": "samples", "low": 1, "high": 1_000_000})
    epochs: int = field(default=20, metadata={"unit": "epochs", "low": 1, "high": 1_000_000})
    holdout: float = field(default=0.2, metadata={"unit": "share", "low": 0.0, "high": 0.9})

    name: ClassVar[str] = "Hebbian rule"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedHebbian:
        """Train for ``epochs``, or until ``budget`` is spent."""
        budget, began = budget or Budget(), time.perf_counter()
        x, y = task.train.x, task.train.y
        kept = len(x) - int(self.holdout * len(x))
        generator = torch.Generator().manual_seed(seed)
        W = F.normalize(torch.randn(self.hidden, x.shape[1], generator=generator))
        v = torch.zeros(1, self.hidden)
        history: list[tuple[int, float]] = []
        steps, spent = 0, False
        with torch.inference_mode():
            for _ in range(self.epochs):
                for rows in torch.randperm(kept, generator=generator).split(self.batch):
                    h = torch.tanh(F.linear(x[rows], W))
                    W = F.normalize(W + self.lr / len(rows) * (h + y[rows]).t().mm(x[rows]))
                    v = v + self.lr / len(rows) * y[rows].t().mm(h)
                    steps += 1
                    spent = budget.spent(steps, time.perf_counter() - began)
                    if spent:
                        break
                scored = slice(kept, None) if kept < len(x) else slice(None)
                history.append((steps, task.score(FittedHebbian(W, v, (), steps).predict(x[scored]), y[scored])))
                if budget.ended(*history[-1]) or spent:
                    break
        return FittedHebbian(W, v, tuple(history), steps)
