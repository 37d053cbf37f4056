"""The text of grid programs, as the public boards read it.

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
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from sutrolib.boards.grid_program import (
    CMP,
    INSTRUCTION_SETS,
    OPERATORS,
    PREDICATES,
    SET,
    BoardProgram,
    GridProgramError,
)

MAX_LINES = 2_000_000
_MAX_CELL = 2**53  # so that cell numbers are exact in floating point
_LONGEST_QUOTE = 60

# Operands behind the target; an operator of two may leave out the first, which is then the target.
_COUNTS = {"copy": 1, "not": 1, "abs": 1, "set": 1, "select": 3, "cmp": 3}
_NAMES = -1000  # less than every constant
_PLAIN = np.frombuffer(b"0123456789,-\n", np.uint8)
_PADDING = [[0] * (4 - cells) for cells in range(5)]


def parse(text: str, instruction_set: str = "v3", max_lines: int = MAX_LINES) -> BoardProgram:
    """Read a program. Raises GridProgramError with the line and the reason."""
    names = OPERATORS[: sum(map(len, INSTRUCTION_SETS[: int(instruction_set[1:]) + 1]))]
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
    body = parts[first + 1 : -1], known, first + 2
    codes, constants, lines, addresses = _read_at_once(*body) or _read_one_by_one(*body, instruction_set)
    every = np.concatenate([np.zeros(1, np.int64), inputs, outputs, addresses.ravel()])
    unique, ranks = _ranks(every)
    table = ranks[1 + len(inputs) + len(outputs) :].astype(np.int32).reshape(-1, 4)
    program = BoardProgram(
        cells=unique,
        inputs=ranks[1 : 1 + len(inputs)],
        operators=codes,
        targets=table[:, 0].copy(),
        sources=table[:, 1:].copy(),
        constants=constants,
        lines=lines,
        outputs=ranks[1 + len(inputs) : 1 + len(inputs) + len(outputs)],
    )
    _check_written(program, parts)
    return program


def _ranks(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different cells in order, and where each cell is among them."""
    if cells.max() > len(cells):  # else a table of all cells is faster than sorting
        return np.unique(cells, return_inverse=True)
    present = np.zeros(cells.max() + 1, bool)
    present[cells] = True
    return present.nonzero()[0], (present.cumsum() - 1)[cells]


# Operators, constants, line numbers and addresses (n, 4): the target and three sources, 0 where there is none.
_Table = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _read_at_once(parts: Sequence[str], known: Mapping[str, tuple[int, int]], start: int) -> _Table | None:
    """The instructions, read as numbers all at once; None where a line is not plain, or wrong.

    Names become numbers below every constant, and there must be as many of them as there are lines.
    """
    text, named, compared = "\n".join(parts), 0, 0
    for name in sorted(known, key=len, reverse=True):  # xor before or
        named += text.count(f"{name} ")
        text = text.replace(f"{name} ", f"{_NAMES - known[name][0]},")
    for number, predicate in enumerate(PREDICATES):
        compared += text.count(f",{predicate}")
        text = text.replace(f",{predicate}", f",{_NAMES - number}")
    plain = np.frombuffer(text.encode("ascii", "replace"), np.uint8)
    if named != len(parts) or not np.isin(plain, _PLAIN, kind="table").all():
        return None
    commas = np.cumsum(plain == ord(","))[plain == ord("\n")]
    words = np.diff(commas, prepend=0, append=text.count(",")) + 1
    try:
        numbers = np.fromstring(text.replace("\n", ","), np.int64, sep=",")
    except ValueError:
        return None
    if len(numbers) != words.sum() or words.max() > 5:
        return None
    table = np.zeros((len(words), 5), np.int64)
    table[np.arange(5) < words[:, None]] = numbers
    codes, addresses = _NAMES - table[:, 0], table[:, 1:]
    if codes.min() < 0 or codes.max() > CMP:
        return None
    is_set, is_cmp = codes == SET, codes == CMP
    operands = np.array([_COUNTS.get(name, 2) for name in OPERATORS])[codes]
    short = (operands == 2) & (words == 3)  # the target is the first source too
    addresses[short, 2], addresses[short, 1] = addresses[short, 1], addresses[short, 0]
    constants, predicates = np.where(is_set, addresses[:, 1], 0), np.where(is_cmp, _NAMES - addresses[:, 3], 0)
    addresses[is_set, 1] = addresses[is_cmp, 3] = 0
    used = np.arange(4) <= np.where(is_set, 0, np.where(is_cmp, 2, operands))[:, None]
    right = (
        ((words == operands + 2) | short).all()
        and ((addresses >= used) & (addresses <= used * _MAX_CELL)).all()
        and -128 <= constants.min() <= constants.max() <= 255
        and 0 <= predicates.min() <= predicates.max() < len(PREDICATES)
        and compared == is_cmp.sum()
    )
    if not right:
        return None
    lines = np.arange(start, start + len(words), dtype=np.int32)
    return (codes + predicates).astype(np.uint8), constants.astype(np.int16), lines, addresses


def _read_one_by_one(
    parts: Sequence[str], known: Mapping[str, tuple[int, int]], start: int, instruction_set: str
) -> _Table:
    """The same for any text. Raises GridProgramError with the line and the reason."""
    codes, constants, lines = bytearray(), array("h"), array("i")
    addresses = array("q")  # target and three sources of each instruction
    for number, part in enumerate(parts, start):
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
        if code == CMP:
            if (predicate := words.pop().strip()) not in PREDICATES:
                _refuse(number, part, f"a predicate must be one of {', '.join(PREDICATES)}")
            code += PREDICATES.index(predicate)
        try:
            if code == SET:
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
    made = np.frombuffer(addresses, np.int64).reshape(-1, 4)
    frames = np.frombuffer(bytes(codes), np.uint8), np.frombuffer(constants, np.int16), np.frombuffer(lines, np.int32)
    return *frames, made


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
