"""A start for a Transformer whose first block already knows where the last characters stand.

Head h of the first block attends to the character h + 1 places back, and hands a random projection of it on: from the
first update, every position has the last characters before it, as an n-gram has, and need not find out how to look for
them. Heads that attend to the character before are the first half of induction heads, with whose forming the loss of a
transformer falls at once (Olsson et al., In-context Learning and Induction Heads, 2022).

The last (width / heads) dimensions hold nothing but the position t, as cos(w t) and sin(w t) for frequencies w between
0 and pi; a query turned back by h + 1 places scores sum_w cos(w (t - (h + 1) - t')), which has its peak at
t' = t - (h + 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sutrolib.models.language.gpt import Transformer


def look_back(network: Transformer, seed: int, spread: float, peak: float, handed_on: float) -> None:
    """Set embedding, positions and the attention of the first block, in place.

    ``spread`` is the deviation of the embedding, ``peak`` the score at the place that a head looks at, and
    ``handed_on`` scales what the heads write. Raises ValueError for one head, or heads of an odd width.
    """
    first = network.decoder()[0]
    width = network.positions.weight.shape[1]
    each = width // first.heads
    if first.heads < 2 or each % 2:
        raise ValueError(f"heads={first.heads} of width {each}, accepted are two heads or more of an even width")
    generator = torch.Generator().manual_seed(seed)
    free, half = width - each, each // 2  # dimensions of the characters, frequencies
    # Not evenly spaced: those would sum up to a second peak 4 x half places on.
    frequencies = math.pi * (torch.arange(half) + torch.rand(half, generator=generator)) / half
    with torch.no_grad():
        network.characters.weight.normal_(0, spread, generator=generator)[:, free:] = 0
        angles = torch.arange(network.block)[:, None] * frequencies
        network.positions.weight.zero_()[:, free:] = spread * math.sqrt(2) * torch.cat([angles.cos(), angles.sin()], 1)
        query, key, value = first.qkv.weight.zero_().view(3, first.heads, each, width).unbind(0)
        scale = math.sqrt(peak / each * math.sqrt(each))  # of both: the score is scaled by 1 / sqrt(each) in the block
        key[:, :, free:] = scale * torch.eye(each)
        for head in range(first.heads):
            query[head, :, free:] = scale * _turn(frequencies * (head + 1))
            value[head, :, :free] = _orthogonal(free, each, generator).t()
        first.attended.weight.copy_(handed_on * _orthogonal(width, width, generator))


def _turn(angles: Tensor) -> Tensor:
    """The matrix that turns (cos x, sin x) back by these angles."""
    cos, sin = angles.cos().diag(), angles.sin().diag()
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    weight = torch.empty(rows, columns)
    found: Tensor = nn.init.orthogonal_(weight, generator=generator)
    return found
