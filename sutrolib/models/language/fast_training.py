"""Three means to train a :mod:`Transformer <sutrolib.models.language.transformer>` in few and cheap updates.

*Stacked weights*: the weights are stacked over the blocks, and the forward pass is written out on the stacks. An
optimizer then has one tensor per kind of matrix instead of one per block, and a training step has fewer, larger
operators. The pass is that of ``Transformer`` without dropout, in the precision of the stacks; attention is two matrix
products and a softmax, which on a CPU and a short context is faster than the fused kernel.

*Muon*: momentum, orthogonalised before it is applied.

    M <- m M + (1 - m) G,    W <- W - lr * 0.2 sqrt(larger side) * orthogonal(m M + (1 - m) G)

``orthogonal`` is near U V' of the singular value decomposition U S V', by a Newton-Schulz iteration of odd polynomials,
which needs only matrix products. K. Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024
(kellerjordan.github.io/posts/muon), which is the source of the coefficients; the factor, which gives an update the size
of one of Adam's, is from J. Liu et al., Muon is Scalable for LLM Training, arXiv 2502.16982.

*An initialisation* with which the first block attends to the previous characters: head h attends to the character h + 1
positions back, and writes a random projection of it to the residual stream. From the first update, every position has
the previous characters, as in an n-gram, and need not learn how to find them. Heads that attend to the previous token
are the first half of induction heads, and a transformer's loss drops when these form (Olsson et al., In-context
Learning and Induction Heads, 2022). The last (width / heads) dimensions hold only the position t, as cos(w t) and
sin(w t) for frequencies w between 0 and pi; a query rotated back by h + 1 positions scores sum_w cos(w (t - (h + 1) -
t')), which peaks at t' = t - (h + 1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sutrolib.models.language.transformer import Transformer

MATRICES = ("qkv", "attended", "up", "down")
_MASKED = -1e9  # a score so low that its attention weight is 0
_COEFFICIENTS = 3.4445, -4.7750, 2.0315
_UPDATE_RMS = 0.2  # root mean square of an update of Adam, about


def stack_weights(network: Transformer) -> dict[str, Tensor]:
    """Copies of the weights: MATRICES, of shape (blocks, rows, columns), ``characters``, ``positions`` and ``gains``.

    The gains (2 blocks + 1, width) are those of the norms, in the order of the forward pass.
    """
    matrices = {
        name: torch.stack([getattr(block, name).weight.detach() for block in network.block_list()]) for name in MATRICES
    }
    characters, positions, *gains = (weight.detach() for weight in _others(network))
    return {**matrices, "characters": characters.clone(), "positions": positions.clone(), "gains": torch.stack(gains)}


def write_weights(weights: dict[str, Tensor], network: Transformer) -> None:
    """Copy stacked weights into ``network``."""
    with torch.no_grad():
        for number, block in enumerate(network.block_list()):
            for name in MATRICES:
                getattr(block, name).weight.copy_(weights[name][number])
        others = weights["characters"], weights["positions"], *weights["gains"]
        for weight, new in zip(_others(network), others, strict=True):
            weight.copy_(new)


def _others(network: Transformer) -> list[Tensor]:
    """Embedding, positions, and the gains of all norms in the order of the forward pass."""
    norms = [norm for block in network.block_list() for norm in (block.norm_1, block.norm_2)]
    return [network.characters.weight, network.positions.weight, *(norm.weight for norm in (*norms, network.norm))]


def stacked_logits(weights: dict[str, Tensor], ids: Tensor, heads: int) -> Tensor:
    """Logits (samples x positions, characters), in float32, at every position of ids (samples, positions)."""
    characters, positions, gains = weights["characters"], weights["positions"], weights["gains"]
    samples, length = ids.shape
    width = positions.shape[1]
    mask = positions.new_full((length, length), _MASKED).triu(1)
    # A matrix product instead of a look-up, whose gradient torch sums in float32 and not in the stacks' precision.
    chosen = F.one_hot(ids.flatten(), len(characters)).to(characters.dtype)
    x = chosen @ characters + positions[:length].repeat(samples, 1)
    stacks = zip(*(weights[name].unbind(0) for name in MATRICES), strict=True)
    for (qkv, attended, up, down), (gain_1, gain_2) in zip(stacks, gains[:-1].split(2), strict=True):
        inner = F.layer_norm(x, (width,), gain_1) @ qkv.t()
        parts = inner.view(samples, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k, v = parts.reshape(3, samples * heads, length, width // heads).unbind(0)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(width // heads) ** -0.5)
        mixed = torch.bmm(torch.softmax(scores, -1), v).view(samples, heads, length, width // heads)
        x = x + mixed.transpose(1, 2).reshape(samples * length, width) @ attended.t()
        x = x + F.gelu(F.layer_norm(x, (width,), gain_2) @ up.t()) @ down.t()
    return (F.layer_norm(x, (width,), gains[-1]) @ characters.t()).float()


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
            query[head, :, free:] = scale * rotation(frequencies * (head + 1))
            value[head, :, :free] = _orthogonal(free, each, generator).t()
        first.attended.weight.copy_(value_gain * _orthogonal(width, width, generator))


def rotation(angles: Tensor) -> Tensor:
    """The matrix that rotates (cos x, sin x) back by these angles."""
    cos, sin = angles.cos().diag(), angles.sin().diag()
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)])


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    found: Tensor = nn.init.orthogonal_(torch.empty(rows, columns), generator=generator)
    return found
