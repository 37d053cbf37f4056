"""A trained transformer that decodes text character by character, with cached keys and values.

The context grows to ``block_size`` and then starts again, as in the windows that the network was trained on and that
nanoGPT's loss is a mean over. A sliding window would give each character a full context, at ``block_size`` times the
cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import nbytes
from sutrolib.models.fields import check_ids
from sutrolib.models.language.transformer import Transformer


@dataclass(frozen=True)
class FittedGPT:
    """A trained network with its learning curve and its number of updates."""

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
        """The device of the weights."""
        return self.network.positions.weight.device

    def decoder(self, streams: int) -> GPTDecoder:
        """A decoder of ``streams`` streams, with an empty context."""
        return GPTDecoder(self, streams)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) after ids x of shape (samples, 1 to block_size), on x's device."""
        check_ids(x, len(self.alphabet))
        with torch.inference_mode():
            return F.log_softmax(self.network(x.to(self.device))[:, -1], 1).to(x.device)


class GPTDecoder:
    """Holds the cached keys and values of each block, of shape (streams, heads, block_size, width / heads)."""

    def __init__(self, fitted: FittedGPT, streams: int) -> None:
        self.fitted = fitted
        network = fitted.network
        width = network.positions.weight.shape[1]
        self.cache = [
            torch.empty(2, streams, block.heads, network.block_size, width // block.heads, device=fitted.device)
            for block in network.block_list()
        ]
        self.filled = 0

    def step(self, ids: Tensor) -> Tensor:
        """Read ids (streams,); returns log-probabilities (streams, characters) on the device of the ids."""
        check_ids(ids, len(self.fitted.alphabet))
        network = self.fitted.network
        here = self.filled % network.block_size
        with torch.inference_mode():
            x = network.embed(ids.to(self.fitted.device)[:, None], here)
            for block, cache in zip(network.block_list(), self.cache, strict=True):
                q, k, v = block.split_heads(x)
                cache[0, :, :, here : here + 1], cache[1, :, :, here : here + 1] = k, v
                keys, values = cache[:, :, :, : here + 1]
                x = block.merge_heads(x, F.scaled_dot_product_attention(q, keys, values))
            self.filled = here + 1
            return F.log_softmax(network.logits(x)[:, 0], 1).to(ids.device)
