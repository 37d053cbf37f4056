"""Address streams of matrix products, as the papers on data movement distance write them, and a naive LRU stack."""


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


def tiled_product(n, tile):
    """Reads of A and B, in tiles of D x D; the product in the order i, j, k where the tile is 1 or n."""
    for i0 in range(0, n, tile):
        for j0 in range(0, n, tile):
            for k0 in range(0, n, tile):
                for i in range(i0, i0 + tile):
                    for j in range(j0, j0 + tile):
                        for k in range(k0, k0 + tile):
                            yield from (("A", i, k), ("B", k, j))


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
