"""Handwritten digits from scikit-learn: 1,797 images of 8 x 8 pixels, a part of UCI's optical digits (no download).

Alpaydin and Kaynak, Cascading Classifiers, Kybernetika 34, 1998.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Split, Task, check_fields

_PIXEL_MAX = 16
_SPLIT_SEED = 0  # the split is part of the problem: it is the same for every seed


def class_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """The share of predictions (samples, classes) whose largest entry is that of the label (samples, 1)."""
    return (predictions.argmax(1, keepdim=True) == labels).double().mean().item()


@dataclass(frozen=True)
class Digits:
    """Which digit is it? The share ``test_share`` of the images of every digit is the test split.

    Every seed gives the same task. Fields out of range raise ValueError.
    """

    test_share: float = 0.25

    name: ClassVar[str] = "handwritten digits"
    target: ClassVar[float] = 0.95
    rung: ClassVar[str] = "digits"

    def __post_init__(self) -> None:
        check_fields(self, {"test_share": (0.05, 0.9)})

    def sample(self, seed: int) -> Task:
        """The task: x float32 of shape (samples, 64) in 0 to 1, y int64 of shape (samples, 1) in 0 to 9."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, digits = load_digits(return_X_y=True)
        parts = train_test_split(images, digits, test_size=self.test_share, random_state=_SPLIT_SEED, stratify=digits)
        train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
        return Task(
            train=Split(train_x.float() / _PIXEL_MAX, train_y[:, None]),
            test=Split(test_x.float() / _PIXEL_MAX, test_y[:, None]),
            score=class_accuracy,
            score_name="accuracy",
            target=self.target,
        )
