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
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sutrolib.meters.access.byte_ranges import SELECTIONS

_KEPT_WHOLE = {"aten::linear"}
_OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_"}
_OVERWRITES |= {"index_copy_", "index_fill_", "scatter_", "index_put_", "_index_put_impl_", "put_"}
_OVERWRITES |= {"masked_fill_", "masked_scatter_"}
_OVERWRITES |= {"_foreach_copy_", "_foreach_zero_"}
_TOUCHES_NOTHING = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_TOUCHES_NOTHING |= {"_unsafe_view"}  # a view, though its schema does not say that it shares its argument's storage


class Role(IntEnum):
    """What an operator does to an argument."""

    READ = 0
    UPDATE = 1
    OVERWRITE = 2


class Operand(NamedTuple):
    """A tensor among the arguments of an operator, with the position of its argument."""

    tensor: Tensor
    role: Role
    position: int


@dataclass(frozen=True)
class OperatorRules:
    """How one operator touches memory. ``selects_elements``: an index selects what it touches of an argument."""

    name: str
    decompose: bool
    touches_nothing: bool
    per_list_entry: bool
    selects_elements: bool
    roles: dict[str, Role]  # of every argument by name, in the order of the schema

    def passes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[list[Operand]]:
        """The operands of each pass of one call, those read first: a pass for each list entry, or a single one."""
        passes: list[list[Operand]] = [[]]
        named = dict(zip(self.roles, args, strict=False)) | kwargs
        for position, (name, value) in enumerate(named.items()):
            role = self._role(name, named)
            entries = value if self.per_list_entry and isinstance(value, list | tuple) else [value]
            passes.extend([] for _ in range(len(entries) - len(passes)))
            for operands, entry in zip(passes, entries, strict=False):
                operands.extend(Operand(tensor, role, position) for tensor in iter_tensors(entry))
        return [sorted(operands, key=lambda operand: operand.role) for operands in passes]

    def _role(self, name: str, arguments: dict[str, Any]) -> Role:
        if self.selects_elements and self.roles[name] is not Role.READ:
            if arguments.get("include_self") is False:
                return Role.OVERWRITE
            if arguments.get("accumulate") or arguments.get("reduce"):
                return Role.UPDATE
        # The schema marks gradients as written, but they are only written if they are unscaled.
        if self.name.startswith("_fused_") and name == "grads" and arguments.get("grad_scale") is None:
            return Role.READ
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
        selects_elements=name in SELECTIONS,
        roles={argument.name: _role_of(argument, name) for argument in schema.arguments},
    )


def _role_of(argument: Any, operator: str) -> Role:
    if argument.alias_info is None or not argument.alias_info.is_write:
        return Role.READ
    return Role.OVERWRITE if operator in _OVERWRITES or argument.is_out else Role.UPDATE


def iter_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in an argument or a result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_tensors(item)
