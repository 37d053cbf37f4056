"""nanoGPT's network, trained in a few hundred updates: taught by a counted n-gram, and started looking back.

What differs from the published recipe is the training alone; the network, and what it computes, is that of
:mod:`sutrolib.models.language.gpt`. Five ingredients, each of which can be left out:

- soft targets: the distribution that a Kneser-Ney n-gram counts in the training text, mixed with the characters
  themselves (distillation: Hinton et al., arXiv 1503.02531);
- a first block that attends to the last characters from the start (``previous_token_init``);
- Muon for the matrices of the blocks (:mod:`sutrolib.models.language.muon`), Adam for the rest;
- rates that start high and fall to 0 along a line, without warm-up;
- the whole pass in bfloat16, with weights, optimizers and logits in float32 (Kalamkar et al., A Study of BFLOAT16 for
  Deep Learning Training, arXiv 1905.12322).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Diverged, Task
from sutrolib.models.fields import number, whole
from sutrolib.models.language.gpt import Architecture, Transformer, naming_memory
from sutrolib.models.language.kneser_ney import FittedNGram, KneserNey, find
from sutrolib.models.language.kv_cache import FittedGPT
from sutrolib.models.language.muon import Muon
from sutrolib.models.language.previous_token_init import look_back
from sutrolib.models.language.stacked_weights import Stacks

CHECK_EVERY = 20  # updates between two looks at the loss, for which a graphics card has to wait


@dataclass(frozen=True)
class TaughtGPT(Architecture):
    """A GPT whose targets are those of an n-gram by a share of ``trust``.

    ``lr`` is Adam's rate, for embedding, positions and gains; ``matrix_lr`` that of the matrices, which Muon updates
    or, with ``optimizer`` = "adam", Adam too. ``handed_on`` = 0 starts the first block like the others.
    Fields out of range raise ValueError.
    """

    batch: int = whole(8, "sequences", 1, 1_000_000)
    max_steps: int = whole(200, "updates", 1, 10_000_000)
    lr: float = number(0.02, 1e-6, 10.0, log=True)
    matrix_lr: float = number(0.01, 1e-6, 10.0, log=True)
    beta1: float = number(0.8, 0.0, 0.9999)
    beta2: float = number(0.95, 0.0, 0.9999)
    momentum: float = number(0.85, 0.0, 0.9999)
    iterations: int = whole(5, "Newton-Schulz iterations", 1, 20)
    optimizer: str = field(default="muon", metadata={"choices": ("muon", "adam")})
    decay: bool = field(default=True, metadata={"choices": (True, False)})
    trust: float = number(1.0, 0.0, 1.0)
    order: int = whole(4, "characters", 2, 8)
    spread: float = number(0.1, 1e-3, 10.0, log=True)
    peak: float = number(8.0, 0.1, 100.0, log=True)
    handed_on: float = number(0.2, 0.0, 10.0)
    precision: str = field(default="bfloat16", metadata={"choices": ("bfloat16", "float32")})
    device: str = field(default="cpu", metadata={"choices": ("cpu", "cuda")})

    name: ClassVar[str] = "taught GPT"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.handed_on and (self.heads < 2 or self.width // self.heads % 2):
            raise ValueError(
                f"{self.name}: heads={self.heads} of width {self.width // self.heads}, accepted are two or more of an "
                "even width, or handed_on=0"
            )

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedGPT:
        """Count the n-gram, and train for ``max_steps`` updates or until ``budget`` is spent.

        Raises ValueError for what is not text, a text too short and a device that is not here, Diverged with the step
        at which the loss was seen to be no longer finite, and OutOfMemory with the batch and the bytes.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"{self.name}: device='cuda', and torch finds no graphics card; accepted here is cpu")
        if not task.alphabet:
            raise ValueError(f"{self.name}: the task is not text, as it has no alphabet")
        ids = torch.cat([task.train.x[:1], task.train.y[:, 0]])
        if len(ids) <= self.block + self.order:
            raise ValueError(f"{self.name}: {len(ids)} characters, accepted are more than {self.block + self.order}")
        began = time.perf_counter()
        teacher = _Teacher(KneserNey(self.order).fit(task, seed), self.device) if self.trust else None
        network = self._start(len(task.alphabet), seed)
        stacks = Stacks.of(network)
        with naming_memory(self.name, self.batch):
            steps = self._train(stacks, ids.to(self.device), teacher, seed, budget or Budget(), began)
        stacks.write_to(network)
        return FittedGPT(network.eval(), task.alphabet, (), steps)

    def _start(self, characters: int, seed: int) -> Transformer:
        network = Transformer(characters, self.block, self.layers, self.heads, self.width, 0.0, seed)
        if self.handed_on:
            look_back(network, seed, self.spread, self.peak, self.handed_on)
        return network.to(self.device)

    def _train(
        self, stacks: Stacks, ids: Tensor, teacher: _Teacher | None, seed: int, budget: Budget, began: float
    ) -> int:
        """Change ``stacks`` in place; returns the number of updates."""
        dtype = getattr(torch, self.precision)
        update = _Updates(self, stacks, dtype)
        generator = torch.Generator().manual_seed(seed)
        lead = self.order - 2  # characters that the n-gram of the first position looks back beyond it
        within = torch.arange(lead + self.block + 1, device=self.device)
        steps = 0
        while True:
            starts = torch.randint(len(ids) - len(within) + 1, (self.batch, 1), generator=generator).to(self.device)
            rows = ids[starts + within]
            leaves = stacks.leaves(dtype)
            guesses = F.log_softmax(leaves.logits(rows[:, lead:-1], self.heads), 1)
            loss = self._loss(guesses, rows, teacher)
            loss.backward()
            update.step(leaves.gradients(), 1 - steps / self.max_steps if self.decay else 1.0)
            steps += 1
            spent = steps >= self.max_steps or budget.spent(steps, time.perf_counter() - began)
            if (spent or steps % CHECK_EVERY == 0) and not math.isfinite(value := loss.item()):
                raise Diverged(f"{self.name} with matrix_lr={self.matrix_lr:g}: the loss was {value} at step {steps}")
            if spent:
                return steps

    def _loss(self, guesses: Tensor, rows: Tensor, teacher: _Teacher | None) -> Tensor:
        labels = rows[:, self.order - 1 :].flatten()
        hard = F.nll_loss(guesses, labels)
        if teacher is None:
            return hard
        soft = -(teacher.after(rows[:, :-1], self.order) * guesses).sum(1).mean()
        return torch.lerp(hard, soft, self.trust)


class _Teacher:
    """The distributions of an n-gram after every context of its highest order, on the device of the training."""

    def __init__(self, counted: FittedNGram, device: str) -> None:
        self.probabilities, self.contexts = counted.table().to(device), counted.orders[-1].contexts.to(device)
        self.characters = len(counted.alphabet)

    def after(self, rows: Tensor, order: int) -> Tensor:
        """Probabilities (samples x positions, characters) after each string of ``order`` - 1 ids within the rows."""
        powers = self.characters ** torch.arange(order - 2, -1, -1, device=rows.device)
        context = (rows.unfold(1, order - 1, 1) * powers).sum(2).flatten()
        return self.probabilities[find(self.contexts, context)[0]]  # all are there: they are of the text


class _Updates:
    """Muon or Adam for the matrices, Adam for all else."""

    def __init__(self, model: TaughtGPT, stacks: Stacks, dtype: torch.dtype) -> None:
        self.model = model
        self.muons: dict[str, Muon] = {}
        groups: list[dict[str, Any]] = [{"params": list(stacks.others), "lr": model.lr}]
        if model.optimizer == "muon":
            self.muons = {
                name: Muon(stack, model.momentum, model.iterations, dtype) for name, stack in stacks.matrices.items()
            }
        else:
            groups.append({"params": list(stacks.matrices.values()), "lr": model.matrix_lr})
        self.adam = torch.optim.Adam(groups, betas=(model.beta1, model.beta2), fused=True)
        self.rates = model.lr, model.matrix_lr

    def step(self, gradients: Stacks, share: float) -> None:
        """One update at this share of the rates."""
        for name, muon in self.muons.items():
            muon.step(gradients.matrices[name], share * self.model.matrix_lr)
        found = [gradients.others, tuple(gradients.matrices.values())]
        for group, rate, given in zip(self.adam.param_groups, self.rates, found, strict=False):
            group["lr"] = share * rate
            for weight, gradient in zip(group["params"], given, strict=True):
                weight.grad = gradient
        self.adam.step()
