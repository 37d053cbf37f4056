"""ByteDMD of plain Python functions: the scalar front end of the access stream (github.com/cybertronai/ByteDMD).

Values lie on a least-recently-used stack. Arguments are loaded before the call, the first one on top; the elements of
a list or array lie in their own order, the last one on top. A read at depth d costs ceil(sqrt(d)) for every byte of
the value; the topmost byte of the stack has depth 1. All inputs of an instruction are priced against the stack as it
was before the instruction, a repeated one each time. Then they are moved to the top in the order in which they are
read, and the output is pushed, at no cost. A value is removed after its last use, and one that is never used is never
there. Results stay to the end: what is returned, and what is newly stored in the containers that were passed.
Comparisons push a result. Constants and moving values about are free.

The program is recorded once and priced afterwards, when the last use of every value is known. What leaves the stack:

* traced, as a read: ``bool``, ``int``, ``float``, ``complex``, indexing, hashing, and text (f-strings, ``str``,
  ``repr``). The result is a plain number, and free from there on;
* traced, with a result on the stack: ``round``, ``math.floor``, ``math.ceil``, ``math.trunc``;
* traced: an instruction that raises has read its inputs;
* refused with :class:`UntraceableOperation`: what ``bytecode_check`` finds, NumPy arrays of plain numbers that meet
  tracked values or store one, and copies by ``copy.deepcopy`` or ``pickle``. A ``try`` in the function does not hide a
  refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sutrolib.meters.access.lru_stack import instruction_depths
from sutrolib.meters.access.reuse_distance import sum_ceil_sqrt
from sutrolib.meters.base import NoReading
from sutrolib.meters.programs.bytecode_check import check_function
from sutrolib.meters.programs.tracked_values import NUMBER_TYPES, ReadTape, Scalar, TrackedArray, untracked


class _Arguments:
    """The arguments as tracked values, and how many values they hold; :meth:`write_back` updates the plain ones."""

    def __init__(self, tape: ReadTape, args: Sequence[Any]) -> None:
        self._tape = tape
        self._known: dict[int, Any] = {}
        self._pairs: list[tuple[Any, Any]] = []  # a plain container, and the tracked one in its place
        self.tracked = [self._track(value) for value in reversed(args)][::-1]
        self.loaded = tape.values

    def _track(self, value: Any) -> Any:
        if isinstance(value, NUMBER_TYPES):
            return self._tape.load(value)
        if not isinstance(value, list | tuple | dict | np.ndarray):
            return value
        if id(value) in self._known:
            return self._known[id(value)]
        made: Any
        if isinstance(value, np.ndarray):
            made = np.empty(value.shape, object).view(TrackedArray)
            for index in np.ndindex(value.shape):
                made[index] = self._track(value[index])
        elif isinstance(value, dict):
            made = {key: self._track(item) for key, item in value.items()}
        else:
            made = [self._track(item) for item in value]
        if isinstance(value, tuple):
            made = tuple(made)
        else:
            self._pairs.append((value, made))
        self._known[id(value)] = made
        return made

    def write_back(self) -> list[Scalar]:
        """Copy what was stored in the passed containers to the plain ones, and return the values stored."""
        plain_of = {id(tracked): plain for plain, tracked in self._pairs}
        stored = []
        for plain, tracked in self._pairs:
            items = tracked.values() if isinstance(tracked, dict) else getattr(tracked, "flat", tracked)
            new = [item for item in items if isinstance(item, Scalar) and item._number >= self.loaded]
            stored += new
            if isinstance(plain, dict):
                changed = {key: plain_of.get(id(item), untracked(item)) for key, item in tracked.items()}
                plain.clear()
                plain.update(changed)
            elif isinstance(plain, list):
                plain[:] = [plain_of.get(id(item), untracked(item)) for item in tracked]
            elif new:
                plain[...] = untracked(tracked)
        return stored


def _scalars(value: Any) -> list[Scalar]:
    if isinstance(value, Scalar):
        return [value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value.flat)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return [found for item in value for found in _scalars(item)] if isinstance(value, list | tuple | set) else []


def traced_eval(func: Callable[..., Any], args: Sequence[Any]) -> tuple[list[int], Any]:
    """The depth of each read of ``func(*args)``, in values, in order; and its result, as plain numbers.

    Lists, dictionaries and arrays among ``args`` are updated as ``func`` updates them. Raises UntraceableOperation if a
    value would leave the stack unseen (see the module's docstring), and whatever ``func`` raises.
    """
    depths, result = _trace(func, args)
    return depths.tolist(), result


def bytedmd(func: Callable[..., Any], args: Sequence[Any], bytes_per_element: int = 1) -> int:
    """The ByteDMD of ``func(*args)``: the sum of ceil(sqrt(depth)) over every byte read. Raises as :func:`traced_eval`.

    ValueError for less than one byte per element, NoReading if nothing is read.
    """
    if isinstance(bytes_per_element, bool) or not isinstance(bytes_per_element, int) or bytes_per_element < 1:
        raise ValueError(f"bytes_per_element must be a whole number from 1 (got {bytes_per_element!r})")
    depths, counts = np.unique(_trace(func, args)[0], return_counts=True)
    if not len(depths):
        raise NoReading("ByteDMD: the function reads none of its arguments")
    size = bytes_per_element
    pairs = zip(depths.tolist(), counts.tolist(), strict=True)
    return sum(count * (sum_ceil_sqrt(depth * size) - sum_ceil_sqrt((depth - 1) * size)) for depth, count in pairs)


def _trace(func: Callable[..., Any], args: Sequence[Any]) -> tuple[np.ndarray, Any]:
    check_function(func)
    tape = ReadTape()
    arguments = _Arguments(tape, args)
    result = tape.run(func, arguments.tracked)
    results = [scalar._number for scalar in (*_scalars(result), *arguments.write_back())]
    value = np.array(tape.event, dtype=np.int64)
    last_use = np.full(tape.values, -1, np.int64)
    reads = np.flatnonzero(value >= 0)
    last_use[value[reads]] = reads  # the last of equal indices stays
    last_use[results] = len(value)
    instructions = np.array(tape.instruction, dtype=np.int64)
    depths = instruction_depths(instructions, value, last_use, np.arange(arguments.loaded))
    return depths[reads], untracked(result)
