"""Matrix multiplication, as a stream of reads in different orders and as plain Python programs to trace.

As in Smith, Goldfarb and Ding, Beyond Time Complexity (ICS 2022, arXiv 2203.02536), each product reads one element of A
and one of B; the element of C that accumulates it stays in a register.

The plain programs are those of the ByteDMD description (github.com/cybertronai/ByteDMD), over lists or arrays of
numbers: every read of an element and of a sum counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def product_reads(n: int, tile: int = 1) -> np.ndarray:
    """Addresses read by C = A B for n-by-n matrices, 2 n^3 of them: A's elements are 0 to n^2 - 1, B's follow.

    The order is i, j, k within tiles of ``tile`` by ``tile``, and over the tiles; 1 and n are the naive order.
    Raises ValueError unless ``tile`` divides n.
    """
    if n < 1 or tile < 1 or n % tile:
        raise ValueError(f"n and tile must be at least 1, and n a multiple of tile (got n={n!r}, tile={tile!r})")
    blocks, inside = n // tile, tile
    shape = (blocks, blocks, blocks, inside, inside, inside)
    i0, j0, k0, i, j, k = np.indices(shape, dtype=np.int64, sparse=True)
    row, column, middle = i0 * tile + i, j0 * tile + j, k0 * tile + k
    a = np.broadcast_to(row * n + middle, shape).ravel()
    b = np.broadcast_to(n * n + middle * n + column, shape).ravel()
    return np.stack([a, b], 1).ravel()


def matrix_product(A: Sequence[Sequence[Any]], B: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """A B for square matrices, in the order i, j, k. The order of operands is part of what is measured."""
    n = len(A)
    C: list[list[Any]] = [[None] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            s = A[i][0] * B[0][j]
            for k in range(1, n):
                s = s + A[i][k] * B[k][j]
            C[i][j] = s
    return C


def rows_times_vector(A: Sequence[Sequence[Any]], x: Sequence[Any]) -> list[Any]:
    """A x, one row of A after the other."""
    y = []
    for i in range(len(A)):
        s = A[i][0] * x[0]
        for j in range(1, len(x)):
            s = s + A[i][j] * x[j]
        y.append(s)
    return y


def vector_times_columns(A: Sequence[Sequence[Any]], x: Sequence[Any]) -> list[Any]:
    """x^T A, one column of A after the other."""
    y = []
    for j in range(len(A)):
        s = A[0][j] * x[0]
        for i in range(1, len(x)):
            s = s + A[i][j] * x[i]
        y.append(s)
    return y
