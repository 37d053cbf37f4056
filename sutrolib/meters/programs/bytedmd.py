"""ByteDMD of plain Python functions: the scalar front end of the access stream (github.com/cybertronai/ByteDMD).

Values lie on a least-recently-used stack. Arguments are loaded before the call, the first one on top; the elements of
a list or array lie in their own order, the last one on top. A read at depth d costs ceil(sqrt(d)) for every byte of
the value, of which the topmost byte of the stack has depth 1. All inputs of an instruction are priced against the
stack as it was before the instruction, a repeated one each time; then they are moved to the top in the order in which
they are read, and the output is pushed, free. A value is removed after its last use, and one that is never used is
never there, except that results stay to the end: what is returned, and what is newly stored in the containers that
were passed. Comparisons push a result. Constants and moving values about are free.

The program is recorded once and priced afterwards, when the last use of every value is known. What escapes the stack:

* traced, as a read: ``bool``, ``int``, ``float``, ``complex``, indexing, hashing, and text (f-strings, ``str``,
``repr``). What comes out is a plain number, and free from there on;
* traced, with a result on the stack: ``round``, ``math.floor``, ``math.ceil``, ``math.trunc``;
* traced: an instruction that raises has read its inputs;
* refused with :class:`UntraceableOperation`: see ``bytecode_check``, NumPy arrays of plain numbers that meet tracked
values or take one in, and copies by ``copy.deepcopy`` or ``pickle``. A ``try`` in the function does not swallow a
refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sutrolib.meters.access.lru_stack import instruction_depths
from sutrolib.meters.access.reuse_distance import sum_ceil_sqrt
from sutrolib.meters.base import NoReading
from sutrolib.meters.programs.bytecode_check import UntraceableOperation, check_function
from sutrolib.meters.programs.tracked_values import NUMBER_TYPES, Scalar, Tape, TrackedArray


class _Arguments:
    """The arguments as tracked values, the plain ones that they came from, and what was loaded, bottom first."""

    def __init__(self, tape: Tape, args: Sequence[Any]) -> None:
        self.tape = tape
        self._known: dict[int, Any] = {}
        self.pairs: list[tuple[Any, Any]] = []  # a plain container, and the tracked one in its place
        tracked = [self._track(value) for value in reversed(args)]
        self.loaded = tape.values
        self.tracked = tracked[::-1]

    def _track(self, value: Any) -> Any:
        if isinstance(value, NUMBER_TYPES):
            return self.tape.load(value)
        if isinstance(value, list | tuple | dict | np.ndarray):
            if id(value) not in self._known:
                self._known[id(value)] = self._container(value)
            return self._known[id(value)]
        return value

    def _container(self, value: Any) -> Any:
        made: Any
        if isinstance(value, np.ndarray):
            made = np.empty(value.shape, object).view(TrackedArray)
            for index in np.ndindex(value.shape):
                made[index] = self._track(value[index])
        elif isinstance(value, dict):
            made = {key: self._track(item) for key, item in value.items()}
        elif isinstance(value, list):
            made = [self._track(item) for item in value]
        else:
            return tuple(self._track(item) for item in value)
        self.pairs.append((value, made))
        return made

    def write_back(self) -> list[Scalar]:
        """Bring the passed containers up to date with what was stored in them, and return the values stored."""
        stored = []
        for plain, tracked in self.pairs:
            items = (
                tracked.values()
                if isinstance(tracked, dict)
                else tracked.flat
                if isinstance(plain, np.ndarray)
                else tracked
            )
            new = [item for item in items if isinstance(item, Scalar) and item._number >= self.loaded]
            stored += new
            if isinstance(plain, np.ndarray):
                if new:
                    plain[...] = np.array([_plain(item) for item in tracked.flat]).reshape(plain.shape)
            else:
                self._refill(plain, tracked)
        return stored

    def _refill(self, plain: Any, tracked: Any) -> None:
        back = {id(made): value for value, made in self.pairs}

        def restored(item: Any) -> Any:
            return back.get(id(item), _plain(item))

        if isinstance(plain, dict):
            changed = {key: restored(item) for key, item in tracked.items()}
            plain.clear()
            plain.update(changed)
        else:
            plain[:] = [restored(item) for item in tracked]


def _plain(value: Any) -> Any:
    """A result without its tracking."""
    if isinstance(value, Scalar):
        return value._value
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([_plain(item) for item in value.flat]).reshape(value.shape)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(_plain(item) for item in value)
    return value


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

    Lists, dictionaries and arrays among ``args`` are updated as ``func`` updates them. Raises Escape where a value
    would leave the stack unseen (see the module's docstring), and whatever ``func`` raises.
    """
    depths, result = _trace(func, args)
    return depths.tolist(), result


def bytedmd(func: Callable[..., Any], args: Sequence[Any], bytes_per_element: int = 1) -> int:
    """The ByteDMD of ``func(*args)``: the sum of ceil(sqrt(depth)) over every byte read. Raises as :func:`traced_eval`.

    ValueError for less than one byte an element, NoReading where nothing is read.
    """
    if isinstance(bytes_per_element, bool) or not isinstance(bytes_per_element, int) or bytes_per_element < 1:
        raise ValueError(f"bytes_per_element={bytes_per_element!r}, accepted are whole numbers from 1")
    depths, counts = np.unique(_trace(func, args)[0], return_counts=True)
    if not len(depths):
        raise NoReading("ByteDMD: the function reads none of its arguments")
    size = bytes_per_element
    pairs = zip(depths.tolist(), counts.tolist(), strict=True)
    return sum(count * (sum_ceil_sqrt(depth * size) - sum_ceil_sqrt((depth - 1) * size)) for depth, count in pairs)


def _trace(func: Callable[..., Any], args: Sequence[Any]) -> tuple[np.ndarray, Any]:
    check_function(func)
    tape = Tape()
    arguments = _Arguments(tape, args)
    try:
        result = func(*arguments.tracked)
    finally:
        if tape.refusals:
            raise UntraceableOperation(tape.refusals[0])
    kept = [*_scalars(result), *arguments.write_back()]
    return _depths(tape, arguments.loaded, [scalar._number for scalar in kept]), _plain(result)


def _depths(tape: Tape, loaded: int, results: Sequence[int]) -> np.ndarray:
    value = np.array(tape.value, dtype=np.int64)
    last_use = np.full(tape.values, -1, np.int64)
    reads = np.flatnonzero(value >= 0)
    last_use[value[reads]] = reads  # the last of equal indices stays
    last_use[list(results)] = len(value)
    depths: np.ndarray = instruction_depths(
        np.array(tape.instruction, dtype=np.int64), value, last_use, np.arange(loaded)
    )
    return depths[reads]
