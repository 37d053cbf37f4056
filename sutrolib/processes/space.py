"""Where a process looks: families of models, and in each the fields that it may set.

A space is read off the fields of a model's dataclass: their type, and in their metadata ``choices``, or ``low``,
``high`` and ``log``, or ``search``, the narrower range in which a search is worth while. A field of a field (the
``lr`` of a curriculum's ``network``) goes by its dotted name. A space of several families is a space of algorithms, in
which a setting only means something within its family.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sutrolib.core.types import Model
from sutrolib.processes.dimension import Choice, Dimension, Plain, Range

LEAPS = 0.2  # share of changes that draw anew instead


@dataclass(frozen=True)
class Proposal:
    """A family and the settings of its dimensions: plain values, which can be written as JSON."""

    family: str
    settings: Mapping[str, Plain] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same text for equal proposals."""
        return json.dumps([self.family, self.settings], sort_keys=True)

    def __str__(self) -> str:
        told = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.settings.items())
        return f"{self.family} ({told})" if told else self.family


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
        """What it is told beyond the samples."""
        return self.model.prior_knowledge

    @property
    def start(self) -> Proposal:
        """The settings of the model to start from."""
        return Proposal(self.name, {name: _value(self.model, name) for name in self.dimensions})


def family_of(model: Model, *names: str, **dimensions: Dimension) -> Family:
    """The family of ``model`` over the fields named, with what their metadata says or the dimension given.

    Every field with a ``search`` range or ``choices`` in its metadata where none is named. Dotted names are given with
    two underscores for the dot (``network__lr=Range(0.01, 1.0)``). Raises ValueError for a field that the model does
    not have, one that no dimension is known of, a dimension beyond what the field accepts, and one that does not hold
    the model's own value.
    """
    given = {name.replace("__", "."): dimension for name, dimension in dimensions.items()}
    wanted = [*names, *(name for name in given if name not in names)] or _searchable(model)
    found = {}
    for name in wanted:
        known = _dimension(model, name)
        asked = given.get(name, known)
        if asked is None:
            raise ValueError(f"{type(model).__name__}: {name} has neither choices nor a range, give it a dimension")
        if known is not None and name in given:
            _check_within(model, name, asked)
        found[name] = asked
    begun = Family(model, found)
    Space((begun,)).check(begun.name, begun.start.settings)  # a space begins inside of itself
    return begun


@dataclass(frozen=True)
class Space:
    """Families to choose from. ValueError for two of one name."""

    families: tuple[Family, ...]

    def __post_init__(self) -> None:
        names = [family.name for family in self.families]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"families {', '.join(names) or 'none'}, accepted are one and above, of different names")

    @property
    def start(self) -> Proposal:
        """Where a process begins: the first family as it comes."""
        return self.families[0].start

    @property
    def size(self) -> float:
        """The number of proposals there are."""
        return sum(math.prod(d.size for d in family.dimensions.values()) for family in self.families)

    def family(self, name: object) -> Family:
        """The family of this name. Raises ValueError that lists those there are."""
        for family in self.families:
            if family.name == name:
                return family
        raise ValueError(f"family {name!r}, accepted are {', '.join(repr(family.name) for family in self.families)}")

    def check(self, family: object, settings: object) -> Proposal:
        """A proposal of values that may come from anywhere. Raises ValueError that names what is wrong with it."""
        known = self.family(family)
        if not isinstance(settings, Mapping):
            raise ValueError(f"settings={settings!r}, accepted is a mapping of names to values")
        if set(settings) != set(known.dimensions):
            strange = sorted(map(repr, set(settings) - set(known.dimensions)))
            missing = sorted(set(known.dimensions) - set(settings))
            what = f"unknown {', '.join(strange)}" if strange else f"missing {', '.join(missing)}"
            raise ValueError(f"{known.name}: {what}; accepted are {', '.join(known.dimensions) or 'no settings'}")
        found = {}
        for name, dimension in known.dimensions.items():
            try:
                found[name] = dimension.check(settings[name])
            except ValueError as error:
                raise ValueError(f"{known.name}: {name}={settings[name]!r}, {error}") from None
        return Proposal(known.name, found)

    def model(self, proposal: Proposal) -> Model:
        """The model of a proposal. Raises ValueError for settings that the model does not accept together."""
        checked = self.check(proposal.family, proposal.settings)
        found: Any = self.family(checked.family).model
        for name, value in checked.settings.items():
            found = _replaced(found, name.split("."), value)
        model: Model = found
        return model

    def sample(self, rng: np.random.Generator) -> Proposal:
        """A family, each as likely, with settings drawn one by one."""
        family = self.families[int(rng.integers(len(self.families)))]
        return Proposal(family.name, {name: d.draw(rng) for name, d in family.dimensions.items()})

    def mutated(self, proposal: Proposal, rng: np.random.Generator) -> Proposal:
        """``proposal`` with one setting changed, now and then with another one as well."""
        dimensions = self.family(proposal.family).dimensions
        if not dimensions:
            return proposal
        settings = dict(proposal.settings)
        names = list(dimensions)
        count = min(len(names), int(rng.geometric(0.6)))
        for name in rng.permutation(names)[:count].tolist():
            dimension = dimensions[name]
            settings[name] = dimension.draw(rng) if rng.random() < LEAPS else dimension.near(settings[name], rng)
        return Proposal(proposal.family, settings)

    def crossed(self, one: Proposal, other: Proposal, rng: np.random.Generator) -> Proposal:
        """``one`` with about half of the settings that ``other`` has as well taken from there."""
        settings = dict(one.settings)
        for name, dimension in self.family(one.family).dimensions.items():
            if name in other.settings and rng.random() < 0.5:
                try:
                    settings[name] = dimension.check(other.settings[name])
                except ValueError:
                    continue  # a field of the same name in another family, with another range
        return Proposal(one.family, settings)

    def describe(self) -> list[dict[str, Any]]:
        """The families as plain JSON, each with its dimensions and with what it is told."""
        return [
            {
                "family": family.name,
                "prior_knowledge": family.prior_knowledge,
                "settings": {name: d.describe() for name, d in family.dimensions.items()},
                "start": dict(family.start.settings),
            }
            for family in self.families
        ]


def space_of(model: Model, *names: str, **dimensions: Dimension) -> Space:
    """The space of one family; as :func:`family_of`."""
    return Space((family_of(model, *names, **dimensions),))


def _searchable(model: Any, prefix: str = "") -> list[str]:
    found = []
    for spec in dataclasses.fields(model):
        if dataclasses.is_dataclass(getattr(model, spec.name)):
            found += _searchable(getattr(model, spec.name), f"{prefix}{spec.name}.")
        elif "search" in spec.metadata:
            found.append(prefix + spec.name)
    return found


def _field(model: Any, name: str) -> tuple[Any, dataclasses.Field[Any]]:
    """The dataclass that holds the field of this dotted name, and the field; ValueError lists those there are."""
    *path, last = name.split(".")
    try:
        owner = functools.reduce(getattr, path, model)
        return owner, {spec.name: spec for spec in dataclasses.fields(owner)}[last]
    except (AttributeError, TypeError, KeyError):
        known = ", ".join(_names(model))
        raise ValueError(f"{type(model).__name__} has no field {name!r}; the fields are {known}") from None


def _names(model: Any, prefix: str = "") -> list[str]:
    found = []
    for spec in dataclasses.fields(model):
        value = getattr(model, spec.name)
        if dataclasses.is_dataclass(value):
            found += _names(value, f"{prefix}{spec.name}.")
        else:
            found.append(prefix + spec.name)
    return found


def _value(model: Any, name: str) -> Plain:
    owner, spec = _field(model, name)
    value: Plain = getattr(owner, spec.name)
    return value


def _replaced(model: Any, path: Sequence[str], value: Plain) -> Any:
    first, *rest = path
    inner = _replaced(getattr(model, first), rest, value) if rest else value
    return dataclasses.replace(model, **{first: inner})


def _dimension(model: Any, name: str) -> Dimension | None:
    """What the metadata of a field says of it."""
    _, spec = _field(model, name)
    about = spec.metadata
    if "choices" in about:
        return Choice(tuple(about["choices"]))
    if "low" not in about:
        return None
    low, high = about.get("search", (about["low"], about["high"]))
    whole = spec.type == "int"
    return Range(low, high, log=bool(about.get("log", False)), whole=whole)


def _check_within(model: Any, name: str, asked: Dimension) -> None:
    """Raise ValueError where the model would refuse an end or a value of the dimension."""
    for value in asked.values if isinstance(asked, Choice) else (asked.low, asked.high):
        try:
            _replaced(model, name.split("."), int(value) if isinstance(asked, Range) and asked.whole else value)
        except ValueError as error:
            raise ValueError(f"{name}: {asked} goes beyond the field: {error}") from None
