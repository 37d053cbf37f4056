"""Which bytes of a storage a tensor touches: those of a view, and those of the elements that an index selects.

The ranges of a view are in ascending order, whatever the order of its axes: the trace cannot see in which order a
kernel goes through its operand. Ranges that touch or overlap are merged, so an axis that is broadcast, or a window that
overlaps itself, touches its bytes once. The elements that an index or a binary search selects are in the order of the
selection, with repetitions.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Ranges = tuple[np.ndarray, np.ndarray]  # starts and lengths in bytes, from the start of the storage


def _view_ranges(offset: int, shape: tuple[int, ...], stride: tuple[int, ...], itemsize: int) -> Ranges:
    """Byte ranges of a strided view; offset and strides in elements, as in PyTorch."""
    if 0 in shape:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    axes = sorted((step * itemsize, size) for step, size in zip(stride, shape, strict=True) if step and size > 1)
    run = itemsize
    starts = np.array([offset * itemsize], np.int64)
    for step, size in axes:
        if step <= run and len(starts) == 1:
            run += step * (size - 1)  # the axis continues or overlaps the run so far
        else:
            starts = (starts + step * np.arange(size)[:, None]).ravel()
    starts = np.sort(starts)
    ends = starts + run
    first = np.flatnonzero(np.r_[True, starts[1:] > ends[:-1]])  # ranges that touch or overlap are merged
    return starts[first], np.r_[ends[first[1:] - 1], ends[-1]] - starts[first]


def _offsets(tensor: Tensor, axes: int) -> Tensor:
    """Where the elements along the first ``axes`` axes start, in elements from the start of the storage."""
    found = torch.full((), int(tensor.storage_offset()), dtype=torch.int64, device=tensor.device)
    for size, step in zip(tensor.shape[:axes], tensor.stride()[:axes], strict=True):
        found = found.unsqueeze(-1) + torch.arange(size, device=tensor.device) * step
    return found


def _by_index(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    masks = (torch.bool, torch.uint8)  # a mask stands for as many axes as it has, any other index for one
    axes = sum(index.dim() if index is not None and index.dtype in masks else 1 for index in args[1])
    return axes, torch.ops.aten.index.Tensor(_offsets(args[0], axes), args[1])


def _by_mask(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    wide, mask = torch.broadcast_tensors(args[0], args[1])
    return wide.dim(), _offsets(wide, wide.dim())[mask]


def _by_place(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    return args[0].dim(), _offsets(args[0], args[0].dim()).take(args[1])


def _by_embedding(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    return 1, _offsets(args[0], 1)[args[1]]


def _by_bag(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    kept = args[1] if len(args) < 9 else args[1][args[1] != args[8]]  # rows of the padding index are skipped
    return 1, _offsets(args[0], 1)[kept]


def _by_select(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    axis = args[1] % args[0].dim()
    return axis + 1, _offsets(args[0], axis + 1).index_select(axis, args[2])


def _by_gather(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    return args[0].dim(), _offsets(args[0], args[0].dim()).gather(args[1], args[2])


def _like_index(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    """The part of a source that is as large as the index: a scatter reads no more of it."""
    index, source = args[2], args[3]
    return source.dim(), _offsets(source, source.dim())[tuple(slice(size) for size in index.shape)]


def _as_many_as_masked(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    """The first elements of a source, one for each that the mask selects."""
    selected = int(torch.broadcast_tensors(args[0], args[1])[1].sum())
    return args[2].dim(), _offsets(args[2], args[2].dim()).ravel()[:selected]


def _by_search(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    """The elements that a binary search for each value looks at, step by step of all searches."""
    table, values = args[0], torch.as_tensor(args[1]).cpu().numpy().ravel()
    if table.dim() != 1:
        return table.dim(), _offsets(table, table.dim())
    held = table.detach().cpu().numpy()
    low, high = np.zeros(len(values), np.int64), np.full(len(values), len(held))
    looked_at = []
    while (open_ := np.flatnonzero(low < high)).size:
        middle = (low[open_] + high[open_]) // 2
        looked_at.append(middle)
        right = held[middle] < values[open_]
        low[open_[right]], high[open_[~right]] = middle[right] + 1, middle[~right]
    found = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *looked_at]))
    return 1, _offsets(table, 1)[found]


_Selection = Callable[[tuple[Any, ...]], tuple[int, Tensor]]

# Operators that touch only what they select of an argument, by its position. Their indices are read as other arguments
# are. The result is the number of axes that the selection stands for, and where each selected element (or slice along
# the other axes) starts.
_SELECTIONS: dict[str, dict[int, _Selection]] = {
    "index _unsafe_index index_put_ _index_put_impl_": {0: _by_index},
    "index_select index_add_ index_copy_ index_fill_ index_reduce_": {0: _by_select},
    "_embedding_bag _embedding_bag_forward_only": {0: _by_bag},
    "masked_select masked_fill_": {0: _by_mask},
    "take put_": {0: _by_place},
    "scatter_ scatter_add_ scatter_reduce_": {0: _by_gather, 3: _like_index},
    "scatter scatter_add scatter_reduce": {3: _like_index},
    "embedding embedding_renorm_": {0: _by_embedding},
    "gather": {0: _by_gather},
    "masked_scatter_": {0: _by_mask, 2: _as_many_as_masked},
    "masked_scatter": {2: _as_many_as_masked},
    "searchsorted": {0: _by_search},
    "bucketize": {1: lambda args: _by_search((args[1], args[0]))},
}
SELECTIONS = {name: selections for names, selections in _SELECTIONS.items() for name in names.split()}


def selected_ranges(operator: str, args: tuple[Any, ...]) -> dict[int, Ranges]:
    """Byte ranges of what ``operator`` selects of an argument, by its position, in the order of its index."""
    with torch._C._DisableTorchDispatch():  # an outer trace must not see this
        args = tuple(arg.view(1) if isinstance(arg, Tensor) and not arg.dim() else arg for arg in args)
        selections = SELECTIONS[operator].items()
        return {p: _ranges_of(args[p], *select(args)) for p, select in selections if isinstance(args[p], Tensor)}


def _ranges_of(tensor: Tensor, axes: int, picked: Tensor) -> Ranges:
    tail, run = _view_ranges(0, tuple(tensor.shape[axes:]), tensor.stride()[axes:], tensor.element_size())
    heads = picked.reshape(-1, 1).cpu().numpy() * tensor.element_size()
    return (heads + tail).ravel(), np.tile(run, len(heads))


class ByteRangeTable:
    """Sets of byte ranges by number; equal views share one number."""

    def __init__(self) -> None:
        self._first = array("q", [0])
        self._starts: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._views: dict[tuple[Any, ...], tuple[int, int]] = {}

    def of_view(self, tensor: Tensor) -> tuple[int, int]:
        """The number of a tensor's byte ranges, and how many bytes they hold."""
        key = (int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.element_size())
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self.add(_view_ranges(*key))
        return found

    def add(self, ranges: Ranges) -> tuple[int, int]:
        """Add a set of ranges: its number, and how many bytes it holds."""
        self._starts.append(ranges[0])
        self._lengths.append(ranges[1])
        self._first.append(self._first[-1] + len(ranges[0]))
        return len(self._first) - 2, int(ranges[1].sum())

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``set_offsets``, ``range_start`` and ``range_nbytes`` as in :class:`Accesses` of ``trace``."""
        none = [np.empty(0, np.int64)]
        return np.array(self._first), np.concatenate(self._starts or none), np.concatenate(self._lengths or none)
