"""Grid programs of the public boards, priced, and run on many instances at once (:mod:`sutrolib.boards.grid_text`).

Values are those of the input array's type: int8 is the rule of the v3 boards, signed 8 bit that wraps, where a constant
of -128 to 255 is taken modulo 256. Division floors. Division by zero is an error, as on the boards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sutrolib.core.compiled import compiled

_MAX_BYTES = 2**28  # of the values held at once while a program runs

INSTRUCTION_SETS = (  # v0 to v3; each has those before it as well
    ("add", "sub", "mul", "copy"),
    ("and", "or", "xor", "not"),
    ("set",),
    ("div", "abs", "select", "cmp"),
)
OPERATORS = tuple(name for names in INSTRUCTION_SETS for name in names)
_ADD, _SUB, _MUL, COPY, _AND, _OR, _XOR, _NOT, SET, _DIV, _ABS, _SELECT, CMP = range(len(OPERATORS))
PREDICATES = ("eq", "ne", "lt", "le", "gt", "ge")  # operators CMP, CMP + 1, ...


class GridProgramError(ValueError):
    """A program that a board does not accept: the line, and the reason."""


@dataclass(frozen=True, eq=False)
class BoardProgram:
    """A parsed program of n instructions. Cells are numbered by their rank; ``cells[rank]`` is the cell.

    Rank 0 stands for no cell, at no distance. ``sources`` has three columns, and ``constants`` what ``set`` writes.
    ``lines`` says where in the text each instruction stands.
    """

    cells: np.ndarray
    inputs: np.ndarray
    operators: np.ndarray
    targets: np.ndarray
    sources: np.ndarray
    constants: np.ndarray
    lines: np.ndarray
    outputs: np.ndarray

    @property
    def cost(self) -> int:
        """The sum of ceil(sqrt(cell)) over all reads, including those of the outputs at the end."""
        reads = np.bincount(self.sources.ravel(), minlength=len(self.cells))
        reads += np.bincount(self.outputs, minlength=len(self.cells))
        return int(reads @ distances(self.cells))

    def run(self, instances: np.ndarray) -> np.ndarray:
        """The outputs (instances, outputs) for inputs (instances, inputs), both int8 or both int64, which wrap.

        Holds at most 256 MB of values at once. Raises GridProgramError for another number of inputs, and where a
        program divides by zero.
        """
        if instances.ndim != 2 or instances.shape[1] != len(self.inputs):
            raise GridProgramError(
                f"the board gives {instances.shape[-1]} inputs (the first line of the program has {len(self.inputs)})"
            )
        if instances.dtype not in (np.int8, np.int64):
            raise TypeError(f"instances must be int8 or int64 (got {instances.dtype})")
        width = max(1, min(len(instances), 512, _MAX_BYTES // (instances.itemsize * len(self.cells))))
        found = np.empty((len(instances), len(self.outputs)), instances.dtype)
        for start in range(0, len(instances), width):
            some = slice(start, start + width)
            memory = np.zeros((len(self.cells), len(instances[some])), instances.dtype)
            memory[self.inputs] = instances[some].T
            failed = _execute(self.operators, self.targets, self.sources, self.constants, memory)
            if failed >= 0:
                raise GridProgramError(
                    f"line {self.lines[failed]}: division by zero, on one of the board's instances; test the divisor"
                )
            found[some] = memory[self.outputs].T
        return found


def distances(cells: np.ndarray) -> np.ndarray:
    """ceil(sqrt(cell)), exactly: a floating-point root may have been rounded down to a whole number."""
    roots: np.ndarray = np.ceil(np.sqrt(cells)).astype(np.int64)
    roots += roots**2 < cells
    return roots


@compiled
def _execute(
    operators: np.ndarray, targets: np.ndarray, sources: np.ndarray, constants: np.ndarray, memory: np.ndarray
) -> int:
    """Run a program in ``memory`` (cells, instances). Returns the instruction that divides by zero, or -1."""
    width = memory.shape[1]
    made = np.empty(width, memory.dtype)  # lies apart from what is read, so the loops become vector instructions
    for i in range(len(operators)):
        code, constant = operators[i], constants[i]
        a, b, c = memory[sources[i, 0]], memory[sources[i, 1]], memory[sources[i, 2]]
        if code == _ADD:
            for j in range(width):
                made[j] = a[j] + b[j]
        elif code == _SUB:
            for j in range(width):
                made[j] = a[j] - b[j]
        elif code == _MUL:
            for j in range(width):
                made[j] = a[j] * b[j]
        elif code == COPY:
            for j in range(width):
                made[j] = a[j]
        elif code == _AND:
            for j in range(width):
                made[j] = a[j] & b[j]
        elif code == _OR:
            for j in range(width):
                made[j] = a[j] | b[j]
        elif code == _XOR:
            for j in range(width):
                made[j] = a[j] ^ b[j]
        elif code == _NOT:
            for j in range(width):
                made[j] = ~a[j]
        elif code == SET:
            for j in range(width):
                made[j] = constant
        elif code == _DIV:
            for j in range(width):
                if b[j] == 0:
                    return i
                made[j] = a[j] // b[j]
        elif code == _ABS:
            for j in range(width):
                made[j] = a[j] if a[j] > 0 else -a[j]
        elif code == _SELECT:
            for j in range(width):
                made[j] = b[j] if a[j] != 0 else c[j]
        elif code == CMP:
            for j in range(width):
                made[j] = a[j] == b[j]
        elif code == CMP + 1:
            for j in range(width):
                made[j] = a[j] != b[j]
        elif code == CMP + 2:
            for j in range(width):
                made[j] = a[j] < b[j]
        elif code == CMP + 3:
            for j in range(width):
                made[j] = a[j] <= b[j]
        elif code == CMP + 4:
            for j in range(width):
                made[j] = a[j] > b[j]
        else:
            for j in range(width):
                made[j] = a[j] >= b[j]
        memory[targets[i]] = made
    return -1
