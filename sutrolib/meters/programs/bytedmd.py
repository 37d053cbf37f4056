"""ByteDMD of plain Python functions, by the public definition (github.com/cybertronai/ByteDMD, README).

Values lie on a least-recently-used stack. Arguments are loaded before the call, the first one on top; the elements of
a list or array lie in their own order, the last one on top. A read at depth d costs ceil(sqrt(d)) for every byte of
the value; the topmost byte of the stack has depth 1. All inputs of an instruction are priced against the stack as it
was before the instruction, a repeated one each time. Then they are moved to the top in the order in which they are
read, and the output is pushed, at no cost. A value is removed after its last use, and one that is never used is never
there. What is returned is used at the end: numbers, and those in lists, tuples and arrays at any depth, but not those
in dictionaries and sets, nor what is only stored in the containers that were passed. Comparisons push a result.
Constants and moving values about are free.

The program is recorded once and priced afterwards, when the last use of every value is known. What leaves the stack:

* traced, as a read: ``bool``, ``int``, ``float``, ``complex``, indexing, hashing, and text (f-strings, ``str``,
  ``repr``). The result is a plain number, and free from there on;
* traced, with a result on the stack: ``round``, ``pow(a, b, m)``, ``math.floor``, ``math.ceil``, ``math.trunc``;
* traced: an instruction that raises has read its inputs;
* refused with :class:`UntraceableOperation`: what ``bytecode_check`` finds, NumPy arrays of plain numbers that meet
  tracked values or store one (arrays of truth values may: a read, as by ``bool``), and copies by ``copy.deepcopy`` or
  ``pickle``. A ``try`` in the function does not hide a refusal.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sutrolib.meters.access.lru_stack import NO_RESULT, instruction_depths
from sutrolib.meters.access.reuse_distance import sum_ceil_sqrt
from sutrolib.meters.programs.bytecode_check import check_function
from sutrolib.meters.programs.tracked_values import NUMBER_TYPES, Scalar, Tape, TrackedArray, untracked


def _tracked(value: Any, tape: Tape, pairs: dict[int, tuple[Any, Any]]) -> Any:
    """An argument with tracked values for its numbers. ``pairs`` gets (container, tracked one), by the former's id."""
    if isinstance(value, NUMBER_TYPES):
        return tape.load(value)
    if value is None or isinstance(value, str) or callable(value):
        return value
    if id(value) in pairs:
        return pairs[id(value)][1]
    if isinstance(value, np.ndarray):
        made: Any = np.empty(value.shape, object).view(TrackedArray)
        for index in np.ndindex(value.shape):
            made[index] = _tracked(value[index], tape, pairs)
    elif isinstance(value, dict):
        made = {key: _tracked(item, tape, pairs) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        made = (list if isinstance(value, list) else tuple)(_tracked(item, tape, pairs) for item in value)
    else:
        raise TypeError(f"arguments must be numbers, lists, tuples, dicts or arrays (got {type(value).__name__})")
    pairs[id(value)] = value, made
    return made


def _write_back(pairs: dict[int, tuple[Any, Any]]) -> None:
    """Copy what was stored in the tracked containers to the plain ones."""
    plain_of = {id(tracked): plain for plain, tracked in pairs.values()}
    for plain, tracked in pairs.values():
        if isinstance(plain, dict):
            changed = {untracked(key): plain_of.get(id(item), untracked(item)) for key, item in tracked.items()}
            plain.clear()
            plain.update(changed)
        elif isinstance(plain, list):
            plain[:] = [plain_of.get(id(item), untracked(item)) for item in tracked]
        elif isinstance(plain, np.ndarray) and plain.flags.writeable:
            plain[...] = untracked(tracked)


def _results(value: Any) -> list[int]:
    """The numbers of the values that are results: see the module's docstring."""
    if isinstance(value, Scalar):
        return [value._number]
    items = value.flat if isinstance(value, np.ndarray) else value if isinstance(value, list | tuple) else ()
    return [number for item in items for number in _results(item)]


class _NamedTape(Tape):
    """A tape that also keeps the name of each operator, by the event of its last read."""

    def __init__(self) -> None:
        super().__init__(Scalar)
        self.names: dict[int, str] = {}

    def compute(self, operation: Callable[..., Any], *operands: Any) -> Any:
        self.names[len(self.event) - 1] = operation.__name__
        return super().compute(operation, *operands)


def traced_eval(func: Callable[..., Any], args: Sequence[Any]) -> tuple[list[int], Any]:
    """The depth of each read of ``func(*args)``, in values, in order; and its result, as plain numbers.

    Lists, dictionaries and arrays among ``args`` are updated as ``func`` updates them. Raises UntraceableOperation if a
    value would leave the stack unseen (see the module's docstring), and whatever ``func`` raises.
    """
    found = _trace(func, args, Tape(Scalar))
    return found.depth[found.event >= 0].tolist(), found.result


def trace_to_bytedmd(trace: Sequence[int] | np.ndarray, bytes_per_element: int = 1) -> int:
    """The ByteDMD of reads at these depths, in values of so many bytes: the sum of ceil(sqrt(depth)) over their bytes.

    ValueError unless all of these are whole numbers from 1. No reads cost 0.
    """
    size = bytes_per_element
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"bytes_per_element must be a whole number from 1 (got {size!r})")
    depths, counts = np.unique(np.asarray(trace), return_counts=True)
    if len(depths) and (depths.dtype.kind not in "iu" or depths[0] < 1):
        raise ValueError(f"a trace must hold depths, whole numbers from 1 (got {depths[0]!r})")
    pairs = zip(depths.tolist(), counts.tolist(), strict=True)
    return sum(count * (sum_ceil_sqrt(depth * size) - sum_ceil_sqrt((depth - 1) * size)) for depth, count in pairs)


def bytedmd(func: Callable[..., Any], args: Sequence[Any], bytes_per_element: int = 1) -> int:
    """The ByteDMD of ``func(*args)``, modelled: see :func:`trace_to_bytedmd`. Raises as it and :func:`traced_eval`."""
    trace_to_bytedmd([], bytes_per_element)  # refuses a bad size before the program runs
    return trace_to_bytedmd(traced_eval(func, args)[0], bytes_per_element)


def inspect_ir(func: Callable[..., Any], args: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What ``func(*args)`` does to the stack, in order. Raises as :func:`traced_eval`. Values are numbered from 1.

    ``("STORE", value)`` loads an argument or pushes a result, ``("READ", value, depth)`` reads, and
    ``("OP", name, values, depths, result)`` follows the reads of an operator; its result is None if there are several.
    """
    tape = _NamedTape()
    found = _trace(func, args, tape)
    ir: list[tuple[Any, ...]] = [("STORE", 1 + value) for value in range(found.loaded)]
    instruction = np.cumsum((found.event >= 0) & np.r_[True, found.event[:-1] < 0])  # a read after a push begins one
    names = {instruction[at]: name for at, name in tape.names.items()}
    events = zip(instruction.tolist(), found.event.tolist(), found.depth.tolist(), strict=True)
    for instruction, group in itertools.groupby(events, operator.itemgetter(0)):
        parts = list(group)
        reads = [("READ", 1 + value, depth) for _, value, depth in parts if value >= 0]
        results = [("STORE", -value) for _, value, _ in parts if NO_RESULT < value < 0]
        ir += reads
        if instruction in names:
            _, values, depths = map(list, zip(*reads, strict=True))
            ir.append(("OP", names[instruction], values, depths, results[0][1] if len(results) == 1 else None))
        ir += results
    return ir


def format_ir(ir: Sequence[tuple[Any, ...]]) -> str:
    """The events of :func:`inspect_ir` as text, one a line, and the cost of all reads, at one byte a value."""
    lines = []
    for event, *rest in ir:
        if event == "OP":
            name, values, depths, _ = rest
            reads = ", ".join(f"v{value}@{depth}" for value, depth in zip(values, depths, strict=True))
            lines.append(f"OP    {name}({reads})  cost={trace_to_bytedmd(depths)}")
        else:
            value, *depth = rest
            lines.append(f"  READ v{value}@{depth[0]}  cost={trace_to_bytedmd(depth)}" if depth else f"STORE v{value}")
    total = trace_to_bytedmd([event[2] for event in ir if event[0] == "READ"])
    return "\n".join([*lines, f"# total cost = {total}"])


class _Found(NamedTuple):
    """The events of a tape, the depth of each (0 unless it is a read), the plain result, and the values loaded."""

    event: np.ndarray
    depth: np.ndarray
    result: Any
    loaded: int


def _trace(func: Callable[..., Any], args: Sequence[Any], tape: Tape) -> _Found:
    check_function(func)
    pairs: dict[int, tuple[Any, Any]] = {}
    tracked = [_tracked(value, tape, pairs) for value in reversed(args)][::-1]
    loaded = tape.values
    result = tape.run(func, tracked)
    event = np.array(tape.event, np.int64)
    last_use = np.full(tape.values, -1, np.int64)
    reads = np.flatnonzero(event >= 0)
    last_use[event[reads]] = reads  # the last of equal indices stays
    last_use[_results(result)] = len(event)
    depth = instruction_depths(event, last_use, np.arange(loaded))
    _write_back(pairs)
    return _Found(event, depth, untracked(result), loaded)
