"""Classifiers of images: softmax regression, and the perceptron with one hidden layer, by SGD with momentum.

    p = softmax(W x + b),   or   p = softmax(W2 relu(W1 x + b1) + b2);   loss = mean of -ln p(label)

Bishop, Pattern Recognition and Machine Learning, 2006, sections 4.3 and 5.1. :func:`train` is shared with the mixture
of experts: what is compared is the network and not its training.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.core.types import Budget, Diverged, Task, nbytes
from sutrolib.models.fields import check_model


@dataclass(frozen=True)
class FittedClassifier:
    """A trained network, its learning curve and the number of updates that it took."""

    network: nn.Module
    history: tuple[tuple[int, float], ...]
    steps: int

    @property
    def nbytes(self) -> int:
        """The bytes of the weights."""
        return nbytes(*self.network.parameters())

    def predict(self, x: Tensor) -> Tensor:
        """Logits of shape (samples, classes) for x of shape (samples, inputs)."""
        with torch.inference_mode():
            found: Tensor = self.network(x)
            return found


@dataclass(frozen=True)
class Classifier:
    """What the classifiers share: the fields of their training, and the training.

    A share ``holdout`` of the training samples is set aside; training stops when a share ``enough`` of these is right
    after ``patience`` epochs in a row, or after ``max_epochs``. Fields out of range raise ValueError.
    """

    lr: float = field(
        default=0.1, metadata={"unit": "", "low": 1e-6, "high": 100.0, "log": True, "search": (0.003, 1.0)}
    )
    momentum: float = field(default=0.9, metadata={"unit": "", "low": 0.0, "high": 0.999, "search": (0.0, 0.98)})
    batch: int = field(
        default=32, metadata={"unit": "samples", "low": 1, "high": 1_000_000, "log": True, "search": (4, 256)}
    )
    max_epochs: int = field(default=60, metadata={"unit": "epochs", "low": 1, "high": 1_000_000})
    enough: float = field(default=0.97, metadata={"unit": "share", "low": 0.1, "high": 1.0})
    patience: int = field(default=2, metadata={"unit": "epochs", "low": 1, "high": 1_000_000, "search": (1, 4)})
    holdout: float = field(default=0.2, metadata={"unit": "share", "low": 0.01, "high": 0.9})

    name: ClassVar[str] = ""
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    @abstractmethod
    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The untrained network, logits (samples, classes) for x (samples, inputs)."""

    def penalty(self, network: nn.Module) -> Tensor | float:
        """What is added to the loss of the batch that ``network`` has just seen."""
        return 0.0

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedClassifier:
        """Train until the held-out samples are right, ``max_epochs`` are over, or ``budget`` is spent.

        Raises ValueError for labels that are not class numbers, and Diverged with the step at which the loss was no
        longer finite.
        """
        y = task.train.y[:, 0]
        if y.is_floating_point():
            raise ValueError(f"{self.name}: labels of type {y.dtype}, accepted are class numbers (int64)")
        network = self.network(task.train.x.shape[1], int(y.max().item()) + 1, seed)
        return train(self, network, task, seed, budget or Budget(), lambda: self.penalty(network))


def train(
    model: Classifier, network: nn.Module, task: Task, seed: int, budget: Budget, penalty: Callable[[], Tensor | float]
) -> FittedClassifier:
    """Mini-batch SGD with momentum on the cross-entropy of ``network``, plus ``penalty()`` after each forward pass."""
    x, y = task.train.x, task.train.y
    # Drawn and not cut off the end: the samples may be in an order.
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    held, kept = order.split([int(model.holdout * len(x)), len(x) - int(model.holdout * len(x))])
    optimizer = torch.optim.SGD(network.parameters(), lr=model.lr, momentum=model.momentum)
    history: list[tuple[int, float]] = []
    began = time.perf_counter()
    steps, spent = 0, False
    for _ in range(model.max_epochs):
        for rows in kept[torch.randperm(len(kept), generator=generator)].split(model.batch):
            loss = F.cross_entropy(network(x[rows]), y[rows, 0]) + penalty()
            steps += 1
            if not math.isfinite(loss.item()):
                raise Diverged(f"{model.name} with lr={model.lr:g}: the loss was {loss.item()} at step {steps}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            spent = budget.spent(steps, time.perf_counter() - began)
            if spent:
                break
        with torch.inference_mode():
            history.append((steps, task.score(network(x[held]), y[held])))
        sure = len(history) >= model.patience and all(s >= model.enough for _, s in history[-model.patience :])
        if budget.ended(*history[-1]) or sure or spent:
            break
    return FittedClassifier(network, tuple(history), steps)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer, its weights normal with variance 2 / inputs (He et al., arXiv 1502.01852), its bias zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / inputs), generator)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class SoftmaxRegression(Classifier):
    """One linear layer."""

    name: ClassVar[str] = "softmax regression"

    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The layer, all zero: the loss is convex, so the start does not matter."""
        layer = nn.Linear(inputs, classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer


@dataclass(frozen=True)
class Perceptron(Classifier):
    """A hidden layer of ReLUs and a linear one."""

    hidden: int = field(
        default=128, metadata={"unit": "units", "low": 1, "high": 100_000, "log": True, "search": (4, 512)}
    )

    name: ClassVar[str] = "multi-layer perceptron"

    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The two layers."""
        generator = torch.Generator().manual_seed(seed)
        return nn.Sequential(linear(inputs, self.hidden, generator), nn.ReLU(), linear(self.hidden, classes, generator))
