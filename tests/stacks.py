"""A naive LRU stack, one with a plain Fenwick tree, and the address stream of the recursive matrix product."""

import numpy as np
from numba import njit


def naive_stack(sequence):
    """Stack distance of each access, None for a first one, by searching a list from the top."""
    stack, distances = [], []
    for item in sequence:
        if item in stack:
            distances.append(len(stack) - stack.index(item))
            stack.remove(item)
        else:
            distances.append(None)
        stack.append(item)
    return distances


def recursive_product(n):
    """Reads and writes of the recursive product of eight halves, each result in memory of its own."""
    made = iter(range(10**9))

    def product(a, b, m):
        if m == 1:
            result = ("T", next(made))
            accesses.extend((a[0][0], b[0][0], result))
            return [[result]]
        half = m // 2

        def quarter(x, row, column):
            return [line[column * half : (column + 1) * half] for line in x[row * half : (row + 1) * half]]

        out = [[None] * m for _ in range(m)]
        for row in range(2):
            for column in range(2):
                x, y = (product(quarter(a, row, k), quarter(b, k, column), half) for k in range(2))
                for i in range(half):
                    for j in range(half):
                        result = out[row * half + i][column * half + j] = ("T", next(made))
                        accesses.extend((x[i][j], y[i][j], result))
        return out

    accesses = []
    product(*([[(name, i, j) for j in range(n)] for i in range(n)] for name in "AB"), n)
    return accesses


@njit(cache=True)
def plain_fenwick(units, lines):
    """Stack distances by a Fenwick tree with one node an access, as textbooks have it."""
    size = len(units)
    tree = np.zeros(size + 1, np.int64)
    last = np.full(lines, -1, np.int64)
    out = np.full(size, -1, np.int64)
    total = 0
    for now in range(size):
        before = last[units[now]]
        if before < 0:
            total += 1
        else:
            node, until = before + 1, 0
            while node > 0:
                until += tree[node]
                node -= node & -node
            out[now] = total - until + 1
            node = before + 1
            while node <= size:
                tree[node] -= 1
                node += node & -node
        last[units[now]] = now
        node = now + 1
        while node <= size:
            tree[node] += 1
            node += node & -node
    return out
