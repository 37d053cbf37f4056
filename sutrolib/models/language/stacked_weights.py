"""The weights of a Transformer as stacks over its blocks, and its forward pass written out on them.

An optimizer then has one tensor for a matrix of every block instead of one each, and a step of training fewer, larger
operators. The pass is that of ``Transformer`` without dropout, in the precision of the stacks;
attention is two matrix products and a softmax, which on short contexts cost a CPU less than its fused kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.models.language.gpt import Transformer

MATRICES = ("qkv", "attended", "up", "down")
FAR = -1e9  # a score so low that its weight is 0


@dataclass(frozen=True)
class Stacks:
    """``matrices`` of shape (4, blocks, rows, columns) by name, and what has one or two dimensions.

    ``gains`` (2 blocks + 1, width) are those of the norms, in the order in which they are met.
    """

    matrices: dict[str, Tensor]
    characters: Tensor
    positions: Tensor
    gains: Tensor

    @classmethod
    def of(cls, network: Transformer) -> Stacks:
        """Copies of the weights of ``network``."""
        blocks = network.decoder()
        matrices = {name: torch.stack([getattr(b, name).weight.detach() for b in blocks]) for name in MATRICES}
        gains = [gain.weight.detach() for b in blocks for gain in (b.norm_1, b.norm_2)]
        return cls(
            matrices,
            network.characters.weight.detach().clone(),
            network.positions.weight.detach().clone(),
            torch.stack([*gains, network.norm.weight.detach()]),
        )

    @property
    def others(self) -> tuple[Tensor, Tensor, Tensor]:
        """All that is no matrix of a block."""
        return self.characters, self.positions, self.gains

    def leaves(self, dtype: torch.dtype) -> Stacks:
        """Copies in ``dtype`` that gather gradients."""
        matrices = {name: _leaf(stack, dtype) for name, stack in self.matrices.items()}
        return Stacks(matrices, *(_leaf(weight, dtype) for weight in self.others))

    def gradients(self) -> Stacks:
        """What has gathered, in float32."""
        matrices = {name: _gathered(stack) for name, stack in self.matrices.items()}
        return Stacks(matrices, *(_gathered(weight) for weight in self.others))

    def write_to(self, network: Transformer) -> None:
        """Make these the weights of ``network``."""
        with torch.no_grad():
            for number, block in enumerate(network.decoder()):
                for name in MATRICES:
                    getattr(block, name).weight.copy_(self.matrices[name][number])
                block.norm_1.weight.copy_(self.gains[2 * number])
                block.norm_2.weight.copy_(self.gains[2 * number + 1])
            network.norm.weight.copy_(self.gains[-1])
            network.characters.weight.copy_(self.characters)
            network.positions.weight.copy_(self.positions)

    def logits(self, ids: Tensor, heads: int) -> Tensor:
        """Logits (samples x positions, characters), in float32, at every position of ids (samples, positions)."""
        samples, length = ids.shape
        width = self.positions.shape[1]
        mask = self.positions.new_full((length, length), FAR).triu(1)
        # A product instead of a look-up, whose gradient is summed in float32 and not in the stacks' precision.
        chosen = F.one_hot(ids.flatten(), len(self.characters)).to(self.characters.dtype)
        x = chosen @ self.characters + self.positions[:length].repeat(samples, 1)
        stacks = zip(*(self.matrices[name].unbind(0) for name in MATRICES), strict=True)
        for (qkv, attended, up, down), (gain_1, gain_2) in zip(stacks, self.gains[:-1].split(2), strict=True):
            inner = F.layer_norm(x, (width,), gain_1) @ qkv.t()
            parts = inner.view(samples, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            q, k, v = parts.reshape(3, samples * heads, length, width // heads).unbind(0)
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=(width // heads) ** -0.5)
            mixed = torch.bmm(torch.softmax(scores, -1), v).view(samples, heads, length, width // heads)
            x = x + mixed.transpose(1, 2).reshape(samples * length, width) @ attended.t()
            x = x + F.gelu(F.layer_norm(x, (width,), gain_2) @ up.t()) @ down.t()
        return (F.layer_norm(x, (width,), self.gains[-1]) @ self.characters.t()).float()


def _leaf(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype, copy=True).requires_grad_()


def _gathered(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None, "gradients are asked for after the backward pass"
    return leaf.grad.float()
