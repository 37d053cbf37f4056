"""A model's hyper-parameters: dataclass fields whose metadata say what they may be, and checks of them."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

from sutrolib.core.types import check_fields


def whole(default: int, unit: str, low: int, high: int) -> int:
    """A field that holds a whole number of ``unit`` from ``low`` to ``high``."""
    found: int = field(default=default, metadata={"unit": unit, "low": low, "high": high})
    return found


def number(default: float, low: float, high: float, log: bool = False) -> float:
    """A field that holds a number from ``low`` to ``high``, searched by its logarithm where ``log``."""
    found: float = field(default=default, metadata={"unit": "", "low": low, "high": high, "log": log})
    return found


def check_model(model: Any) -> None:
    """Raise ValueError, naming field, value and what is accepted, for a field outside its metadata.

    ``choices`` lists the accepted values, ``low`` and ``high`` bound them; a field of type int takes integers only.
    """
    kind = type(model).__name__
    for spec in dataclasses.fields(model):
        value, choices = getattr(model, spec.name), spec.metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(f"{kind}: {spec.name}={value!r}, accepted are {', '.join(map(str, choices))}")
        if "low" in spec.metadata:
            check_fields(model, {spec.name: (spec.metadata["low"], spec.metadata["high"])})
        if spec.type == "int" and type(value) is not int:
            raise ValueError(f"{kind}: {spec.name}={value!r}, accepted are integers")
