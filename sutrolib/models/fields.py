"""Checks of a model's hyper-parameters, read off the metadata of its dataclass fields."""

from __future__ import annotations

import dataclasses
from typing import Any

from sutrolib.nouns import check_fields


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
