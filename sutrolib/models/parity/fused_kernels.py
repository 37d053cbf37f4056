"""Fused kernels of hand-written training, registered as PyTorch operators ``sutro::*``.

Each kernel reads its inputs once and writes its outputs once, like one pass over memory, and declares them in its
schema, so a meter that watches PyTorch's dispatcher sees the reads and writes of the running program. The number of
operations of each kernel is in ``sutrolib.meters.access.flops``, not here: a model does not state its own cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

_F = TypeVar("_F", bound=Callable[..., object])

_LIBRARY = torch.library.Library("sutro", "DEF")


def _kernel(schema: str) -> Callable[[_F], _F]:
    def register(function: _F) -> _F:
        name = _LIBRARY.define(schema)
        _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
        return function

    return register


@_kernel("hinge_grad(Tensor out, Tensor y) -> Tensor")
def hinge_grad(out: Tensor, y: Tensor) -> Tensor:
    """Gradient of the mean of max(0, 1 - y*out) in ``out``: -y/samples where y*out < 1, else 0. Shape of ``out``."""
    return (y * out).lt(1).mul(y).mul(-1 / len(out))


@_kernel("square_grad(Tensor out, Tensor y) -> Tensor")
def square_grad(out: Tensor, y: Tensor) -> Tensor:
    """Gradient of the mean of (out - y)^2 / 2 in ``out``: (out - y)/samples. Shape of ``out``."""
    return out.sub(y).mul(1 / len(out))


@_kernel("linear_grad(Tensor dout, Tensor h) -> (Tensor, Tensor)")
def linear_grad(dout: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``out = h W^T + b`` in W and b, from one pass over dout (samples, outputs) and h (samples, inputs).

    Returns dW of shape (outputs, inputs) and db of shape (outputs,).
    """
    return dout.t().mm(h), dout.sum(0)


@_kernel("sgd_(Tensor(a!) p, Tensor grad, float lr, float weight_decay) -> ()")
def sgd_(p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
    """p <- (1 - lr*weight_decay) p - lr*grad, in place; a sample axis that ``grad`` has and p lacks is summed."""
    p.mul_(1 - lr * weight_decay).sub_(grad.sum_to_size(p.shape), alpha=lr)
