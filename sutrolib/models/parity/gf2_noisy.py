"""GF(2) elimination on noisy samples: draw small subsets until one of them holds no corrupted label.

n + extra random samples are clean with probability (1 - noise)^(n + extra); one that determines a parity and is
consistent is a candidate, and the candidate is the secret when it agrees with more of all samples than any wrong parity
could by chance. A wrong one agrees with half of them: by Hoeffding's inequality and a union over the 2^n parities, with
one half + t of m samples with probability at most 2^n exp(-2 m t^2). The problem is that of Blum, Kalai, Wasserman,
Noise-tolerant learning, the parity problem, and the statistical query model, JACM 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import check_model
from sutrolib.models.parity.gf2 import WORD, FittedParity, Inconsistent, pack

MISTAKE = 1e-4  # probability with which a wrong parity may pass for the secret
AT_ONCE = 64  # subsets that are eliminated side by side, at first


@dataclass(frozen=True)
class RobustGF2:
    """Solves random subsets of n + ``extra`` samples, up to ``subsets`` of them."""

    extra: int = field(default=3, metadata={"unit": "samples", "low": 0, "high": 100, "search": (0, 12)})
    subsets: int = field(default=200_000, metadata={"unit": "subsets", "low": 1, "high": 100_000_000})

    name: ClassVar[str] = "noise-robust GF(2)"
    prior_knowledge: ClassVar[str] = "that it is a parity"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Draw and solve until a parity is found that agrees too well for chance.

        Raises Inconsistent when all subsets are used up, and ValueError for labels other than -1 and +1.
        """
        x, y = task.train.x, task.train.y
        if not (y.abs() == 1).all():
            raise ValueError(f"{self.name}: labels must be -1 or +1, as those of a parity are")
        n, samples = x.shape[1], len(x)
        needed = 0.5 + math.sqrt((n * math.log(2) - math.log(MISTAKE)) / (2 * samples))
        generator = torch.Generator().manual_seed(seed)
        tried, at_once = 0, AT_ONCE
        with torch.inference_mode():
            packed = pack(torch.cat([x, y], 1))
            while tried < self.subsets:
                rows = torch.randint(samples, (at_once, n + self.extra), generator=generator)
                candidates = _solutions(packed[rows], n)
                tried += at_once
                at_once = min(2 * at_once, 4096)
                if not len(candidates):
                    continue
                odd = (x < 0).float() @ candidates.t() % 2  # (samples, candidates): how many -1 bits, modulo 2
                agreement = (odd == (y < 0)).float().mean(0)
                best = int(agreement.argmax().item())
                if agreement[best] > needed:
                    return FittedParity(tuple(candidates[best].nonzero().flatten().tolist()), samples)
        raise Inconsistent(
            f"{self.name}: no parity agrees with more than {needed:.2f} of the samples, {tried} subsets tried"
        )


def _solutions(rows: Tensor, n: int) -> Tensor:
    """The solutions, of shape (solved, n) as 0 and 1, of those systems that determine one and do not contradict it.

    ``rows`` are bit-packed equations (systems, equations, words); all systems are eliminated side by side.
    """
    systems = torch.arange(len(rows))
    free = torch.ones(rows.shape[:2], dtype=torch.bool)
    pivots, determined = [], torch.ones(len(rows), dtype=torch.bool)
    for column in range(n):
        word, bit = divmod(column, WORD)
        holds = (rows[:, :, word] >> bit & 1).bool()
        usable = holds & free
        pivot = usable.byte().argmax(1)
        determined &= usable[systems, pivot]
        holds[systems, pivot] = False
        rows = rows ^ (holds[:, :, None] * rows[systems, pivot][:, None])
        free[systems, pivot] = False
        pivots.append(pivot)
    word, bit = divmod(n, WORD)
    labels = rows[:, :, word] >> bit & 1
    sound = determined & ~(free & labels.bool()).any(1)  # a row without a pivot says 0 = label
    return labels.gather(1, torch.stack(pivots, 1))[sound].float()
