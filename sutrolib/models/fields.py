"""A model's hyper-parameters: dataclass fields whose metadata hold their range; checks of fields and of inputs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sutrolib.core.types import check_fields

if TYPE_CHECKING:
    from torch import Tensor


def int_field(default: int, unit: str, low: int, high: int, **metadata: Any) -> int:
    """A field for an integer number of ``unit`` from ``low`` to ``high``."""
    found: int = field(default=default, metadata={"unit": unit, "low": low, "high": high, **metadata})
    return found


def float_field(default: float, low: float, high: float, unit: str = "", log: bool = False, **metadata: Any) -> float:
    """A field for a number from ``low`` to ``high``, which a search draws on a log scale if ``log``."""
    about = {"unit": unit, "low": low, "high": high, "log": log, **metadata}
    found: float = field(default=default, metadata=about)
    return found


def choice(default: Any, *others: Any, search: bool = True) -> Any:
    """A field for one of several values; without ``search``, a search leaves it at its default."""
    metadata: dict[str, Any] = {"choices": (default, *others)}
    return field(default=default, metadata={**metadata, "search": True} if search else metadata)


def check_model(model: Any) -> None:
    """Check every field against its metadata: ``choices`` lists the values, ``low`` and ``high`` bound them.

    Raises:
        ValueError: a value is out of range, or a field of type int holds something else.
    """
    kind = type(model).__name__
    for spec in dataclasses.fields(model):
        value, choices = getattr(model, spec.name), spec.metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(f"{kind}: {spec.name} must be one of {', '.join(map(str, choices))} (got {value!r})")
        if "low" in spec.metadata:
            check_fields(model, {spec.name: (spec.metadata["low"], spec.metadata["high"])})
        if spec.type == "int" and type(value) is not int:
            raise ValueError(f"{kind}: {spec.name} must be an integer (got {value!r})")


def check_ids(ids: Tensor, characters: int) -> None:
    """Raises ValueError for ids outside an alphabet of this size."""
    if not ((ids >= 0) & (ids < characters)).all():
        raise ValueError(f"ids must be 0 to {characters - 1}, as in the alphabet (got {ids.min()} to {ids.max()})")


@dataclass(frozen=True)
class CheckedModel:
    """Base of models that check their fields. By default a model knows nothing but samples and asks no oracle."""

    name: ClassVar[str] = ""
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_model(self)
