"""Data movement of plain Python programs where only writes move: the rule of the public sparse parity leaderboard.

    price = sum over all reads of sqrt(depth), the topmost element of the stack having depth 1

Every element is written once before the program starts, argument after argument and each list in its own order, so that
the last one loaded lies on top. A read is priced and leaves the stack as it is; a write is free and moves its element
to the top (github.com/cybertronai/sparse-parity-challenge, README and src/sparse_parity/lru_tracker.py).

An *element* is one number of at most 64 bits. The program is a Python function of numbers and nested lists of numbers:

* an operator (arithmetic, bitwise, comparison) reads its one or two operands, a repeated one twice, all against the
  stack as it is before; its result is a new element on top. Constants and plain numbers are free;
* an augmented assignment (``a ^= b``, ``cells[i] += b``) overwrites: it reads both operands, and the result is the
  element of ``a``, moved to the top. What ``a`` held is gone: reading it under another name raises :class:`UntraceableOperation`;
* nothing else removes an element: a dead one keeps its place, and pushes down what is below it, until overwritten;
* giving a value a name or a place in a list is free and moves nothing. ``+a`` is a copy: a read, and a new element;
* a decision (``bool``: ``if``, ``while``, ``and``, ``not``, ``in``) reads its element.

What would take a value off the stack is refused, with Escape: ``int``, ``float``, indexing, hashing, text, copying,
NumPy, numbers beyond 64 bits (one operator on a long integer is any number of operators on words), data that the
function closes over, operators that raise, and what ``bytecode_check`` finds. Returning values is free.

What no tracer of Python can see is what a program makes of its decisions: ``if a: word |= 1`` copies ``a`` into a plain
number. So decisions are counted: ``detail["control_bits"]`` is log2 C(decisions, taken), and no program carries more
than that out by decisions, given their number. ``control_bits`` can be limited; the public rule sets no limit.

Others count differently. ByteDMD (``bytedmd``) moves what is read to the top, drops values after
their last use and inputs never used, loads the first argument on top, and rounds each root up. The DMD of PyTorch
programs (``reuse_distance``) moves on reads, prices writes, and counts cache lines. The public tracker goes
off its rule: reading x[i, j] is priced as x[0, 0], and gives a plain number, free from there on.
"""

from __future__ import annotations

import functools
import math
import operator
from array import array
from collections.abc import Callable, Sequence
from types import FunctionType, MethodType, TracebackType
from typing import Any, Self

import numpy as np

from sutrolib.meters.access.lru_stack import write_moved_depths
from sutrolib.meters.base import Kind, NoReading, ProgramMeter
from sutrolib.meters.programs.bytecode_check import UntraceableOperation, check_function
from sutrolib.meters.programs.tracked_values import NUMBER_TYPES

WORD_BITS = 64
_SHAPE = 4  # numbers in a tuple that are not data, as in sutrolib.meters.programs.bytecode_check


class _Tape:
    """The reads (2 e) and writes (2 e + 1) of elements e in order, the decisions, and what was refused."""

    __slots__ = ("decisions", "elements", "event", "refusals", "taken")

    def __init__(self) -> None:
        self.event = array("q")
        self.elements = self.decisions = self.taken = 0
        self.refusals: list[str] = []

    def new(self, value: Any) -> TrackedElement:
        """A new element, on top."""
        number = self.elements
        self.elements = number + 1
        self.event.append(2 * number + 1)
        return TrackedElement(self, number, value)

    def refuse(self, what: str) -> UntraceableOperation:
        """Note a refusal, so that a ``try`` in the program does not swallow it, and return the error to raise."""
        self.refusals.append(what)
        return UntraceableOperation(what)


def _fits(tape: _Tape, value: Any) -> Any:
    if isinstance(value, complex) or (isinstance(value, int) and value.bit_length() > WORD_BITS):
        raise tape.refuse(f"a number of more than {WORD_BITS} bits; accepted are words, and floating-point numbers")
    return value


def _result(tape: _Tape, compute: Callable[..., Any], *operands: Any) -> Any:
    """What an operator gives. One that raises is refused: caught, it would be a decision that nobody counts."""
    try:
        value = compute(*operands)
    except Exception as error:
        raise tape.refuse(f"an operator that raises {error!r}; accepted is to compare first") from error
    return _fits(tape, value)


def _operands(cell: TrackedElement, other: Any) -> Any:
    """Record the reads of an operator's operands; return the other one as a plain number, or NotImplemented."""
    if cell._overwritten or (type(other) is TrackedElement and other._overwritten):
        raise cell._tape.refuse("a value that an augmented assignment has overwritten is read")
    if type(other) is TrackedElement:
        cell._tape.event.append(2 * cell._number)
        cell._tape.event.append(2 * other._number)
        return other._value
    if isinstance(other, np.ndarray):
        raise cell._tape.refuse("a NumPy array meets a tracked value; accepted are lists that are passed")
    if not isinstance(other, NUMBER_TYPES):
        return NotImplemented
    cell._tape.event.append(2 * cell._number)
    return other


def _binary(
    compute: Callable[..., Any], swapped: bool = False, in_place: bool = False
) -> Callable[[TrackedElement, Any], Any]:
    def operation(self: TrackedElement, other: Any) -> Any:
        plain = _operands(self, other)
        if plain is NotImplemented:
            return NotImplemented
        tape, operands = self._tape, (plain, self._value) if swapped else (self._value, plain)
        result = _result(tape, compute, *operands)
        if not in_place:
            return tape.new(result)
        self._overwritten = True
        tape.event.append(2 * self._number + 1)
        return TrackedElement(tape, self._number, result)

    return operation


def _unary(compute: Callable[[Any], Any]) -> Callable[[TrackedElement], TrackedElement]:
    def operation(self: TrackedElement) -> TrackedElement:
        _operands(self, 0)
        return self._tape.new(_result(self._tape, compute, self._value))

    return operation


def _refused(what: str) -> Callable[..., Any]:
    def operation(self: TrackedElement, *_: Any) -> Any:
        raise self._tape.refuse(f"{what} of a tracked value; accepted are operators and decisions")

    return operation


class TrackedElement:
    """An element of the stack: a number with the operators of a number, and nothing else."""

    __slots__ = ("_number", "_overwritten", "_tape", "_value")

    __array_ufunc__ = None  # NumPy leaves operators with arrays to this class

    def __init__(self, tape: _Tape, number: int, value: Any) -> None:
        self._tape, self._number, self._value, self._overwritten = tape, number, value, False

    def __bool__(self) -> bool:
        _operands(self, 0)
        self._tape.decisions += 1
        self._tape.taken += bool(self._value)
        return bool(self._value)

    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)
    __lt__, __le__, __gt__, __ge__ = map(_binary, (operator.lt, operator.le, operator.gt, operator.ge))
    __neg__, __pos__, __abs__ = _unary(operator.neg), _unary(operator.pos), _unary(operator.abs)
    __invert__ = _unary(operator.invert)

    __hash__, __index__ = _refused("hashing"), _refused("indexing")
    __int__, __float__, __complex__ = _refused("int()"), _refused("float()"), _refused("complex()")
    __round__, __floor__, __ceil__, __trunc__, __divmod__, __rdivmod__ = (_refused("rounding or divmod()"),) * 6
    __str__, __repr__, __format__ = (_refused("text"),) * 3
    __copy__, __deepcopy__, __reduce_ex__ = (_refused("copying or pickling"),) * 3


for _name in "add sub mul truediv floordiv mod pow lshift rshift and or xor".split():
    _compute = getattr(operator, f"__{_name}__")
    setattr(TrackedElement, f"__{_name}__", _binary(_compute))
    setattr(TrackedElement, f"__r{_name}__", _binary(_compute, True))
    setattr(TrackedElement, f"__i{_name}__", _binary(_compute, in_place=True))


def _load(tape: _Tape, value: Any) -> Any:
    """A passed value with elements in place of its numbers. TypeError for what is neither a number nor a list."""
    if isinstance(value, list | tuple):
        return [_load(tape, item) for item in value]
    if isinstance(value, NUMBER_TYPES) and not isinstance(value, complex):
        return tape.new(_fits(tape, value))
    raise TypeError(f"a program is given {type(value).__name__}, accepted are numbers and nested lists of numbers")


def _plain(value: Any) -> Any:
    """A result without its tracking."""
    if type(value) is TrackedElement:
        return value._value
    return type(value)(_plain(item) for item in value) if type(value) in (list, tuple) else value


def _check_program(program: Any) -> None:
    """Raise Escape for data that comes along with a function, or is hidden in its bytecode; TypeError for others."""
    function = program.__func__ if isinstance(program, MethodType) else program
    if not isinstance(function, FunctionType):  # a callable object or a partial could hold any data
        raise TypeError(f"program={program!r}, accepted are Python functions")
    check_function(function)
    at_hand = [*(cell.cell_contents for cell in function.__closure__ or ()), *(function.__defaults__ or ())]
    at_hand += [*(function.__kwdefaults__ or {}).values(), *map(function.__globals__.get, function.__code__.co_names)]
    for value in at_hand:
        array_like = hasattr(value, "__array__") and not callable(value)
        long = isinstance(value, tuple) and sum(isinstance(item, NUMBER_TYPES) for item in value) > _SHAPE
        if long or array_like or isinstance(value, list | dict | set | bytes):
            raise UntraceableOperation(
                f"{function.__name__}: data at hand that is not passed; accepted is to pass it as an argument"
            )


def traced_run(program: Callable[..., Any], arguments: Sequence[Any]) -> tuple[np.ndarray, Any, dict[str, Any]]:
    """The depth of each read of ``program(*arguments)`` in order, its result as plain numbers, and what else it did.

    Raises Escape where a value would leave the stack unseen, and whatever the program raises.
    """
    _check_program(program)
    tape = _Tape()
    tracked = [_load(tape, value) for value in arguments]
    loaded = tape.elements
    try:
        result = program(*tracked)
    finally:
        if tape.refusals:
            raise UntraceableOperation(tape.refusals[0])
    logs = (math.lgamma(count + 1) for count in (tape.decisions, tape.taken, tape.decisions - tape.taken))
    depths = write_moved_depths(np.array(tape.event, dtype=np.int64), tape.elements)
    control_bits = max(0.0, functools.reduce(operator.sub, logs) / math.log(2))
    detail = {"reads": len(depths), "writes": len(tape.event) - len(depths) - loaded, "loaded": loaded}
    return depths, _plain(result), detail | {"decisions": tape.decisions, "control_bits": control_bits}


class WriteStackMovement(ProgramMeter):
    """Sum of sqrt(depth) over the elements that programs read, where writes move to the top and reads do not.

    Each run starts from a stack of its own, and the runs within the block add up. ``control_bits`` is the most that
    one run may carry out of the stack by its decisions, None for the public rule, which sets no limit.
    """

    name = "write-dmd"
    title = "data movement where only writes move"
    unit = "sqrt(elements)"
    kind = Kind.MODELLED
    additive = True

    def __init__(self, control_bits: float | None = None) -> None:
        super().__init__()
        if control_bits is not None and not control_bits >= 0:
            raise ValueError(f"control_bits={control_bits!r}, accepted are numbers from 0, and None for no limit")
        self.control_bits = control_bits
        self._open = False

    def __enter__(self) -> Self:
        self._reading, self._open = None, True
        self._price, self._detail = 0.0, dict[str, Any]()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._open = False
        if kind is None and self._detail:
            if self._price == 0:
                raise NoReading(f"{self.name}: the program reads nothing of what it is given")
            self._reading = self._make(self._price, self._detail)

    def run(self, program: Any, arguments: Sequence[Any]) -> Any:
        """The result of a Python function for ``arguments``, numbers and nested lists of numbers; priced in the block.

        Raises Escape where a value would leave the stack unseen, or more than ``control_bits`` by decisions.
        """
        if not self._open:
            return program(*arguments)
        depths, result, detail = traced_run(program, arguments)
        if self.control_bits is not None and detail["control_bits"] > self.control_bits:
            bits, count = detail["control_bits"], detail["decisions"]
            raise UntraceableOperation(
                f"{bits:.0f} bits leave the stack by {count} decisions; accepted are {self.control_bits:g}"
            )
        self._price += float(np.sqrt(depths).sum())
        self._detail = {key: self._detail.get(key, 0) + value for key, value in detail.items()}
        return result
