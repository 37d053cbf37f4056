"""The explicit 2D-grid model of a processor amid its memory, and the cost of a three-address program in it.

Memory cells, numbered 1, 2, ..., lie around the processor on a grid (the simplified form of W. Dally's model, ACM
Opinion on the model of parallel computation, 2022, as the Sutro group uses it): about i cells lie within a distance of
sqrt(i), so a read of cell i costs ceil(sqrt(i)). Writes and arithmetic are free. Inputs lie where the caller says, and
outputs are read at the end. Unlike a cache, which decides for the program, here the program says where everything
lies.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from types import TracebackType
from typing import Any, Self

from sutrolib.meters.base import Kind, ProgramMeter

OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
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
    """Input cells in the order of the arguments, instructions, and output cells. ValueError names what is wrong."""

    inputs: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"inputs={self.inputs}: two inputs in one cell, accepted are distinct cells")
        written = set(self.inputs)
        for number, instruction in enumerate(self.instructions, start=1):
            known = 1 if instruction.operator == "copy" else 2 if instruction.operator in OPERATORS else 0
            where = f"instruction {number} ({instruction.operator})"
            if not known:
                raise ValueError(f"{where}: unknown operator, accepted are copy, {', '.join(OPERATORS)}")
            if len(instruction.sources) != known:
                raise ValueError(f"{where}: {len(instruction.sources)} sources, accepted are {known}")
            _check_written(written, instruction.sources, where)
            written.add(instruction.target)
        if not self.outputs:
            raise ValueError("outputs=(): a program without outputs computes nothing, accepted are one and above")
        _check_written(written, self.outputs, "outputs")
        bad = [cell for cell in written if cell < 1]
        if bad:
            raise ValueError(f"cell {bad[0]}, accepted are cells from 1 up")

    @classmethod
    def parse(cls, text: str) -> GridProgram:
        """Read ``"1,2;mul 3,1,2;3"``: input cells; operator target,source,source; ...; output cells."""
        parts = [part.strip() for part in text.split(";")]
        if len(parts) < 2:
            raise ValueError(f"program {text!r}, accepted are 'inputs;instruction;...;outputs'")
        instructions = []
        for part in parts[1:-1]:
            name, _, cells = part.partition(" ")
            numbers = _cells(cells)
            if not numbers:
                raise ValueError(f"instruction {part!r}, accepted are 'operator target,source,...'")
            instructions.append(Instruction(name, numbers[0], numbers[1:]))
        return cls(_cells(parts[0]), tuple(instructions), _cells(parts[-1]))

    @property
    def cost(self) -> int:
        """The sum of ceil(sqrt(cell)) over all reads, those of the outputs at the end included."""
        reads = [cell for instruction in self.instructions for cell in instruction.sources]
        return sum(1 + math.isqrt(cell - 1) for cell in (*reads, *self.outputs))

    def run(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs for these arguments, one for each input cell. Raises ValueError for another number of them."""
        if len(arguments) != len(self.inputs):
            raise ValueError(f"{len(arguments)} arguments, accepted are {len(self.inputs)}")
        cells: dict[int, Any] = dict(zip(self.inputs, arguments, strict=True))
        for instruction in self.instructions:
            values = [cells[source] for source in instruction.sources]
            result = values[0] if instruction.operator == "copy" else OPERATORS[instruction.operator](*values)
            cells[instruction.target] = result
        return [cells[cell] for cell in self.outputs]


def grid_cost(program: GridProgram | str, arguments: Sequence[Number], expected: Sequence[Number]) -> int:
    """The cost of a program that computes ``expected`` from ``arguments``. Raises ValueError where it does not."""
    parsed = GridProgram.parse(program) if isinstance(program, str) else program
    found = parsed.run(arguments)
    if found != list(expected):
        raise ValueError(f"the program computes {found}, accepted is {list(expected)}")
    return parsed.cost


class GridCost(ProgramMeter):
    """The cost of programs on the grid: each run adds the sum of ceil(sqrt(cell)) over all that its program reads."""

    name = "grid-cost"
    title = "cost on the grid"
    unit = "reads x distance"
    kind = Kind.COUNTED

    def __init__(self) -> None:
        super().__init__()
        self._open = False
        self._known: tuple[str, GridProgram] | None = None  # the latest program as text: it is often run row by row

    def __enter__(self) -> Self:
        self._reading, self._open = None, True
        self._costs: list[int] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if kind is None and self._costs:
            self._reading = self._make(sum(self._costs), {"runs": len(self._costs)})

    def run(self, program: GridProgram | str, arguments: Sequence[Any]) -> list[Any]:
        """The outputs of a program, given as it is or as text. Raises ValueError for what is no program."""
        parsed = self._parsed(program) if isinstance(program, str) else program
        outputs = parsed.run(arguments)
        if self._open:
            self._costs.append(parsed.cost)
        return outputs

    def _parsed(self, text: str) -> GridProgram:
        if self._known is None or self._known[0] != text:
            self._known = text, GridProgram.parse(text)
        return self._known[1]


def naive_matmul(n: int) -> GridProgram:
    """C = A B for n-by-n matrices: A row-major in cells 1..n^2, B after it, C after that, one scratch cell last.

    The first product goes straight to its cell of C, each other one to the scratch cell, and is added from there.
    """
    if n < 1:
        raise ValueError(f"n={n!r}, accepted are whole numbers from 1")
    a, b, c = (1 + part * n * n for part in range(3))
    scratch = 1 + 3 * n * n
    instructions = []
    for i in range(n):
        for j in range(n):
            cell = c + i * n + j
            for k in range(n):
                product = (a + i * n + k, b + k * n + j)
                instructions.append(Instruction("mul", scratch if k else cell, product))
                if k:
                    instructions.append(Instruction("add", cell, (cell, scratch)))
    return GridProgram(tuple(range(1, c)), tuple(instructions), tuple(range(c, scratch)))


def _cells(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(cell) for cell in text.split(",") if cell.strip())
    except ValueError:
        raise ValueError(f"cells {text!r}, accepted are whole numbers with commas between them") from None


def _check_written(written: set[int], cells: Sequence[int], where: str) -> None:
    unwritten = [cell for cell in cells if cell not in written]
    if unwritten:
        raise ValueError(f"{where}: cell {unwritten[0]} is read before anything is in it")
