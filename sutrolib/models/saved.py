"""A fitted model as bytes: weights and declared fields, and nothing that could still do work.

A dataclass is saved as the name of its class and its declared fields, a network as the name of its class, the arguments
that build it (its property ``arguments``) and its ``state_dict``. Closures, hooks, undeclared attributes and classes
from elsewhere are refused, with the path of the attribute. Nothing is pickled but tensors and plain values, and they
are loaded with ``weights_only``, so no code of the process that saved runs in the one that loads.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from sutrolib.core.types import FailedRun

_LIBRARY = "sutrolib.models."
_PLAIN = (type(None), bool, int, float, str)


class NotSaved(FailedRun):
    """A fitted model holds what cannot be saved as plain data; the message names the attribute."""


def to_bytes(fitted: Any, modules: Collection[str] = ()) -> bytes:
    """The fitted model as bytes. Its classes must be of ``sutrolib.models`` or of one of the other ``modules``.

    Raises NotSaved, with the path of the attribute, for anything but tensors, plain values, tuples, dataclasses of
    declared fields, and networks with ``arguments``.
    """
    buffer = io.BytesIO()
    torch.save(_to_plain(fitted, "fitted", modules), buffer)
    return buffer.getvalue()


def from_bytes(data: bytes, modules: Collection[str] = ()) -> Any:
    """The model that :func:`to_bytes` saved, built anew. Raises NotSaved for bytes that hold something else."""
    try:
        return _rebuild(torch.load(io.BytesIO(data), weights_only=True), modules)
    except NotSaved:
        raise
    except Exception as error:  # whatever the bytes of another process may lead to
        raise NotSaved(f"the saved model cannot be rebuilt ({type(error).__name__}: {error})") from error


def _to_plain(value: Any, path: str, modules: Collection[str]) -> Any:
    """The value as tensors, plain values, tuples and dictionaries."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (Tensor, nn.Parameter) and value.layout is torch.strided:
        return value.detach().clone()  # without its graph, its hooks, and the rest of its storage
    if kind is tuple:
        return tuple(_to_plain(part, f"{path}[{index}]", modules) for index, part in enumerate(value))
    if isinstance(value, nn.Module):
        name, arguments = _name_of(kind, path, modules), getattr(value, "arguments", None)
        if type(arguments) is not dict:
            raise NotSaved(f"{path}: {kind.__name__} has no property `arguments`, from which it could be built anew")
        _check_network(value, kind(**arguments), path)
        return {"network": name, **_parts(arguments, path, modules), "state": _parts(value.state_dict(), path, modules)}
    if dataclasses.is_dataclass(value):
        name, fields = _name_of(kind, path, modules), [field.name for field in dataclasses.fields(value)]
        if undeclared := sorted(set(vars(value)) - set(fields)):
            raise NotSaved(f"{path}.{undeclared[0]} is not a declared field of {kind.__name__}: declare it or drop it")
        return {"class": name, **_parts({field: getattr(value, field) for field in fields}, path, modules)}
    accepted = "tensors, numbers, texts, tuples, dataclasses and networks"
    raise NotSaved(f"{path} is a {kind.__module__}.{kind.__qualname__}, which cannot be saved; {accepted} can")


def _parts(values: dict[str, Any], path: str, modules: Collection[str]) -> dict[str, Any]:
    return {"parts": {name: _to_plain(value, f"{path}.{name}", modules) for name, value in values.items()}}


def _name_of(kind: type, path: str, modules: Collection[str]) -> str:
    _check_module(kind.__module__, path, modules)
    if "<" in kind.__qualname__:
        raise NotSaved(f"{path}: the class {kind.__qualname__} must stand at the top of its module")
    return f"{kind.__module__}:{kind.__qualname__}"


def _check_module(module: str, path: str, modules: Collection[str]) -> None:
    if not (module.startswith(_LIBRARY) or module in modules):
        known = ", ".join(["sutrolib.models", *modules])
        raise NotSaved(f"{path}: its class is of the module {module}; only those of {known} are built anew")


def _check_network(network: nn.Module, plain: nn.Module, path: str) -> None:
    """Raise NotSaved if a part of ``network`` is another than in ``plain``, beside the weights."""
    there, here = dict(network.named_modules()), dict(plain.named_modules())
    for name in dict.fromkeys([*there, *here]):
        part, like = there.get(name), here.get(name)
        place = ".".join([path, name]).rstrip(".")
        if type(part) is not type(like) or part is None:
            raise NotSaved(f"{place} is a {type(part).__name__}, and its arguments build a {type(like).__name__}")
        for attribute in set(vars(part)) | set(vars(like)):
            same = attribute in ("training", "_parameters", "_buffers", "_modules")
            if not (same or vars(part).get(attribute) == vars(like).get(attribute)):
                raise NotSaved(f"{place}.{attribute} is not what its arguments build: only weights are saved")


def _rebuild(plain: Any, modules: Collection[str]) -> Any:
    if isinstance(plain, tuple):
        return tuple(_rebuild(part, modules) for part in plain)
    if not isinstance(plain, dict):
        return plain
    module, _, name = str(plain.get("network") or plain["class"]).partition(":")
    _check_module(module, name or "the saved model", modules)
    built = getattr(importlib.import_module(module), name)(
        **{key: _rebuild(part, modules) for key, part in plain["parts"].items()}
    )
    if "network" not in plain:
        return built
    network: nn.Module = built
    network.load_state_dict(plain["state"]["parts"], assign=True)  # with the dtypes and devices of the weights
    return network.eval()
