"""Data movement of plain Python programs where only writes move: the rule of the public sparse parity leaderboard.

    price = sum over all reads of sqrt(depth), the topmost element of the stack having depth 1

Every element is written once before the program starts, argument after argument and each list in its own order, so the
last one loaded lies on top. A read is priced and leaves the stack as it is; a write is free and moves its element to
the top (github.com/cybertronai/sparse-parity-challenge, README and src/sparse_parity/lru_tracker.py).

An *element* is one number of at most 64 bits. The program is a Python function of numbers and nested lists of numbers:

* an operator (arithmetic, bitwise, comparison) reads its one or two operands, a repeated one twice, all against the
  stack as it is before; its result is a new element on top. Constants and plain numbers are free;
* an augmented assignment (``a ^= b``, ``cells[i] += b``) overwrites: it reads both operands, and the result is the
  element of ``a``, moved to the top. The old value of ``a`` is lost: reading it under another name raises
  :class:`UntraceableOperation`;
* nothing else removes an element: a dead one keeps its place, and pushes down what is below it, until overwritten;
* giving a value a name or a place in a list is free and moves nothing. ``+a`` is a copy: a read, and a new element;
* a decision (``bool``: ``if``, ``while``, ``and``, ``not``, ``in``) reads its element.

What would take a value off the stack raises UntraceableOperation: ``int``, ``float``, indexing, hashing, text, copying,
NumPy, numbers beyond 64 bits (one operator on a long integer is any number of operators on words), data that the
function closes over, operators that raise, and what ``bytecode_check`` finds. Returning values is free.

No tracer of Python can see what a program makes of its decisions: ``if a: word |= 1`` copies ``a`` into a plain number.
So decisions are counted: ``detail["control_bits"]`` is log2 C(decisions, taken), and given the number of decisions, no
program carries out more bits than that. ``control_bits`` can be limited; the public rule sets no limit.

Other metrics count differently. ByteDMD (``bytedmd``) moves what is read to the top, drops values after their last use
and inputs never used, loads the first argument on top, and rounds each root up. The DMD of PyTorch programs
(``reuse_distance``) moves on reads, prices writes, and counts cache lines. The public tracker deviates from its own
rule: it prices a read of x[i, j] as x[0, 0], and gives a plain number, free from there on.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from sutrolib.meters.access.lru_stack import write_moved_depths
from sutrolib.meters.base import Kind, ProgramMeter
from sutrolib.meters.programs.bytecode_check import MAX_SHAPE_LENGTH, UntraceableOperation, check_function
from sutrolib.meters.programs.tracked_values import NUMBER_TYPES, Tape, TrackedNumber, refused, untracked

_WORD_BITS = 64


class _WriteTape(Tape):
    """A tape that also counts decisions, and refuses what is read after it was overwritten."""

    __slots__ = ("decisions", "taken")

    def __init__(self) -> None:
        super().__init__(_Element)
        self.decisions = self.taken = 0

    def read(self, number: Any) -> None:
        if number._overwritten:
            raise self.refuse("a value that an augmented assignment has overwritten is read")
        super().read(number)

    def overwrite(self, element: _Element, value: Any) -> _Element:
        """The same element with a new value, moved to the top."""
        element._overwritten = True
        self.event.append(-1 - element._number)
        return _Element(self, element._number, value)

    def checked(self, value: Any) -> Any:
        """The value itself, if it fits into a word."""
        if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > _WORD_BITS):
            raise self.refuse(f"a number of more than {_WORD_BITS} bits; use words or floating-point numbers")
        return value

    def compute(self, operation: Callable[..., Any], *operands: Any) -> Any:
        """The result of an operator. One that raises is refused: the program could catch it, an uncounted decision."""
        try:
            value = operation(*operands)
        except Exception as error:
            raise self.refuse(f"an operator that raises {error!r}; compare first") from error
        return self.checked(value)


def _refused(what: str) -> Callable[..., Any]:
    return refused(f"{what} of a tracked value; use operators and decisions")


class _Element(TrackedNumber):
    """An element of the stack."""

    __slots__ = ("_overwritten",)

    def __init__(self, tape: _WriteTape, number: int, value: Any) -> None:
        super().__init__(tape, number, value)
        self._overwritten = False

    def __bool__(self) -> bool:
        self._tape.read(self)
        self._tape.decisions += 1
        self._tape.taken += bool(self._value)
        return bool(self._value)

    __hash__, __index__ = _refused("hashing"), _refused("indexing")
    __int__, __float__, __complex__ = _refused("int()"), _refused("float()"), _refused("complex()")
    __round__, __floor__, __ceil__, __trunc__, __divmod__, __rdivmod__ = (_refused("rounding or divmod()"),) * 6
    __str__, __repr__, __format__ = (_refused("text"),) * 3
    __copy__, __deepcopy__, __reduce_ex__ = (_refused("copying or pickling"),) * 3


def _load(tape: _WriteTape, value: Any) -> Any:
    """A passed value with elements in place of its numbers. TypeError if it is neither a number nor a list."""
    if isinstance(value, list | tuple):
        return [_load(tape, item) for item in value]
    if isinstance(value, NUMBER_TYPES) and not isinstance(value, complex):
        return tape.push(tape.checked(value))
    raise TypeError(f"arguments must be numbers and nested lists of numbers (got {type(value).__name__})")


def _check_program(program: Any) -> None:
    """Raise UntraceableOperation for data that comes with a function, or is hidden in its bytecode.

    TypeError for anything else than a Python function: a callable object or a partial could hold any data.
    """
    function = program.__func__ if isinstance(program, MethodType) else program
    if not isinstance(function, FunctionType):
        raise TypeError(f"program must be a Python function (got {program!r})")
    check_function(function)
    reachable = [*(cell.cell_contents for cell in function.__closure__ or ()), *(function.__defaults__ or ())]
    reachable += [*(function.__kwdefaults__ or {}).values(), *map(function.__globals__.get, function.__code__.co_names)]
    for value in reachable:
        array_like = hasattr(value, "__array__") and not callable(value)
        long = isinstance(value, tuple) and sum(isinstance(item, NUMBER_TYPES) for item in value) > MAX_SHAPE_LENGTH
        if long or array_like or isinstance(value, list | dict | set | bytes):
            raise UntraceableOperation(f"{function.__name__}: uses data that is not passed; pass it as an argument")


def traced_run(program: Callable[..., Any], arguments: Sequence[Any]) -> tuple[np.ndarray, Any, dict[str, Any]]:
    """The depth of each read of ``program(*arguments)`` in order, its result as plain numbers, and other counts.

    Raises UntraceableOperation if a value would leave the stack unseen, and whatever the program raises.
    """
    _check_program(program)
    tape = _WriteTape()
    tracked = [_load(tape, value) for value in arguments]
    loaded = tape.values
    result = tape.run(program, tracked)
    logs = (math.lgamma(count + 1) for count in (tape.decisions, tape.taken, tape.decisions - tape.taken))
    depths = write_moved_depths(np.array(tape.event, dtype=np.int64), tape.values)
    control_bits = max(0.0, functools.reduce(operator.sub, logs) / math.log(2))
    detail = {"reads": len(depths), "writes": len(tape.event) - len(depths) - loaded, "loaded": loaded}
    return depths, untracked(result), detail | {"decisions": tape.decisions, "control_bits": control_bits}


class WriteStackMovement(ProgramMeter):
    """Sum of sqrt(depth) over the elements that programs read, where writes move to the top and reads do not.

    Each run starts from a stack of its own, and the runs within the block add up. ``control_bits`` is the most that
    one run may carry out of the stack by its decisions, None for the public rule, which sets no limit.
    """

    name = "write-dmd"
    title = "data movement, write stack"
    unit = "sqrt(elements)"
    kind = Kind.MODELLED
    additive = True

    def __init__(self, control_bits: float | None = None) -> None:
        super().__init__()
        if control_bits is not None and not control_bits >= 0:
            raise ValueError(f"control_bits must be at least 0, or None for no limit (got {control_bits!r})")
        self.control_bits = control_bits

    def run(self, program: Any, arguments: Sequence[Any]) -> Any:
        """The result of a Python function for ``arguments``, numbers and nested lists of numbers; priced in the block.

        Raises UntraceableOperation if a value would leave the stack unseen, or more than ``control_bits`` by decisions.
        """
        if not self._entered:
            return program(*arguments)
        depths, result, detail = traced_run(program, arguments)
        bits = detail["control_bits"]
        if self.control_bits is not None and bits > self.control_bits:
            raise UntraceableOperation(
                f"{detail['decisions']} decisions carry {bits:.0f} bits out of the stack (limit {self.control_bits:g})"
            )
        self._add(float(np.sqrt(depths).sum()), detail)
        return result
