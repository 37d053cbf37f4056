"""Constraint search: backtracking over subsets, where k - 1 chosen bits leave no choice for the last one.

Once k - 1 bits of the secret are chosen, the column of the last bit must equal the labels times their product.
Each branch ends there with a comparison against all columns: C(n, k - 1) branches instead of C(n, k).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.gf2 import WORD_BITS, FittedParity, Inconsistent, pack_signs


@dataclass(frozen=True)
class ConstraintSearch(CheckedModel):
    """Finds ``k`` bits whose parity gives every label: searches in one machine word of samples, checks on the rest."""

    k: int = int_field(3, "bits", 2, 12, search=(2, 5))

    name: ClassVar[str] = "constraint search"
    prior_knowledge: ClassVar[str] = "that it is a parity without noise, and k"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Find the bits. Exact: ``seed`` and ``budget`` change nothing. Raises Inconsistent if no k bits fit."""
        x, y = task.train.x, task.train.y
        samples = min(WORD_BITS, len(x))
        with torch.inference_mode():
            # One word per column, one bit per sample: a product of signs is an exclusive or of words.
            columns, label = pack_signs(x[:samples].t())[:, 0], pack_signs(y[:samples].t())[:, 0]
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
    """The pairs i < j, from bit ``first`` on, whose columns multiply to ``rest``."""
    candidates = columns[first:]
    pairs = (candidates ^ rest)[:, None] == candidates
    return [(first + i, first + j) for i, j in pairs.triu_(1).nonzero().tolist()]
