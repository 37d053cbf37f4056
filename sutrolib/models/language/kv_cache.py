"""A trained transformer as a reader of text: keys and values of what was read are kept, so a character costs one row.

The context grows to the block and then begins anew, as in the windows that the network was trained on and that
nanoGPT's loss is a mean over. A window that slides would give each character a full context, at ``block`` times the
cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import nbytes

if TYPE_CHECKING:
    from sutrolib.models.language.gpt import Transformer


@dataclass(frozen=True)
class FittedGPT:
    """A trained network with its learning curve and the number of updates it took."""

    network: Transformer
    alphabet: str
    history: tuple[tuple[int, float], ...]
    steps: int

    @property
    def nbytes(self) -> int:
        """The bytes of the weights."""
        return nbytes(*self.network.parameters())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.positions.weight.device

    def reader(self, streams: int) -> GPTReader:
        """A reader of so many streams, without any context yet."""
        return GPTReader(self, streams)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) of what follows ids x of shape (samples, 1 to block), where x is."""
        _check(x, self.alphabet)
        with torch.inference_mode():
            return F.log_softmax(self.network(x.to(self.device))[:, -1], 1).to(x.device)


class GPTReader:
    """Keys and values of each block, of shape (streams, heads, block, width / heads), and how far they are filled."""

    def __init__(self, fitted: FittedGPT, streams: int) -> None:
        self.fitted = fitted
        network = fitted.network
        width = network.positions.weight.shape[1]
        self.kept = [
            torch.empty(2, streams, block.heads, network.block, width // block.heads, device=fitted.device)
            for block in network.decoder()
        ]
        self.filled = 0

    def next(self, ids: Tensor) -> Tensor:
        """Take in ids (streams,) and return log-probabilities (streams, characters) on the device of the ids."""
        _check(ids, self.fitted.alphabet)
        network = self.fitted.network
        here = self.filled % network.block
        with torch.inference_mode():
            x = network.embed(ids.to(self.fitted.device)[:, None], here)
            for block, kept in zip(network.decoder(), self.kept, strict=True):
                q, k, v = block.heads_of(x)
                kept[0, :, :, here : here + 1], kept[1, :, :, here : here + 1] = k, v
                keys, values = kept[:, :, :, : here + 1]
                x = block.finish(x, F.scaled_dot_product_attention(q, keys, values))
            self.filled = here + 1
            return F.log_softmax(network.logits(x)[:, 0], 1).to(ids.device)


def _check(ids: Tensor, alphabet: str) -> None:
    if not ((ids >= 0) & (ids < len(alphabet))).all():
        raise ValueError(f"ids {ids.min()} to {ids.max()}, accepted are 0 to {len(alphabet) - 1} of the alphabet")
