"""nanoGPT's network, trained in a few hundred updates by distilling an n-gram.

Only the training differs from the published recipe; the network and its inference are those of
:mod:`sutrolib.models.language.transformer`. Five ingredients, each of which can be left out:

- soft targets: the distribution of a Kneser-Ney n-gram counted on the training text, mixed with the characters
  themselves (distillation: Hinton et al., arXiv 1503.02531);
- a first block that attends to the previous characters from the start, and
- Muon for the matrices of the blocks, Adam for the rest (both in :mod:`sutrolib.models.language.fast_training`);
- learning rates that start high and decay linearly to 0, without warm-up;
- forward and backward pass in bfloat16, with weights, optimizers and logits in float32 (Kalamkar et al., A Study of
  BFLOAT16 for Deep Learning Training, arXiv 1905.12322).
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Diverged, Task
from sutrolib.models.fields import choice, float_field, int_field
from sutrolib.models.language import fast_training
from sutrolib.models.language.checkpoint import Checkpoint
from sutrolib.models.language.kneser_ney import FittedNGram, KneserNey, lookup
from sutrolib.models.language.transformer import Architecture, FittedGPT, Transformer, report_out_of_memory

_LOSS_CHECK_STEPS = 20  # reading a loss waits for the graphics card, so it is read only this often


@dataclass(frozen=True)
class DistilledGPT(Architecture):
    """A GPT whose loss is ``distill_weight`` times that on an n-gram's predictions, and the rest on the characters.

    ``lr`` is Adam's learning rate, for embedding, positions and norms; ``matrix_lr`` that of the matrices, which Muon
    updates, or Adam with ``optimizer="adam"``. ``embedding_std``, ``attention_logit`` and ``value_gain`` are those of
    ``fast_training.previous_token_init``; ``value_gain=0`` turns it off. Raises ValueError for
    fields out of range.
    """

    batch: int = int_field(8, "sequences", 1, 1_000_000)
    max_steps: int = int_field(200, "updates", 1, 10_000_000)
    lr: float = float_field(0.02, 1e-6, 10.0, log=True)
    matrix_lr: float = float_field(0.01, 1e-6, 10.0, log=True)
    beta1: float = float_field(0.8, 0.0, 0.9999)
    beta2: float = float_field(0.95, 0.0, 0.9999)
    momentum: float = float_field(0.85, 0.0, 0.9999)
    newton_schulz_steps: int = int_field(5, "iterations", 1, 20)
    optimizer: str = choice("muon", "adam", search=False)
    lr_decay: bool = choice(True, False, search=False)
    distill_weight: float = float_field(1.0, 0.0, 1.0)
    teacher_order: int = int_field(4, "characters", 2, 8)
    embedding_std: float = float_field(0.1, 1e-3, 10.0, log=True)
    attention_logit: float = float_field(8.0, 0.1, 100.0, log=True)
    value_gain: float = float_field(0.2, 0.0, 10.0)
    precision: str = choice("bfloat16", "float32", search=False)
    device: str = choice("cpu", "cuda", "mps", search=False)

    name: ClassVar[str] = "distilled GPT"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value_gain and (self.heads < 2 or self.width // self.heads % 2):
            raise ValueError(
                f"{self.name}: heads must be at least 2 and width / heads even, or value_gain=0 "
                f"(got heads={self.heads}, width={self.width})"
            )

    def soft_weight(self, left: float) -> float:
        """The weight of the n-gram's predictions when this share of the updates is left."""
        return self.distill_weight

    def fit(self, task: Task, seed: int, budget: Budget | None = None, checkpoint: Path | None = None) -> FittedGPT:
        """Count the n-gram, then train for ``max_steps`` updates or until ``budget`` is spent.

        With a file for a ``checkpoint``, the training is saved there now and then, and goes on from there.

        Raises:
            ValueError: the task is not text, the text is too short, the device is missing, or the checkpoint is that of
                another training.
            Diverged: the loss is not finite; the message names the step at which this was seen.
            OutOfMemory: training does not fit into memory; the message names the batch size and the bytes.
        """
        ids = self.training_ids(task, self.device, self.block_size + self.teacher_order + 1)
        began = time.perf_counter()
        teacher = None
        if self.distill_weight:
            teacher = _Teacher(KneserNey(self.teacher_order).fit(task, seed), self.device)
        size = self.block_size, self.layers, self.heads, self.width
        network = Transformer(len(task.alphabet), *size, 0.0, seed)
        if self.value_gain:
            fast_training.previous_token_init(network, seed, self.embedding_std, self.attention_logit, self.value_gain)
        network.to(self.device)
        weights = fast_training.stack_weights(network)
        with report_out_of_memory(self.name, self.batch):

            def fitted(steps: int) -> FittedGPT:
                fast_training.write_weights(weights, network)
                return FittedGPT(network.eval(), task.alphabet, steps=steps)

            saved = Checkpoint(checkpoint, (self, seed), ids) if checkpoint else None
            about = seed, budget or Budget(), began, fitted
            return fitted(self._train(weights, ids.to(self.device), teacher, *about, saved))

    def _train(
        self,
        weights: dict[str, Tensor],
        ids: Tensor,
        teacher: _Teacher | None,
        seed: int,
        budget: Budget,
        began: float,
        fitted: Callable[[int], FittedGPT],
        checkpoint: Checkpoint | None,
    ) -> int:
        """Train ``weights`` in place; returns the number of updates."""
        dtype = getattr(torch, self.precision)
        optimizer = _Optimizer(self, weights, dtype)
        generator = torch.Generator().manual_seed(seed)
        lead = self.teacher_order - 2  # characters before the first position that the teacher's context needs
        within = torch.arange(lead + self.block_size + 1, device=self.device)
        state = [*weights.values(), *optimizer.state]
        steps = checkpoint.load(state, generator) if checkpoint else 0
        if steps >= self.max_steps or (steps and budget.spent(steps, 0.0)):
            return steps
        while True:
            left = 1 - steps / self.max_steps
            starts = torch.randint(len(ids) - len(within) + 1, (self.batch, 1), generator=generator).to(self.device)
            rows = ids[starts + within]
            copies = {name: weight.to(dtype, copy=True).requires_grad_() for name, weight in weights.items()}
            log_probabilities = F.log_softmax(fast_training.stacked_logits(copies, rows[:, lead:-1], self.heads), 1)
            loss = self._loss(log_probabilities, rows, teacher, self.soft_weight(left))
            loss.backward()
            optimizer.step(  # the gradients have no name here, so that they are freed after the step
                {name: copy.grad.float() for name, copy in copies.items() if copy.grad is not None},
                left if self.lr_decay else 1.0,
            )
            steps += 1
            spent = steps >= self.max_steps or budget.spent(steps, time.perf_counter() - began)
            spent = budget.reached(steps, functools.partial(fitted, steps)) or spent
            if (spent or steps % _LOSS_CHECK_STEPS == 0) and not math.isfinite(value := loss.item()):
                raise Diverged(f"{self.name} with matrix_lr={self.matrix_lr:g}: the loss was {value} at step {steps}")
            if checkpoint:
                checkpoint.save(steps, state, generator, last=spent)
            if spent:
                return steps

    def _loss(self, log_probabilities: Tensor, rows: Tensor, teacher: _Teacher | None, weight: float) -> Tensor:
        hard = F.nll_loss(log_probabilities, rows[:, self.teacher_order - 1 :].flatten())
        if teacher is None or not weight:
            return hard
        soft = -(teacher.targets(rows[:, :-1], self.teacher_order) * log_probabilities).sum(1).mean()
        return torch.lerp(hard, soft, weight)


@dataclass(frozen=True)
class FadingDistillation(DistilledGPT):
    """A distilled GPT whose n-gram fades: its weight falls linearly from ``distill_weight`` to 0.

    For trainings that end below the loss of the n-gram, which then has nothing more to teach.
    """

    name: ClassVar[str] = "GPT, distilled at first"

    def soft_weight(self, left: float) -> float:
        """The weight of the n-gram's predictions when this share of the updates is left."""
        return self.distill_weight * left


class _Teacher:
    """The predictions of an n-gram after every context of its highest order, on the device of the training."""

    def __init__(self, ngram: FittedNGram, device: str) -> None:
        self.probabilities, self.contexts = ngram.distributions().to(device), ngram.orders[-1].contexts.to(device)
        self.characters = len(ngram.alphabet)

    def targets(self, rows: Tensor, order: int) -> Tensor:
        """Probabilities (samples x positions, characters) after each string of ``order`` - 1 ids within the rows."""
        powers = self.characters ** torch.arange(order - 2, -1, -1, device=rows.device)
        context = (rows.unfold(1, order - 1, 1) * powers).sum(2).flatten()
        return self.probabilities[lookup(self.contexts, context)[0]]  # all are there, as they are from the text


class _Optimizer:
    """Muon or Adam for the matrices, Adam for the rest."""

    def __init__(self, model: DistilledGPT, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
        self.rates = model.lr, model.matrix_lr
        by_muon = fast_training.MATRICES if model.optimizer == "muon" else ()
        self.muons = {
            name: fast_training.Muon(weights[name], model.momentum, model.newton_schulz_steps, dtype)
            for name in by_muon
        }
        self.by_adam = {name: weight for name, weight in weights.items() if name not in by_muon}
        groups = [
            [w for n, w in self.by_adam.items() if (n in fast_training.MATRICES) == matrices]
            for matrices in (False, True)
        ]
        parameters = [{"params": group} for group in groups if group]
        self.adam = torch.optim.Adam(parameters, betas=(model.beta1, model.beta2), fused=True)
        for weight in self.by_adam.values():  # as Adam would at its first step, so that a checkpoint can be loaded
            moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            self.adam.state[weight] = {"step": torch.zeros((), device=weight.device), **moments}

    @property
    def state(self) -> list[Tensor]:
        """All that an update changes, beside the weights."""
        moments = [tensor for weight in self.by_adam.values() for tensor in self.adam.state[weight].values()]
        return [*(muon.mean for muon in self.muons.values()), *moments]

    def step(self, gradients: dict[str, Tensor], share: float) -> None:
        """Make one update at this share of the learning rates."""
        for name, muon in self.muons.items():
            muon.step(gradients[name], share * self.rates[1])
        for name, weight in self.by_adam.items():
            weight.grad = gradients[name]
        for group, rate in zip(self.adam.param_groups, self.rates, strict=False):
            group["lr"] = share * rate
        self.adam.step()
