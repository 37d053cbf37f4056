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
    indices = args[1]
    return len(indices), torch.ops.aten.index.Tensor(_offsets(args[0], len(indices)), indices)


def _by_embedding(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    return 1, _offsets(args[0], 1)[args[1]]


def _by_select(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    axis = args[1] % args[0].dim()
    return axis + 1, _offsets(args[0], axis + 1).index_select(axis, args[2])


def _by_gather(args: tuple[Any, ...]) -> tuple[int, Tensor]:
    return args[0].dim(), _offsets(args[0], args[0].dim()).gather(args[1], args[2])


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


# Operators that touch only what they select of their first argument. Their indices are read as other arguments are.
SELECTIONS: dict[str, Callable[[tuple[Any, ...]], tuple[int, Tensor]]] = {
    "index": _by_index,
    "index_put_": _by_index,
    "_index_put_impl_": _by_index,
    "embedding": _by_embedding,
    "index_select": _by_select,
    "index_add_": _by_select,
    "index_copy_": _by_select,
    "index_fill_": _by_select,
    "gather": _by_gather,
    "scatter_": _by_gather,
    "scatter_add_": _by_gather,
    "searchsorted": _by_search,
}


def selected_ranges(operator: str, args: tuple[Any, ...]) -> Ranges:
    """Byte ranges of what ``operator`` selects of its first argument, in the order of its index."""
    tensor = args[0]
    if not tensor.dim():
        return _view_ranges(int(tensor.storage_offset()), (), (), tensor.element_size())
    axes, picked = SELECTIONS[operator](args)
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
