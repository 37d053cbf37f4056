"""Grid programs in the text of the public boards: read, priced, and run on many instances at once.

The boards use the cost of :mod:`sutrolib.meters.programs.grid_cost` (a read of cell a costs ceil(sqrt(a)), outputs are
read once at the end, writes and arithmetic are free) and this text: one instruction a line, or separated by ``;``

    1,2            first line: the cells of the inputs
    mul 3,1,2      operator target,source,source
    add 3,1        two operands: cell 3 = cell 3 + cell 1, which reads both
    3              last line: the cells of the outputs

Each instruction set contains the one before it (github.com/cybertronai/simplified-dally-model, instruction-sets):

* v0: ``add``, ``sub``, ``mul``, ``copy target,source``
* v1: ``and``, ``or``, ``xor``, ``not target,source``, all bit by bit
* v2: ``set target,constant``
* v3: ``div``, ``abs target,source``, ``cmp target,a,b,predicate`` (eq, ne, lt, le, gt or ge; gives 1 or 0),
  ``select target,condition,then,else`` (``then`` unless the condition is 0)

Values are those of the input array's type: int8 is the rule of the v3 boards, signed 8 bit that wraps, where a constant
of -128 to 255 is taken modulo 256. Division floors. Division by zero is an error, as on the boards.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from sutrolib.core.compiled import compiled

MAX_LINES = 2_000_000
_MAX_CELL = 2**53  # so that cell numbers are exact in floating point
_MAX_BYTES = 2**28  # of the values held at once while a program runs
_LONGEST_QUOTE = 60

_ADD, _SUB, _MUL, _COPY, _AND, _OR, _XOR, _NOT, _SET, _DIV, _ABS, _SELECT, _CMP = range(13)
_PREDICATES = ("eq", "ne", "lt", "le", "gt", "ge")  # operators _CMP, _CMP + 1, ...
_BY_SET = (("add", "sub", "mul", "copy"), ("and", "or", "xor", "not"), ("set",), ("div", "abs", "select", "cmp"))
OPERATORS = tuple(name for names in _BY_SET for name in names)
# Operands behind the target; an operator of two may leave out the first, which is then the target.
_COUNTS = {"copy": 1, "not": 1, "abs": 1, "set": 1, "select": 3, "cmp": 3}
_PADDING = [[0] * (4 - cells) for cells in range(5)]


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
        return int(reads @ _distances(self.cells))

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


def parse(text: str, instruction_set: str = "v3", max_lines: int = MAX_LINES) -> BoardProgram:
    """Read a program. Raises GridProgramError with the line and the reason."""
    names = OPERATORS[: sum(map(len, _BY_SET[: int(instruction_set[1:]) + 1]))]
    known = {name: (code, _COUNTS.get(name, 2)) for code, name in enumerate(names)}
    parts = text.replace(";", "\n").split("\n")
    while parts and not parts[-1].strip():
        parts.pop()
    first = next((number for number, part in enumerate(parts) if part.strip()), 0)
    if len(parts) - first < 2:
        raise GridProgramError("a program needs a first line with input cells and a last line with output cells")
    if (count := sum(not part.isspace() and part != "" for part in parts)) > max_lines:
        raise GridProgramError(f"at most {max_lines:,} lines are allowed (got {count:,})")
    inputs, outputs = _cells(parts[first], first + 1), _cells(parts[-1], len(parts))
    if len(set(inputs)) < len(inputs):
        raise GridProgramError(f"line {first + 1}: input cells must be distinct")
    codes, constants, lines = bytearray(), array("h"), array("i")
    addresses = array("q")  # target and three sources of each instruction
    for number, part in enumerate(parts[first + 1 : -1], first + 2):
        name, _, rest = part.strip().partition(" ")
        if not name:
            continue
        if name not in known:
            _refuse(number, part, f"unknown operator; {instruction_set} has {', '.join(known)}")
        code, count = known[name]
        words, constant = rest.split(","), 0
        if len(words) == 2 == count:
            words.insert(0, words[0])
        elif len(words) != count + 1:
            _refuse(number, part, f"{name} takes {count} operands behind the target (got {len(words) - 1})")
        if code == _CMP:
            if (predicate := words.pop().strip()) not in _PREDICATES:
                _refuse(number, part, f"a predicate must be one of {', '.join(_PREDICATES)}")
            code += _PREDICATES.index(predicate)
        try:
            if code == _SET:
                constant = int(words.pop())
            cells = [int(word) for word in words]
        except ValueError:
            _refuse(number, part, "operands must be whole numbers separated by commas")
        if not -128 <= constant <= 255:
            _refuse(number, part, "a constant must be -128 to 255")
        if min(cells) < 1 or max(cells) > _MAX_CELL:
            _refuse(number, part, "cells must be 1 to 2^53")
        codes.append(code)
        constants.append(constant)
        lines.append(number)
        addresses.extend(cells + _PADDING[len(cells)])
    every = np.concatenate([np.zeros(1, np.int64), inputs, outputs, np.frombuffer(addresses, np.int64)])
    unique, ranks = np.unique(every, return_inverse=True)
    table = ranks[1 + len(inputs) + len(outputs) :].astype(np.int32).reshape(-1, 4)
    program = BoardProgram(
        cells=unique,
        inputs=ranks[1 : 1 + len(inputs)],
        operators=np.frombuffer(bytes(codes), np.uint8),
        targets=table[:, 0].copy(),
        sources=table[:, 1:].copy(),
        constants=np.frombuffer(constants, np.int16),
        lines=np.frombuffer(lines, np.int32),
        outputs=ranks[1 + len(inputs) : 1 + len(inputs) + len(outputs)],
    )
    _check_written(program, parts)
    return program


def _cells(part: str, number: int) -> list[int]:
    try:
        cells = [int(word) for word in part.split(",")]
    except ValueError:
        _refuse(number, part, "the first and the last line are cells, whole numbers separated by commas")
    if min(cells) < 1 or max(cells) > _MAX_CELL:
        _refuse(number, part, "cells must be 1 to 2^53")
    return cells


def _refuse(number: int, part: str, why: str) -> NoReturn:
    part = part.strip()
    quoted = part if len(part) <= _LONGEST_QUOTE else f"{part[:_LONGEST_QUOTE]}..."
    raise GridProgramError(f"line {number} ({quoted!r}): {why}") from None


def _check_written(program: BoardProgram, parts: list[str]) -> None:
    """Raise GridProgramError if a cell is read before anything is written to it."""
    written = np.full(len(program.cells), len(program.targets))  # the first instruction that writes to each cell
    written[program.targets[::-1]] = np.arange(len(program.targets))[::-1]
    written[program.inputs] = written[0] = -1
    early = written[program.sources] >= np.arange(len(program.targets))[:, None]
    if early.any():
        instruction, column = np.argwhere(early)[0]
        number, cell = program.lines[instruction], program.cells[program.sources[instruction, column]]
        _refuse(number, parts[number - 1], f"cell {cell} is read before it is written")
    unwritten = program.outputs[written[program.outputs] == len(program.targets)]
    if len(unwritten):
        _refuse(len(parts), parts[-1], f"output cell {program.cells[unwritten[0]]} is never written")


def _distances(cells: np.ndarray) -> np.ndarray:
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
        elif code == _COPY:
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
        elif code == _SET:
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
        elif code == _CMP:
            for j in range(width):
                made[j] = a[j] == b[j]
        elif code == _CMP + 1:
            for j in range(width):
                made[j] = a[j] != b[j]
        elif code == _CMP + 2:
            for j in range(width):
                made[j] = a[j] < b[j]
        elif code == _CMP + 3:
            for j in range(width):
                made[j] = a[j] <= b[j]
        elif code == _CMP + 4:
            for j in range(width):
                made[j] = a[j] > b[j]
        else:
            for j in range(width):
                made[j] = a[j] >= b[j]
        memory[targets[i]] = made
    return -1
