"""Interpolated Kneser-Ney n-grams over characters, counted by sorting.

    P_m(w | h) = max(c(h w) - D, 0) / c(h) + gamma(h) P_{m-1}(w | h'),    h' = h without its oldest character

The highest order counts occurrences; every lower one counts how many different characters precede a string. There are
three discounts per order (for counts of 1, 2, and 3 and more), from the counts of counts; gamma redistributes what they
took, so that every distribution sums to 1. Kneser and Ney, ICASSP 1995; Chen and Goodman, An Empirical Study of
Smoothing Techniques for Language Modeling, 1998, section 3.

A string of m characters is one int64 key, the newest character least significant, so that all strings with the same
context are neighbours in the sorted table. Counting takes as long as sorting the text once per order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, FittedModel, check_ids, int_field, text_ids

_KEY_BITS = 63
MIN_DISCOUNT = 0.01  # without any, a frequent context would leave nothing for characters that never followed it


@dataclass(frozen=True)
class NGramTable:
    """The strings of one length: sorted ``keys`` with ``share`` = (c - D) / c(h), and ``contexts`` with ``gamma``."""

    keys: Tensor
    share: Tensor
    contexts: Tensor
    gamma: Tensor

    @classmethod
    def of(cls, keys: Tensor, counts: Tensor, discounts: Tensor, characters: int) -> NGramTable:
        """The table from the counts of its strings and the discount of each."""
        contexts, row = torch.unique_consecutive(keys // characters, return_inverse=True)
        total = torch.zeros(len(contexts)).index_add_(0, row, counts.float())
        gamma = torch.zeros(len(contexts)).index_add_(0, row, discounts) / total
        return cls(keys, (counts - discounts) / total[row], contexts, gamma)

    def interpolate(self, lower: Tensor, context: Tensor) -> Tensor:
        """Distributions (streams, characters) after contexts (streams,), from those of the next lower order."""
        characters = lower.shape[1]
        row, known = lookup(self.contexts, context)
        gamma = torch.where(known, self.gamma[row], 1.0)
        keys = context[:, None] * characters + torch.arange(characters)
        place, seen = lookup(self.keys, keys)
        return torch.where(seen, self.share[place], 0.0).addcmul_(gamma[:, None], lower)

    def interpolate_all(self, lower: Tensor) -> Tensor:
        """Distributions after every context of this order, from those (contexts, characters) of the next lower one."""
        characters = lower.shape[1]
        found = lower * self.gamma[:, None]
        row, _ = lookup(self.contexts, self.keys // characters)
        found[row, self.keys % characters] += self.share
        return found


@dataclass(frozen=True)
class FittedNGram(FittedModel):
    """The tables of all orders, from 1 up."""

    alphabet: str
    orders: tuple[NGramTable, ...]

    def decoder(self, streams: int) -> NGramDecoder:
        """A decoder of ``streams`` streams, with an empty context."""
        return NGramDecoder(self, streams)

    def distributions(self) -> Tensor:
        """Probabilities (contexts, characters) after every context of the highest order, in order of its contexts."""
        characters = len(self.alphabet)
        found = torch.full((1, characters), 1 / characters)
        below = torch.zeros(1, dtype=torch.int64)
        for length, order in enumerate(self.orders):
            row, _ = lookup(below, order.contexts % characters ** max(length - 1, 0))
            found, below = order.interpolate_all(found[row]), order.contexts
        return found

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) after ids x of shape (samples, context length)."""
        decoder = self.decoder(len(x))
        for column in x.unbind(1)[:-1]:
            decoder.read(column)
        return decoder.step(x[:, -1])


class NGramDecoder:
    """Holds the last characters of each stream as one key."""

    def __init__(self, fitted: FittedNGram, streams: int) -> None:
        self.fitted = fitted
        self.characters = len(fitted.alphabet)
        self.context = torch.zeros(streams, dtype=torch.int64)
        self.length = 0  # of the context, at most the highest order - 1

    def read(self, ids: Tensor) -> None:
        """Read a character of each stream without predicting. Raises ValueError for ids outside the alphabet."""
        check_ids(ids, self.characters)
        longest = len(self.fitted.orders) - 1
        self.context = (self.context * self.characters + ids) % self.characters**longest
        self.length = min(self.length + 1, longest)

    def step(self, ids: Tensor) -> Tensor:
        """Read ids (streams,); returns log-probabilities (streams, characters)."""
        self.read(ids)
        found = torch.full((len(ids), self.characters), 1 / self.characters)
        for length, order in enumerate(self.fitted.orders[: self.length + 1]):
            found = order.interpolate(found, self.context % self.characters**length)
        return found.log_()


@dataclass(frozen=True)
class KneserNey(CheckedModel):
    """Counts all strings of up to ``order`` characters: one to predict, the others as context."""

    order: int = int_field(6, "characters", 1, 16, search=(1, 8))

    name: ClassVar[str] = "Kneser-Ney n-gram"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNGram:
        """Count; ``seed`` and ``budget`` change nothing. Raises like :func:`count_ngrams`."""
        orders = [
            NGramTable.of(keys, counts, _discounts(counts)[counts.clamp(max=3)], len(task.alphabet))
            for keys, counts in count_ngrams(task, self.order)
        ]
        return FittedNGram(task.alphabet, tuple(orders))


def count_ngrams(task: Task, order: int) -> list[tuple[Tensor, Tensor]]:
    """Sorted keys and counts of the strings of 1 to ``order`` characters in the training text, shortest first.

    The longest strings are counted as they occur; every shorter one by how many different characters precede it.

    Raises:
        ValueError: the task is not text, the text is shorter than ``order``, or the strings do not fit into 63 bits.
    """
    ids, characters = text_ids(task, f"n-gram of order={order}", order), len(task.alphabet)
    if characters**order >= 1 << _KEY_BITS:
        raise ValueError(f"n-gram: order={order} with {characters} characters does not fit into 63 bits; lower it")
    found = []
    with torch.inference_mode():
        keys = ids[: len(ids) - order + 1].clone()
        for offset in range(1, order):
            keys.mul_(characters).add_(ids[offset : len(ids) - order + 1 + offset])
        for length in range(order, 0, -1):
            keys, counts = keys.unique(return_counts=True)
            found.append((keys, counts))
            keys = keys % characters ** (length - 1)  # each string without its oldest character, once per predecessor
    return found[::-1]


def _discounts(counts: Tensor) -> Tensor:
    """D(0) = 0, D(1), D(2), D(3 and more), from the counts of counts; 0.5 where these are too few."""
    one, two, three, four = torch.bincount(counts.clamp(max=5), minlength=6)[1:5].tolist()
    if not (one and two and three):
        return torch.tensor([0.0, 0.5, 0.5, 0.5])
    y = one / (one + 2 * two)
    found = (1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three)
    # A discount cannot be larger than the count that it is taken from.
    return torch.tensor([0.0, *(min(max(d, MIN_DISCOUNT), n) for n, d in enumerate(found, 1))])


def lookup(table: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """The index of each key in the sorted ``table``, and whether it is there; the index is 0 where it is not."""
    place = torch.searchsorted(table, keys).clamp_(max=len(table) - 1)
    there = table[place] == keys
    return torch.where(there, place, 0), there
