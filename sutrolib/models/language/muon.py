"""Muon: momentum, orthogonalised before it is applied.

    M <- m M + (1 - m) G,    W <- W - lr * 0.2 sqrt(larger side) * orthogonal(m M + (1 - m) G)

``orthogonal`` is near U V' of the singular value decomposition U S V', by a Newton-Schulz iteration of odd polynomials,
which needs only matrix products. K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024
(kellerjordan.github.io/posts/muon), which is the source of the coefficients; the factor, which gives an update the size
of one of Adam's, is from J. Liu et al., Muon is Scalable for LLM Training, arXiv 2502.16982.
"""

from __future__ import annotations

import torch
from torch import Tensor

_COEFFICIENTS = 3.4445, -4.7750, 2.0315
_UPDATE_RMS = 0.2  # root mean square of an update of Adam, about


def orthogonalize(stack: Tensor, iterations: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Roughly the nearest orthogonal matrices: five iterations bring most singular values to between 0.3 and 1.3.

    ``stack`` has shape (matrices, rows, columns); the products are computed in ``dtype``.
    """
    a, b, c = _COEFFICIENTS
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
    """The optimizer for one stack of matrices, which it updates in place."""

    def __init__(self, stack: Tensor, momentum: float, iterations: int, dtype: torch.dtype) -> None:
        self.stack, self.momentum, self.iterations, self.dtype = stack, momentum, iterations, dtype
        self.mean = torch.zeros_like(stack)
        self.scale = _UPDATE_RMS * max(stack.shape[1:]) ** 0.5

    def step(self, gradient: Tensor, lr: float) -> None:
        """Make one update from a gradient of the stack's shape."""
        self.mean.lerp_(gradient, 1 - self.momentum)
        update = orthogonalize(gradient.lerp(self.mean, self.momentum), self.iterations, self.dtype)
        self.stack.add_(update, alpha=-lr * self.scale)
