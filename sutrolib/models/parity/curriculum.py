"""Curriculum learning over the number of bits: learn the parity on few bits, then widen the network to all of them.

New bits enter with weights near zero, so the network keeps what it learned where the search for the secret was cheap.
A teacher has to say which bits the first lessons use. The Sutro group saw 292 epochs fall to 20 at n=50, k=3
(cybertronai.github.io/SutroYaro/findings/exp_curriculum).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Split, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.mlp import FittedNetwork, Parameters, TwoLayerNetwork

_NEW_WEIGHT_SCALE = 0.01  # of a fresh network's initial weights


@dataclass(frozen=True)
class Curriculum(CheckedModel):
    """Trains ``network`` on ``first_bits``, then ``second_bits``, then all n bits; skips lessons of n or more."""

    first_bits: int = int_field(10, "bits", 1, 10_000, search=(3, 15))
    second_bits: int = int_field(30, "bits", 1, 10_000)
    network: TwoLayerNetwork = field(default_factory=TwoLayerNetwork)

    name: ClassVar[str] = "network with a curriculum"
    prior_knowledge: ClassVar[str] = "lesson by lesson, which few bits hold the secret"
    required_oracles: ClassVar[tuple[str, ...]] = ("lessons",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.second_bits < self.first_bits:
            raise ValueError(
                f"Curriculum: second_bits must be at least first_bits={self.first_bits} (got {self.second_bits})"
            )

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNetwork:
        """Train on each lesson as :class:`TwoLayerNetwork` does, on the same samples. The budget covers all lessons."""
        budget, began = budget or Budget(), time.perf_counter()
        n = task.train.x.shape[1]
        lessons = [task.oracles["lessons"](bits) for bits in (self.first_bits, self.second_bits) if bits < n]
        lessons.append(torch.arange(n))
        parameters: Parameters | None = None
        history: list[tuple[int, float]] = []
        steps = 0
        for number, columns in enumerate(lessons):
            if parameters is not None:
                fresh = self.network.init_parameters(len(columns), seed + number)
                parameters = _widened(parameters, fresh, torch.isin(columns, lessons[number - 1]))
            remaining = _remaining(budget, steps, time.perf_counter() - began)
            if remaining is None:
                continue  # no more training, but still widen the network to all bits
            part = Task(Split(task.train.x[:, columns], task.train.y), None, task.score, task.score_name, task.target)
            fitted = self.network.fit(part, seed, remaining, parameters)
            parameters = fitted.parameters
            history += [(steps + updates, score) for updates, score in fitted.history]
            steps += fitted.steps
        assert parameters is not None  # a budget is above 0, so the first lesson ran
        return FittedNetwork(parameters, history=tuple(history), steps=steps)


def _widened(narrow: Parameters, fresh: Parameters, known: Tensor) -> Parameters:
    """``narrow`` with columns of near-zero weights for the bits that are not ``known`` (a mask over the bits)."""
    W1 = fresh.W1 * _NEW_WEIGHT_SCALE
    W1[:, known] = narrow.W1
    return Parameters(W1, narrow.b1, narrow.W2, narrow.b2)


def _remaining(budget: Budget, steps: int, seconds: float) -> Budget | None:
    """The rest of the budget; None if it is used up."""
    if budget.spent(steps, seconds):
        return None
    watch = budget.watch
    return Budget(
        None if budget.steps is None else budget.steps - steps,
        None if budget.seconds is None else budget.seconds - seconds,
        None if watch is None else lambda updates, score: watch(steps + updates, score),
    )
