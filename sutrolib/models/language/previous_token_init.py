"""An initialisation that makes a Transformer's first block attend to the previous characters.

Head h of the first block attends to the character h + 1 positions back, and writes a random projection of it to the
residual stream: from the first update, every position has the previous characters, as in an n-gram, and need not learn
how to find them. Heads that attend to the previous token are the first half of induction heads, and a transformer's
loss drops when these form (Olsson et al., In-context Learning and Induction Heads, 2022).

The last (width / heads) dimensions hold only the position t, as cos(w t) and sin(w t) for frequencies w between 0 and
pi; a query rotated back by h + 1 positions scores sum_w cos(w (t - (h + 1) - t')), which peaks at t' = t - (h + 1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sutrolib.models.language.transformer import Transformer


def previous_token_init(
    network: Transformer, seed: int, embedding_std: float, attention_logit: float, value_gain: float
) -> None:
    """Initialise embedding, positions and the attention of the first block, in place.

    Args:
        embedding_std: standard deviation of the embedding.
        attention_logit: attention score at the position that a head attends to.
        value_gain: scale of what the heads write.

    Raises:
        ValueError: there is one head, or the width of a head is odd.
    """
    first = network.block_list()[0]
    width = network.positions.weight.shape[1]
    each = width // first.heads
    if first.heads < 2 or each % 2:
        raise ValueError(f"heads must be at least 2 and of even width (got heads={first.heads} of width {each})")
    generator = torch.Generator().manual_seed(seed)
    free, half = width - each, each // 2  # dimensions for characters, number of frequencies
    # Not evenly spaced: the sum of cosines would peak a second time, 4 x half positions back.
    frequencies = math.pi * (torch.arange(half) + torch.rand(half, generator=generator)) / half
    with torch.no_grad():
        network.characters.weight.normal_(0, embedding_std, generator=generator)[:, free:] = 0
        angles = torch.arange(network.block_size)[:, None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], 1)
        network.positions.weight.zero_()[:, free:] = embedding_std * math.sqrt(2) * waves
        query, key, value = first.qkv.weight.zero_().view(3, first.heads, each, width).unbind(0)
        # For both query and key: the block scales the score by 1 / sqrt(each).
        scale = math.sqrt(attention_logit / each * math.sqrt(each))
        key[:, :, free:] = scale * torch.eye(each)
        for head in range(first.heads):
            query[head, :, free:] = scale * _rotation(frequencies * (head + 1))
            value[head, :, :free] = _orthogonal(free, each, generator).t()
        first.attended.weight.copy_(value_gain * _orthogonal(width, width, generator))


def _rotation(angles: Tensor) -> Tensor:
    """The matrix that rotates (cos x, sin x) back by these angles."""
    cos, sin = angles.cos().diag(), angles.sin().diag()
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    found: Tensor = nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)
    return found
