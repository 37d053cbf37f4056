"""A notebook's parameters: read from its source, checked before anything runs.

A parameter is an annotated literal with a comment that gives its unit and range. papermill reads type and help from the
same form:

    n_bits: int = 20  # bits, 3 to 200
    kk: int = 3  # 3 or 5
    profile: str = "quick"  # quick, anew or full
"""

import ast
import difflib
import io
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}

_RANGE = re.compile(r"(-?\d[\d_.e+-]*) to (-?\d[\d_.e+-]*)\s*$")
_WORDS = re.compile(r"^((?:[\w.-]+, )*[\w.-]+ or [\w.-]*[\w-])$")
_VALUE = r"(?:[+-]?\.?\d[\w.+-]*|true|false)"
_VALUES = re.compile(rf"(?:^|, )((?:{_VALUE}, )*{_VALUE} or {_VALUE})$", re.IGNORECASE)


class ParameterError(ValueError):
    """A notebook has no such parameter, or the value is wrong; the message lists what it takes."""


@dataclass(frozen=True)
class Parameter:
    """One parameter: its type, default, comment, and the range or the choices that the comment states."""

    name: str
    type: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def __str__(self) -> str:
        note = f"  # {self.help}" if self.help else ""
        return f"{self.name}: {self.type.__name__} = {self.default!r}{note}"

    def check(self, value: Any) -> Any:
        """The value, with an int converted to float if needed. Raises ParameterError for any other type or range."""
        if self.type is float and type(value) is int:
            value = float(value)
        given = type(value)
        if given is not self.type:
            raise ParameterError(f"{self.name} must be of type {self.type.__name__} (got {value!r})")
        if self.type is float and not math.isfinite(value):
            raise ParameterError(f"{self.name} must be a finite number (got {value!r})")
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} must be one of {', '.join(map(str, self.choices))} (got {value!r})")
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            raise ParameterError(f"{self.name} must be {self.low:g} to {self.high:g} (got {value!r})")
        return value

    def parse(self, text: str) -> Any:
        """The value of ``text`` from a command line, which is never evaluated. Raises ParameterError."""
        try:
            value = _value(self.type, text)
        except (KeyError, ValueError):
            raise ParameterError(f"{self.name} must be of type {self.type.__name__} (got {text!r})") from None
        return self.check(value)


def declared_in(source: str) -> dict[str, Parameter]:
    """The parameters that a cell declares, by name; empty if it holds anything but annotated literals."""
    try:
        return read_parameters(source)
    except ParameterError:
        return {}


def read_parameters(source: str) -> dict[str, Parameter]:
    """The parameters of a notebook's cell of parameters, by name. Raises ParameterError, which says what is wrong."""
    try:
        body = ast.parse(source).body
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        comments = {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}
        return {found.name: found for found in (_parameter(statement, comments) for statement in body)}
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError) as error:
        raise ParameterError(f"its parameters cannot be read: {error}") from None


def assigned_in(source: str) -> tuple[str, ...]:
    """The names that a cell assigns at its top level. papermill passes parameters in such a cell."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return ()
    targets = [target for s in statements if isinstance(s, ast.Assign) for target in s.targets]
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


def check_names(given: Iterable[str], declared: Mapping[str, Parameter], where: str) -> None:
    """Raise ParameterError, with the valid names, if ``given`` holds a name that ``where`` does not declare."""
    unknown = [name for name in given if name not in declared]
    if unknown:
        named = ", ".join(f"{name!r}{did_you_mean(name, declared)}" for name in unknown)
        raise ParameterError(f"{where} has no parameter {named}.\n{listing(declared)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The known name that is most similar to a misspelt one, in brackets; empty if none is."""
    similar = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {similar[0]!r}?)" if similar else ""


def listing(declared: Mapping[str, Parameter]) -> str:
    """The declared parameters, one per line, as the notebook writes them."""
    lines = "\n".join(f"  {parameter}" for parameter in declared.values())
    return f"Its parameters are:\n{lines}" if lines else "It has no parameters."


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    """The parameter of a statement. Raises ValueError if it is anything but an annotated literal."""
    match statement:
        case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr() as value) if kind in _TYPES:
            text = comments.get(statement.end_lineno or statement.lineno, "")
            span, listed = _RANGE.search(text), (_WORDS if kind == "str" else _VALUES).search(text)
            return Parameter(
                name=name,
                type=_TYPES[kind],
                default=ast.literal_eval(value),
                help=text,
                low=float(span[1]) if span else None,
                high=float(span[2]) if span else None,
                choices=_choices(_TYPES[kind], listed[1]) if listed else (),
            )
    raise ValueError(
        f"{ast.unparse(statement)!r} is no annotated literal, such as n: int = 20 (line {statement.lineno})"
    )


def _choices(kind: type, text: str) -> tuple[Any, ...]:
    """The values that ``text`` lists; none if they are of another type."""
    try:
        return tuple(_value(kind, one) for one in re.split(", | or ", text))
    except (KeyError, ValueError):
        return ()


def _value(kind: type, text: str) -> Any:
    return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
