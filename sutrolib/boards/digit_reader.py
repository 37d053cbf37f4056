"""Readers for the board mnist-60: kernel ridge regression, with a metric that is learned from its own gradients.

The metric is the mean outer product of the gradients of a first, smaller regression: directions along which the answer
does not change no longer count (Radhakrishnan et al., Mechanism for feature learning in neural networks and
backpropagation-free machine learning models, Science 383, 2024). What is left is one linear system.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import float_field, int_field

_TEXT = '''"""Kernel ridge regression, with a metric from the gradients of smaller ones."""

import torch

S = {settings}


def kernel(a, b, width):
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return squares.clamp_min_(0).mul_(-0.5 / width**2).exp_()


def solved(gram, labels, ridge):
    gram.diagonal().add_(ridge)
    return torch.cholesky_solve(labels, torch.linalg.cholesky(gram))


def metric(x, labels):
    """A square root of the mean outer product of the gradients, to a power, with a norm of sqrt(dimensions)."""
    gram = kernel(x, x, S["first_width"])
    weights = solved(gram.clone(), labels, S["first_ridge"])
    n, dimensions = x.shape
    pulled = gram @ (weights[:, :, None] * x[:, None, :]).reshape(n, -1)
    gradients = pulled.reshape(n, -1, dimensions) - (gram @ weights)[:, :, None] * x[:, None, :]
    gradients = gradients.reshape(-1, dimensions)
    sizes, directions = torch.linalg.eigh(gradients.T @ gradients)
    root = directions * (sizes.clamp_min(0) / sizes.max()) ** (S["power"] / 2) @ directions.T
    return root * (dimensions**0.5 / root.norm())


def my_method(train_x, train_y, test_x):
    labels = torch.nn.functional.one_hot(train_y, 10).to(train_x.dtype) - 0.1
    for number in range(S["updates"]):
        some = slice(number * S["centres"], (number + 1) * S["centres"])
        turn = metric(train_x[some], labels[some])
        train_x, test_x = train_x @ turn, test_x @ turn
    weights = solved(kernel(train_x, train_x, S["width"]), labels, S["ridge"])
    return (kernel(test_x, train_x, S["width"]) @ weights).argmax(1)
'''


@dataclass(frozen=True)
class DigitReader(BoardModel):
    """The reader; each of ``updates`` metrics is learned from ``centres`` rows of its own."""

    updates: int = int_field(0, "metrics", 0, 4)
    centres: int = int_field(1000, "rows", 100, 3000, log=True)
    first_width: float = float_field(6.0, 0.5, 50.0, "standard deviations", log=True)
    first_ridge: float = float_field(0.1, 1e-5, 10.0, log=True)
    power: float = float_field(0.5, 0.1, 2.0)
    width: float = float_field(6.0, 0.5, 50.0, "standard deviations", log=True)
    ridge: float = float_field(0.01, 1e-5, 10.0, log=True)

    name: ClassVar[str] = "kernel ridge regression"
    prior_knowledge: ClassVar[str] = "a smooth function of the inputs; that few directions matter"

    def text(self) -> str:
        """The file method.py."""
        return _TEXT.format(settings=json.dumps(dataclasses.asdict(self)))
