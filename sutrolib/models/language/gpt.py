"""nanoGPT with its published training recipe: AdamW, warm-up and cosine decay to ``min_lr``, clipped gradients.

Weight decay applies to matrices only. The default recipe is that of nanoGPT's README for a CPU
(github.com/karpathy/nanoGPT); the network is :class:`sutrolib.models.language.transformer.Transformer`. With
``precision="bfloat16"``, forward and backward pass are autocast, as nanoGPT's are on a graphics card.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.core.types import Budget, Diverged, Task
from sutrolib.models.fields import choice, float_field, int_field
from sutrolib.models.language.transformer import Architecture, FittedGPT, Transformer, report_out_of_memory

_CUDA_LOSS_CHECK_STEPS = 100  # reading a loss waits for the graphics card, so it is read only this often


@dataclass(frozen=True)
class GPT(Architecture):
    """nanoGPT, by default with its recipe for a CPU.

    ``holdout`` is the share of the training text, at its beginning, that is held out for a learning curve with a point
    every ``eval_every`` updates: none by default, as in the recipe. (The end of the training text would be the wrong
    part: it is from the play that continues in the test text, and leaving it out costs 0.02 to 0.03 nats of test loss.)
    Weights and rows are drawn on the CPU for every ``device``, so that a seed means the same on both; dropout draws on
    the device. Raises ValueError for fields out of range.
    """

    batch: int = int_field(12, "sequences", 1, 1_000_000)
    max_steps: int = int_field(2000, "updates", 1, 10_000_000)
    lr: float = float_field(1e-3, 1e-7, 10.0, log=True)
    min_lr: float = float_field(1e-4, 0.0, 10.0)
    warmup: int = int_field(100, "updates", 0, 1_000_000)
    beta1: float = float_field(0.9, 0.0, 0.9999)
    beta2: float = float_field(0.99, 0.0, 0.9999)
    weight_decay: float = float_field(0.1, 0.0, 10.0)
    clip: float = float_field(1.0, 1e-6, 1e6)
    dropout: float = float_field(0.0, 0.0, 0.9)
    holdout: float = float_field(0.0, 0.0, 0.5)
    eval_every: int = int_field(250, "updates", 1, 10_000_000)
    decay: str = choice("cosine", "linear")
    precision: str = choice("float32", "bfloat16", search=False)
    compile: bool = choice(False, True, search=False)  # needs a C++ compiler
    device: str = choice("cpu", "cuda", "mps", search=False)  # mps: the graphics processor of Apple silicon

    def network(self, characters: int, seed: int) -> Transformer:
        """The untrained network for an alphabet of this size."""
        return Transformer(characters, self.block_size, self.layers, self.heads, self.width, self.dropout, seed)

    def learning_rate(self, step: int) -> float:
        """The learning rate of update ``step``, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / (self.warmup + 1)
        share = min(1.0, (step - self.warmup) / max(1, self.max_steps - self.warmup))
        left = 0.5 * (1 + math.cos(math.pi * share)) if self.decay == "cosine" else 1 - share
        return self.min_lr + left * (self.lr - self.min_lr)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedGPT:
        """Train for ``max_steps`` updates, or until ``budget`` is spent.

        Raises:
            ValueError: the task is not text, the text is too short for the block, or the device is missing.
            Diverged: the loss is not finite; the message names the step at which this was seen.
            OutOfMemory: training does not fit into memory; the message names the batch size and the bytes.
        """
        ids = self.training_ids(task, self.device, self.block_size + 1)
        n_held = int(self.holdout * len(ids))
        if len(ids) - n_held <= self.block_size:
            raise ValueError(f"{self.name}: holdout={self.holdout} leaves {len(ids) - n_held} characters; lower it")
        cards = [self.device] if self.device in ("cuda", "mps") else []
        with torch.random.fork_rng(cards, device_type=self.device if cards else "cuda"):  # which dropout draws from
            torch.manual_seed(seed)
            with report_out_of_memory(self.name, self.batch):
                return self._train(task, ids[n_held:], ids[:n_held], seed, budget or Budget())

    def _train(self, task: Task, text: Tensor, held_out: Tensor, seed: int, budget: Budget) -> FittedGPT:
        network = self.network(len(task.alphabet), seed).to(self.device)
        text, held_out = text.to(self.device), held_out.to(self.device)
        run: nn.Module = torch.compile(network) if self.compile else network  # type: ignore[assignment]
        optimizer = self.optimizer(network)
        generator = torch.Generator().manual_seed(seed)
        within = torch.arange(self.block_size + 1, device=self.device)
        history: list[tuple[int, float]] = []
        began = time.perf_counter()
        steps, spent = 0, False
        while not spent:
            starts = torch.randint(len(text) - self.block_size, (self.batch, 1), generator=generator)
            rows = text[starts.to(self.device, non_blocking=self.device == "cuda") + within]
            loss = self.update(run, network, optimizer, rows, steps)
            steps += 1
            spent = steps >= self.max_steps or budget.spent(steps, time.perf_counter() - began)
            # A loss that is not finite stays so, so a graphics card need not be read after every update.
            check = self.device == "cpu" or spent or steps % _CUDA_LOSS_CHECK_STEPS == 0
            if check and not math.isfinite(value := float(loss)):
                raise Diverged(f"{self.name} with lr={self.lr:g}: the loss was {value} at step {steps}")
            if len(held_out) > self.block_size and (spent or steps % self.eval_every == 0):
                history.append((steps, self._held_out_score(task, network, held_out)))
                spent = spent or budget.ended(*history[-1])
            spent = budget.reached(steps, functools.partial(FittedGPT, network.eval(), task.alphabet)) or spent
            network.train()
        return FittedGPT(network.eval(), task.alphabet, history=tuple(history), steps=steps)

    def optimizer(self, network: Transformer) -> torch.optim.AdamW:
        """AdamW with weight decay on matrices only."""
        weights = list(network.parameters())
        groups = [
            {"params": [w for w in weights if w.dim() >= 2], "weight_decay": self.weight_decay},
            {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.lr, betas=(self.beta1, self.beta2), fused=True)

    def update(
        self, run: nn.Module, network: Transformer, optimizer: torch.optim.AdamW, rows: Tensor, step: int
    ) -> float | Tensor:
        """Make one update from rows of ids (batch, block_size + 1); returns the loss before it, in nats per character.

        On a graphics card the loss is a tensor, so that nothing waits for it.
        """
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        rounded = self.precision == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16) if rounded else contextlib.nullcontext():
            logits = run(rows[:, :-1]).flatten(0, 1)
        loss = F.cross_entropy(logits.float(), rows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.clip)
        optimizer.step()
        return loss.item() if self.device == "cpu" else loss.detach()

    def _held_out_score(self, task: Task, network: Transformer, held_out: Tensor) -> float:
        rows = held_out[: (len(held_out) - 1) // self.block_size * self.block_size + 1]
        x, y = rows[:-1].view(-1, self.block_size), rows[1:]
        network.eval()
        with torch.inference_mode():
            found = torch.cat([F.log_softmax(network(part).flatten(0, 1), 1) for part in x.split(64)])
        network.train()
        return task.score(found.cpu(), y[:, None].cpu())  # in float64, which mps does not have
