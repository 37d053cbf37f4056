"""Numbers and arrays that record each read of themselves, and the tape that they record it on.

:mod:`sutrolib.meters.programs.bytedmd` defines what each operator does to the stack.
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
ARITHMETIC = "add sub mul truediv floordiv mod pow lshift rshift and or xor".split()


class Tape:
    """What a program did, in order. It also keeps what was refused, so that a ``try`` in the program cannot hide it."""

    __slots__ = ("refusals",)

    def __init__(self) -> None:
        self.refusals: list[str] = []

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


class TrackedNumber:
    """A number with an identity on a tape. A subclass has the operators of a number, and nothing else."""

    __slots__ = ("_number", "_tape", "_value")

    __array_ufunc__ = None  # NumPy leaves operators with arrays to this class

    def __init__(self, tape: Any, number: int, value: Any) -> None:
        self._tape, self._number, self._value = tape, number, value


def define_operators(cls: type[TrackedNumber], binary: Callable[..., Any], unary: Callable[..., Any]) -> None:
    """Give ``cls`` the arithmetic, bitwise and comparison operators.

    ``binary(compute, swapped)`` and ``unary(compute)`` make the method for an operator that computes ``compute``.
    """
    for name in ARITHMETIC:
        compute = getattr(operator, f"__{name}__")
        setattr(cls, f"__{name}__", binary(compute))
        setattr(cls, f"__r{name}__", binary(compute, True))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(cls, f"__{name}__", binary(getattr(operator, name)))
    for name in ("neg", "pos", "abs", "invert"):
        setattr(cls, f"__{name}__", unary(getattr(operator, name)))


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


class ReadTape(Tape):
    """The instructions of one call: one event for each read and each push of a value."""

    __slots__ = ("instruction", "instructions", "value", "values")

    def __init__(self) -> None:
        super().__init__()
        self.instruction, self.value = array("q"), array("q")
        self.instructions = self.values = 0

    def read(self, *scalars: Scalar) -> None:
        """Record one instruction that reads ``scalars``."""
        self.instructions += 1
        for scalar in scalars:
            self.instruction.append(self.instructions)
            self.value.append(scalar._number)

    def push(self, value: Any) -> Scalar:
        """Record a result of the latest instruction."""
        self.instruction.append(self.instructions)
        self.value.append(-1 - self.values)
        return self.load(value)

    def load(self, value: Any) -> Scalar:
        """A new value. On its own: one that is there before the call."""
        self.values += 1
        return Scalar(self, self.values - 1, value)


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
            return self._with_array(other, operation)
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
            return self._with_array(other, operation)
        self._tape.read(*(x for x in (self, other) if isinstance(x, Scalar)))
        plain = untracked(other)
        quotient, remainder = divmod(plain, self._value) if swapped else divmod(self._value, plain)
        return self._tape.push(quotient), self._tape.push(remainder)

    return operation


def _unary(compute: Callable[..., Any]) -> Callable[..., Any]:
    def operation(self: Scalar, *arguments: Any) -> Any:
        self._tape.read(self)
        return self._tape.push(compute(self._value, *arguments))

    return operation


def _read(compute: Callable[..., Any]) -> Callable[..., Any]:
    """A method that reads the value and gives a plain result."""

    def operation(self: Scalar, *arguments: Any) -> Any:
        if stores_item(sys._getframe(1)):
            raise self._tape.refuse("a tracked value is stored in a NumPy array of plain numbers; use a list")
        self._tape.read(self)
        return compute(self._value, *arguments)

    return operation


def _refused(what: str) -> Callable[..., Any]:
    def operation(self: Scalar, *_: Any) -> Any:
        raise self._tape.refuse(what)

    return operation


class Scalar(TrackedNumber):
    """A number whose reads are recorded."""

    __slots__ = ()

    def _with_array(self, other: Any, operation: Callable[[Scalar, Any], Any]) -> Any:
        if not isinstance(other, np.ndarray):
            return NotImplemented
        if other.dtype != object:
            raise self._tape.refuse("a tracked value meets a NumPy array of plain numbers; pass the array")
        return np.frompyfunc(lambda item: operation(self, item), 1, 1)(np.asarray(other)).view(TrackedArray)

    __divmod__, __rdivmod__ = _divmod(False), _divmod(True)
    __floor__, __ceil__, __trunc__, __round__ = _unary(math.floor), _unary(math.ceil), _unary(math.trunc), _unary(round)

    __bool__, __int__, __float__, __complex__ = _read(bool), _read(int), _read(float), _read(complex)
    __index__, __hash__ = _read(operator.index), _read(hash)
    __str__, __repr__, __format__ = _read(str), _read(repr), _read(format)

    __deepcopy__ = _refused("copy.deepcopy of a tracked value; pass it on instead, which is free")
    __reduce_ex__ = _refused("pickling a tracked value; return it instead")


define_operators(Scalar, _binary, _unary)


class TrackedArray(np.ndarray):
    """An array of tracked values. Its operators go element by element, and refuse arrays of plain numbers."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [x for x in (*inputs, *options.get("out", ())) if isinstance(x, np.ndarray)]
        if any(x.dtype != object for x in arrays):
            tape = next((x._tape for a in arrays if a.dtype == object for x in a.flat if isinstance(x, Scalar)), Tape())
            raise tape.refuse("tracked values meet a NumPy array of plain numbers; pass the array")
        plain = [np.asarray(x) if isinstance(x, np.ndarray) else _boxed(x) for x in inputs]
        if "out" in options:
            options["out"] = tuple(np.asarray(x) for x in options["out"])
        result = getattr(ufunc, method)(*plain, **options)
        return result.view(TrackedArray) if isinstance(result, np.ndarray) else result


def _boxed(value: Any) -> Any:
    """A tracked value as an array without axes: given a bare value, NumPy's loops would call its own operator."""
    if not isinstance(value, Scalar):
        return value
    box = np.empty((), object)
    box[()] = value
    return box
