"""Two ways to save the two-layer network its search for the secret: a curriculum, and feature selection.

A network spends nearly all of its training on finding out which inputs matter (Barak et al., Hidden Progress in Deep
Learning, arXiv 2207.08799). It is good at the rest: it needs no rule of what the bits do together.

*Curriculum learning* over the number of bits: learn the parity on few bits, then widen the network to all of them. New
bits enter with weights near zero, so the network keeps what it learned where the search for the secret was cheap. A
teacher has to say which bits the first lessons use. The Sutro group saw 292 epochs fall to 20 at n=50, k=3
(cybertronai.github.io/SutroYaro/findings/exp_curriculum).

*Feature selection, then training*: a cheap selector finds the bits that matter, and a network learns from these alone.
Only the bits that the selector names are used, not its prediction. The prior knowledge is that of the selector.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Split, Task
from sutrolib.models.fields import CheckedModel, FittedModel, choice, int_field
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination, RobustGF2
from sutrolib.models.parity.mlp import FittedNetwork, Parameters, TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, WalshFourier

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


_MAX_SUBSETS = 20_000  # of robust GF(2): enough for 20 bits with 20 % noise


class NoFeatureSelected(FailedRun):
    """The selector names no bit, so there is nothing to train on."""


@dataclass(frozen=True)
class Correlation:
    """Names the ``k`` bits that correlate most with the labels one by one; the bits of a parity do not."""

    k: int

    prior_knowledge: ClassVar[str] = "samples only"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Exact: ``seed`` and ``budget`` change nothing."""
        x, y = task.train.x, task.train.y
        with torch.inference_mode():
            strongest = (y.t() @ x)[0].abs().topk(min(self.k, x.shape[1])).indices
        return FittedParity(tuple(sorted(strongest.tolist())), len(x))


# Models, made of k and the number of samples, whose fit names the bits: the ``subset`` of a FittedParity.
SELECTORS: Mapping[str, Callable[[int, int], Any]] = {
    "walsh-fourier": lambda k, samples: WalshFourier(k, samples),
    "gf2": lambda k, samples: GF2Elimination(),
    "robust gf2": lambda k, samples: RobustGF2(max_subsets=_MAX_SUBSETS),
    "constraint": lambda k, samples: ConstraintSearch(k),
    "correlation": lambda k, samples: Correlation(k),
}


@dataclass(frozen=True)
class FittedOnSelection(FittedModel):
    """The selected bits, and the network trained on them."""

    subset: tuple[int, ...]
    network: FittedNetwork

    @property
    def nbytes(self) -> int:
        """The bytes of the network, and eight for each index of the subset."""
        return super().nbytes + 8 * len(self.subset)

    def predict(self, x: Tensor) -> Tensor:
        """Outputs of shape (samples, 1) for all bits x of shape (samples, n); their sign is the predicted label."""
        return self.network.predict(x[:, list(self.subset)])


@dataclass(frozen=True)
class FeatureSelectThenTrain(CheckedModel):
    """The ``selector`` looks for ``k`` bits in the first ``samples``; ``network`` trains on these bits of all samples.

    The two selectors that solve for the subset itself (gf2, robust gf2) ignore ``k``.
    """

    selector: str = choice(*SELECTORS)
    k: int = int_field(3, "bits", 2, 12, search=(2, 4))
    samples: int = int_field(200, "samples", 1, 10_000_000, search=(20, 1000), log=True)
    network: TwoLayerNetwork = field(default_factory=TwoLayerNetwork)

    name: ClassVar[str] = "feature selection, then network"

    @property
    def prior_knowledge(self) -> str:  # type: ignore[override]
        """What the selector knows beyond the samples."""
        return str(self._selector().prior_knowledge)

    def _selector(self) -> Any:
        return SELECTORS[self.selector](self.k, self.samples)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedOnSelection:
        """Select, then train. ``budget`` is that of the network, less the seconds of the selection.

        Raises NoFeatureSelected if the selector names no bit, and the errors of selector and network.
        """
        began = time.perf_counter()
        seen = Split(task.train.x[: self.samples], task.train.y[: self.samples])
        subset: tuple[int, ...] = self._selector().fit(dataclasses.replace(task, train=seen), seed).subset
        if not subset:
            raise NoFeatureSelected(f"{self.name}: {self.selector} names no bit from {len(seen)} samples")
        with torch.inference_mode():
            selected = Split(task.train.x[:, list(subset)], task.train.y)
        if budget is not None and budget.seconds is not None:  # the network takes its first update in any case
            left = max(budget.seconds - (time.perf_counter() - began), 1e-9)
            budget = dataclasses.replace(budget, seconds=left)
        network = self.network.fit(dataclasses.replace(task, train=selected), seed, budget)
        return FittedOnSelection(subset, network, history=network.history, steps=network.steps)
