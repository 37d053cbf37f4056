"""Feature selection, then training: a cheap selector finds the bits that matter, and a network learns from these alone.

A network spends nearly all of its training on finding out which inputs matter (Barak et al., Hidden Progress in Deep
Learning, arXiv 2207.08799). It is good at the rest: it needs no rule of what the bits do together. So only the bits
that the selector names are used, not its prediction. The prior knowledge is that of the selector.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from sutrolib.core.types import Budget, FailedRun, Split, Task
from sutrolib.models.fields import CheckedModel, FittedModel, choice, int_field
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination, RobustGF2
from sutrolib.models.parity.mlp import FittedNetwork, TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, WalshFourier

_MAX_SUBSETS = 20_000  # of robust GF(2): enough for 20 bits with 20 % noise


class NoFeatureSelected(FailedRun):
    """The selector names no bit, so there is nothing to train on."""


class Selector(Protocol):
    """Names a subset of bits."""

    prior_knowledge: ClassVar[str]

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """The bits are the ``subset`` of what is returned."""
        ...


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


SELECTORS: Mapping[str, Callable[[int, int], Selector]] = {  # from k and the number of samples
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
        return self._selector().prior_knowledge

    def _selector(self) -> Selector:
        return SELECTORS[self.selector](self.k, self.samples)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedOnSelection:
        """Select, then train. ``budget`` is that of the network, less the seconds of the selection.

        Raises NoFeatureSelected if the selector names no bit, and the errors of selector and network.
        """
        began = time.perf_counter()
        seen = Split(task.train.x[: self.samples], task.train.y[: self.samples])
        subset = self._selector().fit(dataclasses.replace(task, train=seen), seed).subset
        if not subset:
            raise NoFeatureSelected(f"{self.name}: {self.selector} names no bit from {len(seen)} samples")
        with torch.inference_mode():
            selected = Split(task.train.x[:, list(subset)], task.train.y)
        if budget is not None and budget.seconds is not None:  # the network takes its first update in any case
            left = max(budget.seconds - (time.perf_counter() - began), 1e-9)
            budget = dataclasses.replace(budget, seconds=left)
        network = self.network.fit(dataclasses.replace(task, train=selected), seed, budget)
        return FittedOnSelection(subset, network, history=network.history, steps=network.steps)
