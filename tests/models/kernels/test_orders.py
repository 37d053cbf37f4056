"""The matrix product and attention in several orders: the same work, whatever the order."""

from collections import Counter

import numpy as np
import pytest
import torch

from sutrolib.models.kernels.attention import attend, attend_tiled
from sutrolib.models.kernels.matmul import product_reads


@pytest.mark.parametrize("tile", [1, 2, 4, 8])
def test_every_order_of_the_product_pairs_the_same_elements(tile):
    pairs = product_reads(8, tile).reshape(-1, 2).tolist()
    assert Counter(map(tuple, pairs)) == Counter((i * 8 + k, 64 + k * 8 + j) for i, j, k in np.ndindex(8, 8, 8))


def test_the_naive_order_is_i_j_k():
    assert product_reads(2).reshape(-1, 2).tolist()[:4] == [[0, 4], [1, 6], [0, 5], [1, 7]]
    assert product_reads(4, 4).tolist() == product_reads(4, 1).tolist()


@pytest.mark.parametrize(("positions", "tile"), [(70, 16), (64, 64), (5, 100), (33, 1)])
def test_tiled_attention_has_the_values_of_attention(positions, tile):
    torch.manual_seed(0)
    q, k, v = (torch.randn(positions, 8) for _ in range(3))
    torch.testing.assert_close(attend_tiled(q, k, v, tile), attend(q, k, v))


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"n a multiple of tile \(got n=8, tile=3"):
        product_reads(8, 3)
    with pytest.raises(ValueError, match=r"tile must be at least 1 \(got 0"):
        attend_tiled(*(torch.ones(2, 2) for _ in range(3)), tile=0)
