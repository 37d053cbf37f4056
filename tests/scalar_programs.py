"""A tracer of plain Python programs with a list-based stack that is searched linearly, to compare with."""

from sutrolib.models.kernels.matmul import matrix_product


def naive_depths(instructions, loaded, results):
    """Depths of the reads of ``instructions``, each a pair (values read, values pushed), on a list of values.

    The definition, step by step: price, move to the top, push, and drop what is not needed any more.
    """
    last = {}
    for index, (reads, _) in enumerate(instructions):
        last |= dict.fromkeys(reads, index)
    last |= dict.fromkeys(results, len(instructions))
    stack = [value for value in loaded if value in last]
    depths = []
    for index, (reads, pushes) in enumerate(instructions):
        depths += [len(stack) - stack.index(value) for value in reads]
        for value in reads:
            stack.remove(value)
            stack.append(value)
        stack += [value for value in pushes if value in last]
        for value in set(reads):
            if last[value] == index:
                stack.remove(value)
    return depths


class Listed:
    """A number that keeps its place on a list, with the two operators that a matrix product needs."""

    def __init__(self, instructions, number):
        self.instructions, self.number = instructions, number

    def _with(self, other):
        made = Listed(self.instructions, ("made", len(self.instructions)))
        self.instructions.append(((self.number, other.number), (made.number,)))
        return made

    __add__ = __mul__ = _with


def naive_product_depths(n):
    """Depths of the matrix product by the list-based tracer."""
    instructions = []
    A, B = ([[Listed(instructions, (name, i, j)) for j in range(n)] for i in range(n)] for name in "AB")
    C = matrix_product(A, B)
    loaded = [item.number for matrix in (B, A) for row in matrix for item in row]
    return naive_depths(instructions, loaded, [item.number for row in C for item in row])
