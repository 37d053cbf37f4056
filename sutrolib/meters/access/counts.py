"""Counts: arithmetic operations (``flops``), and the peak of live memory."""

from __future__ import annotations

from collections import Counter

from sutrolib.meters.access.trace import TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, NoReading, Reading


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
