"""Sparse parity and its two siblings, challenge #1 of the Sutro group.

Inputs are uniform on {-1, +1}^n. A secret set S of k indices, drawn from the seed, makes the label:

* sparse parity   y = product of x_i over S           (Kearns 1998; Barak et al., arXiv 2207.08799)
* sparse sum      y = sum of x_i over S
* sparse AND      y = +1 where every x_i over S is +1, else -1

The other n - k bits are noise. No proper subset of S says anything about a parity, so it is a small test of feature
learning: a method that looks at one bit at a time cannot learn it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Score, Split, Task, check_fields

_MAX_BITS = 10_000
_MAX_SAMPLES = 10_000_000


def sign_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """The share of predictions with the sign of their label; 0 and NaN count as wrong."""
    return (predictions.sign() == labels).double().mean().item()


def _nearest_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """The share of predictions whose nearest value of a sparse sum (these are 2 apart) is their label."""
    return ((predictions - labels).abs() < 1).double().mean().item()


@dataclass(frozen=True)
class _SparseSubset:
    """Labels that depend on ``k`` secret bits of ``n``. Fields out of range raise ValueError.

    ``noise`` is the probability with which a *training* label is corrupted. Test labels are clean, so the score shows
    what was learned.
    """

    n: int = 20
    k: int = 3
    noise: float = 0.0
    n_train: int = 1000
    n_test: int = 1000

    name: ClassVar[str] = ""
    score: ClassVar[Score]
    target: ClassVar[float] = 0.99
    label: ClassVar[Callable[[Tensor], Tensor]]

    def __post_init__(self) -> None:
        samples = (1, _MAX_SAMPLES)
        check_fields(self, {"n": (1, _MAX_BITS), "n_train": samples, "n_test": samples, "noise": (0, 0.5)})
        check_fields(self, {"k": (1, self.n)})
        if self.noise == 0.5:
            raise ValueError(f"{type(self).__name__}: noise must be below 0.5, or there is nothing to learn (got 0.5)")

    @property
    def rung(self) -> str:
        """``parity`` up to n=20 and k=3 without noise, else ``parity-hard``."""
        return "parity" if self.n <= 20 and self.k <= 3 and self.noise == 0 else "parity-hard"

    def secret(self, seed: int) -> tuple[int, ...]:
        """The k secret indices of this seed, ascending, to check an answer. A model never sees them."""
        return tuple(sorted(self._secret(torch.Generator().manual_seed(seed)).tolist()))

    def sample(self, seed: int) -> Task:
        """The task of this seed: x of shape (samples, n) and y of shape (samples, 1), both float32."""
        generator = torch.Generator().manual_seed(seed)
        secret = self._secret(generator)
        rows = self.n_train + self.n_test
        x = torch.randint(0, 2, (rows, self.n), generator=generator).mul_(2).sub_(1).float()
        y = type(self).label(x[:, secret])
        corrupted = torch.rand((self.n_train, 1), generator=generator) < self.noise
        train_y = torch.where(corrupted, -y[: self.n_train], y[: self.n_train])
        return Task(
            # Clones: were they views of one storage, a model could reach the test rows through the training rows.
            train=Split(x[: self.n_train].clone(), train_y),
            test=Split(x[self.n_train :].clone(), y[self.n_train :].clone()),
            score=type(self).score,
            score_name="accuracy",
            target=self.target,
            oracles={
                "labels": functools.partial(self._labels, secret, torch.Generator().manual_seed(seed)),
                "lessons": functools.partial(self._lesson, secret),
            },
        )

    def _labels(self, secret: Tensor, generator: torch.Generator, x: Tensor) -> Tensor:
        """An oracle for the labels of inputs x (samples, n), corrupted like the training labels."""
        y = type(self).label(x[:, secret])
        return torch.where(torch.rand(y.shape, generator=generator) < self.noise, -y, y)

    def _lesson(self, secret: Tensor, bits: int) -> Tensor:
        """An oracle that names so many bits, ascending: the secret ones and the first others. May raise ValueError."""
        if not self.k <= bits <= self.n:
            raise ValueError(f"{type(self).__name__}: a lesson must have k={self.k} to n={self.n} bits (got {bits})")
        others = [bit for bit in range(self.n) if bit not in set(secret.tolist())]
        return torch.tensor(sorted([*secret.tolist(), *others[: bits - self.k]]))

    def _secret(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self.n, generator=generator)[: self.k]


@dataclass(frozen=True)
class SparseParity(_SparseSubset):
    """y = product of the secret bits. The standard setting is n=20, k=3; the small one n=3, k=3."""

    name: ClassVar[str] = "sparse parity"
    score: ClassVar[Score] = staticmethod(sign_accuracy)
    label: ClassVar[Callable[[Tensor], Tensor]] = staticmethod(lambda bits: bits.prod(1, keepdim=True))


@dataclass(frozen=True)
class SparseSum(_SparseSubset):
    """y = sum of the secret bits; a corrupted label has its sign flipped. Learned by regression."""

    name: ClassVar[str] = "sparse sum"
    score: ClassVar[Score] = staticmethod(_nearest_accuracy)
    label: ClassVar[Callable[[Tensor], Tensor]] = staticmethod(lambda bits: bits.sum(1, keepdim=True))


@dataclass(frozen=True)
class SparseAnd(_SparseSubset):
    """y = +1 where all secret bits are +1, else -1. To always predict -1 is right in 1 - 2^-k of the cases."""

    name: ClassVar[str] = "sparse AND"
    score: ClassVar[Score] = staticmethod(sign_accuracy)
    label: ClassVar[Callable[[Tensor], Tensor]] = staticmethod(lambda bits: bits.amin(1, keepdim=True))


# Between sparse parity and digits: more bits, a larger secret, and wrong labels (learning parity with noise: Blum,
# Kalai, Wasserman, JACM 2003). A network needs more samples for a larger secret.
HARDER = {
    "n=50, k=3": SparseParity(n=50, k=3),
    "n=20, k=5": SparseParity(n=20, k=5, n_train=5000),
    **{f"n=20, k=3, {share:.0%} noise": SparseParity(noise=share) for share in (0.05, 0.1, 0.15, 0.2)},
}
