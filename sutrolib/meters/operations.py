"""The meter of arithmetic operations: what :mod:`sutrolib.meters.costs` counts for each operator, added up."""

from __future__ import annotations

from sutrolib.meters.base import Kind, NoReading, Reading
from sutrolib.meters.trace import TorchTrace, TracedMeter


class OperationCount(TracedMeter):
    """Arithmetic operations, counted operator by operator; the detail splits them by operator."""

    name = "operations"
    title = "operations"
    unit = "operations"
    kind = Kind.COUNTED

    def read(self, trace: TorchTrace) -> Reading:
        by_operator = {name: count for name, count in sorted(trace.operations.items()) if count}
        if not by_operator:
            raise NoReading("operations: no PyTorch arithmetic ran inside the metered block")
        return self._make(sum(by_operator.values()), {"by_operator": by_operator})
