"""How many arithmetic operations one call of an operator performs.

The count is the textbook one (Golub and Van Loan, Matrix Computations, section 1.1): 2mnk for a matrix product of (m,
k) by (k, n), one operation for each element of an elementwise result whatever the function, one for each element that
a reduction or scan consumes, and none for allocating, copying, gathering, converting or drawing random numbers.
A sort of n elements counts n log2 n comparisons, rounded up, and a binary search log2 n.
Attention counts its matrix products over the pairs of positions that its causal mask keeps (two products forward, five
backward: Dao et al., FlashAttention, arXiv 2205.14135, algorithms 1 and 4), and two elementwise operations per pair and
pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Kernels that are not ATen's. A kernel that is missing here raises an error: it could hide any amount of work.
_KERNELS: dict[str, Callable[[tuple[Any, ...]], int]] = {
    "sutro::hinge_grad": lambda a: 4 * a[0].numel(),  # y*out, < 1, * y, * -1/samples
    "sutro::square_grad": lambda a: 2 * a[0].numel(),
    "sutro::linear_grad": lambda a: 2 * a[0].numel() * a[1].shape[1] + a[0].numel(),
    "sutro::sgd_": lambda a: 2 * a[0].numel() + (a[1].numel() if a[1].numel() > a[0].numel() else 0),
}

_PRODUCTS: dict[str, Callable[[tuple[Any, ...]], int]] = {
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

_FREE = frozenset(
    (
        "_local_scalar_dense _to_copy arange bernoulli cat clone copy detach embedding eye fill flip full full_like "
        "gather index index_put index_select lift_fresh masked_select new_full new_ones new_zeros nonzero normal ones "
        "ones_like rand rand_like randint randint_like randn randn_like random randperm repeat roll scalar_tensor "
        "scatter stack tril triu uniform zero zeros zeros_like _foreach_copy _foreach_zero"
    ).split()
)

_SORTS = frozenset(("sort", "argsort", "msort", "_unique2", "unique_dim"))

# Operations per element: those of the same optimizer written with elementwise operators.
_OPTIMIZERS: dict[str, Callable[[Sequence[Any]], int]] = {
    "_fused_adamw_": lambda a: 8,
    "_fused_adam_": lambda a: 7,
    "_fused_sgd_": lambda a: 3 if a[2] else 1,  # with and without momentum
}


def _product(a: Tensor, b: Tensor) -> int:
    return 2 * a.numel() * (b.shape[-1] if b.dim() > 1 else 1)


def _comparisons(places: int) -> int:
    """The least number of yes-or-no answers that distinguish so many places."""
    return max(1, math.ceil(math.log2(max(1, places))))


def _attention(name: str, arguments: dict[str, Any]) -> int:
    """Tensors are (samples, heads, positions, width); half of the products have the width of the values."""
    query, columns = arguments["query"], arguments["key"].shape[-2]
    rows, products = query.shape[-2], 5 if name.endswith("_backward") else 2
    pairs = sum(min(row + 1, columns) for row in range(rows)) if arguments.get("is_causal") else rows * columns
    widths = (products + 1) // 2 * query.shape[-1] + products // 2 * arguments["value"].shape[-1]
    return int(math.prod(query.shape[:-2]) * pairs * (2 * widths + products // 2 * 2))


def _convolution(name: str, arguments: dict[str, Any], written: Sequence[Tensor]) -> int:
    weight = arguments["weight"]
    backward = name == "convolution_backward"
    result = arguments["grad_output"] if backward else written[0]
    each = arguments["input"].numel() if arguments["transposed"] else result.numel()
    products = sum(arguments["output_mask"][:2]) if backward else 1
    with_bias = arguments["output_mask"][2] if backward else arguments["bias"] is not None
    return int(products * 2 * each * (weight.numel() // weight.shape[0]) + with_bias * result.numel())


def count_operations(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], written: Sequence[Tensor]) -> int:
    """Arithmetic operations of one call of an operator that has written the tensors ``written``.

    ATen operators that are neither listed here nor tagged by PyTorch count one operation for each element written.
    Raises ValueError for a kernel that is not ATen's and not listed.
    """
    full_name = func._schema.name
    namespace, _, name = full_name.partition("::")
    if full_name in _KERNELS:
        return _KERNELS[full_name](args)
    if namespace not in ("aten", "prims"):
        raise ValueError(f"{full_name}: not an ATen operator, and meters/access/flops.py lists no cost for it")
    base = name.rstrip("_") if not name.startswith("_") or name.startswith("_foreach_") else name
    if base in _PRODUCTS:
        return _PRODUCTS[base](args)
    if base in _FREE:
        return 0
    if name in _SORTS:
        return int(args[0].numel() * _comparisons(args[0].numel() if "unique" in name else args[0].shape[-1:].numel()))
    if name == "searchsorted":
        return int(max(tensor.numel() for tensor in written) * _comparisons(args[0].shape[-1] + 1))
    if name in _OPTIMIZERS:
        return _OPTIMIZERS[name](args) * int(sum(tensor.numel() for tensor in args[0]))
    arguments = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    if name.startswith("_scaled_dot_product_"):
        return _attention(name, arguments)
    if name in ("convolution", "convolution_backward"):
        return _convolution(name, arguments, written)
    if name == "_foreach_norm":
        return sum(tensor.numel() for tensor in args[0])
    if name.startswith("_foreach_"):
        return sum(tensor.numel() for tensor in written)
    if torch.Tag.reduction in func.tags:
        return int(args[0].numel())
    return max((tensor.numel() for tensor in written), default=0)
