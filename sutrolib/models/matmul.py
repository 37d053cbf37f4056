"""The matrix product as a stream of reads: the same n^3 products in different orders.

As in Smith, Goldfarb and Ding, Beyond Time Complexity (ICS 2022, arXiv 2203.02536), each product reads one element of A
and one of B; the element of C that it is added to is taken to stay in a register.
"""

from __future__ import annotations

import numpy as np


def product_reads(n: int, tile: int = 1) -> np.ndarray:
    """Addresses read by C = A B for n-by-n matrices, 2 n^3 of them: A's elements are 0 to n^2 - 1, B's come after.

    The order is i, j, k within tiles of ``tile`` by ``tile``, and over the tiles; 1 and n are the naive order.
    Raises ValueError where ``tile`` does not divide n.
    """
    if n < 1 or tile < 1 or n % tile:
        raise ValueError(f"n={n!r}, tile={tile!r}, accepted are whole numbers from 1, n a multiple of tile")
    blocks, inside = n // tile, tile
    shape = (blocks, blocks, blocks, inside, inside, inside)
    i0, j0, k0, i, j, k = np.indices(shape, dtype=np.int64, sparse=True)
    row, column, middle = i0 * tile + i, j0 * tile + j, k0 * tile + k
    a = np.broadcast_to(row * n + middle, shape).ravel()
    b = np.broadcast_to(n * n + middle * n + column, shape).ravel()
    return np.stack([a, b], 1).ravel()
