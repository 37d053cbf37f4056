"""Which cell each value of a grid program goes to: an assignment of intervals to cells.

A program without its cells is a list of operations on values. In a fixed order each value lives from the operation that
makes it to the last one that reads it, and every read of it costs the distance of its cell. Values whose lives do not
overlap may share a cell, so the cells are found one after another, the nearest first: each takes those of the values
that are left which are read most often and do not overlap (weighted interval scheduling, exact for one cell; Kleinberg
and Tardos, Algorithm Design, section 6.1). Over all cells together this is a good solution, not always the best one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sutrolib.boards.grid_program import CMP, COPY, OPERATORS, PREDICATES, SET, BoardProgram, distances
from sutrolib.core.compiled import compiled


@dataclass(frozen=True)
class Operations:
    """Operations on values, in order: ``operators`` (n,), and ``operands`` (n, 3), values, -1 where there is none.

    Values 0 to ``inputs`` - 1 are the inputs, and value ``inputs`` + i is made by operation i. ``constants`` is what
    ``set`` makes; ``outputs`` are values.
    """

    inputs: int
    operators: np.ndarray
    operands: np.ndarray
    constants: np.ndarray
    outputs: np.ndarray

    @classmethod
    def of(cls, program: BoardProgram) -> Operations:
        """The operations of a program. A copy is an operation, which makes a value of its own."""
        held = np.full(len(program.cells), -1)
        n = len(program.inputs)
        held[program.inputs] = np.arange(n)
        operators, operands, constants = list[int](), list[np.ndarray](), list[int]()
        parts = zip(program.operators, program.targets, program.sources, program.constants, strict=True)
        for code, target, sources, constant in parts:
            operators.append(code)
            operands.append(np.where(sources > 0, held[sources], -1))
            constants.append(constant)
            held[target] = n + len(operators) - 1
        made = np.array(operators, np.uint8), np.array(operands, np.int64).reshape(-1, 3), np.array(constants, np.int16)
        return cls(n, *made, held[program.outputs])

    def without_unused(self) -> Operations:
        """Only the operations that an output depends on."""
        used = np.zeros(self.inputs + len(self.operators) + 1, bool)
        used[self.outputs] = True
        for i in range(len(self.operators) - 1, -1, -1):
            if used[self.inputs + i]:
                used[self.operands[i]] = True
        kept = used[self.inputs : -1].nonzero()[0]
        return self.reordered(kept)

    def without_copies(self) -> Operations:
        """The same operations, each of which reads what a copy was made of, without the copies."""
        original = np.arange(self.inputs + len(self.operators) + 1)
        original[-1] = -1
        for i in (self.operators == COPY).nonzero()[0]:
            original[self.inputs + i] = original[self.operands[i, 0]]
        renamed = replace(self, operands=original[self.operands], outputs=original[self.outputs])
        return renamed.reordered((self.operators != COPY).nonzero()[0])

    def reordered(self, order: Sequence[int] | np.ndarray) -> Operations:
        """The operations of these numbers in this order. Each must come after those whose values it reads."""
        order, n = np.asarray(order), self.inputs
        renamed = np.full(n + len(self.operators) + 1, -1)
        renamed[:n] = np.arange(n)
        renamed[n + order] = n + np.arange(len(order))
        return Operations(
            n, self.operators[order], renamed[self.operands[order]], self.constants[order], renamed[self.outputs]
        )

    def placed(self) -> np.ndarray:
        """The cell of each value, inputs first."""
        return place(*lives(self.inputs, self.operands, self.outputs))

    @property
    def cost(self) -> int:
        """What the program costs with the cells of :meth:`placed`."""
        *_, reads = lives(self.inputs, self.operands, self.outputs)
        return int(reads @ distances(self.placed()))

    def text(self) -> str:
        """The program as the boards read it, with the cells of :meth:`placed`."""
        cells = self.placed()
        lines = [_joined(cells[: self.inputs])]
        for i, (code, operands) in enumerate(zip(self.operators.tolist(), self.operands, strict=True)):
            name = OPERATORS[min(code, CMP)]
            words = [cells[self.inputs + i], *cells[operands[operands >= 0]]]
            line = f"{name} {_joined(words)}"
            line += f",{self.constants[i]}" if code == SET else f",{PREDICATES[code - CMP]}" if code >= CMP else ""
            lines.append(line)
        return "\n".join([*lines, _joined(cells[self.outputs])])


def _joined(cells: Iterable[int]) -> str:
    return ",".join(str(int(cell)) for cell in cells)


@compiled
def lives(inputs: int, operands: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When each value is made, when it is read last, and how often it is read; an input is made at -1."""
    n = len(operands)
    made = np.arange(-inputs, n)
    made[:inputs] = -1
    last = made + 1  # what is never read takes its cell for one operation all the same
    reads = np.zeros(inputs + n, np.int64)
    for i in range(n):
        for value in operands[i]:
            if value >= 0:
                last[value] = i
                reads[value] += 1
    for value in outputs:
        last[value] = n
        reads[value] += 1
    return made, last, reads


@compiled
def place(made: np.ndarray, last: np.ndarray, reads: np.ndarray) -> np.ndarray:
    """A cell for each value that lives from ``made`` to ``last`` and is read so often."""
    cells = np.zeros(len(made), np.int64)
    # Stable, so that the same code in plain Python, which a hand-in holds, finds the same cells.
    by_end, by_start = np.argsort(last, kind="mergesort"), np.argsort(made, kind="mergesort")
    best = np.zeros(len(made) + 1, np.int64)
    before = np.zeros(len(made), np.int64)
    cell = 0
    while len(by_end):
        cell += 1
        count = len(by_end)
        ended = 0
        for value in by_start:
            while ended < count and last[by_end[ended]] <= made[value]:
                ended += 1
            before[value] = ended
        # best[i]: the most reads by some of the first i values, in order of their ends, that do not overlap
        for i in range(count):
            best[i + 1] = max(best[i], best[before[by_end[i]]] + reads[by_end[i]])
        if best[count] == 0:  # values that are never read: each where it fits
            free = -(1 << 60)
            for value in by_start:
                if made[value] < free:
                    cell += 1
                cells[value] = cell
                free = last[value]
            return cells
        i = count
        while i > 0:
            if best[i] == best[i - 1]:
                i -= 1
            else:
                cells[by_end[i - 1]] = cell
                i = before[by_end[i - 1]]
        by_end, by_start = by_end[cells[by_end] == 0], by_start[cells[by_start] == 0]
    return cells
