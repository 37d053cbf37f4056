"""Mistake 4, building for the wrong future: which of two algorithms wins on which hardware?

Hardware is reduced to two numbers: r, the energy of a byte from DRAM over that of a 32-bit operation, and C, the bytes
of cache. In units of one operation a run costs

    E(r, C) = operations + r (bytes missed at C + CACHE_ENERGY x bytes held at C)

with the misses from the run's histogram of stack distances. E is linear in r, so for each C there is at most one r at
which the winner changes: r = (operations of B - operations of A) / (traffic of A - traffic of B).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sutrolib.meters.access.cache_energy import (
    HARDWARE_PROFILES,
    KB,
    MB,
    Hardware,
    MemoryLevel,
    dtype_bits,
    operations_by_dtype,
)
from sutrolib.meters.access.reuse_distance import CACHE_LINE, ReuseHistogram, trace_histograms
from sutrolib.meters.access.trace import TorchTrace

CACHE_ENERGY = 1 / 40  # energy of a byte from cache over one from DRAM: 1.06 to 43.75 pJ in 7 nm (JOUPPI_2021)
_RATIOS = np.logspace(-3, 3, 121)  # six decades of r
_CAPACITIES = 2.0 ** np.arange(10, 28)  # 1 KB to 128 MB


@dataclass(frozen=True)
class Workload:
    """The work of a run on any hardware: its histogram, and its operations in units of 32 bits."""

    name: str
    histogram: ReuseHistogram
    operations: float

    @classmethod
    def of_trace(cls, name: str, trace: TorchTrace) -> Workload:
        """The work of a traced run; an operation of 64 bits counts as two of 32."""
        counts = operations_by_dtype(trace)
        scaled = sum(count * dtype_bits(dtype) / 32 for dtype, count in counts.items())
        return cls(name, trace_histograms(trace, CACHE_LINE).stack, scaled)

    def traffic(self, capacity: float) -> float:
        """Bytes from DRAM with a cache of ``capacity`` bytes, plus CACHE_ENERGY of those from the cache."""
        missed = self.histogram.misses(capacity) - self.histogram.cold_writes
        return self.histogram.unit_bytes * (missed + CACHE_ENERGY * (self.histogram.accesses - missed))

    def energy(self, ratio: float, capacity: float) -> float:
        """E(r, C) in operations."""
        return self.operations + ratio * self.traffic(capacity)


@dataclass(frozen=True)
class HardwarePoint:
    """Hardware as a point on the map: ratio r (operations per byte), cache capacity (bytes), and the source."""

    name: str
    ratio: float
    capacity: float
    source: str

    @classmethod
    def of(cls, hardware: Hardware) -> HardwarePoint:
        """The point of a profile: its last level over a float32 operation, and its largest cache."""
        ratio = hardware.levels[-1].pj_per_byte / hardware.pj_per_operation("float32")
        return cls(hardware.name, ratio, hardware.levels[-2].capacity, hardware.source)

    def hardware(self) -> Hardware:
        """The hardware of this point, with one picojoule per 32-bit operation: its joules are E(r, C)."""
        cache = MemoryLevel("cache", self.capacity, CACHE_ENERGY * self.ratio)
        return Hardware(self.name, self.source, {"float32": 1.0}, (cache, MemoryLevel("DRAM", math.inf, self.ratio)))


HARDWARE_POINTS = (
    HardwarePoint("1985-like", 0.1, KB, "assumed, compute-bound: an operation costs ten bytes from memory"),
    *map(HardwarePoint.of, HARDWARE_PROFILES),
    HardwarePoint("memory-free", 1e-3, 128 * MB, "assumed: memory is nearly free, as in an optical or neural medium"),
)


@dataclass(frozen=True)
class WinnerMap:
    """log10 of A's energy over B's, shape (capacities, ratios); ``flips`` is the r of each capacity, or NaN."""

    a: str
    b: str
    ratios: np.ndarray
    capacities: np.ndarray
    log_ratio: np.ndarray
    flips: np.ndarray

    @property
    def share_a(self) -> float:
        """The share of the map on which A wins."""
        return float((self.log_ratio < 0).mean())


def winner_map(a: Workload, b: Workload, capacities: np.ndarray = _CAPACITIES) -> WinnerMap:
    """A against B over six decades of r and ``capacities``; ValueError unless these are above 0 and increasing."""
    if not len(capacities) or (capacities <= 0).any() or (np.diff(capacities) <= 0).any():
        raise ValueError(f"capacities must be increasing numbers above 0 (got {capacities!r})")
    traffic_a, traffic_b = (np.array([work.traffic(capacity) for capacity in capacities]) for work in (a, b))
    energy_a = a.operations + np.outer(traffic_a, _RATIOS)
    energy_b = b.operations + np.outer(traffic_b, _RATIOS)
    operations, traffic = a.operations - b.operations, traffic_a - traffic_b
    flips = np.divide(-operations, traffic, out=np.full(len(traffic), np.nan), where=operations * traffic < 0)
    return WinnerMap(a.name, b.name, _RATIOS, capacities, np.log10(energy_a / energy_b), flips)


def energy_ratios(a: Workload, b: Workload) -> Mapping[str, float]:
    """A's energy over B's at each of HARDWARE_POINTS."""
    return {p.name: a.energy(p.ratio, p.capacity) / b.energy(p.ratio, p.capacity) for p in HARDWARE_POINTS}
