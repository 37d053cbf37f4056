"""Fused kernels of hand-written training, registered as PyTorch operators ``sutro::*``.

Each one reads its inputs once and writes its outputs once, as one pass over memory would, and its schema
says which. A meter that watches PyTorch's dispatcher therefore sees the reads and writes of the program as
it runs. What a kernel costs in operations is written down in ``sutrolib.meters.access.flops``, not here:
what is weighed does not state its own weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable[..., object])

_LIBRARY = torch.library.Library("sutro", "DEF")


def _kernel(schema: str) -> Callable[[F], F]:
    def register(function: F) -> F:
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
