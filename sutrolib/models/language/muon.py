"""Muon: momentum, made orthogonal before it is applied.

    M <- m M + (1 - m) G,    W <- W - rate * 0.2 sqrt(larger side) * orthogonal(m M + (1 - m) G)

``orthogonal`` is near U V' of the singular value decomposition U S V', by a Newton-Schulz iteration of odd polynomials
that needs nothing but matrix products. K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024
(kellerjordan.github.io/posts/muon), whose coefficients these are; the factor, which gives an update the size of one of
Adam, is that of J. Liu et al., Muon is Scalable for LLM Training, arXiv 2502.16982.
"""

from __future__ import annotations

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315
SIZE = 0.2  # root mean square of an update of Adam, about


def orthogonalised(stack: Tensor, iterations: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The nearest orthogonal matrices, roughly: five iterations bring most singular values to between 0.3 and 1.3.

    ``stack`` has shape (matrices, rows, columns); the products are computed in ``dtype``.
    """
    a, b, c = COEFFICIENTS
    x = (stack / (stack.flatten(1).norm(dim=1)[:, None, None] + 1e-20)).to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    for _ in range(iterations):
        square = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    found: Tensor = x.transpose(1, 2) if tall else x
    return found.to(stack.dtype)


class Muon:
    """The optimizer's state for one stack of matrices, which it changes in place."""

    def __init__(self, stack: Tensor, momentum: float, iterations: int, dtype: torch.dtype) -> None:
        self.stack, self.momentum, self.iterations, self.dtype = stack, momentum, iterations, dtype
        self.mean = torch.zeros_like(stack)
        self.size = SIZE * max(stack.shape[1:]) ** 0.5

    def step(self, gradient: Tensor, rate: float) -> None:
        """One update from a gradient of the stack's shape."""
        self.mean.lerp_(gradient, 1 - self.momentum)
        update = orthogonalised(gradient.lerp(self.mean, self.momentum), self.iterations, self.dtype)
        self.stack.add_(update, alpha=-rate * self.size)
