"""Stored records, read with care: whatever stands in a file may be of an earlier version, damaged, or made to harm.

A record is JSON in a regular file (a FIFO would block, a device never ends), of a bounded size and depth, with numbers
that a float can hold, whose fields have the types that its dataclass or TypedDict declares.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import stat
import types
import typing
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

MAX_BYTES = 50_000_000  # of a file that holds one record, and of a line of a file with many
_MAX_DEPTH = 50  # lists and objects within each other; no record of this library comes near
_MAX_DIGITS = 300  # of an integer: a float holds up to 308
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_T = TypeVar("_T")


class UnreadableRecord(UserWarning):
    """A stored record could not be read. It was skipped, and its file was left as it is."""


def check_regular(path: Path) -> None:
    """Raise ValueError for what is neither a file nor a link to one, and OSError where there is nothing."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is not a regular file")


def read_bytes(path: Path) -> bytes:
    """The content of a regular file of at most MAX_BYTES. Raises OSError, or ValueError, naming the file."""
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES:,} bytes")
    return content


def read_json(path: Path) -> Any:
    """The JSON of a file. Raises OSError, or ValueError as :func:`parse` and :func:`read_bytes` do."""
    return parse(read_bytes(path))


def parse(text: bytes, constant: Callable[[str], Any] = str) -> Any:
    """The value of a JSON text; surrogates, which no UTF-8 can hold, become ``?``.

    NaN and infinities become what ``constant`` makes of them, texts as :func:`sutrolib.core.io.as_json` writes them.
    Raises ValueError for what is no JSON, integers of over 300 digits, and more than 50 levels.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_constant=constant)
        if _SURROGATE.search(text):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    except RecursionError:
        raise ValueError(f"it has more than {_MAX_DEPTH} levels") from None
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise ValueError(f"it has more than {_MAX_DEPTH} levels")


def _parts(value: Any) -> Collection[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"an integer has {len(digits)} digits")
    return int(digits)


def ends_in_a_line(path: Path) -> bool:
    """Whether a file is empty or ends with a line end; True where there is none. A torn line has no end."""
    if not path.exists():
        return True
    check_regular(path)
    with path.open("rb") as file:
        return not file.seek(0, os.SEEK_END) or (file.seek(-1, os.SEEK_END), file.read())[1] == b"\n"


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file, flushed to disk. Raises OSError if that fails; what had been written is taken back.

    Only for who holds a lock on the file.
    """
    with path.open("ab", buffering=0) as file:
        end, left = file.seek(0, os.SEEK_END), memoryview(content)
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def moment(text: object) -> datetime:
    """The time of a record, in UTC. Raises ValueError unless it is an ISO time with a zone."""
    try:
        when = datetime.fromisoformat(text) if isinstance(text, str) else None
        if when is not None and when.tzinfo is not None and "T" in str(text):
            return when.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"when must be a time with a zone, such as 2026-01-31T12:00:00+00:00 (got {text!r:.100})")


def checked(record: _T) -> _T:
    """This dataclass, if :func:`check_types` accepts its fields."""
    check_types(vars(record), type(record))
    return record


def check_types(values: object, declared: type) -> None:
    """Check the fields of a dataclass or TypedDict; ``when`` must be a :func:`moment`, and others may be there as well.

    Raises TypeError, with name and value, where a field is of another type than declared, or missing.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"it must be an object (got {values!r:.100})")
    needed = getattr(declared, "__required_keys__", ())
    for name, (fits, hint) in _checks(declared).items():
        if name not in values and name in needed:
            raise TypeError(f"{name} is missing")
        if name in values and not fits(values[name]):
            raise TypeError(f"{name} must be {hint} (got {values[name]!r:.100})")
    if "when" in values:
        moment(values["when"])


@functools.cache
def _checks(declared: type) -> dict[str, tuple[Callable[[Any], bool], str]]:
    """For each field, whether a value fits it, and its type in words."""
    known = {f.name for f in dataclasses.fields(declared)} if dataclasses.is_dataclass(declared) else None
    hints = {name: hint for name, hint in typing.get_type_hints(declared).items() if known is None or name in known}
    return {name: (_fits(hint), getattr(hint, "__name__", str(hint))) for name, hint in hints.items()}


def fitting(values: Mapping[str, Any], declared: type) -> dict[str, Any]:
    """Those of the values that are fields of a dataclass, and of their types."""
    return {
        name: values[name] for name, (fits, _) in _checks(declared).items() if name in values and fits(values[name])
    }


def _fits(hint: Any) -> Callable[[Any], bool]:
    """Whether a value is of a type: a list passes for a tuple, an integer for a float, and True for neither."""
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    inner = [_fits(one) for one in arguments if one is not ...]
    if hint is Any:
        return lambda value: True
    if origin in (typing.Union, types.UnionType):
        return lambda value: any(fits(value) for fits in inner)
    if typing.is_typeddict(origin) or dataclasses.is_dataclass(origin):
        return functools.partial(_is, origin)
    if issubclass(origin, Mapping):
        return lambda value: isinstance(value, Mapping) and all(map(inner[1], value.values()))
    if issubclass(origin, tuple) and ... not in arguments:
        fixed = inner
        return lambda value: (
            isinstance(value, list | tuple)
            and len(value) == len(fixed)
            and all(fits(one) for fits, one in zip(fixed, value, strict=True))
        )
    if issubclass(origin, list | tuple):
        return lambda value: isinstance(value, list | tuple) and all(map(inner[0], value))
    if origin is float:
        return lambda value: type(value) in (float, int)
    return lambda value: type(value) is origin


def _is(declared: type, value: Any) -> bool:
    """Whether a value is of this dataclass, or has the fields of this TypedDict."""
    if dataclasses.is_dataclass(declared) and not isinstance(value, declared):
        return False
    try:
        check_types(vars(value) if dataclasses.is_dataclass(declared) else value, declared)
    except (TypeError, ValueError):
        return False
    return True
