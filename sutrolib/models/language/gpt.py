"""A decoder-only transformer of characters: nanoGPT's architecture and its published training recipe, written anew.

    x <- x + proj(attention(norm(x))),   x <- x + proj(gelu(4x wide(norm(x)))),   logits = norm(x) E^T

Pre-norm blocks, causal attention, learned positions, the head tied to the embedding E, no biases. Weights start normal
with deviation 0.02, those that write to the residual stream with 0.02 / sqrt(2 layers). AdamW with warm-up and a cosine
to ``min_lr``, weight decay on matrices only, clipped gradients. Radford et al., Language Models are Unsupervised
Multitask Learners, 2019; the recipe is that of nanoGPT's README for a CPU (github.com/karpathy/nanoGPT).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.core.types import Budget, Diverged, FailedRun, Task
from sutrolib.models.fields import check_model, number, whole
from sutrolib.models.language.kv_cache import FittedGPT

CHECK_EVERY = 100  # updates on a graphics card between two looks at the loss


class OutOfMemory(FailedRun):
    """The training did not fit into memory; the message names the batch and the bytes that were asked for."""


@contextmanager
def naming_memory(name: str, batch: int) -> Iterator[None]:
    """Turn what torch says when memory runs out into OutOfMemory, with the model's name and its batch."""
    try:
        yield
    except RuntimeError as error:  # of which torch.OutOfMemoryError is one, on a graphics card
        asked = re.search(r"allocate ([\d.]+ ?\w+)", str(error))
        if isinstance(error, torch.OutOfMemoryError) or (asked and "memory" in str(error)):
            amount = asked[1] if asked else "more memory than there is"
            raise OutOfMemory(f"{name} ran out of memory at batch={batch}: it asked for {amount}") from error
        raise


class Block(nn.Module):
    """One pre-norm block: attention over what came before, then a perceptron of four times the width."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.attended = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def heads_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each of shape (samples, heads, positions, width / heads)."""
        samples, positions, width = x.shape
        split = self.qkv(self.norm_1(x)).view(samples, positions, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """What leaves the block, from its input and what the heads (samples, heads, positions, ...) attended to."""
        merged = attended.transpose(1, 2).reshape(x.shape)
        x = x + F.dropout(self.attended(merged), self.dropout, self.training)
        return x + F.dropout(self.down(F.gelu(self.up(self.norm_2(x)))), self.dropout, self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Of shape (samples, positions, width), as its input."""
        q, k, v = self.heads_of(x)
        dropout = self.dropout if self.training else 0.0
        return self.finish(x, F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True))


class Transformer(nn.Module):
    """The network: logits (samples, positions, characters) for ids (samples, positions)."""

    def __init__(
        self, characters: int, block: int, layers: int, heads: int, width: int, dropout: float, seed: int
    ) -> None:
        super().__init__()
        self.block, self.dropout = block, dropout
        self.characters, self.positions = nn.Embedding(characters, width), nn.Embedding(block, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                writes_to_residual = name.endswith(("attended.weight", "down.weight"))
                deviation = 0.02 / math.sqrt(2 * layers) if writes_to_residual else 0.02
                nn.init.normal_(weight, 0, deviation, generator)

    @property
    def size(self) -> int:
        """Parameters without the positions, as nanoGPT counts them; the tied head counts once."""
        return sum(p.numel() for p in self.parameters()) - self.positions.weight.numel()

    def decoder(self) -> list[Block]:
        """The blocks in order."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def embed(self, ids: Tensor, first: int = 0) -> Tensor:
        """Embedding of ids (samples, positions) whose first stands at position ``first``."""
        x = self.characters(ids) + self.positions.weight[first : first + ids.shape[1]]
        return F.dropout(x, self.dropout, self.training)

    def logits(self, x: Tensor) -> Tensor:
        """Logits of what leaves the last block."""
        return F.linear(self.norm(x), self.characters.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits at every position. Raises ValueError for more positions than the block has."""
        if ids.shape[1] > self.block:
            raise ValueError(f"{ids.shape[1]} positions, accepted are 1 to block={self.block}")
        x = self.embed(ids)
        for block in self.decoder():
            x = block(x)
        return self.logits(x)


@dataclass(frozen=True)
class Architecture:
    """The network's shape, by default that of nanoGPT's recipe for a CPU; whoever trains one adds how."""

    layers: int = whole(4, "blocks", 1, 96)
    heads: int = whole(4, "heads", 1, 128)
    width: int = whole(128, "units", 1, 16_384)
    block: int = whole(64, "characters", 1, 65_536)

    name: ClassVar[str] = "GPT"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)
        if self.width % self.heads:
            raise ValueError(f"{self.name}: width={self.width} does not split into heads={self.heads} equal parts")


@dataclass(frozen=True)
class GPT(Architecture):
    """nanoGPT, by default with its recipe for a CPU.

    A share ``holdout`` of the training text, its beginning, is set aside, and gives a point of the learning curve every
    ``eval_every`` updates: none by default, as in the recipe. (The end of the training text would be the wrong part: it
    is of the play that the test text goes on with, and going without it costs 0.02 to 0.03 nats of test loss.)
    Weights and rows are drawn on the CPU whatever the ``device``, so that a seed means the same on both; dropout draws
    on the device. Fields out of range raise ValueError.
    """

    batch: int = whole(12, "sequences", 1, 1_000_000)
    max_steps: int = whole(2000, "updates", 1, 10_000_000)
    lr: float = number(1e-3, 1e-7, 10.0, log=True)
    min_lr: float = number(1e-4, 0.0, 10.0)
    warmup: int = whole(100, "updates", 0, 1_000_000)
    beta1: float = number(0.9, 0.0, 0.9999)
    beta2: float = number(0.99, 0.0, 0.9999)
    weight_decay: float = number(0.1, 0.0, 10.0)
    clip: float = number(1.0, 1e-6, 1e6)
    dropout: float = number(0.0, 0.0, 0.9)
    holdout: float = number(0.0, 0.0, 0.5)
    eval_every: int = whole(250, "updates", 1, 10_000_000)
    compile: bool = field(default=False, metadata={"choices": (False, True)})  # needs a C++ compiler
    device: str = field(default="cpu", metadata={"choices": ("cpu", "cuda")})

    def network(self, characters: int, seed: int) -> Transformer:
        """The untrained network for so many characters."""
        return Transformer(characters, self.block, self.layers, self.heads, self.width, self.dropout, seed)

    def rate(self, step: int) -> float:
        """The learning rate of update ``step``, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / (self.warmup + 1)
        share = (step - self.warmup) / max(1, self.max_steps - self.warmup)
        return self.min_lr + 0.5 * (1 + math.cos(math.pi * min(1.0, share))) * (self.lr - self.min_lr)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedGPT:
        """Train for ``max_steps`` updates, or until ``budget`` is spent.

        Raises ValueError for what is not text, for a text too short for the block and for a device that is not here,
        Diverged with the step at which the loss was seen to be no longer finite, and OutOfMemory with the batch and the
        bytes.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("GPT: device='cuda', and torch finds no graphics card; accepted here is cpu")
        if not task.alphabet:
            raise ValueError("GPT: the task is not text, as it has no alphabet")
        ids = torch.cat([task.train.x[:1], task.train.y[:, 0]])
        held = int(self.holdout * len(ids))
        kept = ids[held:]
        if len(kept) <= self.block:
            raise ValueError(f"GPT: {len(kept)} characters to train on, accepted are more than block={self.block}")
        with torch.random.fork_rng(devices=self._cards()):  # dropout draws from torch's own generator
            torch.manual_seed(seed)
            with naming_memory(self.name, self.batch):
                return self._train(task, kept, ids[:held], seed, budget or Budget())

    def _cards(self) -> list[int]:
        """The graphics cards whose generator the training draws from."""
        return [torch.cuda.current_device()] if self.device == "cuda" else []

    def _train(self, task: Task, kept: Tensor, held: Tensor, seed: int, budget: Budget) -> FittedGPT:
        network = self.network(len(task.alphabet), seed).to(self.device)
        kept, held = kept.to(self.device), held.to(self.device)
        run: nn.Module = torch.compile(network) if self.compile else network  # type: ignore[assignment]
        optimizer = self.optimizer(network)
        generator = torch.Generator().manual_seed(seed)
        within = torch.arange(self.block + 1, device=self.device)
        history: list[tuple[int, float]] = []
        began = time.perf_counter()
        steps, spent = 0, False
        while not spent:
            starts = torch.randint(len(kept) - self.block, (self.batch, 1), generator=generator)
            rows = kept[starts.to(self.device, non_blocking=True) + within]
            loss = self.update(run, network, optimizer, rows, steps)
            steps += 1
            spent = steps >= self.max_steps or budget.spent(steps, time.perf_counter() - began)
            # To look at a loss is to wait for a graphics card, and one that is no number stays so.
            seen = self.device == "cpu" or spent or steps % CHECK_EVERY == 0
            if seen and not math.isfinite(value := float(loss)):
                raise Diverged(f"GPT with lr={self.lr:g}: the loss was {value} at step {steps}")
            if len(held) > self.block and (spent or steps % self.eval_every == 0):
                history.append((steps, self._held_out_score(task, network, held)))
                spent = spent or budget.ended(*history[-1])
        return FittedGPT(network.eval(), task.alphabet, tuple(history), steps)

    def optimizer(self, network: Transformer) -> torch.optim.AdamW:
        """AdamW that decays matrices, and neither norms nor anything else of one dimension."""
        weights = list(network.parameters())
        groups = [
            {"params": [w for w in weights if w.dim() >= 2], "weight_decay": self.weight_decay},
            {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), fused=True)

    def update(
        self, run: nn.Module, network: Transformer, optimizer: torch.optim.AdamW, rows: Tensor, step: int
    ) -> float | Tensor:
        """One update from rows of ids (batch, block + 1); returns the loss before it, in nats per character.

        On a graphics card it is a tensor, so that nothing waits for it.
        """
        for group in optimizer.param_groups:
            group["lr"] = self.rate(step)
        loss = F.cross_entropy(run(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.clip)
        optimizer.step()
        return loss.item() if self.device == "cpu" else loss.detach()

    def _held_out_score(self, task: Task, network: Transformer, held: Tensor) -> float:
        rows = held[: (len(held) - 1) // self.block * self.block + 1]
        x, y = rows[:-1].view(-1, self.block), rows[1:]
        network.eval()
        with torch.inference_mode():
            found = torch.cat([F.log_softmax(network(part).flatten(0, 1), 1) for part in x.split(64)])
        network.train()
        return task.score(found, y[:, None])
