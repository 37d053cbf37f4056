"""The access trace of a PyTorch program: which bytes it reads and writes, in order, as it runs.

A ``TorchDispatchMode`` sees every ATen operator (and every registered kernel) below autograd. Its schema says what an
operator reads and writes (:mod:`sutrolib.meters.access.operator_rules`), its views say which bytes (``byte_ranges``). A
buffer is a storage; a freed storage whose address is used again is a new buffer.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from sutrolib.meters.access.byte_ranges import ByteRangeTable, selected_ranges
from sutrolib.meters.access.flops import cost_of
from sutrolib.meters.access.operator_rules import Operand, Role, iter_tensors, rules_for
from sutrolib.meters.access.other_threads import ThreadedMode
from sutrolib.meters.base import Kind, Meter, NoReading, Reading

READ, WRITE = 0, 1


class UncountedOperator(NoReading, ValueError):
    """An operator ran whose operations nobody has counted; the message names it, and says what to do."""


@dataclass
class Buffer:
    """One storage: its label (a given name, or the operator that first wrote it) and a weak reference.

    ``nbytes`` is its largest size, ``held_bytes`` its last known one: a storage can be resized, as far as to 0.
    """

    label: str
    storage: StorageWeakRef
    nbytes: int = 0
    held_bytes: int = 0


@dataclass(frozen=True)
class Accesses:
    """The stream as columns of equal length: READ or WRITE, buffer number, set of byte ranges, elements and bytes.

    Set s has the ranges from ``set_offsets[s]`` up to ``set_offsets[s + 1]`` of ``range_start`` and ``range_nbytes``,
    in bytes from the start of the buffer. ``buffer_nbytes`` holds the bytes of each buffer.
    """

    write: np.ndarray
    buffer: np.ndarray
    range_set: np.ndarray
    elements: np.ndarray
    nbytes: np.ndarray
    set_offsets: np.ndarray
    range_start: np.ndarray
    range_nbytes: np.ndarray
    buffer_nbytes: np.ndarray

    def __len__(self) -> int:
        return len(self.write)


class TorchTrace(ThreadedMode):
    """Records the accesses, the operation counts and the peak of live bytes of what runs inside it, threads included.

    Operators of several threads are recorded in the order in which they end.

    ``derived`` is a cache for results that several meters compute from the finished trace.
    Raises ValueError, naming the operator, for tensors that are not plain strided ones (sparse, quantised, meta, ...).
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[Buffer] = []
        self._operations: Counter[tuple[str, str]] = Counter()
        self._uncounted: dict[str, None] = {}  # why, in the order of the calls
        self.peak_bytes = 0
        self.derived: dict[Any, Any] = {}
        self._lock = threading.RLock()
        self._columns = tuple(array("q") for _ in range(5))
        self._ranges = ByteRangeTable()
        self._ids: dict[int, int] = {}
        self._live_bytes = 0

    def load_inputs(self, buffers: Mapping[str, Tensor]) -> None:
        """Load named inputs before the program starts: each is written once, in the order given."""
        for label, tensor in buffers.items():
            self._record(WRITE, tensor, label)

    @property
    def operations(self) -> dict[tuple[str, str], int]:
        """Arithmetic operations by operator and by the type that they are done in.

        Raises UncountedOperator if an operator ran that has no count.
        """
        if self._uncounted:
            raise UncountedOperator("; ".join(self._uncounted))
        return self._operations

    @property
    def accesses(self) -> Accesses:
        """What was recorded so far."""
        write, buffer, range_set, elements, nbytes = (np.array(column, dtype=np.int64) for column in self._columns)
        sizes = np.array([buffer.nbytes for buffer in self.buffers], dtype=np.int64)
        return Accesses(write, buffer, range_set, elements, nbytes, *self._ranges.columns(), sizes)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        rules = rules_for(func)
        if rules.decompose:
            with self:
                return func.decompose(*args, **kwargs)
        if rules.touches_nothing:
            return func(*args, **kwargs)
        passes = rules.passes(args, kwargs)
        operands = [operand for found in passes for operand in found]
        arguments = [operand.tensor for operand in operands]
        _check_traceable(func, arguments)
        ranges = selected_ranges(rules.name, args) if rules.selects_elements else {}
        result = func(*args, **kwargs)
        outputs = _new_tensors(func, result, arguments)
        read = [operand.tensor for operand in operands if operand.role == Role.READ]
        written = [operand.tensor for operand in operands if operand.role != Role.READ] + outputs
        self.worked_in.add(threading.get_ident())
        with self._lock:  # other threads may be traced too
            selected = {position: self._ranges.add(found) for position, found in ranges.items()}
            for entry, found in enumerate(passes):
                self._record_operands(rules.name, found, selected)
                # An operator that goes entry by entry has written its result for one before it reads the next.
                made = outputs[entry : entry + 1] if len(passes) > 1 else outputs
                for index, tensor in enumerate(made, start=entry):
                    self._record(WRITE, tensor, f"{rules.name}[{index}]")
            if read or written:
                key = rules.name, _computed_in(*read, *written)
                self._count_operations(func, key, args, kwargs, written or read)
        return result

    def _count_operations(
        self, func: Any, key: tuple[str, str], args: tuple[Any, ...], kwargs: dict[str, Any], written: list[Tensor]
    ) -> None:
        cost = cost_of(func)
        if isinstance(cost, str):
            self._uncounted[cost] = None
        else:
            self._operations[key] += cost(args, kwargs, written)

    def _record_operands(self, name: str, operands: list[Operand], selected: dict[int, tuple[int, int]]) -> None:
        for tensor, role, position in operands:
            if role != Role.OVERWRITE:
                self._record(READ, tensor, "input", selected.get(position))
        written = [operand for operand in operands if operand.role != Role.READ]
        for index, (tensor, _, position) in enumerate(written):
            self._record(WRITE, tensor, f"{name}[{index}]", selected.get(position))

    def _record(self, direction: int, tensor: Tensor, label: str, selected: tuple[int, int] | None = None) -> None:
        number, nbytes = selected or self._ranges.of_view(tensor)
        if not nbytes:
            return
        size = tensor.element_size()
        values = direction, self._buffer(tensor, label), number, nbytes // size, nbytes
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def _buffer(self, tensor: Tensor, label: str) -> int:
        storage = tensor.untyped_storage()
        # As long as a weak reference exists, the storage's handle (not its memory) is not used again,
        # so an equal handle is the same storage.
        known = self._ids.get(storage._cdata)
        if known is None:
            known = self._ids[storage._cdata] = len(self.buffers)
            self.buffers.append(Buffer(label, StorageWeakRef(storage)))
        buffer, nbytes = self.buffers[known], storage.nbytes()
        if nbytes != buffer.held_bytes:
            self._live_bytes += nbytes - buffer.held_bytes
            buffer.held_bytes, buffer.nbytes = nbytes, max(nbytes, buffer.nbytes)
            if self._live_bytes > self.peak_bytes:
                self._drop_freed()
                self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        return known

    def _drop_freed(self) -> None:
        """Subtract what was freed unseen: no operator frees a storage, or resizes it to 0."""
        for handle, number in list(self._ids.items()):
            buffer, storage = self.buffers[number], torch.UntypedStorage._new_with_weak_ptr(handle)
            if storage is None:
                del self._ids[handle]
            left = 0 if storage is None else min(storage.nbytes(), buffer.held_bytes)
            self._live_bytes -= buffer.held_bytes - left
            buffer.held_bytes = left


def _new_tensors(func: Any, result: Any, arguments: list[Tensor]) -> list[Tensor]:
    """The tensors of a result that do not share the storage of an argument."""
    known = {tensor.untyped_storage()._cdata for tensor in arguments}
    made = list(iter_tensors(result))
    _check_traceable(func, made)
    return [tensor for tensor in made if tensor.untyped_storage()._cdata not in known]


def _computed_in(*found: Tensor) -> str:
    """The dtype of an operation: a comparison is done in the type that it compares, not in that of its result."""
    first = next((tensor for tensor in found if tensor.is_floating_point()), found[0])
    return str(first.dtype).removeprefix("torch.")


def _check_traceable(func: Any, found: list[Tensor]) -> None:
    for tensor in found:
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            what = "quantised" if tensor.is_quantized else "meta" if tensor.is_meta else str(tensor.layout)
            raise ValueError(f"{func.name()}: cannot trace a {what} tensor; use strided tensors")


class TracedMeter(Meter):
    """A meter that computes its number from the access trace; several of them can share one trace.

    ``additive`` says whether its number is a sum over the accesses, so that twice the updates give twice the number.
    """

    additive: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._trace: TorchTrace | None = None

    @abstractmethod
    def read(self, trace: TorchTrace) -> Reading:
        """The reading of a finished trace that saw all work. Raises NoReading if the trace holds nothing to read."""

    def read_complete(self, trace: TorchTrace) -> Reading:
        """The reading of a finished trace. Raises NoReading if some work ran where it could not be traced, too."""
        trace.check_complete()
        return self.read(trace)

    def _begin(self) -> None:
        self._trace = TorchTrace()
        self._trace.__enter__()

    def _end(self, failed: bool) -> None:
        assert self._trace is not None
        done, self._trace = self._trace, None
        done.__exit__(None, None, None)
        if not failed:
            self._reading = self.read_complete(done)


class OperationCount(TracedMeter):
    """Arithmetic operations, counted operator by operator; the detail splits them by operator and by dtype."""

    name = "operations"
    title = "operations"
    unit = "operations"
    kind = Kind.COUNTED
    additive = True

    def read(self, trace: TorchTrace) -> Reading:
        by_operator: Counter[str] = Counter()
        by_type: Counter[str] = Counter()
        for (operator, number_type), count in sorted(trace.operations.items()):
            if count:
                by_operator[operator] += count
                by_type[number_type] += count
        if not by_operator:
            raise NoReading("operations: no PyTorch arithmetic ran in the measured block")
        detail = {"by_operator": dict(by_operator), "by_type": dict(by_type)}
        return self._make(by_operator.total(), detail)


class PeakMemory(TracedMeter):
    """The largest number of bytes that the tensors of the run held at one time.

    It is counted from the lifetimes of the storages, so it leaves out the interpreter and the library itself.
    """

    name = "peak_memory"
    title = "peak memory"
    unit = "B"
    kind = Kind.COUNTED

    def read(self, trace: TorchTrace) -> Reading:
        if not trace.buffers:
            raise NoReading("peak memory: no tensor was touched in the measured block")
        return self._make(trace.peak_bytes, {"buffers": len(trace.buffers)})
