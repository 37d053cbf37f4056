from itertools import combinations

import numpy as np
import pytest

from sutrolib.boards.instances import ParityShape, count_fits, parity_instances, symmetry_instances

LABELS = ParityShape(n=6, k=3, train=7, test=5, secrets=20, repeats=2)
MASK = ParityShape(n=17, k=2, train=9, test=0, secrets=10, repeats=3)


def fits(x, y, k):
    return [s for s in combinations(range(x.shape[1]), k) if (x[:, list(s)].sum(1) % 2 == y).all()]


@pytest.mark.parametrize("shape", [LABELS, MASK])
def test_exactly_one_subset_fits_and_gives_the_outputs(shape):
    inputs, expected = parity_instances(shape, 3)
    assert len(inputs) == len(expected) == shape.secrets * shape.repeats
    secrets = []
    for row, outputs in zip(inputs, expected, strict=True):
        x, y, test = np.split(row, [shape.n * shape.train, (shape.n + 1) * shape.train])
        (secret,) = fits(x.reshape(-1, shape.n), y, shape.k)
        secrets.append(secret)
        labels = test.reshape(-1, shape.n)[:, list(secret)].sum(1) % 2
        mask = [bit in secret for bit in range(shape.n)]
        assert outputs.tolist() == (labels.tolist() if shape.test else mask)
    assert secrets == [secret for secret in dict.fromkeys(secrets) for _ in range(shape.repeats)]
    assert len(set(secrets)) == shape.secrets


def test_equal_seeds_give_equal_instances():
    one, other = (parity_instances.__wrapped__(LABELS, seed) for seed in (0, 1))
    assert (one[0] == parity_instances(LABELS, 0)[0]).all()
    assert (one[0] != other[0]).any()


def test_fits_are_counted_as_by_brute_force():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        k, rows = rng.integers(2, 6), rng.integers(2, 9)
        x, y = rng.integers(0, 2, (rows, 7)), rng.integers(0, 2, rows)
        found.append(count_fits(x, y, k))
        assert found[-1] == min(2, len(fits(x, y, k)))
    assert set(found) == {0, 1, 2}


def test_symmetry_has_every_pattern_once():
    inputs, expected = symmetry_instances(6)
    assert len({tuple(row) for row in inputs.tolist()}) == 64
    assert [row == row[::-1] for row in inputs.tolist()] == expected[:, 0].astype(bool).tolist()
    assert expected.sum() == 8


@pytest.mark.parametrize("wrong", [{"k": 1}, {"k": 7}, {"train": 63}, {"train": 0}])
def test_a_shape_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="2 <= k <= n and 1 <= train <= 62"):
        ParityShape(**{"n": 6, "k": 3, "train": 7, "test": 5, "secrets": 2, "repeats": 2} | wrong)
