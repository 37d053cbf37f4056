"""What models share: fields whose metadata hold their range, checks of inputs, base classes, the loop over epochs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sutrolib.core.types import Budget, Task, check_fields, nbytes


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


def check_ids(ids: Tensor, characters: int) -> None:
    """Raises ValueError for ids outside an alphabet of this size."""
    if not ((ids >= 0) & (ids < characters)).all():
        raise ValueError(f"ids must be 0 to {characters - 1}, as in the alphabet (got {ids.min()} to {ids.max()})")


def text_ids(task: Task, name: str, min_characters: int) -> Tensor:
    """The ids of the training text, int64 of shape (characters,). Raises ValueError for too short a text, or none."""
    if not task.alphabet:
        raise ValueError(f"{name}: the task must be text; this one has no alphabet")
    ids = torch.cat([task.train.x[:1], task.train.y[:, 0]])
    if len(ids) < min_characters:
        raise ValueError(f"{name}: the training text must have at least {min_characters} characters (got {len(ids)})")
    return ids


@dataclass(frozen=True)
class CheckedModel:
    """Base of models that check their fields. By default a model knows nothing but samples and asks no oracle.

    A field's metadata say what it takes: ``choices`` lists the values, ``low`` and ``high`` bound them. ValueError for
    a value out of range, or a field of type int that holds something else.
    """

    name: ClassVar[str] = ""
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value, about, kind = getattr(self, spec.name), spec.metadata, type(self).__name__
            if "choices" in about and value not in about["choices"]:
                accepted = ", ".join(map(str, about["choices"]))
                raise ValueError(f"{kind}: {spec.name} must be one of {accepted} (got {value!r})")
            if "low" in about:
                check_fields(self, {spec.name: (about["low"], about["high"])})


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """Base of fitted models: the learning curve and the number of updates, both empty if there are no updates."""

    history: tuple[tuple[int, float], ...] = ()
    steps: int = 0

    @property
    def nbytes(self) -> int:
        """The bytes of all tensors in the fields."""
        return nbytes(*_tensors(self))


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a field: in a network, in the parts of a tuple, or in the fields of a dataclass."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, tuple) or dataclasses.is_dataclass(value):
        parts = value if isinstance(value, tuple) else vars(value).values()
        for part in parts:
            yield from _tensors(part)


class EpochLoop:
    """Epochs of mini-batches within a budget: counts the updates and keeps the learning curve."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget, self.began = budget or Budget(), time.perf_counter()
        self.history: list[tuple[int, float]] = []
        self.steps, self.spent = 0, False

    def batches(self, order: Tensor, size: int) -> Iterator[Tensor]:
        """The rows of each update of an epoch, given in their order; fewer when the budget is spent."""
        for rows in order.split(size):
            yield rows
            self.steps += 1
            self.spent = self.budget.spent(self.steps, time.perf_counter() - self.began)
            if self.spent:
                break

    def ended(self, score: float, stop_score: float = math.inf, patience: int = 1) -> bool:
        """Keep the held-out score of an epoch. True if ``patience`` scores reach ``stop_score``, or by the budget."""
        self.history.append((self.steps, score))
        recent = self.history[-patience:]
        reached = len(recent) == patience and all(held_out >= stop_score for _, held_out in recent)
        return self.budget.ended(self.steps, score) or reached or self.spent
