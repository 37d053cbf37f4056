"""A decoder-only transformer over characters: nanoGPT's architecture, written anew.

    x <- x + proj(attention(norm(x))),   x <- x + proj(gelu(4x wide(norm(x)))),   logits = norm(x) E^T

Pre-norm blocks, causal attention, learned positions, the head tied to the embedding E, no biases. Weights start normal
with standard deviation 0.02, and 0.02 / sqrt(2 layers) where they write to the residual stream. Radford et al.,
Language Models are Unsupervised Multitask Learners, 2019.

A trained network decodes text character by character, with cached keys and values. The context grows to ``block_size``
and then starts again, as in the windows that the network was trained on and that nanoGPT's loss is a mean over. A
sliding window would give each character a full context, at ``block_size`` times the cost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.core.types import FailedRun, Task
from sutrolib.models.fields import CheckedModel, FittedModel, check_ids, int_field, text_ids


class OutOfMemory(FailedRun):
    """Training did not fit into memory; the message names the batch size and the requested bytes."""


@contextmanager
def report_out_of_memory(name: str, batch: int) -> Iterator[None]:
    """Turn torch's out-of-memory errors into OutOfMemory, with the model's name and batch size."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError, from a graphics card, is one of these
        requested = re.search(r"allocate ([\d.]+ ?\w+)", str(error))
        if isinstance(error, torch.OutOfMemoryError) or (requested and "memory" in str(error)):
            amount = requested[1] if requested else "more memory than there is"
            raise OutOfMemory(f"{name} ran out of memory at batch={batch}: it requested {amount}") from error
        raise


class Block(nn.Module):
    """One pre-norm block: causal attention, then an MLP of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.attended = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each of shape (samples, heads, positions, width / heads)."""
        samples, positions, width = x.shape
        split = self.qkv(self.norm_1(x)).view(samples, positions, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def merge_heads(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output, from its input ``x`` and the attention's output (samples, heads, positions, ...)."""
        merged = attended.transpose(1, 2).reshape(x.shape)
        x = x + F.dropout(self.attended(merged), self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.norm_2(x)))), self.dropout, self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Input and output have shape (samples, positions, width)."""
        q, k, v = self.split_heads(x)
        dropout = self.dropout if self.training else 0.0
        return self.merge_heads(x, F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True))


class Transformer(nn.Module):
    """The network: ids (samples, positions) to logits (samples, positions, characters)."""

    def __init__(
        self, characters: int, block_size: int, layers: int, heads: int, width: int, dropout: float, seed: int
    ) -> None:
        super().__init__()
        self.block_size, self.dropout = block_size, dropout
        self.characters, self.positions = nn.Embedding(characters, width), nn.Embedding(block_size, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                writes_to_residual = name.endswith(("attended.weight", "down.weight"))
                deviation = 0.02 / math.sqrt(2 * layers) if writes_to_residual else 0.02
                nn.init.normal_(weight, 0, deviation, generator)

    @property
    def arguments(self) -> dict[str, int | float]:
        """The arguments that build this network anew, for :mod:`sutrolib.models.saved`."""
        (characters, width), blocks = self.characters.weight.shape, self.block_list()
        shape = {"characters": characters, "block_size": self.block_size, "layers": len(blocks)}
        return {**shape, "heads": blocks[0].heads, "width": width, "dropout": self.dropout, "seed": 0}

    @property
    def size(self) -> int:
        """The number of parameters without the positions, as nanoGPT counts them; the tied head counts once."""
        return sum(p.numel() for p in self.parameters()) - self.positions.weight.numel()

    def block_list(self) -> list[Block]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def embed(self, ids: Tensor, first: int = 0) -> Tensor:
        """Embed ids (samples, positions), the first of which is at position ``first``."""
        x = self.characters(ids) + self.positions.weight[first : first + ids.shape[1]]
        return F.dropout(x, self.dropout, self.training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits from the output of the last block."""
        return F.linear(self.norm(x), self.characters.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits at every position. Raises ValueError for more than ``block_size`` positions."""
        if ids.shape[1] > self.block_size:
            raise ValueError(f"there must be at most block_size={self.block_size} positions (got {ids.shape[1]})")
        x = self.embed(ids)
        for block in self.block_list():
            x = block(x)
        return self.logits(x)


@dataclass(frozen=True)
class Architecture(CheckedModel):
    """The network's shape, by default that of nanoGPT's recipe for a CPU; subclasses add how it is trained."""

    layers: int = int_field(4, "blocks", 1, 96)
    heads: int = int_field(4, "heads", 1, 128)
    width: int = int_field(128, "units", 1, 16_384)
    block_size: int = int_field(64, "characters", 1, 65_536)

    name: ClassVar[str] = "GPT"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise ValueError(f"{self.name}: width must be a multiple of heads={self.heads} (got {self.width})")

    def training_ids(self, task: Task, device: str, min_characters: int) -> Tensor:
        """The ids of the training text, int64 of shape (characters,), on the CPU.

        Raises:
            ValueError: torch finds no graphics card for ``device``, the task is not text, or the text is too short.
        """
        if device in ("cuda", "mps") and not getattr(torch, device).is_available():
            raise ValueError(f"{self.name}: torch finds no graphics card; use device='cpu' (got {device!r})")
        return text_ids(task, self.name, min_characters)


@dataclass(frozen=True)
class FittedGPT(FittedModel):
    """A trained network and its alphabet."""

    network: Transformer
    alphabet: str

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
