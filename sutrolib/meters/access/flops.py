"""How many arithmetic operations one call of an operator performs.

The count is the textbook one (Golub and Van Loan, Matrix Computations, section 1.1): 2mnk for a matrix product of (m,
k) by (k, n), one operation for each element of an elementwise result whatever the function, one for each element that
a reduction or scan consumes, and none for allocating, copying, gathering, converting or drawing random numbers.
A sort of n elements counts n log2 n comparisons, rounded up, and a binary search log2 n. Complex numbers count as real
ones. A kernel that fuses several steps counts what its steps count one by one: a softmax is a maximum, a difference, an
exponential, a sum and a quotient.
Attention counts its matrix products over the pairs of positions that its causal mask keeps (two products forward, five
backward: Dao et al., FlashAttention, arXiv 2205.14135, algorithms 1 and 4), and its elementwise steps on each pair.

``operators.toml`` beside this module says for each operator of PyTorch's registry which of these it is, gives its
formula, or refuses it by name: an operator that nobody has costed could hide any amount of work.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The operations of one call: from its arguments, its keyword arguments, and the tensors that it has written.
Cost = Callable[[tuple[Any, ...], dict[str, Any], Sequence[Tensor]], int]


def _elements(value: Any) -> int:
    """How many numbers an argument holds: a tensor, a list of tensors, or a number."""
    if isinstance(value, list | tuple):
        return sum(map(_elements, value))
    return value.numel() if isinstance(value, Tensor) else 1


def _product(a: Tensor, b: Tensor) -> int:
    return 2 * a.numel() * (b.shape[-1] if b.dim() > 1 else 1)


def _comparisons(places: int) -> int:
    """The least number of yes-or-no answers that distinguish so many places."""
    return max(1, math.ceil(math.log2(max(1, places))))


def _broadcast(*tensors: Tensor) -> int:
    return math.prod(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))


def _unsqueezed(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in sorted(axes):
        tensor = tensor.unsqueeze(axis)
    return tensor


def _attention(
    query: Tensor, key: Tensor, value: Tensor, is_causal: bool, mask: Tensor | None = None, backward: bool = False
) -> int:
    """Tensors are (samples, heads, positions, width); half of the products have the width of the values.

    Forward, a pair is scaled and goes through a softmax. Backward, it is scaled, its row's logarithm subtracted, its
    exponential taken, and dS = P * (dP - rowsum(dO * O)) scaled.
    """
    rows, columns, products = query.shape[-2], key.shape[-2], 5 if backward else 2
    pairs = sum(min(row + 1, columns) for row in range(rows)) if is_causal else rows * columns
    widths = (products + 1) // 2 * query.shape[-1] + products // 2 * value.shape[-1]
    steps = 6 + (mask is not None)
    return math.prod(query.shape[:-2]) * (pairs * (2 * widths + steps) + 2 * backward * rows * value.shape[-1])


def _adaptive_windows(whole: Tensor, pooled: Tensor, axes: int) -> int:
    """The elements of all windows: along an axis they start and end at rounded multiples, and may overlap."""
    found = math.prod(whole.shape[:-axes])
    for size, places in zip(whole.shape[-axes:], pooled.shape[-axes:], strict=True):
        found *= sum(-(-(place + 1) * size // places) - place * size // places for place in range(places))
    return found


def _reflections(matrix: Tensor, columns: int | None = None, count: int | None = None) -> float:
    """Apply or make ``count`` Householder reflections of the rows of each matrix, which has so many columns."""
    m, n = matrix.shape[-2:]
    k = min(m, n) if count is None else count
    n = n if columns is None else columns
    return math.prod(matrix.shape[:-2]) * (4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 / 3)


def _selected(tensor: Tensor, indices: Sequence[Tensor | None]) -> int:
    """How many elements the indices select."""
    with torch._C._DisableTorchDispatch():  # an outer trace must not see this
        places = torch.zeros((), dtype=torch.bool, device=tensor.device).expand(tensor.shape)
        return int(torch.ops.aten.index.Tensor(places, indices).numel())


# What a formula may name besides its operator's arguments. The last row stands for arguments that some overloads lack.
_NAMES: dict[str, Any] = {
    "n": _elements, "product": _product, "comparisons": _comparisons, "broadcast": _broadcast, "log2": math.log2,
    "unsqueezed": _unsqueezed, "attention": _attention, "adaptive_windows": _adaptive_windows, "prod": math.prod,
    "reflections": _reflections, "selected": _selected,
    "running_mean": None, "training": True, "left": True, "reduce": None, "elements": 1, "test_elements": 1,
}  # fmt: skip


def _by_formula(func: Any, formula: str) -> Cost:
    code = compile(formula.strip(), "operators.toml", "eval")
    names = [argument.name for argument in func._schema.arguments]
    given = _NAMES | {argument.name: argument.default_value for argument in func._schema.arguments}

    def cost(args: tuple[Any, ...], kwargs: dict[str, Any], written: Sequence[Tensor]) -> int:
        call = given | dict(zip(names, args, strict=False)) | kwargs
        call |= {"written": written, "size": max(map(_elements, written), default=0)}
        found: float = eval(code, call)
        return round(found)

    return cost


_CLASSES: dict[str, Cost] = {
    "free": lambda args, kwargs, written: 0,
    "elementwise": lambda args, kwargs, written: max((tensor.numel() for tensor in written), default=0),
    "foreach": lambda args, kwargs, written: sum(tensor.numel() for tensor in written),
    "reduction": lambda args, kwargs, written: _elements(args[0]),
}


@cache
def _table() -> dict[str, dict[str, str]]:
    """Of each section of ``operators.toml``: its entry for each operator that it names."""
    sections = tomllib.loads(Path(__file__).with_name("operators.toml").read_text(encoding="utf-8"))
    table = {kind: dict.fromkeys(sections.pop(kind).split(), "") for kind in _CLASSES}
    table["formulas"] = {name: formula for names, formula in sections["formulas"].items() for name in names.split()}
    table["refused"] = {name: advice for advice, names in sections["refused"].items() for name in names.split()}
    return table


@cache
def cost_of(func: Any) -> Cost | str:
    """What a call of one operator overload costs, or why its operations cannot be counted and what to do."""
    full_name, table = func._schema.name, _table()
    namespace, _, name = full_name.partition("::")
    key = full_name if namespace != "aten" else name if name.startswith("__") else name.rstrip("_")
    for kind, cost in _CLASSES.items():
        if key in table[kind]:
            return cost
    if key in table["formulas"]:
        return _by_formula(func, table["formulas"][key])
    advice = table["refused"].get(key, "give its formula in sutrolib/meters/access/operators.toml")
    return f"cannot count the operations of {full_name}: {advice}"
