"""Input controls for the fields of a problem or a model, one for each, by its type and with its value.

A field of a field (the ``lr`` of a curriculum's ``network``) has a dotted name. Limits are not enforced here: the
problem or the model itself rejects a value, with its own message.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ipywidgets import ValueWidget

_T = TypeVar("_T")

_LABELS = {  # of the fields of problems, which carry no units
    "n": "bits n",
    "k": "secret bits k",
    "noise": "wrong labels, share",
    "n_train": "training samples",
    "n_test": "test samples",
    "test_share": "held back, share",
    "characters": "characters (0: all)",
}


def input_fields(thing: Any, prefix: str = "") -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Every field of ``thing`` that is a number, a text or a truth value, and its value, by (dotted) name."""
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for spec in dataclasses.fields(thing):
        value, name = getattr(thing, spec.name), prefix + spec.name
        if dataclasses.is_dataclass(value):
            found |= input_fields(value, f"{name}.")
        elif isinstance(value, bool | int | float | str):
            found[name] = spec, value
    return found


def make_inputs(thing: Any, labelled: bool = False) -> dict[str, ValueWidget]:
    """A control for each of :func:`input_fields`; its tooltip is the range.

    Its label is the field's name and unit, or for problems (``labelled``) a description.
    """
    inputs = {}
    for name, (spec, value) in input_fields(thing).items():
        unit = f", {spec.metadata['unit']}" if spec.metadata.get("unit") else ""
        inputs[name] = _make_input(spec, value, _LABELS.get(name, name) if labelled else name + unit)
    return inputs


def with_values(thing: _T, values: dict[str, Any]) -> _T:
    """A copy of ``thing`` with these values, by (dotted) name. Raises the ValueError of ``thing`` for a wrong value."""
    inner: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            inner.setdefault(first, {})[rest] = value
        else:
            own[first] = value
    own |= {name: with_values(getattr(thing, name), fields) for name, fields in inner.items()}
    # All at once: some values are only valid together.
    return dataclasses.replace(thing, **own)  # type: ignore[type-var]


def _make_input(spec: dataclasses.Field[Any], value: Any, label: str) -> ValueWidget:
    import ipywidgets as widgets

    about = spec.metadata
    layout = widgets.Layout(width="23em")
    options: dict[str, Any] = {"description": label, "style": {"description_width": "12em"}, "layout": layout}
    if "low" in about:
        options["tooltip"] = f"{about['low']:,g} to {about['high']:,g}"
    if "choices" in about:
        return widgets.Dropdown(options=list(about["choices"]), value=value, **options)
    if isinstance(value, bool):
        return widgets.Checkbox(value=value, **options)
    if isinstance(value, float) or spec.type == "float":
        return widgets.FloatText(value=value, **options)
    if isinstance(value, int):
        return widgets.IntText(value=value, **options)
    return widgets.Text(value=value, continuous_update=False, **options)
