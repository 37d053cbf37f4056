"""A curriculum over the number of bits: learn the parity among few of them, then widen the network to all.

Bits beyond the first lesson enter with weights near zero, so what was learned stays, and the search for the secret was
done where it is cheap. A teacher has to say which bits the first lessons are about. The Sutro group saw 292 epochs fall
to 20 at n=50, k=3 (cybertronai.github.io/SutroYaro/findings/exp_curriculum).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Split, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.mlp import FittedNetwork, Parameters, TwoLayerNetwork

NEAR_ZERO = 0.01  # of the uniform start of a fresh network


@dataclass(frozen=True)
class Curriculum:
    """Trains ``network`` on ``first`` bits, then on ``second``, then on all; a lesson of no fewer bits is left out."""

    first: int = field(default=10, metadata={"unit": "bits", "low": 1, "high": 10_000, "search": (3, 15)})
    second: int = field(default=30, metadata={"unit": "bits", "low": 1, "high": 10_000})
    network: TwoLayerNetwork = field(default_factory=TwoLayerNetwork)

    name: ClassVar[str] = "network with a curriculum"
    prior_knowledge: ClassVar[str] = "lesson by lesson, which few bits hold the secret"
    required_oracles: ClassVar[tuple[str, ...]] = ("lessons",)

    def __post_init__(self) -> None:
        check_model(self)
        if self.second < self.first:
            raise ValueError(f"Curriculum: second={self.second}, accepted are first={self.first} and above")

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNetwork:
        """Train on each lesson as :class:`TwoLayerNetwork` does, on the same samples; the budget covers all of them."""
        budget, began = budget or Budget(), time.perf_counter()
        n = task.train.x.shape[1]
        lessons = [task.oracles["lessons"](bits) for bits in (self.first, self.second) if bits < n]
        lessons.append(torch.arange(n))
        parameters: Parameters | None = None
        history: list[tuple[int, float]] = []
        steps = 0
        for number, columns in enumerate(lessons):
            if parameters is not None:
                fresh = self.network.initial(len(columns), seed + number)
                parameters = _widened(parameters, fresh, torch.isin(columns, lessons[number - 1]))
            left = _left(budget, steps, time.perf_counter() - began)
            if left is None:
                continue  # no more training, and the network is still widened to all bits
            part = Task(Split(task.train.x[:, columns], task.train.y), None, task.score, task.score_name, task.target)
            fitted = self.network.fit(part, seed, left, parameters)
            parameters = fitted.parameters
            history += [(steps + updates, score) for updates, score in fitted.history]
            steps += fitted.steps
        assert parameters is not None  # a budget is above 0, so the first lesson was begun
        return FittedNetwork(parameters, tuple(history), steps)


def _widened(narrow: Parameters, fresh: Parameters, known: Tensor) -> Parameters:
    """``narrow`` with columns of near-zero weights for the bits that are not ``known`` (a mask over the bits)."""
    W1 = fresh.W1 * NEAR_ZERO
    W1[:, known] = narrow.W1
    return Parameters(W1, narrow.b1, narrow.W2, narrow.b2)


def _left(budget: Budget, steps: int, seconds: float) -> Budget | None:
    """What is left of the budget; None where nothing is."""
    if budget.spent(steps, seconds):
        return None
    watch = budget.watch
    return Budget(
        None if budget.steps is None else budget.steps - steps,
        None if budget.seconds is None else budget.seconds - seconds,
        None if watch is None else lambda updates, score: watch(steps + updates, score),
    )
