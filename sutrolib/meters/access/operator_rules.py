"""How an ATen operator touches memory, read off its schema: what it reads, what it updates in place, what it
overwrites.

* An operator reads its tensor arguments in the order of its schema, each time they occur, then writes its outputs.
* It reads what it updates in place last, right before it writes it (read-modify-write).
* It does not read what it only overwrites (``out=``, ``copy_``, ``fill_``, ...).
* A view or an allocation neither reads nor writes.
* Operators on lists (``_foreach_*``, ``_fused_*``: PyTorch's optimizers) go through them entry by entry.
* Composite operators are traced as the operators that they consist of, except ``linear``, which is one kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import Any

import torch
from torch import Tensor

from sutrolib.meters.access.byte_ranges import selects_elements

_KEPT_WHOLE = {"aten::linear"}
_OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_"}
_OVERWRITES |= {"index_copy_", "index_fill_", "scatter_", "index_put_", "_index_put_impl_"}
_OVERWRITES |= {"_foreach_copy_", "_foreach_zero_"}
_TOUCHES_NOTHING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_TOUCHES_NOTHING |= {"_unsafe_view"}  # a view, though its schema does not say that it shares its argument's storage


class ArgumentAccess(Enum):
    """What an operator does to an argument."""

    READ = 0
    UPDATE = 1
    OVERWRITE = 2


@dataclass
class OperatorAccesses:
    """The tensors that one pass of an operator reads, updates and overwrites; True marks its first argument."""

    read: list[tuple[Tensor, bool]] = field(default_factory=list)
    updated: list[tuple[Tensor, bool]] = field(default_factory=list)
    overwritten: list[tuple[Tensor, bool]] = field(default_factory=list)

    def add(self, role: ArgumentAccess, value: Any, first: bool) -> None:
        """Add the tensors of an argument."""
        entries = (self.read, self.updated, self.overwritten)[role.value]
        entries.extend((tensor, first) for tensor in iter_tensors(value))

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, in this order."""
        return [tensor for tensor, _ in (*self.read, *self.updated, *self.overwritten)]


@dataclass(frozen=True)
class OperatorRules:
    """How one operator touches memory. ``selects_elements``: an index selects what it touches of its first argument."""

    name: str
    decompose: bool
    touches_nothing: bool
    per_list_entry: bool
    selects_elements: bool
    roles: dict[str, ArgumentAccess]  # of every argument by name, in the order of the schema

    def passes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[OperatorAccesses]:
        """The passes of one call: one for each list entry if it goes entry by entry, else a single one."""
        passes = [OperatorAccesses()]
        named = dict(zip(self.roles, args, strict=False)) | kwargs
        for position, (name, value) in enumerate(named.items()):
            role = self._role(name, named)
            if self.per_list_entry and isinstance(value, list | tuple):
                passes.extend(OperatorAccesses() for _ in range(len(value) - len(passes)))
                for entry, item in zip(passes, value, strict=False):
                    entry.add(role, item, first=position == 0)
            else:
                passes[0].add(role, value, first=position == 0)
        return passes

    def _role(self, name: str, arguments: dict[str, Any]) -> ArgumentAccess:
        if self.selects_elements and self.roles[name] is ArgumentAccess.OVERWRITE and arguments.get("accumulate"):
            return ArgumentAccess.UPDATE
        # The schema marks gradients as written, but they are only written if they are unscaled.
        if self.name.startswith("_fused_") and name == "grads" and arguments.get("grad_scale") is None:
            return ArgumentAccess.READ
        return self.roles[name]


@cache
def rules_for(func: Any) -> OperatorRules:
    """The rules of one operator overload."""
    schema = func._schema
    name = schema.name.split("::")[1]
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    aliases = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    return OperatorRules(
        name=name,
        decompose=composite and schema.name not in _KEPT_WHOLE,
        touches_nothing=aliases or name in _TOUCHES_NOTHING or torch.Tag.inplace_view in func.tags,
        per_list_entry=name.startswith(("_foreach_", "_fused_")),
        selects_elements=selects_elements(name),
        roles={argument.name: _role_of(argument, name) for argument in schema.arguments},
    )


def _role_of(argument: Any, operator: str) -> ArgumentAccess:
    if argument.alias_info is None or not argument.alias_info.is_write:
        return ArgumentAccess.READ
    return ArgumentAccess.OVERWRITE if operator in _OVERWRITES or argument.is_out else ArgumentAccess.UPDATE


def iter_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an argument or a result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_tensors(item)
