"""Interpolated Kneser-Ney n-grams over characters, counted by sorting.

    P_m(w | h) = max(c(h w) - D, 0) / c(h) + gamma(h) P_{m-1}(w | h'),    h' = h without its oldest character

The highest order counts occurrences; every lower one counts by how many different characters a string is preceded.
There are three discounts an order (for counts of 1, 2, and 3 and more), from the counts of counts; gamma gives back
what they took, so that every distribution sums to 1. Kneser and Ney, ICASSP 1995; Chen and Goodman, An Empirical Study
of Smoothing Techniques for Language Modeling, 1998, section 3.

A string of m characters is one int64, the newest character least significant, so that all strings that continue one
context are neighbours in the sorted table. Time is that of sorting the text once an order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task, nbytes
from sutrolib.models.fields import check_model

KEY_BITS = 63
LEAST_DISCOUNT = 0.01  # without any, a context seen often enough would give nothing to what it never saw


@dataclass(frozen=True)
class Order:
    """The strings of one length: sorted ``keys`` with their ``share`` (c - D) / c(h), and contexts with their gamma."""

    keys: Tensor
    share: Tensor
    contexts: Tensor
    gamma: Tensor

    def refine(self, lower: Tensor, context: Tensor) -> Tensor:
        """Distributions (streams, characters) after contexts (streams,), from those of the order below."""
        characters = lower.shape[1]
        row, known = find(self.contexts, context)
        gamma = torch.where(known, self.gamma[row], 1.0)
        asked = context[:, None] * characters + torch.arange(characters)
        place, seen = find(self.keys, asked)
        return torch.where(seen, self.share[place], 0.0).addcmul_(gamma[:, None], lower)

    def after_all(self, lower: Tensor) -> Tensor:
        """Distributions after every context of this order, from those (contexts, characters) of the order below."""
        characters = lower.shape[1]
        found = lower * self.gamma[:, None]
        row, _ = find(self.contexts, self.keys // characters)
        found[row, self.keys % characters] += self.share
        return found


@dataclass(frozen=True)
class FittedNGram:
    """The tables of all orders, from 1 up."""

    alphabet: str
    orders: tuple[Order, ...]
    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of all tables."""
        return sum(nbytes(o.keys, o.share, o.contexts, o.gamma) for o in self.orders)

    def reader(self, streams: int) -> NGramReader:
        """A reader of so many streams, without any context yet."""
        return NGramReader(self, streams)

    def table(self) -> Tensor:
        """Probabilities (contexts, characters) after every context of the highest order, in order of its contexts."""
        characters = len(self.alphabet)
        found = torch.full((1, characters), 1 / characters)
        below = torch.zeros(1, dtype=torch.int64)
        for length, order in enumerate(self.orders):
            row, _ = find(below, order.contexts % characters ** max(length - 1, 0))
            found, below = order.after_all(found[row]), order.contexts
        return found

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) of what follows ids x of shape (samples, characters of context)."""
        reader = self.reader(len(x))
        for column in x.unbind(1)[:-1]:
            reader.take(column)
        return reader.next(x[:, -1])


class NGramReader:
    """Keeps the last characters of each stream as one number."""

    def __init__(self, fitted: FittedNGram, streams: int) -> None:
        self.fitted = fitted
        self.characters = len(fitted.alphabet)
        self.context = torch.zeros(streams, dtype=torch.int64)
        self.seen = 0  # characters of each stream, no more than count

    def take(self, ids: Tensor) -> None:
        """Take in a character of each stream. Raises ValueError for ids outside the alphabet."""
        if not ((ids >= 0) & (ids < self.characters)).all():
            raise ValueError(f"ids {ids.min()} to {ids.max()}, accepted are 0 to {self.characters - 1} of the alphabet")
        longest = len(self.fitted.orders) - 1
        self.context = (self.context * self.characters + ids) % self.characters**longest
        self.seen = min(self.seen + 1, longest)

    def next(self, ids: Tensor) -> Tensor:
        """Take in ids (streams,) and return log-probabilities (streams, characters)."""
        self.take(ids)
        found = torch.full((len(ids), self.characters), 1 / self.characters)
        for length, order in enumerate(self.fitted.orders[: self.seen + 1]):
            found = order.refine(found, self.context % self.characters**length)
        return found.log_()


@dataclass(frozen=True)
class KneserNey:
    """Counts all strings of up to ``order`` characters: one to predict, the others as context."""

    order: int = field(default=6, metadata={"unit": "characters", "low": 1, "high": 16, "search": (1, 8)})

    name: ClassVar[str] = "Kneser-Ney n-gram"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNGram:
        """Count. Exact, so neither ``seed`` nor ``budget`` changes anything. Raises as :func:`count_strings`."""
        orders = [order_of(keys, counts, _taken(counts), c) for keys, counts, c in count_strings(task, self.order)]
        return FittedNGram(task.alphabet, tuple(orders))


def count_strings(task: Task, longest: int) -> list[tuple[Tensor, Tensor, int]]:
    """The strings of 1 to ``longest`` characters of the training text: sorted keys, counts, and the alphabet's size.

    The longest are counted as they occur; every shorter one by how many different characters precede it.
    Raises ValueError for what is not text, a text shorter than that, or strings that do not fit into 63 bits.
    """
    characters = len(task.alphabet)
    if not characters:
        raise ValueError("n-gram: the task is not text, as it has no alphabet")
    if characters**longest >= 1 << KEY_BITS:
        raise ValueError(f"n-gram: order={longest} with {characters} characters does not fit into 63 bits")
    ids = torch.cat([task.train.x[:1], task.train.y[:, 0]])
    if len(ids) < longest:
        raise ValueError(f"n-gram: {len(ids)} characters are too few, accepted are order={longest} and above")
    found = []
    with torch.inference_mode():
        keys = ids[: len(ids) - longest + 1].clone()
        for offset in range(1, longest):
            keys.mul_(characters).add_(ids[offset : len(ids) - longest + 1 + offset])
        for length in range(longest, 0, -1):
            keys, counts = keys.unique(return_counts=True)
            found.append((keys, counts, characters))
            keys = keys % characters ** (length - 1)  # each string without its oldest character, once a predecessor
    return found[::-1]


def order_of(keys: Tensor, counts: Tensor, taken: Tensor, characters: int) -> Order:
    """The tables of one order, from the counts of its strings and what is taken from each."""
    contexts, row = torch.unique_consecutive(keys // characters, return_inverse=True)
    total = torch.zeros(len(contexts)).index_add_(0, row, counts.float())
    gamma = torch.zeros(len(contexts)).index_add_(0, row, taken) / total
    return Order(keys, (counts - taken) / total[row], contexts, gamma)


def _taken(counts: Tensor) -> Tensor:
    return _discounts(counts)[counts.clamp(max=3)]


def _discounts(counts: Tensor) -> Tensor:
    """D(0) = 0, D(1), D(2), D(3 and more), from the counts of counts; one half where these are too few to tell."""
    one, two, three, four = torch.bincount(counts.clamp(max=5), minlength=6)[1:5].tolist()
    if not (one and two and three):
        return torch.tensor([0.0, 0.5, 0.5, 0.5])
    y = one / (one + 2 * two)
    found = (1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three)
    # More than its count cannot be taken from a string.
    return torch.tensor([0.0, *(min(max(d, LEAST_DISCOUNT), n) for n, d in enumerate(found, 1))])


def find(table: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where ``wanted`` stands in the sorted ``table``, and whether it does; the place is 0 where it does not."""
    place = torch.searchsorted(table, wanted).clamp_(max=len(table) - 1)
    there = table[place] == wanted
    return torch.where(there, place, 0), there
