"""The weights of a Transformer, stacked over its blocks, and its forward pass written out on the stacks.

An optimizer then has one tensor per kind of matrix instead of one per block, and a training step has fewer, larger
operators. The forward pass is that of ``Transformer`` without dropout, in the precision of the stacks; attention is two
matrix products and a softmax, which on a CPU and a short context is faster than the fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.models.language.transformer import Transformer

_MATRICES = ("qkv", "attended", "up", "down")
_MASKED = -1e9  # a score so low that its attention weight is 0


@dataclass(frozen=True)
class StackedWeights:
    """``matrices`` by name, each of shape (blocks, rows, columns), and the other weights.

    ``gains`` (2 blocks + 1, width) are those of the norms, in the order of the forward pass.
    """

    matrices: dict[str, Tensor]
    characters: Tensor
    positions: Tensor
    gains: Tensor

    @classmethod
    def of(cls, network: Transformer) -> StackedWeights:
        """Copies of the weights of ``network``."""
        matrices = {
            name: torch.stack([getattr(block, name).weight.detach() for block in network.block_list()])
            for name in _MATRICES
        }
        characters, positions, *gains = (weight.detach() for weight in _others(network))
        return cls(matrices, characters.clone(), positions.clone(), torch.stack(gains))

    @property
    def others(self) -> tuple[Tensor, Tensor, Tensor]:
        """All weights that are not matrices of a block."""
        return self.characters, self.positions, self.gains

    def trainable_copies(self, dtype: torch.dtype) -> StackedWeights:
        """Copies in ``dtype`` that collect gradients."""
        return self._map(lambda weight: weight.to(dtype, copy=True).requires_grad_())

    def gradients(self) -> StackedWeights:
        """The collected gradients, in float32."""
        return self._map(_gradient)

    def _map(self, function: Callable[[Tensor], Tensor]) -> StackedWeights:
        matrices = {name: function(stack) for name, stack in self.matrices.items()}
        return StackedWeights(matrices, *(function(weight) for weight in self.others))

    def write_to(self, network: Transformer) -> None:
        """Copy these weights into ``network``."""
        with torch.no_grad():
            for number, block in enumerate(network.block_list()):
                for name in _MATRICES:
                    getattr(block, name).weight.copy_(self.matrices[name][number])
            for weight, new in zip(_others(network), (self.characters, self.positions, *self.gains), strict=True):
                weight.copy_(new)

    def logits(self, ids: Tensor, heads: int) -> Tensor:
        """Logits (samples x positions, characters), in float32, at every position of ids (samples, positions)."""
        samples, length = ids.shape
        width = self.positions.shape[1]
        mask = self.positions.new_full((length, length), _MASKED).triu(1)
        # A matrix product instead of a look-up, whose gradient torch sums in float32 and not in the stacks' precision.
        chosen = F.one_hot(ids.flatten(), len(self.characters)).to(self.characters.dtype)
        x = chosen @ self.characters + self.positions[:length].repeat(samples, 1)
        stacks = zip(*(self.matrices[name].unbind(0) for name in _MATRICES), strict=True)
        for (qkv, attended, up, down), (gain_1, gain_2) in zip(stacks, self.gains[:-1].split(2), strict=True):
            inner = F.layer_norm(x, (width,), gain_1) @ qkv.t()
            parts = inner.view(samples, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            q, k, v = parts.reshape(3, samples * heads, length, width // heads).unbind(0)
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(width // heads) ** -0.5)
            mixed = torch.bmm(torch.softmax(scores, -1), v).view(samples, heads, length, width // heads)
            x = x + mixed.transpose(1, 2).reshape(samples * length, width) @ attended.t()
            x = x + F.gelu(F.layer_norm(x, (width,), gain_2) @ up.t()) @ down.t()
        return (F.layer_norm(x, (width,), self.gains[-1]) @ self.characters.t()).float()


def _others(network: Transformer) -> list[Tensor]:
    """Embedding, positions, and the gains of all norms in the order of the forward pass."""
    norms = [norm for block in network.block_list() for norm in (block.norm_1, block.norm_2)]
    return [network.characters.weight, network.positions.weight, *(norm.weight for norm in (*norms, network.norm))]


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None, "gradients are there only after the backward pass"
    return weight.grad.float()
