"""A mixture of experts: a gate sends each sample to one of several small perceptrons.

    g = softmax(G x),   e = argmax g,   logits = g_e (V_e relu(W_e x + b_e) + c_e)

A sample runs through the gate and one expert, while all experts stay in memory: fewer operations per prediction, more
memory. The penalty ``load_balancing`` * E * sum of (share of samples sent to e) * (mean of g_e) keeps the gate from
sending all samples to one expert. Fedus, Zoph, Shazeer, Switch Transformers, JMLR 2022, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from sutrolib.models.fields import float_field, int_field
from sutrolib.models.images.classifier import Classifier, linear


class Mixture(nn.Module):
    """The gate and the experts; ``imbalance`` is that of the last batch, 1 if all experts are used equally."""

    def __init__(self, inputs: int, classes: int, experts: int, hidden: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.classes = classes
        self.gate = linear(inputs, experts, generator)
        self.experts = nn.ModuleList(
            nn.Sequential(linear(inputs, hidden, generator), nn.ReLU(), linear(hidden, classes, generator))
            for _ in range(experts)
        )
        self.imbalance: Tensor | float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (samples, classes) for x (samples, inputs)."""
        gates = self.gate(x).softmax(1)
        weight, chosen = gates.max(1)
        counts = torch.bincount(chosen, minlength=len(self.experts))
        self.imbalance = len(self.experts) * (counts / len(x)) @ gates.mean(0)
        order = chosen.argsort()  # group the samples by expert
        parts = x[order].split(counts.tolist())
        out = torch.cat([expert(part) for expert, part in zip(self.experts, parts, strict=True)])
        mixed: Tensor = out[order.argsort()] * weight[:, None]
        return mixed


@dataclass(frozen=True)
class MixtureOfExperts(Classifier):
    """``experts`` perceptrons of ``hidden`` units each; each sample runs through one."""

    experts: int = int_field(4, "experts", 1, 1024, search=(2, 8))
    hidden: int = int_field(32, "units", 1, 100_000, search=(2, 128), log=True)
    load_balancing: float = float_field(0.01, 0.0, 100.0)

    name: ClassVar[str] = "mixture of experts"

    def network(self, inputs: int, classes: int, seed: int) -> nn.Module:
        """The gate and the experts."""
        return Mixture(inputs, classes, self.experts, self.hidden, seed)

    def penalty(self, network: nn.Module) -> Tensor | float:
        """``load_balancing`` times the imbalance of the batch."""
        assert isinstance(network, Mixture)
        return self.load_balancing * network.imbalance
