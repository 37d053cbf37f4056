"""A file from which a long training goes on after an interruption, bit for bit as if there had been none."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sutrolib.core.io import write_atomically
from sutrolib.core.provenance import library
from sutrolib.models.saved import NotSaved, from_bytes, to_bytes

_EVERY_S = 60.0  # at most so much is lost


class Checkpoint:
    """The file of one training; ``about`` is the model with its settings and the seed, and ``ids`` its text.

    A file of another version of this library is that of another training.
    """

    def __init__(self, path: Path, about: object, ids: Tensor) -> None:
        text = hashlib.sha256(ids.cpu().numpy().tobytes()).hexdigest()[:16]
        self.path, self.about = path, f"{about!r}, text {text}, library {library(computing=True)}"
        self._saved = time.monotonic()

    def load(self, state: Sequence[Tensor], generator: torch.Generator) -> int:
        """Copy what is saved into the tensors and the generator; returns the updates so far, 0 without a file.

        Raises ValueError, with what to do, for a file that is damaged or holds another training.
        """
        if not self.path.exists():
            return 0
        try:
            about, steps, drawn, tensors = from_bytes(self.path.read_bytes())
        except (NotSaved, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} is damaged, or no checkpoint: remove it to begin anew") from error
        if about != self.about:
            raise ValueError(f"{self.path} is that of another training, {about}: remove it, or name another file")
        for tensor, saved in zip(state, tensors, strict=True):
            tensor.copy_(saved)
        generator.set_state(drawn)
        return int(steps)

    def save(self, steps: int, state: Sequence[Tensor], generator: torch.Generator, *, last: bool) -> None:
        """Save the training after so many updates, if it is the ``last`` one or the last time is a minute ago."""
        if last or time.monotonic() - self._saved >= _EVERY_S:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, to_bytes((self.about, steps, generator.get_state(), tuple(state))))
            self._saved = time.monotonic()
