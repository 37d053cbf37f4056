"""Search spaces: families of models, and in each family the fields to set.

A space is read off the fields of a model's dataclass: their type, and in their metadata ``choices``, or ``low``,
``high`` and ``log``, or ``search``, a narrower range that is worth searching. A field of a field (the ``lr`` of a
curriculum's ``network``) has a dotted name. A space of several families is a space of algorithms; a setting only has a
meaning within its family.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from sutrolib.core.types import Model
from sutrolib.processes.dimension import Choice, Dimension, Range, SettingValue

_RESAMPLE_RATE = 0.2  # share of the changes of a mutation that draw a new value


@dataclass(frozen=True)
class Proposal:
    """A family and the settings of its dimensions, as plain JSON values."""

    family: str
    settings: Mapping[str, SettingValue] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same text for equal proposals."""
        return json.dumps([self.family, self.settings], sort_keys=True)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON; ``Proposal(**...)`` reads it back."""
        return {"family": self.family, "settings": dict(self.settings)}

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.settings.items())
        return f"{self.family} ({shown})" if shown else self.family


@dataclass(frozen=True)
class Family:
    """Models of one kind: a model to start from, and the fields that may be set, by (dotted) name."""

    model: Model
    dimensions: Mapping[str, Dimension]

    @property
    def name(self) -> str:
        """The name of the model."""
        return type(self.model).name

    @property
    def prior_knowledge(self) -> str:
        """What the model knows beyond the samples."""
        return self.model.prior_knowledge

    @property
    def size(self) -> float:
        """The number of different proposals."""
        return math.prod(dimension.size for dimension in self.dimensions.values())

    @property
    def start(self) -> Proposal:
        """The settings of the model to start from."""
        return Proposal(self.name, {name: _get(self.model, name) for name in self.dimensions})

    def sample(self, rng: np.random.Generator) -> Proposal:
        """Settings drawn one by one."""
        return Proposal(self.name, {name: d.sample(rng) for name, d in self.dimensions.items()})

    def describe(self) -> dict[str, Any]:
        """The dimensions, the start and the prior knowledge as plain JSON."""
        settings = {name: dimension.describe() for name, dimension in self.dimensions.items()}
        known = {"family": self.name, "prior_knowledge": self.prior_knowledge}
        return {**known, "settings": settings, "start": dict(self.start.settings)}


def family_of(model: Model, *names: str, **dimensions: Dimension) -> Family:
    """The family of ``model`` over the named fields, with the range of their metadata or the dimension given.

    Without names: every field with a ``search`` range or ``choices`` in its metadata. Write dotted names with two
    underscores for the dot (``network__lr=Range(0.01, 1.0)``). Raises ValueError for a field that the model does not
    have, one without a known dimension, a dimension beyond what the field accepts, and one that does not hold the
    model's own value.
    """
    given = {name.replace("__", "."): dimension for name, dimension in dimensions.items()}
    searchable = (name for name, spec in _fields(model) if "search" in spec.metadata)
    wanted = [*names, *(name for name in given if name not in names)] or searchable
    found = {}
    for name in wanted:
        known = _metadata_dimension(model, name)
        dimension = given.get(name, known)
        if dimension is None:
            raise ValueError(f"{type(model).__name__}: {name} has neither choices nor a range: give it a dimension")
        if known is not None and name in given:
            _check_within(model, name, dimension)
        found[name] = dimension
    family = Family(model, found)
    SearchSpace((family,)).validate(family.name, family.start.settings)
    return family


@dataclass(frozen=True)
class SearchSpace:
    """Families to choose from. Raises ValueError for two with the same name."""

    families: tuple[Family, ...]

    def __post_init__(self) -> None:
        names = [family.name for family in self.families]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"families must be one or more with different names (got {', '.join(names) or 'none'})")

    @property
    def start(self) -> Proposal:
        """Where a process begins: the first family with its model's own settings."""
        return self.families[0].start

    @property
    def size(self) -> float:
        """The number of different proposals."""
        return sum(family.size for family in self.families)

    def family(self, name: object) -> Family:
        """The family with this name. Raises ValueError that lists the families."""
        found = next((family for family in self.families if family.name == name), None)
        if found is None:
            known = ", ".join(repr(family.name) for family in self.families)
            raise ValueError(f"unknown family {name!r}: choose one of {known}")
        return found

    def validate(self, family: object, settings: object) -> Proposal:
        """A proposal from values of any origin. Raises ValueError that names what is wrong with it."""
        known = self.family(family)
        if not isinstance(settings, Mapping):
            raise ValueError(f"settings must map names to values (got {settings!r})")
        if set(settings) != set(known.dimensions):
            unknown = sorted(map(repr, set(settings) - set(known.dimensions)))
            missing = sorted(set(known.dimensions) - set(settings))
            what = f"unknown {', '.join(unknown)}" if unknown else f"missing {', '.join(missing)}"
            raise ValueError(f"{known.name}: {what}; the settings are {', '.join(known.dimensions) or 'none'}")
        found = {}
        for name, dimension in known.dimensions.items():
            try:
                found[name] = dimension.validate(settings[name])
            except ValueError as error:
                raise ValueError(f"{known.name}: {name} {error} (got {settings[name]!r})") from None
        return Proposal(known.name, found)

    def model(self, proposal: Proposal) -> Model:
        """The model of a proposal. Raises ValueError for settings that the model does not accept together."""
        checked = self.validate(proposal.family, proposal.settings)
        found: Any = self.family(checked.family).model
        for name, value in checked.settings.items():
            found = _replaced(found, name.split("."), value)
        return cast(Model, found)

    def sample(self, rng: np.random.Generator) -> Proposal:
        """A family, each equally likely, with settings drawn one by one."""
        return self.families[int(rng.integers(len(self.families)))].sample(rng)

    def mutate(self, proposal: Proposal, rng: np.random.Generator) -> Proposal:
        """``proposal`` with one setting changed, sometimes more."""
        dimensions = self.family(proposal.family).dimensions
        if not dimensions:
            return proposal
        settings = dict(proposal.settings)
        names = list(dimensions)
        count = min(len(names), int(rng.geometric(0.6)))
        for name in rng.permutation(names)[:count].tolist():
            dimension, resample = dimensions[name], rng.random() < _RESAMPLE_RATE
            before = settings[name]
            drawn = dimension.sample(rng) if resample else before
            settings[name] = drawn if drawn != before else dimension.perturb(before, rng)
        return Proposal(proposal.family, settings)

    def crossover(self, one: Proposal, other: Proposal, rng: np.random.Generator) -> Proposal:
        """``one``, with about half of the settings that both have taken from ``other``."""
        settings = dict(one.settings)
        for name, dimension in self.family(one.family).dimensions.items():
            if name in other.settings and rng.random() < 0.5:
                with contextlib.suppress(ValueError):  # a field of this name in another family, with another range
                    settings[name] = dimension.validate(other.settings[name])
        return Proposal(one.family, settings)

    def describe(self) -> list[dict[str, Any]]:
        """The families as plain JSON."""
        return [family.describe() for family in self.families]


def space_of(model: Model, *names: str, **dimensions: Dimension) -> SearchSpace:
    """The space of one family; arguments as in :func:`family_of`."""
    return SearchSpace((family_of(model, *names, **dimensions),))


def _fields(model: Any, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Dotted name and field of all fields of a model, those of inner dataclasses in place of these."""
    for spec in dataclasses.fields(model):
        value = getattr(model, spec.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{prefix}{spec.name}.")
        else:
            yield prefix + spec.name, spec


def _get(model: Any, name: str) -> SettingValue:
    return cast(SettingValue, functools.reduce(getattr, name.split("."), model))


def _replaced(model: Any, path: Sequence[str], value: SettingValue) -> Any:
    first, *rest = path
    inner = _replaced(getattr(model, first), rest, value) if rest else value
    return dataclasses.replace(model, **{first: inner})


def _metadata_dimension(model: Any, name: str) -> Dimension | None:
    """The dimension of a field by its metadata. Raises ValueError that lists the fields for an unknown name."""
    known = dict(_fields(model))
    if name not in known:
        raise ValueError(f"{type(model).__name__} has no field {name!r}; the fields are {', '.join(known)}")
    spec = known[name]
    about = spec.metadata
    if "choices" in about:
        return Choice(tuple(about["choices"]))
    if "low" not in about:
        return None
    low, high = about.get("search", (about["low"], about["high"]))
    return Range(low, high, log=bool(about.get("log", False)), integer=spec.type == "int")


def _check_within(model: Any, name: str, dimension: Dimension) -> None:
    """Raise ValueError where the model would reject an end or a value of the dimension."""
    for value in dimension.grid_points(2):
        try:
            _replaced(model, name.split("."), value)
        except ValueError as error:
            raise ValueError(f"{name}: {dimension} goes beyond the field: {error}") from None
