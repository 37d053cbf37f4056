"""The instances of the boards whose programs are run: inputs and expected outputs, as 0 and 1.

Inputs are X_train by rows, y_train, X_test by rows. A training set is drawn again until exactly one subset of k bits
fits its labels, as the public generators do; so the secret can be found, and no program is right by luck alone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sutrolib.core.compiled import compiled

_LAST_BITS = 2**16 - 1  # by which a pair is looked up
Instances = tuple[np.ndarray, np.ndarray]  # int8 (instances, inputs) and (instances, outputs)


@dataclass(frozen=True)
class ParityShape:
    """``k`` secret of ``n`` bits, ``train`` labelled rows, ``test`` rows to label; without any, the mask is asked for.

    ``secrets`` different secrets (at most all) with ``repeats`` training sets each.
    """

    n: int
    k: int
    train: int
    test: int
    secrets: int
    repeats: int

    def __post_init__(self) -> None:
        if not 2 <= self.k <= self.n or not 1 <= self.train <= 62:
            raise ValueError(f"2 <= k <= n and 1 <= train <= 62 must hold (got {self})")


@functools.lru_cache(maxsize=8)
def parity_instances(shape: ParityShape, seed: int) -> Instances:
    """The instances of this seed, which are also kept: do not write to them."""
    rng = np.random.default_rng(seed)
    inputs, expected = [], []
    for secret in _secrets(shape, rng):
        for _ in range(shape.repeats):
            x = rng.integers(0, 2, (shape.train, shape.n), np.int8)
            while count_fits(x, x[:, secret].sum(1) % 2, shape.k) != 1:
                x = rng.integers(0, 2, (shape.train, shape.n), np.int8)
            test = rng.integers(0, 2, (shape.test, shape.n), np.int8)
            inputs.append(np.concatenate([x.ravel(), x[:, secret].sum(1) % 2, test.ravel()]))
            expected.append(test[:, secret].sum(1) % 2 if shape.test else np.isin(np.arange(shape.n), secret))
    found = np.array(inputs, np.int8), np.array(expected, np.int8)
    for part in found:
        part.flags.writeable = False
    return found


def parity_draws(shape: ParityShape, seed: int, draws: int) -> Instances:
    """The instances of so many seeds from this one on, one draw after the other."""
    inputs, expected = zip(*(parity_instances(shape, seed + draw) for draw in range(draws)), strict=True)
    return np.concatenate(inputs), np.concatenate(expected)


def symmetry_instances(n: int) -> Instances:
    """All 2^n patterns of n bits, and whether each reads the same from both ends."""
    patterns = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.int8)
    return patterns, (patterns == patterns[:, ::-1]).all(1, keepdims=True).astype(np.int8)


def count_fits(x: np.ndarray, y: np.ndarray, k: int) -> int:
    """How many subsets of k columns of x (rows, n) have the parities y (rows,); 2 stands for two or more."""
    weights = 1 << np.arange(len(x), dtype=np.int64)
    return int(_count_fits(weights @ x, weights @ y, k))


def _secrets(shape: ParityShape, rng: np.random.Generator) -> list[list[int]]:
    """Different subsets of k bits, in random order."""
    if shape.n <= 16:
        every = [list(subset) for subset in combinations(range(shape.n), shape.k)]
        return [every[i] for i in rng.permutation(len(every))[: shape.secrets]]
    found: dict[tuple[int, ...], None] = {}
    while len(found) < shape.secrets:
        found[tuple(sorted(rng.choice(shape.n, shape.k, replace=False).tolist()))] = None
    return [list(subset) for subset in found]


@compiled
def _count_fits(columns: np.ndarray, label: int, k: int) -> int:
    """Go through the subsets of k - 2 columns in order, and the pairs of later ones if any pair has what is left."""
    n, count = len(columns), 0
    seen = np.zeros(_LAST_BITS + 1, np.bool_)
    for a in range(n):
        for b in range(a):
            seen[(columns[a] ^ columns[b]) & _LAST_BITS] = True
    chosen = np.arange(k - 2)
    while True:
        rest = label
        for bit in chosen:
            rest ^= columns[bit]
        if seen[rest & _LAST_BITS]:
            for a in range(chosen[-1] + 1 if k > 2 else 0, n):
                for b in range(a + 1, n):
                    count += (columns[a] ^ columns[b]) == rest
        if count > 1:
            return 2
        place = k - 3
        while place >= 0 and chosen[place] == n - k + 1 + place:
            place -= 1
        if place < 0:
            return count
        chosen[place] += 1
        for later in range(place + 1, k - 2):
            chosen[later] = chosen[later - 1] + 1
