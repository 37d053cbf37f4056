"""GF(2) elimination on noisy samples: draw small subsets until one of them holds no corrupted label.

n + extra random samples are clean with probability (1 - noise)^(n + extra); one that determines a parity and is
consistent is a candidate, and the candidate is the secret when it agrees with more of all samples than any wrong parity
could by chance. A wrong one agrees with half of them: by Hoeffding's inequality and a union over the 2^n parities, with
one half + t of m samples with probability at most 2^n exp(-2 m t^2). The problem is that of Blum, Kalai, Wasserman,
Noise-tolerant learning, the parity problem, and the statistical query model, JACM 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, int_field
from sutrolib.models.parity.gf2 import WORD_BITS, FittedParity, Inconsistent, check_signs, pack_signs

_FALSE_POSITIVE_RATE = 1e-4  # probability that a wrong parity passes for the secret
_FIRST_BATCH = 64  # subsets eliminated in parallel; the batch doubles up to _LAST_BATCH
_LAST_BATCH = 4096


@dataclass(frozen=True)
class RobustGF2(CheckedModel):
    """Solves up to ``max_subsets`` random subsets of n + ``extra_samples`` samples."""

    extra_samples: int = int_field(3, "samples", 0, 100, search=(0, 12))
    max_subsets: int = int_field(200_000, "subsets", 1, 100_000_000)

    name: ClassVar[str] = "noise-robust GF(2)"
    prior_knowledge: ClassVar[str] = "that it is a parity"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Draw and solve subsets until a parity agrees with more samples than chance explains.

        Raises:
            ValueError: A label is not -1 or +1.
            Inconsistent: ``max_subsets`` were tried without success.
        """
        x, y = task.train.x, task.train.y
        check_signs(y, self.name)
        n, samples = x.shape[1], len(x)
        needed = 0.5 + math.sqrt((n * math.log(2) - math.log(_FALSE_POSITIVE_RATE)) / (2 * samples))
        generator = torch.Generator().manual_seed(seed)
        tried, batch = 0, _FIRST_BATCH
        with torch.inference_mode():
            packed = pack_signs(torch.cat([x, y], 1))
            while tried < self.max_subsets:
                rows = torch.randint(samples, (batch, n + self.extra_samples), generator=generator)
                candidates = _solutions(packed[rows], n)
                tried += batch
                batch = min(2 * batch, _LAST_BATCH)
                if not len(candidates):
                    continue
                odd = (x < 0).float() @ candidates.t() % 2  # (samples, candidates): how many -1 bits, modulo 2
                agreement = (odd == (y < 0)).float().mean(0)
                best = int(agreement.argmax().item())
                if agreement[best] > needed:
                    return FittedParity(tuple(candidates[best].nonzero().flatten().tolist()), samples)
        raise Inconsistent(
            f"{self.name}: no parity agrees with more than {needed:.0%} of the samples; {tried} subsets tried"
        )


def _solutions(rows: Tensor, n: int) -> Tensor:
    """Solve many systems in parallel; returns the unique solutions as 0 and 1, of shape (solved, n).

    ``rows`` are bit-packed equations (systems, equations, words). Systems without a unique solution are dropped.
    """
    systems = torch.arange(len(rows))
    free = torch.ones(rows.shape[:2], dtype=torch.bool)
    pivots, determined = [], torch.ones(len(rows), dtype=torch.bool)
    for column in range(n):
        word, bit = divmod(column, WORD_BITS)
        holds = (rows[:, :, word] >> bit & 1).bool()
        usable = holds & free
        pivot = usable.byte().argmax(1)
        determined &= usable[systems, pivot]
        holds[systems, pivot] = False
        rows = rows ^ (holds[:, :, None] * rows[systems, pivot][:, None])
        free[systems, pivot] = False
        pivots.append(pivot)
    word, bit = divmod(n, WORD_BITS)
    labels = rows[:, :, word] >> bit & 1
    solved = determined & ~(free & labels.bool()).any(1)  # a row without a pivot reads 0 = label
    return labels.gather(1, torch.stack(pivots, 1))[solved].float()
