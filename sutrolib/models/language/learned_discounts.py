"""An n-gram whose discounts are learned, by predicting each training character with that character left out.

    P_m(w | h) = (c - D(c, h)) / c(h) + sum_v D(c(h v), h) / c(h) * P_{m-1}(w | h'),    D(c, h) = c sigmoid(a[m, h, c])

As in Kneser-Ney smoothing (:mod:`sutrolib.models.language.kneser_ney`), counts of 1, 2, and 3 and more have their own
discounts; here contexts are put into buckets as well, by how often they occur and by how many different characters
follow them. The learned discounts minimise the loss on characters left out one at a time (Ney, Essen and Kneser, On the
Estimation of 'Small' Probabilities by Leaving-One-Out, IEEE TPAMI 17, 1995): a character's own string is subtracted
from the counts, and where that string then no longer occurs, so is one predecessor at the next lower order. This needs
a few numbers per position and order, so learning costs about as much as counting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, float_field, int_field, text_ids
from sutrolib.models.language.kneser_ney import FittedNGram, NGramTable, count_ngrams, lookup

N_COUNT_BUCKETS = 12  # of contexts, by the logarithm of their count
N_DIVERSITY_BUCKETS = 4  # of contexts, by how many of the characters after them are different
_CLASSES = 3  # counts of 1, of 2, and of 3 and more
INITIAL_DISCOUNTS = 0.6, 1.0, 1.3  # those of a usual Kneser-Ney n-gram
_MIN_PROBABILITY = 1e-9  # rounding may make a probability negative


@dataclass(frozen=True)
class NGramStats:
    """Statistics of some strings of one order: their ``count``, and ``total`` and ``classes`` of their contexts.

    ``count`` and ``total`` have shape (strings,), ``classes`` (strings, 3): how many strings of the context occur once,
    twice, and more often.
    """

    count: Tensor
    total: Tensor
    classes: Tensor

    def __getitem__(self, rows: Tensor) -> NGramStats:
        """The statistics of these strings."""
        return NGramStats(self.count[rows], self.total[rows], self.classes[rows])

    @property
    def bucket(self) -> Tensor:
        """The bucket of the context, 0 to N_COUNT_BUCKETS x N_DIVERSITY_BUCKETS - 1."""
        total = self.total.clamp(min=1)
        by_count = (1.5 * total.log2()).long().clamp(max=N_COUNT_BUCKETS - 1)
        by_diversity = (N_DIVERSITY_BUCKETS * self.classes.sum(1) / total).long().clamp(max=N_DIVERSITY_BUCKETS - 1)
        return by_count * N_DIVERSITY_BUCKETS + by_diversity

    def without(self, removed: Tensor) -> NGramStats:
        """The statistics after each string occurs ``removed``, 0 or 1, times less."""
        known = removed * (self.count > 0)
        left = self.count - known
        change = _one_hot(left) - _one_hot(self.count)
        return NGramStats(left, self.total - known, self.classes + change)

    def probability(self, discounts: Tensor, lower: Tensor) -> Tensor:
        """P_m of each string, from the discounts (strings, 3) of its context and its P_{m-1}."""
        padded = torch.cat([torch.zeros_like(discounts[:, :1]), discounts], 1)
        own = padded.gather(1, self.count.long().clamp(max=_CLASSES)[:, None])[:, 0]
        freed = (discounts * self.classes).sum(1)
        found = (self.count - own + freed * lower) / self.total.clamp(min=1)
        return torch.where(self.total > 0, found, lower)


@dataclass(frozen=True)
class LeaveOneOutNGram(CheckedModel):
    """Counts strings of up to ``order`` characters and learns the discounts on ``samples`` positions of the text.

    Each of the ``steps`` updates sees ``batch`` of these. Raises ValueError for fields out of range.
    """

    order: int = int_field(8, "characters", 1, 10, search=(4, 9))
    samples: int = int_field(100_000, "positions", 1, 10_000_000, log=True)
    batch: int = int_field(10_000, "positions", 1, 10_000_000, log=True)
    steps: int = int_field(40, "updates", 1, 100_000, log=True)
    lr: float = float_field(0.1, 1e-5, 10.0, log=True)

    name: ClassVar[str] = "n-gram, learned discounts"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNGram:
        """Count and learn; ``seed`` draws the positions, ``budget`` changes nothing. Raises like ``count_ngrams``."""
        counted = count_ngrams(task, self.order)
        characters = len(task.alphabet)
        stats = [stats_of(keys, counts, characters) for keys, counts in counted]
        generator = torch.Generator().manual_seed(seed)
        ids = text_ids(task, self.name, self.order)
        places = torch.randint(self.order - 1, len(ids), (self.samples,), generator=generator)
        left_out = _left_out([keys for keys, _ in counted], stats, ids, places, characters)
        about, orders = (characters, generator, self.batch, self.steps, self.lr), []
        for (keys, counts), every, weight in zip(counted, stats, learn_discounts(left_out, *about), strict=True):
            discounts = discounts_of(weight)[every.bucket, counts.clamp(max=_CLASSES) - 1]
            orders.append(NGramTable.of(keys, counts, discounts, characters))
        return FittedNGram(task.alphabet, tuple(orders))


def learn_discounts(
    left_out: list[NGramStats], characters: int, generator: torch.Generator, batch: int, steps: int, lr: float
) -> Tensor:
    """The weights a of all discounts, of shape (orders, buckets, 3), from strings that are left out of the text.

    Each of ``steps`` updates, at a rate that falls linearly from ``lr`` to 0, sees ``batch`` of the strings.
    """
    start = torch.logit(torch.tensor(INITIAL_DISCOUNTS) / torch.arange(1, _CLASSES + 1))
    shape = len(left_out), N_COUNT_BUCKETS * N_DIVERSITY_BUCKETS, _CLASSES
    weights = start.expand(shape).clone().requires_grad_()
    buckets, samples = [stats.bucket for stats in left_out], len(left_out[0].count)
    optimizer = torch.optim.Adam([weights], lr=lr, betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        rows = torch.randint(samples, (min(batch, samples),), generator=generator)
        found = torch.full((len(rows),), 1 / characters)
        for stats, bucket, discounts in zip(left_out, buckets, discounts_of(weights), strict=True):
            found = stats[rows].probability(discounts[bucket[rows]], found)
        optimizer.zero_grad()
        (-found.clamp(min=_MIN_PROBABILITY).log().mean()).backward()
        optimizer.step()
    return weights.detach()


def stats_of(keys: Tensor, counts: Tensor, characters: int) -> NGramStats:
    """The statistics of all strings of one order."""
    contexts, row = torch.unique_consecutive(keys // characters, return_inverse=True)
    total = torch.zeros(len(contexts)).index_add_(0, row, counts.float())
    classes = torch.zeros(len(contexts), _CLASSES).index_add_(0, row, _one_hot(counts))
    return NGramStats(counts.float(), total[row], classes[row])


def _left_out(
    keys: list[Tensor], stats: list[NGramStats], ids: Tensor, places: Tensor, characters: int
) -> list[NGramStats]:
    """The statistics at each order of the strings that end at ``places``, each string left out of the text."""
    ends = [ids[places]]
    for back in range(1, len(keys)):
        ends.append(ends[-1] + ids[places - back] * characters**back)
    found = []
    removed = torch.ones(len(places))
    for table, every, end in zip(reversed(keys), reversed(stats), reversed(ends), strict=True):
        row, _ = lookup(table, end)  # always there, as the string is one of the text
        here = every[row].without(removed)
        found.append(here)
        removed = removed * (here.count == 0)
    return found[::-1]


def _one_hot(counts: Tensor) -> Tensor:
    """Of shape (strings, 3): whether a string occurs once, twice, or more often."""
    return torch.stack([counts == 1, counts == 2, counts >= _CLASSES], 1).float()


def discounts_of(weights: Tensor) -> Tensor:
    """Discounts from weights (..., 3): above 0, and below the count that they are taken from."""
    return torch.arange(1, _CLASSES + 1) * torch.sigmoid(weights)
