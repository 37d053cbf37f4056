"""A processor on a 2D grid of memory cells, and the cost of a three-address program on it.

Memory cells, numbered 1, 2, ..., lie around the processor on a grid (the simplified form of W. Dally's model, ACM
Opinion on the model of parallel computation, 2022, as the Sutro group uses it): about i cells lie within a distance of
sqrt(i), so a read of cell i costs ceil(sqrt(i)). Writes and arithmetic are free. The program says where its inputs lie
and where everything else goes, unlike with a cache, which decides for the program. Outputs are read at the end.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.meters.base import Kind, ProgramMeter

_OPERATORS: Mapping[str, Callable[..., Any]] = {
    "copy": lambda value: value,
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "min": min,
    "max": max,
}


@dataclass(frozen=True)
class Instruction:
    """``cell = operator(cell, cell)``, or a move ``cell = cell`` (operator ``copy``, one source)."""

    operator: str
    target: int
    sources: tuple[int, ...]


@dataclass(frozen=True)
class GridProgram:
    """Input cells in the order of the arguments, instructions, and output cells. ValueError says what is wrong."""

    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"inputs must be distinct cells (got {self.inputs})")
        written = set(self.inputs)
        for number, instruction in enumerate(self.instructions, start=1):
            where = f"instruction {number} ({instruction.operator})"
            if instruction.operator not in _OPERATORS:
                raise ValueError(f"{where}: unknown operator; use {', '.join(_OPERATORS)}")
            expected = 1 if instruction.operator == "copy" else 2
            if len(instruction.sources) != expected:
                raise ValueError(f"{where}: needs {expected} sources (got {len(instruction.sources)})")
            _check_written(written, instruction.sources, where)
            written.add(instruction.target)
        if not self.outputs:
            raise ValueError("outputs is empty: a program needs at least one output cell")
        _check_written(written, self.outputs, "outputs")
        if min(written) < 1:
            raise ValueError(f"cell numbers must be at least 1 (got {min(written)})")

    @classmethod
    def parse(cls, text: str) -> GridProgram:
        """Read ``"1,2;mul 3,1,2;3"``: input cells; operator target,source,source; ...; output cells."""
        parts = [part.strip() for part in text.split(";")]
        if len(parts) < 2:
            raise ValueError(f"a program must be 'inputs;instruction;...;outputs' (got {text!r})")
        instructions = []
        for part in parts[1:-1]:
            name, _, cells = part.partition(" ")
            if not (numbers := _cells(cells)):
                raise ValueError(f"an instruction must be 'operator target,source,...' (got {part!r})")
            instructions.append(Instruction(name, numbers[0], numbers[1:]))
        return cls(_cells(parts[0]), tuple(instructions), _cells(parts[-1]))

    @property
    def cost(self) -> int:
        """The sum of ceil(sqrt(cell)) over all reads, including those of the outputs at the end."""
        reads = [cell for instruction in self.instructions for cell in instruction.sources]
        return sum(1 + math.isqrt(cell - 1) for cell in (*reads, *self.outputs))

    def run(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs for these arguments, one for each input cell. Raises ValueError for another number of them."""
        if len(arguments) != len(self.inputs):
            raise ValueError(f"the program needs {len(self.inputs)} arguments (got {len(arguments)})")
        cells: dict[int, Any] = dict(zip(self.inputs, arguments, strict=True))
        for instruction in self.instructions:
            values = [cells[source] for source in instruction.sources]
            cells[instruction.target] = _OPERATORS[instruction.operator](*values)
        return [cells[cell] for cell in self.outputs]


class GridCost(ProgramMeter):
    """The cost of programs on the grid: each run adds the sum of ceil(sqrt(cell)) over all cells that it reads."""

    name = "grid-cost"
    title = "grid cost"
    unit = "reads x distance"
    kind = Kind.COUNTED

    def run(self, program: GridProgram | str, arguments: Sequence[Any]) -> list[Any]:
        """The outputs of a program, given as it is or as text. Raises ValueError for an invalid program."""
        parsed = _parsed(program) if isinstance(program, str) else program
        outputs = parsed.run(arguments)
        if self._entered:
            self._add(parsed.cost, {"runs": 1})
        return outputs


def naive_matmul(n: int) -> GridProgram:
    """C = A B for n-by-n matrices: A row-major in cells 1..n^2, B after it, C after that, one scratch cell last.

    The first product of each sum goes straight to its cell of C; the others go to the scratch cell, and are added.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1 (got {n!r})")
    a, b, c = (1 + part * n * n for part in range(3))
    scratch = 1 + 3 * n * n
    instructions = []
    for i, j, k in itertools.product(range(n), repeat=3):
        cell = c + i * n + j
        instructions.append(Instruction("mul", scratch if k else cell, (a + i * n + k, b + k * n + j)))
        if k:
            instructions.append(Instruction("add", cell, (cell, scratch)))
    return GridProgram(tuple(range(1, c)), tuple(instructions), tuple(range(c, scratch)))


@functools.lru_cache(maxsize=1)  # the same text is often run row by row
def _parsed(text: str) -> GridProgram:
    return GridProgram.parse(text)


def _cells(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(cell) for cell in text.split(",") if cell.strip())
    except ValueError:
        raise ValueError(f"cells must be whole numbers separated by commas (got {text!r})") from None


def _check_written(written: set[int], cells: Sequence[int], where: str) -> None:
    unwritten = [cell for cell in cells if cell not in written]
    if unwritten:
        raise ValueError(f"{where}: cell {unwritten[0]} is read before it is written")
