"""Inputs for the fields of a problem or a model, read off its dataclass: one for each, by its type, with its value.

A field of a field (the ``lr`` of a curriculum's ``network``) goes by its dotted name. Nothing is held back or clipped
here: what a field accepts is for the problem or the model itself to say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ipywidgets import ValueWidget

T = TypeVar("T")

WORDS = {  # for the fields of problems, which carry no units
    "n": "bits n",
    "k": "secret bits k",
    "noise": "wrong labels, share",
    "n_train": "training samples",
    "n_test": "test samples",
    "test_share": "held back, share",
    "characters": "characters (0: all)",
}


def input_fields(thing: Any, prefix: str = "") -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Each field of ``thing`` that is a number, a text or a truth value, with its value, by its (dotted) name."""
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for spec in dataclasses.fields(thing):
        value, name = getattr(thing, spec.name), prefix + spec.name
        if dataclasses.is_dataclass(value):
            found |= input_fields(value, f"{name}.")
        elif isinstance(value, bool | int | float | str):
            found[name] = spec, value
    return found


def make_inputs(thing: Any, words: Mapping[str, str] | None = None) -> dict[str, ValueWidget]:
    """An input for each of :func:`input_fields`.

    Its label is the field's name with its unit, or what ``words`` says; what the field accepts shows when one points at
    it.
    """
    found = {}
    for name, (spec, value) in input_fields(thing).items():
        unit = spec.metadata.get("unit")
        label = (words or {}).get(name) or (f"{name}, {unit}" if unit else name)
        found[name] = _input(spec, value, label)
    return found


def with_values(thing: T, values: Mapping[str, Any]) -> T:
    """``thing`` with these values of its fields, by (dotted) name. Raises its own ValueError for what it refuses."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    own |= {name: with_values(getattr(thing, name), fields) for name, fields in inner.items()}
    found: T = dataclasses.replace(thing, **own)  # type: ignore[type-var]  # all at once: some go only together
    return found


def _input(spec: dataclasses.Field[Any], value: Any, label: str) -> ValueWidget:
    import ipywidgets as widgets

    about = spec.metadata
    options: dict[str, Any] = {
        "description": label,
        "style": {"description_width": "12em"},
        "layout": widgets.Layout(width="23em"),
    }
    if "choices" in about:
        return widgets.Dropdown(options=list(about["choices"]), value=value, **options)
    if "low" in about:
        options["tooltip"] = f"accepted are {about['low']:,g} to {about['high']:,g}"
    if isinstance(value, bool):
        return widgets.Checkbox(value=value, **options)
    if spec.type == "float" or isinstance(value, float):
        return widgets.FloatText(value=value, **options)
    if isinstance(value, int):
        return widgets.IntText(value=value, **options)
    return widgets.Text(value=value, continuous_update=False, **options)
