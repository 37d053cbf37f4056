"""An n-gram whose discounts are learned, by predicting every character of the training text as if it were not there.

    P_m(w | h) = (c - D(c, h)) / c(h) + sum_v D(c(h v), h) / c(h) * P_{m-1}(w | h'),    D(c, h) = c sigmoid(a[m, h, c])

as in Kneser-Ney smoothing (``kneser_ney``), with counts of 1, 2, and 3 and more told apart, and contexts
too: by how often they occur, and by how many different characters follow them. Kneser-Ney has three discounts an order,
whatever the context. The discounts are those of least loss on characters left out one at a time (Ney, Essen and Kneser,
On the Estimation of 'Small' Probabilities by Leaving-One-Out, IEEE TPAMI 17, 1995): their own string is taken from the
counts, and where a string is gone with it, so is that one from the counts of predecessors an order below. All that this
needs of a position is a few numbers an order, so learning costs about as much as counting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.language.kneser_ney import FittedNGram, count_strings, find, order_of

OFTEN, VARIED = 12, 4  # sorts of contexts: by the logarithm of their count, by the share of different characters
CLASSES = 3
AT_FIRST = 0.6, 1.0, 1.3  # discounts of a usual Kneser-Ney n-gram
LEAST = 1e-9  # a probability that a rounding error may have made negative


@dataclass(frozen=True)
class Seen:
    """What an order knows of some strings: their ``count``, and the ``total`` and counts-of-counts of their contexts.

    ``count`` and ``total`` have shape (strings,), ``classes`` (strings, 3): how many strings of the context occur once,
    twice, and more often.
    """

    count: Tensor
    total: Tensor
    classes: Tensor

    @property
    def sort(self) -> Tensor:
        """The sort of the context, 0 to OFTEN x VARIED - 1."""
        total = self.total.clamp(min=1)
        often = (1.5 * total.log2()).long().clamp(max=OFTEN - 1)
        varied = (VARIED * self.classes.sum(1) / total).long().clamp(max=VARIED - 1)
        return often * VARIED + varied

    def without(self, taken: Tensor) -> Seen:
        """With ``taken``, 0 or 1, fewer of each string."""
        known = taken * (self.count > 0)
        left = self.count - known
        change = _one_hot(left) - _one_hot(self.count)
        return Seen(left, self.total - known, self.classes + change)

    def probability(self, discounts: Tensor, below: Tensor) -> Tensor:
        """P_m of each string, from the discounts (strings, 3) of its context and P_{m-1} of its ending."""
        padded = torch.cat([torch.zeros_like(discounts[:, :1]), discounts], 1)
        own = padded.gather(1, self.count.long().clamp(max=CLASSES)[:, None])[:, 0]
        freed = (discounts * self.classes).sum(1)
        found = (self.count - own + freed * below) / self.total.clamp(min=1)
        return torch.where(self.total > 0, found, below)


@dataclass(frozen=True)
class LeaveOneOutNGram:
    """Counts strings of up to ``order`` characters and learns the discounts on ``samples`` positions of the text.

    Each of the ``steps`` updates sees ``batch`` of these. Fields out of range raise ValueError.
    """

    order: int = field(default=8, metadata={"unit": "characters", "low": 1, "high": 10, "search": (4, 9)})
    samples: int = field(default=100_000, metadata={"unit": "positions", "low": 1, "high": 10_000_000, "log": True})
    batch: int = field(default=10_000, metadata={"unit": "positions", "low": 1, "high": 10_000_000, "log": True})
    steps: int = field(default=40, metadata={"unit": "updates", "low": 1, "high": 100_000, "log": True})
    lr: float = field(default=0.1, metadata={"unit": "", "low": 1e-5, "high": 10.0, "log": True})

    name: ClassVar[str] = "leave-one-out n-gram"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedNGram:
        """Count and learn; ``seed`` draws the positions, ``budget`` changes nothing. Raises as ``count_strings``."""
        counted = count_strings(task, self.order)
        characters = len(task.alphabet)
        contexts = [_Contexts.of(keys, counts, characters) for keys, counts, _ in counted]
        generator = torch.Generator().manual_seed(seed)
        ids = torch.cat([task.train.x[:1], task.train.y[:, 0]])
        places = torch.randint(self.order - 1, len(ids), (self.samples,), generator=generator)
        seen = _left_out(contexts, ids, places, characters)
        weights = self._learn(seen, characters, generator)
        orders = []
        for (keys, counts, _), context, weight in zip(counted, contexts, weights, strict=True):
            every = context.seen
            taken = _discounts_of(weight)[every.sort, counts.clamp(max=CLASSES) - 1]
            orders.append(order_of(keys, counts, taken, characters))
        return FittedNGram(task.alphabet, tuple(orders))

    def _learn(self, seen: list[Seen], characters: int, generator: torch.Generator) -> Tensor:
        """The weights a of all discounts, of shape (orders, sorts, 3)."""
        start = torch.tensor(AT_FIRST) / torch.arange(1, CLASSES + 1)
        weights = torch.logit(start).expand(len(seen), OFTEN * VARIED, CLASSES).clone().requires_grad_()
        sorts = [one.sort for one in seen]
        optimizer = torch.optim.Adam([weights], lr=self.lr, betas=(0.9, 0.99))
        for step in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.lr * (1 - step / self.steps)
            some = torch.randint(self.samples, (min(self.batch, self.samples),), generator=generator)
            found = torch.full((len(some),), 1 / characters)
            for one, sort, discounts in zip(seen, sorts, _discounts_of(weights), strict=True):
                part = Seen(one.count[some], one.total[some], one.classes[some])
                found = part.probability(discounts[sort[some]], found)
            optimizer.zero_grad()
            (-found.clamp(min=LEAST).log().mean()).backward()
            optimizer.step()
        return weights.detach()


@dataclass(frozen=True)
class _Contexts:
    """The strings of one order with their counts, and of each the numbers of its context."""

    keys: Tensor
    seen: Seen
    keys_of_contexts: Tensor
    first: Tensor  # of each context, its first string

    @classmethod
    def of(cls, keys: Tensor, counts: Tensor, characters: int) -> _Contexts:
        contexts, row, sizes = torch.unique_consecutive(keys // characters, return_inverse=True, return_counts=True)
        total = torch.zeros(len(contexts)).index_add_(0, row, counts.float())
        classes = torch.zeros(len(contexts), CLASSES).index_add_(0, row, _one_hot(counts))
        return cls(keys, Seen(counts.float(), total[row], classes[row]), contexts, sizes.cumsum(0) - sizes)


def _left_out(contexts: list[_Contexts], ids: Tensor, places: Tensor, characters: int) -> list[Seen]:
    """What each order knows of the strings that end at ``places``, once each was taken from the text."""
    keys = [ids[places]]
    for back in range(1, len(contexts)):
        keys.append(keys[-1] + ids[places - back] * characters**back)
    found = []
    taken = torch.ones(len(places))
    for context, key in zip(reversed(contexts), reversed(keys), strict=True):
        row, _ = find(context.keys, key)  # it is there: the place is one of the text
        whole = context.seen
        here = Seen(whole.count[row], whole.total[row], whole.classes[row]).without(taken)
        found.append(here)
        taken = taken * (here.count == 0)
    return found[::-1]


def _one_hot(counts: Tensor) -> Tensor:
    """Of shape (strings, 3): whether a string occurs once, twice, or more often."""
    return torch.stack([counts == 1, counts == 2, counts >= CLASSES], 1).float()


def _discounts_of(weights: Tensor) -> Tensor:
    """From weights (..., 3): above 0, and below the count that they are taken from."""
    return torch.arange(1, CLASSES + 1) * torch.sigmoid(weights)
