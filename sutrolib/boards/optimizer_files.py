"""Optimizers for the board caffeine, written as one file of torch code each; a search sets what they do.

Three ways to turn a gradient into a step: Adam (Kingma and Ba, arXiv 1412.6980), Muon (Jordan et al., 2024), which
makes the momentum of a matrix orthogonal, and SOAP (Vyas et al., arXiv 2409.11321), which is Adam in the eigenbasis of
Shampoo's preconditioners. A matrix of several square blocks (queries, keys and values) is stepped block by block.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import choice, float_field, int_field

_TEXT = '''"""{about}"""

import torch

UPDATES = 400
S = {settings}


class Submission(torch.optim.Optimizer):
    """{about}"""

    def __init__(self, params):
        super().__init__(list(params), {{}})
        self.count = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.count += 1
        left = 1 - (self.count - 1) / UPDATES
        rate = min(1.0, self.count / max(1, S["warmup"])) * left ** S["decay"]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                width = min(p.shape) if p.ndim == 2 else 0
                if p.ndim != 2:
                    adam(self.state[p], "", p, p.grad, rate * S["vector_lr"], self.count)
                    continue
                for number, (part, grad) in enumerate(zip(p.split(width), p.grad.split(width))):
                    METHODS[S["method"]](self.state[p], str(number), part, grad, rate * S["lr"], self.count)


def moment(state, name, value, beta):
    """A moving average that is corrected for its start at 0."""
    kept = state.setdefault(name, [torch.zeros_like(value), 1.0])
    kept[0].lerp_(value, 1 - beta)
    kept[1] *= beta
    return kept[0] / (1 - kept[1])


def adam(state, name, p, grad, rate, count):
    first = moment(state, name + "m", grad, S["beta1"])
    second = moment(state, name + "v", grad.square(), S["beta2"])
    p.sub_(rate * first / (second.sqrt() + 1e-8))


def muon(state, name, p, grad, rate, count):
    mean = moment(state, name + "m", grad, S["beta1"])
    x = grad.lerp(mean, S["beta1"])
    x = x / (x.norm() + 1e-7)
    for _ in range(6):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    p.sub_(rate * x * len(x) ** 0.5)


def soap(state, name, p, grad, rate, count):
    left = moment(state, name + "l", grad @ grad.T, S["basis_beta"])
    right = moment(state, name + "r", grad.T @ grad, S["basis_beta"])
    if count % S["basis_every"] == 1 % S["basis_every"] or count <= 10:
        state[name + "b"] = torch.linalg.eigh(left)[1], torch.linalg.eigh(right)[1]
    u, v = state[name + "b"]
    first = u.T @ moment(state, name + "m", grad, S["beta1"]) @ v
    second = moment(state, name + "v", (u.T @ grad @ v).square(), S["beta2"])
    least = torch.maximum(second.sqrt(), first.abs()) + 1e-12  # the basis may have turned since the squares were taken
    p.sub_(rate * (u @ (first / least) @ v.T))


METHODS = {{"adam": adam, "muon": muon, "soap": soap}}
'''


@dataclass(frozen=True)
class OptimizerFile(BoardModel):
    """The optimizer; the rate rises for ``warmup`` updates and falls with the power ``decay`` of what is left."""

    method: str = choice("adam", "muon", "soap")
    lr: float = float_field(0.01, 1e-4, 1.0, log=True)
    vector_lr: float = float_field(0.01, 1e-4, 1.0, log=True)
    beta1: float = float_field(0.9, 0.5, 0.99)
    beta2: float = float_field(0.99, 0.8, 0.9999)
    basis_beta: float = float_field(0.95, 0.5, 0.999)
    basis_every: int = int_field(1, "updates", 1, 20, log=True)
    warmup: int = int_field(1, "updates", 1, 100, log=True)
    decay: float = float_field(0.0, 0.0, 3.0)

    name: ClassVar[str] = "optimizer"
    prior_knowledge: ClassVar[str] = "three published optimizers; the number of updates"

    def text(self) -> str:
        """The file submission.py."""
        settings = json.dumps(dataclasses.asdict(self))
        return _TEXT.format(about=f"{self.method}, with settings found by a search.", settings=settings)
