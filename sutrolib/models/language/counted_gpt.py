"""nanoGPT's network with an n-gram written into its weights: no update, no backpropagation.

The n-gram is that of :mod:`sutrolib.models.language.maximum_entropy`: logits that are a sum of terms, one for each of
the last characters, and one for each of some longer contexts. The feed-forward layers of a transformer are key-value
memories (Geva et al., arXiv 2012.14913): each hidden unit of theirs is active where the last characters are one of
these contexts, and adds its term. The residual stream has

- the present character, one-hot, in the dimensions that embedding and head share; and the logits on top of it, times a
  number so small that what the norms divide by is the same everywhere;
- a code of each of the few characters before it, of zero sum and nearly orthogonal;
- the position, as cos(w t) and sin(w t) for a few frequencies w, rotated to zero sum, and two constants of zero sum.
  What has zero sum passes the norms unchanged but for a constant factor.

In the first blocks, one head for each character before the present one attends that far back (see
:func:`sutrolib.models.language.fast_training.previous_token_init`), and adds the term of what it sees to the logits; as
a head has too few dimensions for all characters, each block does this for a part of them. The first also writes the
codes. In the last block, two units for each character take the one-hot away, and add its term.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import int_field, text_ids
from sutrolib.models.language.fast_training import rotation
from sutrolib.models.language.maximum_entropy import MaximumEntropy
from sutrolib.models.language.transformer import Architecture, FittedGPT, Transformer

_LOGITS = 0.001  # scale of the logits in the residual stream
_WAVES, _CONSTANT = 20.0, 1.0  # norm of the position, size of a constant; a code has norm 1
_ATTENTION = 60.0  # attention score at the position that a head attends to
_SHARPNESS = 40.0  # slope of a unit's input in the number of characters that match
_MARGIN = 0.35  # a unit is active from this much below a full match on; another code matches by less than 1 - _MARGIN
_MIN_CODE = 8  # dimensions
_SAMPLES = 8  # of the training text, on which the network's norms are measured


@dataclass(frozen=True)
class _Layout:
    """How the dimensions of the residual stream are used: ``back`` characters before the present one are coded."""

    characters: int
    width: int
    each: int  # dimensions of a head
    back: int
    frequencies: int

    @classmethod
    def of(cls, network: Transformer, order: int) -> _Layout:
        characters, width = network.characters.weight.shape
        blocks = network.block_list()
        heads, each = blocks[0].heads, width // blocks[0].heads
        layout = cls(characters, width, each, order - 2, max(1, each // 5))
        parts, units = -(-(characters - 1) // each), blocks[-1].up.out_features
        least = min(_MIN_CODE, characters)
        if order < 2 or layout.back > heads or parts > len(blocks) or units < 2 * characters or layout.code < least:
            raise ValueError(
                f"an n-gram of order={order} over {characters} characters does not fit into {len(blocks)} blocks of "
                f"{heads} heads, width {width} and {units} hidden units: it needs {parts} blocks of {order - 2} heads, "
                f"{2 * characters} hidden units, and codes of at least {least} dimensions (there are {layout.code})"
            )
        return layout

    @property
    def code(self) -> int:
        """The dimensions of a code."""
        left = self.width - self.characters - 2 * self.frequencies - 3
        return min(left // max(1, self.back), self.each, self.characters)

    def code_of(self, back: int) -> slice:
        """The dimensions of the code of the character so far back, from 1 on."""
        first = self.characters + (back - 1) * self.code
        return slice(first, first + self.code)

    @property
    def waves(self) -> slice:
        """The dimensions of the position."""
        first = self.width - 3 - 2 * self.frequencies
        return slice(first, first + 2 * self.frequencies + 1)


@dataclass(frozen=True)
class CountedGPT(Architecture):
    """A GPT whose weights are computed from the counts of strings of up to ``order`` characters.

    It uses no more than ``order`` - 1 characters of context; at the first of a window, where there are fewer, it is
    poor. It needs float32: the logits are small beside what else is in the residual stream. Another seed gives other
    codes, and predictions that hardly differ.
    """

    order: int = int_field(5, "characters", 2, 8)

    name: ClassVar[str] = "GPT from counts"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedGPT:
        """Count and write; ``budget`` changes nothing. Raises as :func:`write_ngram`."""
        size = self.block_size, self.layers, self.heads, self.width
        network = Transformer(len(task.alphabet), *size, 0.0, seed)
        write_ngram(network, task, seed, self.order)
        return FittedGPT(network.eval(), task.alphabet)


def write_ngram(network: Transformer, task: Task, seed: int, order: int) -> None:
    """Write an n-gram of up to ``order`` characters, counted on the training text, into the network, in place.

    Raises ValueError where the network is too small for it, the task is not text, or the text is too short.
    """
    layout = _Layout.of(network, order)
    ids = text_ids(task, f"n-gram of order={order}", network.block_size + order)
    with torch.no_grad():
        hidden = [block.up.out_features for block in network.block_list()]
        model = MaximumEntropy(ids, layout.characters, order, sum(hidden) - 2 * layout.characters)
        windows = ids[: len(ids) // network.block_size * network.block_size].view(-1, network.block_size)
        _write(network, layout, model, windows[:: -(-len(windows) // _SAMPLES)], seed)


def _codes(characters: int, dimensions: int, generator: torch.Generator) -> Tensor:
    """Unit vectors (characters, dimensions), pushed apart until nearly orthogonal; rows and columns have zero sum."""
    codes, steps = torch.randn(characters, dimensions, generator=generator), 100
    for step in range(steps):
        codes = codes - codes.mean(0)
        codes = F.normalize(codes - codes.mean(1, keepdim=True))
        likeness = codes @ codes.t() - 2 * torch.eye(characters)
        codes = codes - 0.2 * (1 - step / steps) * (15 * likeness).softmax(1) @ codes
    return F.normalize(codes - codes.mean(1, keepdim=True))


def _frequencies(count: int, positions: int, generator: torch.Generator) -> Tensor:
    """Of some draws, the one whose sum of cosines has the lowest second peak within so many positions."""
    draws = math.pi * (torch.arange(count) + torch.rand(200, count, generator=generator)) / count
    apart = torch.arange(1, positions)
    peaks = (apart[:, None, None] * draws).cos().mean(2).amax(0)
    return draws[peaks.argmin()]


def _write(network: Transformer, layout: _Layout, model: MaximumEntropy, windows: Tensor, seed: int) -> None:
    """All weights, block by block; ``windows`` (windows, positions) pass through them to measure the norms."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in network.named_parameters():
        weight.fill_(1.0 if "norm" in name else 0.0)
    characters, count, blocks = layout.characters, layout.frequencies, network.block_list()
    network.characters.weight[:, :characters] = torch.eye(characters)
    frequencies = _frequencies(count, network.block_size, generator)
    angles = torch.arange(network.block_size)[:, None] * frequencies
    turned = _basis(torch.ones(2 * count + 1, 1), generator)[:, 1:].t()
    waves = torch.cat([angles.cos(), angles.sin()], 1) @ turned
    network.positions.weight[:, layout.waves] = _WAVES / math.sqrt(count) * waves
    network.positions.weight[:, -2:] = torch.tensor([_CONSTANT, -_CONSTANT])
    codes = _codes(characters, layout.code, generator)
    basis = _basis(torch.cat([torch.ones(characters, 1), codes[:, :-1]], 1), generator)[:, 1:]
    hidden = [block.up.out_features for block in blocks]
    up, down = (F.pad(part, (0, 0, sum(hidden) - len(part), 0)).split(hidden) for part in _units(model, layout, codes))
    x = network.characters(windows) + network.positions.weight  # without dropout, which is for training
    for number, block in enumerate(blocks):
        divisor = _deviation(x)
        query, key, value = block.qkv.weight.view(3, block.heads, layout.each, layout.width).unbind(0)
        scale = math.sqrt(_ATTENTION * math.sqrt(layout.each)) * divisor / _WAVES
        some = basis[:, number * layout.each : (number + 1) * layout.each]
        for head in range(layout.back if some.shape[1] else 0):
            back, part = head + 1, slice(head * layout.each, head * layout.each + some.shape[1])
            key[head, : 2 * count, layout.waves] = scale * turned
            query[head, : 2 * count, layout.waves] = scale * rotation(frequencies * back) @ turned
            value[head, : some.shape[1], :characters] = divisor * some.t()
            block.attended.weight[:characters, part] = _LOGITS * model.last[back].values.t() @ some
            if not number:
                block.attended.weight[layout.code_of(back), part] = codes.t() @ some
        q, k, v = block.split_heads(x)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + block.attended(attended.transpose(1, 2).reshape(x.shape))
        block.up.weight[:] = _SHARPNESS * _deviation(x) * up[number]
        block.down.weight[:characters] = down[number].t()
        x = x + block.down(F.gelu(block.up(block.norm_2(x))))
    network.norm.weight[:characters] = _deviation(x) / _LOGITS


def _units(model: MaximumEntropy, layout: _Layout, codes: Tensor) -> tuple[Tensor, Tensor]:
    """What each unit reads, and what it adds to the logits' dimensions; those of single characters come last."""
    characters, read, added = layout.characters, [], []
    # Two units for each character: their difference does not depend on the logits on top of the one-hot character.
    kinds = [(terms, _MARGIN, 1.0) for terms in model.longer]
    for terms, margin, sign in [*kinds, (model.last[0], 1 - _MARGIN, 1.0), (model.last[0], _MARGIN, -1.0)]:
        up = torch.zeros(len(terms.keys), layout.width)
        up[:, :characters] = torch.eye(characters)[terms.keys % characters]
        for back in range(1, terms.length):
            up[:, layout.code_of(back)] = codes[terms.keys // characters**back % characters]
        # The present character is one-hot, and the norm takes the mean away from it.
        threshold = terms.length - margin - 1 / layout.width
        up[:, -2:] = torch.tensor([-threshold, threshold]) / (2 * _CONSTANT)
        read.append(up)
        values = _LOGITS * terms.values - (torch.eye(characters) if terms.length == 1 else 0)
        active = _SHARPNESS * (1 - 2 * _MARGIN if terms.length == 1 else margin)
        added.append(sign / active * values)
    return torch.cat(read), torch.cat(added)


def _basis(first: Tensor, generator: torch.Generator) -> Tensor:
    """An orthonormal basis (dimensions, dimensions), the first columns of which span those given."""
    rest = torch.randn(len(first), len(first) - first.shape[1], generator=generator)
    basis: Tensor = torch.linalg.qr(torch.cat([first, rest], 1))[0]
    return basis


def _deviation(x: Tensor) -> float:
    """What a norm divides by: the harmonic mean over all positions."""
    return 1 / float((x.var(-1, unbiased=False) + 1e-5).rsqrt().mean())
