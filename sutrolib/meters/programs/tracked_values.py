"""Numbers and arrays that record each read of themselves, and the tape that they record it on.

What each operator does to the stack is defined in :mod:`sutrolib.meters.programs.bytedmd`.
"""

from __future__ import annotations

import math
import operator
import sys
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from sutrolib.meters.programs.bytecode_check import UntraceableOperation, stores_item

NUMBER_TYPES = (int, float, complex, np.number, np.bool_)  # bool is an int


class Tape:
    """The instructions of one call, one event for each read and each push, and what was refused on the way."""

    __slots__ = ("event", "instruction", "instructions", "refusals", "value", "values")

    def __init__(self) -> None:
        self.instruction, self.value = array("q"), array("q")
        self.instructions = self.values = 0
        self.refusals: list[str] = []

    def read(self, *scalars: Scalar) -> None:
        """Record one instruction that reads ``scalars``."""
        self.instructions += 1
        for scalar in scalars:
            self.instruction.append(self.instructions)
            self.value.append(scalar._number)

    def push(self, value: Any) -> Scalar:
        """Record a result of the latest instruction."""
        number = self.values
        self.values = number + 1
        self.instruction.append(self.instructions)
        self.value.append(-1 - number)
        return Scalar(self, number, value)

    def load(self, value: Any) -> Scalar:
        """A value that is there before the call."""
        self.values += 1
        return Scalar(self, self.values - 1, value)

    def refuse(self, what: str) -> UntraceableOperation:
        """Note a refusal, and return the error to raise."""
        self.refusals.append(what)
        return UntraceableOperation(what)


def _binary(compute: Callable[[Any, Any], Any], swapped: bool = False) -> Callable[[Scalar, Any], Any]:
    def operation(self: Scalar, other: Any) -> Any:
        tape = self._tape
        kind = type(other)
        if kind is Scalar:
            plain = other._value
            tape.instructions = now = tape.instructions + 1
            tape.instruction.append(now)
            tape.value.append(self._number)
            tape.instruction.append(now)
            tape.value.append(other._number)
        elif isinstance(other, NUMBER_TYPES):
            plain = other
            tape.instructions = now = tape.instructions + 1
            tape.instruction.append(now)
            tape.value.append(self._number)
        else:
            return self._meet(other, operation)
        result = compute(plain, self._value) if swapped else compute(self._value, plain)
        number = tape.values
        tape.values = number + 1
        tape.instruction.append(now)
        tape.value.append(-1 - number)
        return Scalar(tape, number, result)

    return operation


def _divmod(swapped: bool) -> Callable[[Scalar, Any], Any]:
    def operation(self: Scalar, other: Any) -> Any:
        if not isinstance(other, (Scalar, *NUMBER_TYPES)):
            return self._meet(other, operation)
        self._tape.read(*(x for x in (self, other) if isinstance(x, Scalar)))
        plain = other._value if isinstance(other, Scalar) else other
        quotient, remainder = divmod(plain, self._value) if swapped else divmod(self._value, plain)
        return self._tape.push(quotient), self._tape.push(remainder)

    return operation


def _unary(compute: Callable[[Any], Any]) -> Callable[[Scalar], Scalar]:
    def operation(self: Scalar) -> Scalar:
        self._tape.read(self)
        return self._tape.push(compute(self._value))

    return operation


def _escape(compute: Callable[..., Any]) -> Callable[..., Any]:
    def operation(self: Scalar, *arguments: Any) -> Any:
        if stores_item(sys._getframe(1)):
            raise self._tape.refuse("a NumPy array of plain numbers takes in a tracked value; accepted are lists")
        self._tape.read(self)
        return compute(self._value, *arguments)

    return operation


def _refused(what: str) -> Callable[..., Any]:
    def operation(self: Scalar, *_: Any) -> Any:
        raise self._tape.refuse(what)

    return operation


class Scalar:
    """A number whose reads are recorded. It has the operators of a number, and nothing else."""

    __slots__ = ("_number", "_tape", "_value")

    __array_ufunc__ = None  # NumPy leaves operators with arrays to this class

    def __init__(self, tape: Tape, number: int, value: Any) -> None:
        self._tape, self._number, self._value = tape, number, value

    def _meet(self, other: Any, operation: Callable[[Scalar, Any], Any]) -> Any:
        if not isinstance(other, np.ndarray):
            return NotImplemented
        if other.dtype != object:
            raise self._tape.refuse("a NumPy array of plain numbers meets a tracked value; accepted is to pass it")
        return np.frompyfunc(lambda item: operation(self, item), 1, 1)(np.asarray(other)).view(TrackedArray)

    __add__, __radd__ = _binary(operator.add), _binary(operator.add, True)
    __sub__, __rsub__ = _binary(operator.sub), _binary(operator.sub, True)
    __mul__, __rmul__ = _binary(operator.mul), _binary(operator.mul, True)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _binary(operator.truediv, True)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv), _binary(operator.floordiv, True)
    __mod__, __rmod__ = _binary(operator.mod), _binary(operator.mod, True)
    __pow__, __rpow__ = _binary(operator.pow), _binary(operator.pow, True)
    __lshift__, __rlshift__ = _binary(operator.lshift), _binary(operator.lshift, True)
    __rshift__, __rrshift__ = _binary(operator.rshift), _binary(operator.rshift, True)
    __and__, __rand__ = _binary(operator.and_), _binary(operator.and_, True)
    __or__, __ror__ = _binary(operator.or_), _binary(operator.or_, True)
    __xor__, __rxor__ = _binary(operator.xor), _binary(operator.xor, True)
    __eq__, __ne__ = _binary(operator.eq), _binary(operator.ne)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)
    __divmod__, __rdivmod__ = _divmod(False), _divmod(True)
    __neg__, __pos__, __abs__ = _unary(operator.neg), _unary(operator.pos), _unary(operator.abs)
    __invert__ = _unary(operator.invert)
    __floor__, __ceil__, __trunc__ = _unary(math.floor), _unary(math.ceil), _unary(math.trunc)

    def __round__(self, digits: int | None = None) -> Scalar:
        self._tape.read(self)
        return self._tape.push(round(self._value, digits))

    __bool__, __int__, __float__, __complex__ = _escape(bool), _escape(int), _escape(float), _escape(complex)
    __index__, __hash__ = _escape(operator.index), _escape(hash)
    __str__, __repr__, __format__ = _escape(str), _escape(repr), _escape(format)

    __deepcopy__ = _refused("copy.deepcopy of a tracked value; accepted is to pass it on, which is free")
    __reduce_ex__ = _refused("pickling a tracked value; accepted is to return it")


class TrackedArray(np.ndarray):
    """An array of tracked values. Its operators go element by element, and refuse arrays of plain numbers."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x for x in (*inputs, *options.get("out", ())) if isinstance(x, np.ndarray)]
        if any(x.dtype != object for x in arrays):
            tape = next((x._tape for a in arrays if a.dtype == object for x in a.flat if isinstance(x, Scalar)), Tape())
            raise tape.refuse("a NumPy array of plain numbers meets tracked values; accepted is to pass it")
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else _boxed(x) for x in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(x) for x in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        return result.view(TrackedArray) if isinstance(result, np.ndarray) else result


def _boxed(value: Any) -> Any:
    """A tracked value as an array without axes: NumPy's loops take that, and would leave an operator to the value."""
    if not isinstance(value, Scalar):
        return value
    box = np.empty((), object)
    box[()] = value
    return box
