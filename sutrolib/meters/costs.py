"""How many arithmetic operations one call of an operator performs.

The count is the textbook one (Golub and Van Loan, Matrix Computations, section 1.1): 2mnk for a matrix product of
(m, k) by (k, n), one operation for each element of an elementwise result whatever the function, one for each element
that a reduction or scan consumes, and none for allocating, copying, gathering, converting or drawing random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Kernels that are not ATen's. One that is missing here is refused: it could hide any amount of work.
_KERNELS: dict[str, Callable[[tuple[Any, ...]], int]] = {
    "sutro::hinge_grad": lambda a: 4 * a[0].numel(),  # y*out, < 1, * y, * -1/samples
    "sutro::square_grad": lambda a: 2 * a[0].numel(),
    "sutro::linear_grad": lambda a: 2 * a[0].numel() * a[1].shape[1] + a[0].numel(),
    "sutro::sgd_": lambda a: 2 * a[0].numel() + (a[1].numel() if a[1].numel() > a[0].numel() else 0),
}

_MATRIX_PRODUCTS: dict[str, Callable[[tuple[Any, ...]], int]] = {
    "mm": lambda a: _product(a[0], a[1]),
    "bmm": lambda a: _product(a[0], a[1]),
    "mv": lambda a: _product(a[0], a[1]),
    "dot": lambda a: 2 * a[0].numel(),
    "addmm": lambda a: _product(a[1], a[2]) + a[1].shape[0] * a[2].shape[1],
    "baddbmm": lambda a: _product(a[1], a[2]) + a[1].shape[0] * a[1].shape[1] * a[2].shape[2],
    "addmv": lambda a: _product(a[1], a[2]) + a[1].shape[0],
    "addr": lambda a: 3 * a[1].numel() * a[2].numel(),
    "linear": lambda a: 2 * a[0].numel() * a[1].shape[0] + (a[0].numel() // a[0].shape[-1]) * a[1].shape[0],
}

_MOVES = frozenset(
    (
        "_local_scalar_dense _to_copy arange bernoulli cat clone copy detach eye fill flip full full_like gather index "
        "index_put index_select lift_fresh masked_select new_full new_ones new_zeros nonzero normal ones ones_like "
        "rand rand_like randint randint_like randn randn_like random randperm repeat roll scalar_tensor scatter "
        "stack tril triu uniform zero zeros zeros_like"
    ).split()
)


def _product(a: Tensor, b: Tensor) -> int:
    return 2 * a.numel() * (b.shape[-1] if b.dim() > 1 else 1)


def operations(func: Any, args: tuple[Any, ...], written: Sequence[Tensor]) -> int:
    """Arithmetic operations of one call of an operator that has written ``written``.

    ATen operators that are neither known by name nor tagged by PyTorch count one operation for each element
    written. Raises ValueError for a kernel from elsewhere that has no entry in this module.
    """
    full_name = func._schema.name
    namespace, _, name = full_name.partition("::")
    if full_name in _KERNELS:
        return _KERNELS[full_name](args)
    if namespace not in ("aten", "prims"):
        raise ValueError(f"{full_name}: not an ATen operator, and its cost is not listed in sutrolib.meters.costs")
    base = name.rstrip("_") if not name.startswith("_") else name
    if base in _MATRIX_PRODUCTS:
        return _MATRIX_PRODUCTS[base](args)
    if base in _MOVES:
        return 0
    if torch.Tag.reduction in func.tags:
        return int(args[0].numel())
    return max((math.prod(tensor.shape) for tensor in written), default=0)
