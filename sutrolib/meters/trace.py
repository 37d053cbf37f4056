"""The access trace of a PyTorch program: what it reads and writes, in order, as it runs.

A ``TorchDispatchMode`` sees every ATen operator (and every registered kernel) below autograd. The rules:

* an operator reads its tensor arguments in the order of its schema, each time they occur, then writes its outputs;
* an argument that it updates in place is read last, right before it is written, as a read-modify-write is;
  one that it only overwrites (``out=``, ``copy_``, ``fill_``, ...) is not read;
* a view neither reads nor writes; reading through a view touches the elements that the view selects;
* a buffer is a storage; a freed storage whose address is used again is a new buffer;
* composite operators are traced through the operators that they are made of, except ``linear``, which is one kernel.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from sutrolib.meters.base import Meter, Reading
from sutrolib.meters.costs import operations

READ, WRITE = 0, 1

_KEPT_WHOLE = {"aten::linear"}
_OVERWRITES = {"copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_"}
_ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}


@dataclass
class Buffer:
    """One storage: its label (a given name, or the operator that first wrote it), its size, and whether it lives."""

    label: str
    nbytes: int
    storage: StorageWeakRef


@dataclass(frozen=True)
class Accesses:
    """The stream as columns of equal length: READ or WRITE, buffer number, elements and bytes touched."""

    write: np.ndarray
    buffer: np.ndarray
    elements: np.ndarray
    nbytes: np.ndarray

    def __len__(self) -> int:
        return len(self.write)


class TorchTrace(TorchDispatchMode):
    """Records the accesses, the operation count and the peak of live bytes of what runs inside it.

    Raises ValueError, naming the operator, for tensors that are not plain strided ones (sparse, quantised, meta).
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[Buffer] = []
        self.operations: dict[str, int] = {}
        self.peak_bytes = 0
        self._columns = tuple(array("q") for _ in range(4))
        self._ids: dict[int, int] = {}
        self._live_bytes = 0

    def place(self, buffers: Mapping[str, Tensor]) -> None:
        """Load named inputs before the program starts: each is written once, in the order given."""
        for label, tensor in buffers.items():
            self._record(WRITE, tensor, label)

    @property
    def accesses(self) -> Accesses:
        """What was recorded so far."""
        return Accesses(*(np.array(column, dtype=np.int64) for column in self._columns))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        rules = _rules(func)
        if rules.decompose:
            with self:
                return func.decompose(*args, **kwargs)
        if rules.free:
            return func(*args, **kwargs)
        inputs, updated, overwritten = rules.sort(args, kwargs)
        for tensor in (*inputs, *updated):
            _refuse_unusual(func, tensor)
            self._record(READ, tensor, "input")
        result = func(*args, **kwargs)
        known = {t.untyped_storage()._cdata for t in (*inputs, *updated)}
        outputs = [t for t in _tensors(result) if t.untyped_storage()._cdata not in known]
        written = (*updated, *overwritten, *(t for t in outputs if not any(t is o for o in overwritten)))
        for index, tensor in enumerate(written):
            _refuse_unusual(func, tensor)
            self._record(WRITE, tensor, f"{rules.name}[{index}]")
        if written or inputs:
            count = operations(func, args, written or inputs)
            self.operations[rules.name] = self.operations.get(rules.name, 0) + count
        return result

    def _record(self, direction: int, tensor: Tensor, label: str) -> None:
        elements = 1
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            if stride:  # a broadcast axis touches the same elements again
                elements *= size
        if elements == 0:
            return
        values = (direction, self._buffer(tensor, label), elements, elements * tensor.element_size())
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def _buffer(self, tensor: Tensor, label: str) -> int:
        storage = tensor.untyped_storage()
        # A weak reference keeps the storage's handle (not its memory) from being handed out again,
        # so an equal handle is the same storage for as long as the reference is kept.
        known = self._ids.get(storage._cdata)
        if known is not None:
            return known
        self._drop_dead()
        number = len(self.buffers)
        self._ids[storage._cdata] = number
        self.buffers.append(Buffer(label, storage.nbytes(), StorageWeakRef(storage)))
        self._live_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        return number

    def _drop_dead(self) -> None:
        for handle, number in list(self._ids.items()):
            if self.buffers[number].storage.expired():
                del self._ids[handle]
                self._live_bytes -= self.buffers[number].nbytes


@dataclass(frozen=True)
class _Rules:
    """How one operator touches memory, read off its schema once."""

    name: str
    decompose: bool
    free: bool
    updates: tuple[int, ...]
    overwrites: tuple[int, ...]
    keyword_overwrites: tuple[str, ...]
    keyword_updates: tuple[str, ...]

    def sort(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """The tensors that are read, read and then written, and only written."""
        inputs: list[Tensor] = []
        updated: list[Tensor] = []
        overwritten: list[Tensor] = []
        for index, value in enumerate(args):
            kind = updated if index in self.updates else overwritten if index in self.overwrites else inputs
            kind.extend(_tensors(value))
        for name, value in kwargs.items():
            kind = (
                overwritten if name in self.keyword_overwrites else updated if name in self.keyword_updates else inputs
            )
            kind.extend(_tensors(value))
        return inputs, updated, overwritten


@cache
def _rules(func: Any) -> _Rules:
    schema = func._schema
    short = schema.name.split("::")[1]
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
    written = [
        (index, argument)
        for index, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    aliases = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    only_writes = short in _OVERWRITES
    return _Rules(
        name=short,
        decompose=composite and schema.name not in _KEPT_WHOLE,
        free=aliases or short in _ALLOCATES or torch.Tag.inplace_view in func.tags,
        updates=tuple(i for i, a in written if not only_writes and not a.is_out),
        overwrites=tuple(i for i, a in written if only_writes or a.is_out),
        keyword_updates=tuple(a.name for _, a in written if not only_writes and not a.is_out),
        keyword_overwrites=tuple(a.name for _, a in written if only_writes or a.is_out),
    )


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _refuse_unusual(func: Any, tensor: Tensor) -> None:
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        what = "quantised" if tensor.is_quantized else "meta" if tensor.is_meta else str(tensor.layout)
        raise ValueError(f"{func.name()}: a {what} tensor cannot be traced, accepted are strided tensors")


class TracedMeter(Meter):
    """A meter whose number is read off the access trace; several of them can share one trace."""

    def __init__(self) -> None:
        super().__init__()
        self._trace: TorchTrace | None = None

    @abstractmethod
    def read(self, trace: TorchTrace) -> Reading:
        """The reading of a finished trace. Raises NoReading where the trace holds nothing to read."""

    def __enter__(self) -> Self:
        self._reading = None
        self._trace = TorchTrace()
        self._trace.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._trace is not None
        done, self._trace = self._trace, None
        done.__exit__(kind, error, trace)
        if kind is None:
            self._reading = self.read(done)
