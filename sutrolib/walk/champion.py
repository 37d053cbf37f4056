"""A champion is a model: kept by its name and fields, and made anew from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sutrolib.core.types import Model
from sutrolib.walk.spaces import grounds


def model_of(described: Mapping[str, Any]) -> Model:
    """The model that :func:`sutrolib.core.types.describe` described. Raises ValueError for one of no space."""
    families = {family.name: family for ground in grounds().values() for family in ground.space.families}
    if described.get("name") not in families:
        raise ValueError(f"{described.get('name')!r} is no family of the walk; those are {', '.join(families)}")
    fields = {name: value for name, value in described.items() if name != "name"}
    model: Model = _filled(families[described["name"]].model, fields)
    return model


def _filled(default: Any, fields: Mapping[str, Any]) -> Any:
    """``default`` with these fields; a field that is a dataclass itself is filled by a mapping."""
    found = {n: _filled(getattr(default, n), v) if isinstance(v, Mapping) else v for n, v in fields.items()}
    return dataclasses.replace(default, **found)
