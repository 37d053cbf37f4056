"""Numbers and arrays that record each read of themselves, and the tape that they record it on.

:mod:`sutrolib.meters.programs.bytedmd` and :mod:`sutrolib.meters.programs.write_stack` define what each operator does
to the stack.
"""

from __future__ import annotations

import math
import operator
import sys
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from sutrolib.meters.access.lru_stack import NO_RESULT
from sutrolib.meters.programs.bytecode_check import UntraceableOperation, stores_item

NUMBER_TYPES = (int, float, complex, np.number, np.bool_)  # bool is an int


class Tape:
    """What a program did, in order: an event v for each read of value v, and -1 - v where v is pushed on the stack.

    An instruction reads, and then pushes or ends with the event NO_RESULT: so a read after those begins the next one.
    It also keeps what was refused, so that a ``try`` in the program cannot hide it.
    """

    __slots__ = ("event", "number_type", "refusals", "values")

    def __init__(self, number_type: type[TrackedNumber]) -> None:
        self.number_type = number_type
        self.event = array("q")
        self.values = 0
        self.refusals: list[str] = []

    def load(self, value: Any) -> Any:
        """A new value. On its own: one that is there before the program starts."""
        self.values += 1
        return self.number_type(self, self.values - 1, value)

    def push(self, value: Any) -> Any:
        """Record a result of the latest instruction."""
        number = self.values
        self.values = number + 1
        self.event.append(-1 - number)
        return self.number_type(self, number, value)

    def overwrite(self, number: Any, value: Any) -> Any:
        """Record a result that takes the place of ``number``: that of an augmented assignment."""
        return self.push(value)

    def read(self, number: TrackedNumber) -> None:
        """Record that the instruction reads this value."""
        self.event.append(number._number)

    def compute(self, operation: Callable[..., Any], *operands: Any) -> Any:
        """The plain result of an operator. One that raises has read its operands."""
        try:
            return operation(*operands)
        except Exception:
            self.event.append(NO_RESULT)
            raise

    def refuse(self, what: str) -> UntraceableOperation:
        """Note a refusal, and return the error to raise."""
        self.refusals.append(what)
        return UntraceableOperation(what)

    def run(self, program: Callable[..., Any], arguments: list[Any]) -> Any:
        """The result of a program for tracked arguments. Raises what it raises, but a refusal first of all."""
        try:
            return program(*arguments)
        finally:
            if self.refusals:
                raise UntraceableOperation(self.refusals[0])


def binary(compute: Callable[..., Any], swapped: bool = False, in_place: bool = False) -> Callable[..., Any]:
    """The method for an operator of two numbers, of which the other one may be plain."""

    def operation(self: TrackedNumber, other: Any) -> Any:
        tape = self._tape
        if isinstance(other, TrackedNumber):
            plain = other._value
            tape.read(self)
            tape.read(other)
        elif isinstance(other, NUMBER_TYPES):
            plain = other
            tape.read(self)
        else:
            return self._with_array(other, operation) if isinstance(other, np.ndarray) else NotImplemented
        result = tape.compute(compute, plain, self._value) if swapped else tape.compute(compute, self._value, plain)
        if compute is divmod:
            return tuple(map(tape.push, result))
        return tape.overwrite(self, result) if in_place else tape.push(result)

    return operation


def unary(compute: Callable[..., Any]) -> Callable[..., Any]:
    """The method for an operator of one number and of further operands, tracked or plain: ``pow(a, b, m)``."""

    def operation(self: TrackedNumber, *others: Any) -> Any:
        for number in (self, *others):
            if isinstance(number, TrackedNumber):
                self._tape.read(number)
        return self._tape.push(self._tape.compute(compute, self._value, *map(untracked, others)))

    return operation


def refused(what: str) -> Callable[..., Any]:
    """A method that refuses what would take a value off the stack unseen."""

    def operation(self: TrackedNumber, *_: Any) -> Any:
        raise self._tape.refuse(what)

    return operation


class TrackedNumber:
    """A number with an identity on a tape, and with the arithmetic, bitwise and comparison operators."""

    __slots__ = ("_number", "_tape", "_value")

    __array_ufunc__ = None  # NumPy leaves operators with arrays to this class

    def __init__(self, tape: Any, number: int, value: Any) -> None:
        self._tape, self._number, self._value = tape, number, value

    def _with_array(self, array: np.ndarray, operation: Callable[..., Any]) -> Any:
        raise self._tape.refuse("a tracked value meets a NumPy array; use lists that are passed")


for _name in "add sub mul truediv floordiv mod pow lshift rshift and or xor".split():
    _compute = getattr(operator, f"__{_name}__")
    setattr(TrackedNumber, f"__{_name}__", binary(_compute))
    setattr(TrackedNumber, f"__r{_name}__", binary(_compute, swapped=True))
    setattr(TrackedNumber, f"__i{_name}__", binary(_compute, in_place=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(TrackedNumber, f"__{_name}__", binary(getattr(operator, _name)))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(TrackedNumber, f"__{_name}__", unary(getattr(operator, _name)))


def untracked(value: Any) -> Any:
    """A result with plain numbers in place of tracked ones."""
    if isinstance(value, TrackedNumber):
        return value._value
    if isinstance(value, np.ndarray) and value.dtype == object:
        return np.array([untracked(item) for item in value.flat]).reshape(value.shape)
    if isinstance(value, dict):
        return {untracked(key): untracked(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(untracked(item) for item in value)
    return value


def _read(compute: Callable[..., Any], content: bool = False) -> Callable[..., Any]:
    """A method that reads the value and gives a plain result. NumPy calls those of ``content`` to store the value."""

    def operation(self: Scalar, *arguments: Any) -> Any:
        if content and stores_item(sys._getframe(1)):
            raise self._tape.refuse("a tracked value is stored in a NumPy array of plain numbers; use a list")
        self._tape.read(self)
        self._tape.event.append(NO_RESULT)
        return compute(self._value, *arguments)

    return operation


_power, _power_modulo = binary(pow), unary(pow)


class Scalar(TrackedNumber):
    """A number whose reads are recorded."""

    __slots__ = ()

    def _with_array(self, array: np.ndarray, operation: Callable[..., Any]) -> Any:
        if array.dtype != object:
            raise self._tape.refuse("a tracked value meets a NumPy array of plain numbers; pass the array")
        return np.frompyfunc(lambda item: operation(self, item), 1, 1)(np.asarray(array)).view(TrackedArray)

    def __pow__(self, exponent: Any, modulus: Any = None) -> Any:
        return _power(self, exponent) if modulus is None else _power_modulo(self, exponent, modulus)

    __divmod__, __rdivmod__ = binary(divmod), binary(divmod, swapped=True)
    __floor__, __ceil__, __trunc__, __round__ = unary(math.floor), unary(math.ceil), unary(math.trunc), unary(round)

    # In a store these three read a key or an index; the others can only read what is stored.
    __bool__, __index__, __hash__ = _read(bool), _read(operator.index), _read(hash)
    __int__, __float__, __complex__ = _read(int, True), _read(float, True), _read(complex, True)
    __str__, __repr__, __format__ = _read(str, True), _read(repr), _read(format)

    __deepcopy__ = refused("copy.deepcopy of a tracked value; pass it on instead, which is free")
    __reduce_ex__ = refused("pickling a tracked value; return it instead")


class TrackedArray(np.ndarray):
    """An array of tracked values. Its operators go element by element, and refuse arrays of plain numbers."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x for x in (*inputs, *options.get("out", ())) if isinstance(x, np.ndarray)]
        if any(x.dtype != object for x in arrays):
            tapes = [x._tape for a in arrays if a.dtype == object for x in a.flat if isinstance(x, Scalar)]
            tape = tapes[0] if tapes else Tape(Scalar)
            raise tape.refuse("tracked values meet a NumPy array of plain numbers; pass the array")
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(x) for x in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        return result.view(TrackedArray) if isinstance(result, np.ndarray) else result
