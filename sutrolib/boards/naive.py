"""Plain programs for the boards, from which a search starts: every value has a cell of its own, in order of use.

They are ours, written from the boards' rules. Of sparse parity: the training rows are packed into one number for each
bit, row r as 2^r, so that one comparison tells whether a subset of the bits explains all labels. Exactly one subset
does; its bits are the mask that is put over each row that has to be labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations, product

from sutrolib.boards.instances import ParityShape
from sutrolib.boards.registry import PARITY_MEDIUM, PARITY_SMALL, Board

_BITS = 8  # of a value


class Writer:
    """Writes instructions, each to the next free cell, and counts cells from 1."""

    def __init__(self, inputs: int) -> None:
        self.inputs, self.last, self.lines = list(range(1, inputs + 1)), inputs, list[str]()

    def __call__(self, name: str, *operands: int, tail: str = "") -> int:
        self.last += 1
        self.lines.append(f"{name} {','.join(map(str, (self.last, *operands)))}{tail}")
        return self.last

    def constant(self, value: int) -> int:
        """A cell with a constant of -128 to 255."""
        self.last += 1
        self.lines.append(f"set {self.last},{value}")
        return self.last

    def fold(self, name: str, cells: list[int]) -> int:
        """All these joined by one operator, from left to right."""
        found = cells[0]
        for cell in cells[1:]:
            found = self(name, found, cell)
        return found

    def text(self, outputs: list[int]) -> str:
        return "\n".join([",".join(map(str, self.inputs)), *self.lines, ",".join(map(str, outputs))])


def matmul(n: int) -> str:
    """C = A B for n x n matrices, the inner products one after another."""
    write = Writer(2 * n * n)
    outputs = [
        write.fold("add", [write("mul", i * n + k + 1, n * n + k * n + j + 1) for k in range(n)])
        for i, j in product(range(n), repeat=2)
    ]
    return write.text(outputs)


def parity(shape: ParityShape) -> str:
    """Labels of the test rows, or the mask. Raises ValueError for more than 8 training rows, or less than 2 bits."""
    if shape.train > _BITS or shape.k < 2:
        raise ValueError(f"rows are packed into {_BITS} bits, and subsets have 2 bits or more (got {shape})")
    n, rows = shape.n, shape.train
    write = Writer(rows * (n + 1) + shape.test * n)
    packed = [pack(write, [r * n + i + 1 for r in range(rows)]) for i in range(n)]
    found: dict[int, list[int]] = {i: [] for i in range(n)}
    labels = pack(write, [rows * n + r + 1 for r in range(rows)])
    for subset in combinations(range(n), shape.k - 1):
        rest = write.fold("xor", [labels, *(packed[i] for i in subset)])
        fits = [(last, write("cmp", rest, packed[last], tail=",eq")) for last in range(subset[-1] + 1, n)]
        for last, cell in fits:
            found[last].append(cell)
        if fits:
            any_of_them = write.fold("or", [cell for _, cell in fits])
            for i in subset:
                found[i].append(any_of_them)
    mask = [write.fold("or", found[i]) for i in range(n)]
    if not shape.test:
        return write.text(mask)
    first = rows * (n + 1) + 1
    outputs = [
        write.fold("xor", [write("and", first + row * n + i, mask[i]) for i in range(n)]) for row in range(shape.test)
    ]
    return write.text(outputs)


def pack(write: Writer, cells: list[int]) -> int:
    """The bits in these cells as one number, the lowest bit first."""
    found = cells[-1]
    for cell in reversed(cells[:-1]):
        found = write("add", write("add", found, found), cell)
    return found


def symmetry(n: int) -> str:
    """Whether n bits read the same from both ends."""
    write = Writer(n)
    return write.text([write.fold("and", [write("cmp", i + 1, n - i, tail=",eq") for i in range(n // 2)])])


def start(board: Board) -> str:
    """The plain program of a board. Raises ValueError for one that has none here."""
    if board.matrix_size:
        return matmul(board.matrix_size)
    if board.name not in _STARTS:
        known = ", ".join(_STARTS)
        raise ValueError(f"{board.name} has no plain program here; these have one: matmul-4, matmul-16, {known}")
    return _STARTS[board.name]()


_STARTS: Mapping[str, Callable[[], str]] = {
    "parity-small": lambda: parity(PARITY_SMALL),
    "parity-medium": lambda: parity(PARITY_MEDIUM),
    "symmetry-6": lambda: symmetry(6),
    "symmetry-8": lambda: symmetry(8),
}
