"""Finds, in a function's bytecode before it runs, what a tracer of plain Python programs cannot see.

A tracked value stands for a number, but Python lets a function tell the two apart, or take data from elsewhere, without
calling any operator. The check rejects, with the line number: identity tests (``is``, except with None, True or False),
type tests (``type``, ``isinstance``, ``issubclass``, ``id``, ``vars``, attributes such as ``__class__``), NumPy calls
that make arrays of plain numbers out of values or convert to them, and lists or tuples of numbers written in the
function: data that is not passed would cost nothing. Zeros, single constants and constant tuples of up to four numbers
(shapes, ranges) are not data.

The check also looks into plain Python functions that the function names, but not into those of installed libraries.
"""

from __future__ import annotations

import builtins
import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType
from typing import Any

_TYPE_TESTS = frozenset(("type", "isinstance", "issubclass", "id", "vars", "dir", "getattr"))
_CONVERSIONS = frozenset(("array", "asarray", "asanyarray", "ascontiguousarray", "fromiter", "full", "full_like"))
_METHODS = frozenset(("astype", "itemset", "tobytes", "tofile", "frombuffer"))
_CONTAINERS = ("BUILD_LIST", "BUILD_TUPLE", "BUILD_SET")
MAX_SHAPE_LENGTH = 4  # longer tuples of numbers count as data
_STORES = frozenset(("STORE_SUBSCR", "STORE_SLICE"))


class UntraceableOperation(ValueError):
    """A value would leave the stack without being seen; the message says how, and what to do instead."""


def stores_item(frame: FrameType) -> bool:
    """Whether the current instruction of ``frame`` stores into a container: ``array[i] = value``."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] in _STORES


def check_function(func: Callable[..., Any]) -> None:
    """Raise UntraceableOperation if a function, or one that it names, does what a tracer cannot see.

    TypeError for anything that is not a function.
    """
    if not callable(func):
        raise TypeError(f"func must be a function (got {func!r})")
    seen: set[CodeType] = set()
    pending = [func]
    while pending:
        function = inspect.unwrap(pending.pop())
        function = getattr(function, "__func__", function)
        if not isinstance(function, FunctionType) or function.__code__ in seen:
            continue
        seen.add(function.__code__)
        known = _names(function)
        for code in _nested(function.__code__):
            _check_code(code, known)
            named = (known.get(name) for name in (*code.co_names, *code.co_freevars))
            pending += [found for found in named if isinstance(found, FunctionType) and _is_of(found, function)]


def _names(function: FunctionType) -> dict[str, Any]:
    """The values of the global and closed-over names of a function."""
    closed = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            closed[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return vars(builtins) | function.__globals__ | closed


def _is_of(found: FunctionType, function: FunctionType) -> bool:
    """Whether a function is the user's own: from the same file, or not from an installed package."""
    place = found.__code__.co_filename
    installed = "site-packages" in place or place.startswith(("<frozen", inspect.__file__.rpartition("inspect")[0]))
    return place == function.__code__.co_filename or not installed


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _check_code(code: CodeType, known: dict[str, Any]) -> None:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG", "PRECALL")]
    lines = [position[0] for position in code.co_positions()]  # of each unit of two bytes
    for index, instruction in enumerate(instructions):
        if what := _refusal(instructions, index, known):
            raise UntraceableOperation(f"{code.co_name}, line {lines[instruction.offset // 2]}: {what}")


def _refusal(instructions: list[dis.Instruction], index: int, known: dict[str, Any]) -> str:
    instruction = instructions[index]
    name, value = instruction.opname, instruction.argval
    if name == "IS_OP" and not _is_constant(instructions[index - 1]):
        return "an identity test between values; use ==, or `is` with None, True or False"
    if name in ("LOAD_GLOBAL", "LOAD_NAME") and value in _TYPE_TESTS and known.get(value) is getattr(builtins, value):
        return f"a type test with {value}(); test the values instead"
    if name in ("LOAD_ATTR", "LOAD_METHOD"):
        if value.startswith("_"):
            return f"access to {value} inside a value; use operators"
        made = value in _CONVERSIONS and getattr(known.get(instructions[index - 1].argval), "__name__", "") == "numpy"
        if made or value in _METHODS:
            return f"a NumPy array made by {value}; use lists, or pass the array as an argument"
    if _is_data(instructions, index):
        return "a list of numbers written in the function; pass it as an argument"
    return ""


def _is_constant(instruction: dis.Instruction) -> bool:
    return instruction.opname == "LOAD_CONST" and (instruction.argval is None or isinstance(instruction.argval, bool))


def _is_data(instructions: list[dis.Instruction], index: int) -> bool:
    """Whether this instruction makes a container of constant numbers that are not all zero."""
    instruction = instructions[index]
    if instruction.opname == "LOAD_CONST" and isinstance(instruction.argval, tuple):
        numbers = [item for item in instruction.argval if _is_number(item)]
        extends = any(i.opname in ("LIST_EXTEND", "SET_UPDATE") for i in instructions[index + 1 : index + 2])
        return any(numbers) and (extends or len(numbers) > MAX_SHAPE_LENGTH)
    if instruction.opname in _CONTAINERS and instruction.arg:
        items = instructions[max(0, index - instruction.arg) : index]
        return all(i.opname == "LOAD_CONST" and _is_number(i.argval) for i in items) and any(i.argval for i in items)
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | complex) and not isinstance(value, bool)
