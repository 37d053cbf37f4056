"""Constraint search: backtracking over subsets, where k - 1 chosen bits leave no choice for the last one.

Once k - 1 bits of the secret are fixed, the column of the last bit is the labels times the product of their columns.
So a branch ends there, in a comparison with the columns there are: C(n, k - 1) branches instead of C(n, k).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.gf2 import WORD, FittedParity, Inconsistent, pack


@dataclass(frozen=True)
class ConstraintSearch:
    """Finds ``k`` bits whose parity is every label, from one machine word of samples; the others then confirm it."""

    k: int = field(default=3, metadata={"unit": "bits", "low": 2, "high": 12, "search": (2, 5)})

    name: ClassVar[str] = "constraint search"
    prior_knowledge: ClassVar[str] = "that it is a parity without noise, and k"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Search. Exact, so neither ``seed`` nor ``budget`` changes anything.

        Raises Inconsistent where no k bits explain all samples.
        """
        x, y = task.train.x, task.train.y
        samples = min(WORD, len(x))
        with torch.inference_mode():
            # One word a column, a bit a sample: a product of signs is an exclusive or of words.
            columns, label = pack(x[:samples].t())[:, 0], pack(y[:samples].t())[:, 0]
            for chosen in combinations(range(x.shape[1]), self.k - 2):
                rest = label.clone()
                for bit in chosen:
                    rest ^= columns[bit]
                first = chosen[-1] + 1 if chosen else 0
                for subset in _last_two(columns, rest, first):
                    found = FittedParity((*chosen, *subset), len(x))
                    if bool((found.predict(x) == y).all().item()):
                        return found
        raise Inconsistent(f"{self.name}: no parity of k={self.k} bits explains all {len(x)} samples")


def _last_two(columns: Tensor, rest: Tensor, first: int) -> list[tuple[int, int]]:
    """The pairs i < j, from bit ``first`` on, whose columns multiply to what is left."""
    there = columns[first:]
    pairs = (there ^ rest)[:, None] == there
    return [(first + i, first + j) for i, j in pairs.triu_(1).nonzero().tolist()]
