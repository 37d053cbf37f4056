"""Average reuse distance (ARD): the memory proxy of corner A, exactly as in the Sutro group's technical sprint #1
(cybertronai.github.io/SutroYaro/google-docs/yaroslav-technical-sprint-1): a clock counts the floats accessed, so each
read or write of a buffer advances it by the buffer's size. The distance of a read is the clock at its start minus the
clock at the start of the last write of the same buffer. There are two averages: over reads, and over floats read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sutrolib.meters.access.trace import READ, WRITE, Accesses, TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, NoReading, Reading


@dataclass(frozen=True)
class BufferReuse:
    """The reads of a trace that follow a write of their buffer: buffer, distance and floats read of each.

    ``cold`` counts the floats read from buffers that were never written inside the trace; they have no distance.
    """

    buffer: np.ndarray
    distance: np.ndarray
    floats: np.ndarray
    cold: int

    @property
    def per_read(self) -> float:
        """Mean distance in floats, each read counted once."""
        return float(self.distance.mean())

    @property
    def per_float(self) -> float:
        """Mean distance in floats, each float read counted once."""
        return float(np.average(self.distance, weights=self.floats))

    @property
    def dmc(self) -> float:
        """Data movement complexity, the group's total: the sum over reads of floats times sqrt(distance)."""
        return float((self.floats * np.sqrt(self.distance)).sum())


def buffer_reuse(accesses: Accesses) -> BufferReuse:
    """The reuse distances of a stream. Raises NoReading if nothing written in it is ever read."""
    clock = np.cumsum(accesses.elements) - accesses.elements
    order = np.argsort(accesses.buffer, kind="stable")  # buffer by buffer, each in the order of the program
    is_write, positions = accesses.write[order] == WRITE, np.arange(len(order))
    first = np.maximum.accumulate(np.where(np.diff(accesses.buffer[order], prepend=-1) != 0, positions, 0))
    last_write = np.maximum.accumulate(np.where(is_write, positions, -1))
    warm = ~is_write & (last_write >= first)
    if not warm.any():
        raise NoReading("average reuse distance: nothing written in the measured block is read there")
    written = np.full(len(order), -1)  # for each read, in the order of the program: the write before it
    written[order[warm]] = order[last_write[warm]]
    read = np.flatnonzero(written >= 0)
    cold = int(accesses.elements[(accesses.write == READ) & (written < 0)].sum())
    return BufferReuse(accesses.buffer[read], clock[read] - clock[written[read]], accesses.elements[read], cold)


class ReuseDistance(TracedMeter):
    """Average reuse distance in floats, per read; the detail holds the one per float read as well."""

    name = "ard"
    title = "average reuse distance"
    unit = "floats"
    kind = Kind.COUNTED

    def read(self, trace: TorchTrace) -> Reading:
        accesses = trace.accesses
        found = buffer_reuse(accesses)
        return self._make(
            found.per_read,
            {
                "average": "per read",
                "per_read": found.per_read,
                "per_float": found.per_float,
                "reads": len(found.distance),
                "floats_read": int(found.floats.sum()),
                "cold_floats": found.cold,
                "floats_accessed": int(accesses.elements.sum()),
            },
        )
