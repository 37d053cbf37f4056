"""MNIST as the group's board mnist-60 draws it: images of 9 x 9, whitened and turned, with permuted labels.

LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE 86, 1998; Fashion-MNIST:
Xiao et al., arXiv 1708.07747. The rules are those of github.com/cybertronai/sutro-problems, mnist-a100.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from sutrolib.core import paths
from sutrolib.core.types import Split, Task, check_fields
from sutrolib.problems.digits import class_accuracy

_IMAGES, _LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
_SOURCES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
_SHA256 = {
    ("mnist", _IMAGES): "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ("mnist", _LABELS): "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ("fashion", _IMAGES): "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ("fashion", _LABELS): "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
}
_HEADERS = {_IMAGES: 16, _LABELS: 8}  # bytes before the values
_SIDE, _BOXES, DIRECTIONS, _CLASSES = 28, 9, 60, 10


@dataclass(frozen=True)
class WhitenedDigits:
    """Which class is it? Rows are drawn anew with each seed, as are the rotation and the permutation of the labels.

    ``images`` is ``mnist`` or ``fashion``, downloaded once to data/mnist. Fields out of range raise ValueError.
    """

    images: str = "mnist"
    n_train: int = 10_000
    n_test: int = 10_000

    name: ClassVar[str] = "whitened digits"
    target: ClassVar[float] = 0.946  # the easiest band of the board
    rung: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.images not in _SOURCES:
            raise ValueError(f"images must be {' or '.join(_SOURCES)} (got {self.images!r})")
        check_fields(self, {"n_train": (100, 30_000), "n_test": (1, 30_000)})

    def sample(self, seed: int) -> Task:
        """The task: x float32 of shape (samples, 60), y int64 of shape (samples, 1) in 0 to 9.

        Raises OSError for a download that fails, ValueError for one that is not what it should be.
        """
        return draw(*_pool(self.images), self.n_train, self.n_test, seed)


def draw(pixels: np.ndarray, labels: np.ndarray, n_train: int, n_test: int, seed: int) -> Task:
    """A draw of these images, of shape (n, 28, 28) in 0 to 255, and labels (n,).

    Training and test rows come from different halves of them, the same for all seeds. Raises ValueError for too few,
    and for training rows that span less than 60 dimensions.
    """
    half = len(pixels) // 2
    if max(n_train, n_test) > half:
        raise ValueError(
            f"n_train and n_test must be at most half of the {len(pixels)} images (got {n_train}, {n_test})"
        )
    rng, halves = np.random.default_rng(seed), np.random.default_rng(0).permutation(len(pixels))
    rows = [
        rng.choice(part, count, replace=False) for part, count in ((halves[:half], n_train), (halves[half:], n_test))
    ]
    train, test = (_averaged(pixels[some]) for some in rows)
    variances, directions = np.linalg.eigh(np.cov(train, rowvar=False))
    if variances[-DIRECTIONS] < 1e-10:
        raise ValueError(f"the training rows must span {DIRECTIONS} dimensions or more")
    turn, upper = np.linalg.qr(rng.standard_normal((DIRECTIONS, DIRECTIONS)))  # uniform with these signs
    whiten = directions[:, -DIRECTIONS:] / np.sqrt(variances[-DIRECTIONS:]) @ (turn * np.sign(np.diag(upper)))
    renamed = rng.permutation(_CLASSES)[labels.astype(int)]
    splits = []
    for part, some in zip((train, test), rows, strict=True):
        x = torch.from_numpy(((part - train.mean(0)) @ whiten).astype(np.float32))
        splits.append(Split(x, torch.from_numpy(renamed[some])[:, None]))
    return Task(splits[0], splits[1], class_accuracy, "accuracy", WhitenedDigits.target)


def _averaged(pixels: np.ndarray) -> np.ndarray:
    """The means of 9 x 9 equal boxes, each (n, 81) in 0 to 1; a pixel on a border counts for its part."""
    edges = np.arange(_BOXES + 1) * _SIDE / _BOXES
    starts, ends = np.maximum(edges[:-1, None], np.arange(_SIDE)), np.minimum(edges[1:, None], np.arange(1, _SIDE + 1))
    share = np.maximum(0, ends - starts) * _BOXES / _SIDE
    means: np.ndarray = (share @ (pixels / 255) @ share.T).reshape(len(pixels), -1)
    return means


@functools.cache
def _pool(images: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = (_values(images, file) for file in (_IMAGES, _LABELS))
    return pixels.reshape(-1, _SIDE, _SIDE), labels


def _values(images: str, file: str) -> np.ndarray:
    """The values of a file, downloaded if it is missing or damaged."""
    path, digest = paths.DATA / "mnist" / f"{images}-{file}", _SHA256[images, file]
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        address = _SOURCES[images] + file
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), digest, progress=False)
        except OSError as error:
            raise OSError(f"cannot download {address} ({error}): put a copy at {path}") from error
        except RuntimeError as error:
            raise ValueError(f"what {address} gives is not what was published: {error}") from error
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=_HEADERS[file])
