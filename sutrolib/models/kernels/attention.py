"""Attention of one head in two orders: all scores at once, or tile by tile with a running softmax.

The tiled order is that of Milakov and Gimelshein (Online normalizer calculation for softmax, arXiv 1805.02867) and Dao
et al. (FlashAttention, arXiv 2205.14135, algorithm 1): the score matrix is never in memory as a whole.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) v for q, k, v of shape (positions, d)."""
    scores = (q @ k.t()).mul_(q.shape[1] ** -0.5)
    return torch.softmax(scores, 1) @ v


def attend_tiled(q: Tensor, k: Tensor, v: Tensor, tile: int = 64) -> Tensor:
    """The same values, in tiles of ``tile`` by ``tile`` positions. Raises ValueError for a tile below 1."""
    if tile < 1:
        raise ValueError(f"tile must be at least 1 (got {tile!r})")
    out = torch.empty_like(q)
    for start in range(0, len(q), tile):
        rows = q[start : start + tile]
        maximum = torch.full((len(rows), 1), -torch.inf)
        total, weighted = torch.zeros(len(rows), 1), torch.zeros(len(rows), v.shape[1])
        for other in range(0, len(k), tile):
            scores = (rows @ k[other : other + tile].t()).mul_(q.shape[1] ** -0.5)
            new_maximum = torch.maximum(maximum, scores.amax(1, keepdim=True))
            weights = scores.sub_(new_maximum).exp_()
            rescale = maximum.sub_(new_maximum).exp_()
            total.mul_(rescale).add_(weights.sum(1, keepdim=True))
            weighted.mul_(rescale).add_(weights @ v[other : other + tile])
            maximum = new_maximum
        out[start : start + tile] = weighted.div_(total)
    return out
