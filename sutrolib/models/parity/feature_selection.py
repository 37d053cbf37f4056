"""Two algorithms in a row: a cheap finder says which bits matter, and a network learns from these bits alone.

A network spends nearly all of its training on finding out which inputs matter (Barak et al., Hidden Progress in Deep
Learning, arXiv 2207.08799). What it is good at is the rest: it needs no rule of what the bits do together. So the
finder is asked for the bits, and no more of its answer is used. What the finder is told, the whole is told.
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
from sutrolib.models.fields import check_model
from sutrolib.models.parity.backtracking import ConstraintSearch
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination
from sutrolib.models.parity.gf2_noisy import RobustGF2
from sutrolib.models.parity.mlp import FittedNetwork, TwoLayerNetwork
from sutrolib.models.parity.walsh_fourier import WalshFourier

SUBSETS = 20_000  # that the finder of noisy parities may try: enough for 20 bits with 20 % noise


class FoundNothing(FailedRun):
    """The finder names no bit, so that there is nothing to learn from."""


class Finder(Protocol):
    """Names a subset of bits."""

    prior_knowledge: ClassVar[str]

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """The bits are the ``subset`` of what is returned."""
        ...


@dataclass(frozen=True)
class Correlation:
    """Names the ``k`` bits that are, one by one, most correlated with the labels: none of a parity's are."""

    k: int

    prior_knowledge: ClassVar[str] = "samples only"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Neither ``seed`` nor ``budget`` changes anything."""
        x, y = task.train.x, task.train.y
        with torch.inference_mode():
            strongest = (y.t() @ x)[0].abs().topk(min(self.k, x.shape[1])).indices
        return FittedParity(tuple(sorted(strongest.tolist())), len(x))


FINDERS: Mapping[str, Callable[[int, int], Finder]] = {  # of k and the number of samples
    "walsh-fourier": lambda k, samples: WalshFourier(k, samples),
    "gf2": lambda k, samples: GF2Elimination(),
    "robust gf2": lambda k, samples: RobustGF2(subsets=SUBSETS),
    "constraint": lambda k, samples: ConstraintSearch(k),
    "correlation": lambda k, samples: Correlation(k),
}


@dataclass(frozen=True)
class FittedFeeding:
    """The bits found, and the network that was trained on them."""

    subset: tuple[int, ...]
    network: FittedNetwork

    @property
    def steps(self) -> int:
        """The updates of the network."""
        return self.network.steps

    @property
    def history(self) -> tuple[tuple[int, float], ...]:
        """The learning curve of the network."""
        return self.network.history

    @property
    def nbytes(self) -> int:
        """The bytes of the network, and eight for each index of the subset."""
        return self.network.nbytes + 8 * len(self.subset)

    def predict(self, x: Tensor) -> Tensor:
        """Outputs of shape (samples, 1) for all bits x of shape (samples, n); their sign is the predicted label."""
        return self.network.predict(x[:, list(self.subset)])


@dataclass(frozen=True)
class Feeding:
    """The ``finder`` looks for bits in the first ``samples``, and ``network`` is trained on these bits of all samples.

    ``k`` is how many bits the finder looks for; the two that solve for the subset itself (gf2, robust gf2) ignore it.
    """

    finder: str = field(default="walsh-fourier", metadata={"choices": tuple(FINDERS), "search": True})
    k: int = field(default=3, metadata={"unit": "bits", "low": 2, "high": 12, "search": (2, 4)})
    samples: int = field(
        default=200, metadata={"unit": "samples", "low": 1, "high": 10_000_000, "log": True, "search": (20, 1000)}
    )
    network: TwoLayerNetwork = field(default_factory=TwoLayerNetwork)

    name: ClassVar[str] = "finder and network"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    @property
    def prior_knowledge(self) -> str:
        """What the finder is told."""
        return FINDERS[self.finder](self.k, self.samples).prior_knowledge

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedFeeding:
        """Find, then train. ``budget`` is that of the network, less the seconds that the finder took.

        Raises FoundNothing where the finder names no bits, and what the finder and the network raise.
        """
        began = time.perf_counter()
        seen = Split(task.train.x[: self.samples], task.train.y[: self.samples])
        finder = FINDERS[self.finder](self.k, self.samples)
        subset = finder.fit(dataclasses.replace(task, train=seen), seed).subset
        if not subset:
            raise FoundNothing(f"{self.name}: {self.finder} names no bit from {len(seen)} samples")
        with torch.inference_mode():
            narrow = Split(task.train.x[:, list(subset)], task.train.y)
        left = _left(budget, time.perf_counter() - began)
        return FittedFeeding(subset, self.network.fit(dataclasses.replace(task, train=narrow), seed, left))


def _left(budget: Budget | None, seconds: float) -> Budget | None:
    """The budget less ``seconds``; the network takes its first update even where none are left."""
    if budget is None or budget.seconds is None:
        return budget
    return dataclasses.replace(budget, seconds=max(budget.seconds - seconds, 1e-9))
