"""Image classifiers: softmax regression, a perceptron, a mixture of experts (all by SGD), and k nearest neighbours.

    p = softmax(W x + b),   or   p = softmax(W2 relu(W1 x + b1) + b2);   loss = mean of -ln p(label)

Bishop, Pattern Recognition and Machine Learning, 2006, sections 4.3 and 5.1. All networks share one training with
momentum, so that a comparison of the models compares networks only.

In the mixture of experts, a gate sends each sample to one of several small perceptrons:

    g = softmax(G x),   e = argmax g,   logits = g_e (V_e relu(W_e x + b_e) + c_e)

A sample runs through the gate and one expert, while all experts stay in memory: fewer operations per prediction, more
memory. The penalty ``load_balancing`` * E * sum of (share of samples sent to e) * (mean of g_e) keeps the gate from
sending all samples to one expert. Fedus, Zoph, Shazeer, Switch Transformers, JMLR 2022, section 2.

Nearest neighbours only store the samples, and every prediction looks at all of them. Cover and Hart, Nearest Neighbor
Pattern Classification, IEEE Transactions on Information Theory 13, 1967.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.core.types import Budget, Diverged, Task
from sutrolib.models.fields import CheckedModel, EpochLoop, FittedModel, float_field, int_field


@dataclass(frozen=True)
class FittedClassifier(FittedModel):
    """A trained network."""

    network: nn.Module

    def predict(self, x: Tensor) -> Tensor:
        """Logits of shape (samples, classes) for x of shape (samples, inputs)."""
        with torch.inference_mode():
            found: Tensor = self.network(x)
            return found


@dataclass(frozen=True)
class Classifier(CheckedModel):
    """Base of the trained classifiers: their fields and their training.

    A share ``holdout`` of the training samples is set aside. Training stops when the accuracy on these is at least
    ``stop_accuracy`` for ``patience`` epochs in a row, or after ``max_epochs``.
    """

    lr: float = float_field(0.1, 1e-6, 100.0, search=(0.003, 1.0), log=True)
    momentum: float = float_field(0.9, 0.0, 0.999, search=(0.0, 0.98))
    batch: int = int_field(32, "samples", 1, 1_000_000, search=(4, 256), log=True)
    max_epochs: int = int_field(60, "epochs", 1, 1_000_000)
    stop_accuracy: float = float_field(0.97, 0.1, 1.0, "share")
    patience: int = int_field(2, "epochs", 1, 1_000_000, search=(1, 4))
    holdout: float = float_field(0.2, 0.01, 0.9, "share")

    @abstractmethod
    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The untrained network, logits (samples, classes) for x (samples, inputs)."""

    def penalty(self, network: nn.Module) -> Tensor | float:
        """A term added to the loss of the batch that ``network`` has just seen."""
        return 0.0

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedClassifier:
        """Mini-batch SGD with momentum on the cross-entropy plus the penalty, until the held-out samples are right.

        Raises:
            ValueError: The labels are not class numbers.
            Diverged: The loss is not finite.
        """
        x, y = task.train.x, task.train.y
        network = self.network(x.shape[1], class_count(task, self.name), seed)
        # A random split: the samples may be sorted.
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(x), generator=generator)
        held, kept = order.split([int(self.holdout * len(x)), len(x) - int(self.holdout * len(x))])
        optimizer = torch.optim.SGD(network.parameters(), lr=self.lr, momentum=self.momentum)
        loop = EpochLoop(budget)
        for _ in range(self.max_epochs):
            for rows in loop.batches(kept[torch.randperm(len(kept), generator=generator)], self.batch):
                loss = F.cross_entropy(network(x[rows]), y[rows, 0]) + self.penalty(network)
                if not math.isfinite(value := loss.item()):
                    raise Diverged(f"{self.name} with lr={self.lr:g}: the loss was {value} at step {loop.steps + 1}")
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            with torch.inference_mode():
                score = task.score(network(x[held]), y[held])
            if loop.ended(score, self.stop_accuracy, self.patience):
                break
        return FittedClassifier(network, history=tuple(loop.history), steps=loop.steps)


def class_count(task: Task, name: str) -> int:
    """The number of classes, the largest label + 1. Raises ValueError unless the labels are class numbers."""
    y = task.train.y
    if y.is_floating_point():
        raise ValueError(f"{name}: labels must be class numbers of type int64 (got {y.dtype})")
    return int(y[:, 0].max().item()) + 1


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
        """The layer, initialised to zero: the loss is convex, so the start does not matter."""
        layer = nn.Linear(inputs, classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer


@dataclass(frozen=True)
class MLPClassifier(Classifier):
    """A hidden layer of ReLUs and a linear output layer."""

    hidden: int = int_field(128, "units", 1, 100_000, search=(4, 512), log=True)

    name: ClassVar[str] = "multi-layer perceptron"

    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The two layers."""
        generator = torch.Generator().manual_seed(seed)
        return nn.Sequential(linear(inputs, self.hidden, generator), nn.ReLU(), linear(self.hidden, classes, generator))


class Mixture(nn.Module):
    """The gate and the experts; ``imbalance`` is that of the last batch, 1 if all experts are used equally."""

    def __init__(self, inputs: int, classes: int, experts: int, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.gate = linear(inputs, experts, generator)
        self.experts = nn.ModuleList(
            nn.Sequential(linear(inputs, hidden, generator), nn.ReLU(), linear(hidden, classes, generator))
            for _ in range(experts)
        )
        self.imbalance: Tensor | float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (samples, classes) for x (samples, inputs)."""
        gates = self.gate(x).softmax(1)
        weight, chosen = gates.max(1)
        counts = torch.bincount(chosen, minlength=len(self.experts))
        self.imbalance = len(self.experts) * (counts / len(x)) @ gates.mean(0)
        order = chosen.argsort()  # group the samples by expert
        parts = x[order].split(counts.tolist())
        out = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        mixed: Tensor = out[order.argsort()] * weight[:, None]
        return mixed


@dataclass(frozen=True)
class MixtureOfExperts(Classifier):
    """``experts`` perceptrons of ``hidden`` units each; each sample runs through one."""

    experts: int = int_field(4, "experts", 1, 1024, search=(2, 8))
    hidden: int = int_field(32, "units", 1, 100_000, search=(2, 128), log=True)
    load_balancing: float = float_field(0.01, 0.0, 100.0)

    name: ClassVar[str] = "mixture of experts"

    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The gate and the experts."""
        return Mixture(inputs, classes, self.experts, self.hidden, seed)

    def penalty(self, network: nn.Module) -> Tensor | float:
        """``load_balancing`` times the imbalance of the batch."""
        assert isinstance(network, Mixture)
        return self.load_balancing * network.imbalance


@dataclass(frozen=True)
class FittedNeighbours(FittedModel):
    """The samples, their squared lengths, and their labels one-hot."""

    x: Tensor
    squares: Tensor
    votes: Tensor
    k: int

    def predict(self, x: Tensor) -> Tensor:
        """The class shares among the k nearest samples in Euclidean distance, of shape (samples, classes)."""
        # |a - b|^2 = |a|^2 - 2 a b + |b|^2, and |a|^2 is the same for all neighbours b of a.
        nearest = torch.addmm(self.squares, x, self.x.t(), alpha=-2).topk(self.k, largest=False).indices
        return self.votes[nearest].mean(1)


@dataclass(frozen=True)
class NearestNeighbours(CheckedModel):
    """The ``k`` nearest samples vote on the class."""

    k: int = int_field(3, "neighbours", 1, 10_000, search=(1, 15))

    name: ClassVar[str] = "k nearest neighbours"
    lazy_learning: ClassVar[bool] = True  # it says so itself: the work is in the predictions

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNeighbours:
        """Store the samples. Raises ValueError for fewer samples than k, or labels that are not class numbers."""
        x, y = task.train.x, task.train.y[:, 0]
        if len(x) < self.k:
            raise ValueError(f"{self.name}: needs at least k={self.k} samples (got {len(x)})")
        copy, squares = x.clone(), x.square().sum(1)
        return FittedNeighbours(copy, squares, torch.eye(class_count(task, self.name))[y], self.k)
