"""The access stream as an LRU stack-distance histogram, and the numbers that are sums over it.

The stack distance of an access is the number of distinct bytes accessed since the last access of the same unit, the
unit itself included; the time distance is that of all bytes. A unit is a cache line, a scalar or a whole tensor. One
histogram holds the misses of a least-recently-used cache of every capacity (Mattson et al., IBM Systems Journal 9(2),
1970).

    data movement distance, DMD = sum over accesses of sqrt(stack distance)
        (Smith, Goldfarb, Ding, Beyond Time Complexity, ICS 2022, arXiv 2203.02536; Ding et al., arXiv 2312.14441)
    ByteDMD = sum over the bytes read of ceil(sqrt(depth of the byte)) (github.com/cybertronai/ByteDMD)
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numba import njit

from sutrolib.meters.access.lru_stack import LRUStack, weighted_distances
from sutrolib.meters.access.trace import Accesses, TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, NoReading, Reading

CACHE_LINE = 64  # bytes: the cache line of today's processors

Granularity = int | Literal["scalar", "tensor"]

_PIECE = 1 << 20  # units that are in memory at one time


@dataclass(frozen=True)
class ReuseHistogram:
    """How many units of ``unit_bytes`` bytes were read and written at each distance (bytes, ascending).

    ``cold_reads`` and ``cold_writes`` are the units whose first access it was: they have no distance.
    """

    unit_bytes: int
    distance: np.ndarray
    reads: np.ndarray
    writes: np.ndarray
    cold_reads: int
    cold_writes: int

    @property
    def accesses(self) -> int:
        """All units read and written."""
        return int(self.reads.sum() + self.writes.sum()) + self.cold_reads + self.cold_writes

    @property
    def mean(self) -> float:
        """Mean distance in bytes of the accesses that have one. Raises NoReading where none has."""
        counts = self.reads + self.writes
        if not counts.any():
            raise NoReading("reuse histogram: nothing is accessed twice")
        return float(np.average(self.distance, weights=counts))

    @property
    def dmd(self) -> float:
        """Data movement distance: sum of sqrt(distance) over all accesses with one, distance counted in units."""
        return float((np.sqrt(self.distance / self.unit_bytes) * (self.reads + self.writes)).sum())

    @property
    def byte_dmd(self) -> int:
        """Sum of ceil(sqrt(depth)) over every byte of every read with a distance."""
        depths = zip(self.distance.tolist(), self.reads.tolist(), strict=True)
        return sum(
            reads * (sum_ceil_sqrt(depth) - sum_ceil_sqrt(depth - self.unit_bytes)) for depth, reads in depths if reads
        )

    def misses(self, capacity: float) -> int:
        """Units that a least-recently-used cache of ``capacity`` bytes does not hold when they are accessed."""
        far = self.distance > capacity
        return int(self.reads[far].sum() + self.writes[far].sum()) + self.cold_reads + self.cold_writes

    def miss_ratio_curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Capacities (bytes, ascending from 0) at which the miss ratio changes, and the miss ratio from there on."""
        hits = np.r_[0, np.cumsum(self.reads + self.writes)]
        return np.r_[0, self.distance], 1 - hits / self.accesses


class ReuseHistograms(NamedTuple):
    """The same accesses by stack distance (distinct bytes) and by time distance (all bytes)."""

    stack: ReuseHistogram
    time: ReuseHistogram


def sum_ceil_sqrt(depth: int) -> int:
    """Sum of ceil(sqrt(d)) for d = 1 to ``depth``: each r stands for the d in ((r-1)^2, r^2]."""
    full = math.isqrt(depth)
    return full * (full + 1) * (4 * full - 1) // 6 + (full + 1) * (depth - full * full)


def histograms(accesses: Accesses, granularity: Granularity = CACHE_LINE) -> ReuseHistograms:
    """Stack and time distances of a stream at a granularity: bytes of a unit, ``"scalar"`` or ``"tensor"``.

    ``"scalar"`` is the smallest element in the stream. At ``"tensor"`` every access touches its whole buffer, as coarse
    trackers have it; distances and counts are in bytes then. Raises ValueError for another granularity, and NoReading
    for an empty stream.
    """
    if not len(accesses):
        raise NoReading("reuse histogram: nothing was accessed inside the metered block")
    if granularity == "tensor":
        return _by_tensor(accesses)
    unit = int((accesses.nbytes // accesses.elements).min()) if granularity == "scalar" else granularity
    if not isinstance(unit, int) or isinstance(unit, bool) or unit < 1:
        raise ValueError(f"granularity={granularity!r}, accepted are a number of bytes, 'scalar' and 'tensor'")
    stack, time = _Tally(), _Tally()
    for write, distinct, passed in _distances(accesses, unit):
        stack.add(distinct, write)
        time.add(passed, write)
    return ReuseHistograms(stack.histogram(unit), time.histogram(unit))


def sequence_histograms(sequence: Iterable[Hashable] | np.ndarray) -> ReuseHistograms:
    """The histograms of reads of single items, each one unit of one byte: ``sequence_histograms("abbbca")``."""
    numbers: dict[Hashable, int] = {}
    if isinstance(sequence, np.ndarray):
        units = np.unique(sequence, return_inverse=True)[1].astype(np.int64)
    else:
        units = np.array([numbers.setdefault(item, len(numbers)) for item in sequence], dtype=np.int64)
    tallies = _Tally(), _Tally()
    for tally, distances in zip(tallies, LRUStack(len(units)).access(units), strict=True):
        tally.add(distances, np.zeros(len(units), np.int64))
    return ReuseHistograms(*(tally.histogram(1) for tally in tallies))


def trace_histograms(trace: TorchTrace, granularity: Granularity) -> ReuseHistograms:
    """The histograms of a finished trace, computed once for all meters that share it."""
    key = ("histograms", granularity)
    if key not in trace.derived:
        trace.derived[key] = histograms(trace.accesses, granularity)
    found: ReuseHistograms = trace.derived[key]
    return found


class _Tally:
    """Adds up how often each pair of distance and direction occurs."""

    def __init__(self) -> None:
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, distances: np.ndarray, write: np.ndarray, weights: np.ndarray | None = None) -> None:
        keys = (distances + 1) * 2 + write
        if weights is None:
            keys, weights = _counted(keys)
        self._keys.append(keys)
        self._counts.append(weights)

    def histogram(self, unit: int) -> ReuseHistogram:
        keys, inverse = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, inverse, np.concatenate(self._counts))
        cold = dict(zip(keys.tolist(), counts.tolist(), strict=True))
        warm = keys >= 2
        distance, row = np.unique(keys[warm] // 2 - 1, return_inverse=True)
        table = np.zeros((2, len(distance)), np.int64)
        table[keys[warm] % 2, row] = counts[warm]
        return ReuseHistogram(unit, distance * unit, table[0], table[1], cold.get(0, 0), cold.get(1, 0))


def _counted(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys and how often each occurs; by a table where that is small, else by sorting."""
    if keys.max(initial=0) < 8 * len(keys):
        table = np.bincount(keys)
        found = np.flatnonzero(table)
        return found, table[found]
    return np.unique(keys, return_counts=True)


def _by_tensor(accesses: Accesses) -> ReuseHistograms:
    tallies = _Tally(), _Tally()
    weights = accesses.buffer_nbytes[accesses.buffer]
    for tally, distances in zip(tallies, weighted_distances(accesses.buffer, accesses.buffer_nbytes), strict=True):
        tally.add(distances, accesses.write, weights)
    return ReuseHistograms(*(tally.histogram(1) for tally in tallies))


def _distances(accesses: Accesses, unit: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Direction, stack distance and time distance of every unit touched, piece by piece, distances in units."""
    spans = (accesses.range_start + accesses.range_nbytes - 1) // unit - accesses.range_start // unit + 1
    before = np.r_[0, np.cumsum(spans)]
    touched = np.cumsum((before[accesses.set_offsets[1:]] - before[accesses.set_offsets[:-1]])[accesses.range_set])
    lengths = -(-accesses.buffer_nbytes // unit)
    final = np.zeros(len(lengths), np.int64)
    final[accesses.buffer] = np.arange(len(accesses))
    places, stack = _Places(lengths), LRUStack(int(touched[-1]))
    begin = 0
    while begin < len(accesses):
        limit = (touched[begin - 1] if begin else 0) + _PIECE
        end = max(begin + 1, int(np.searchsorted(touched, limit)))
        buffers = np.unique(accesses.buffer[begin:end])
        places.take(buffers)
        room = int(touched[end - 1] - (touched[begin - 1] if begin else 0))
        units, counts = _units(accesses, places.base, unit, begin, end, room)
        distinct, passed = stack.access(units)
        yield np.repeat(accesses.write[begin:end], counts), distinct, passed
        for buffer in buffers[final[buffers] < end]:
            stack.forget(places.base[buffer], lengths[buffer])
            places.give(buffer)
        begin = end


class _Places:
    """Numbers the units of buffers; a buffer that is not accessed any more makes room for one of the same length."""

    def __init__(self, lengths: np.ndarray) -> None:
        self.base = np.full(len(lengths), -1, np.int64)
        self._lengths = lengths
        self._free: dict[int, list[int]] = {}
        self._top = 0

    def take(self, buffers: np.ndarray) -> None:
        for buffer in buffers[self.base[buffers] < 0]:
            length = int(self._lengths[buffer])
            free = self._free.get(length)
            if free:
                self.base[buffer] = free.pop()
            else:
                self.base[buffer] = self._top
                self._top += length

    def give(self, buffer: int) -> None:
        self._free.setdefault(int(self._lengths[buffer]), []).append(int(self.base[buffer]))


def _units(
    accesses: Accesses, base: np.ndarray, unit: int, begin: int, end: int, room: int
) -> tuple[np.ndarray, np.ndarray]:
    """The unit numbers that the accesses from ``begin`` to ``end`` touch, and how many each of them touches."""
    units, counts = np.empty(room, np.int64), np.zeros(end - begin, np.int64)
    columns = accesses.buffer, accesses.range_set, accesses.set_offsets, accesses.range_start, accesses.range_nbytes
    filled = _expand(*columns, base, unit, begin, units, counts)
    return units[:filled], counts


@njit(cache=True)
def _expand(
    buffer: np.ndarray,
    extent: np.ndarray,
    first: np.ndarray,
    start: np.ndarray,
    length: np.ndarray,
    base: np.ndarray,
    unit: int,
    begin: int,
    out: np.ndarray,
    counts: np.ndarray,
) -> int:
    filled = 0
    for index in range(len(counts)):
        offset, ranges = base[buffer[begin + index]], extent[begin + index]
        opened, previous = filled, -1
        for position in range(first[ranges], first[ranges + 1]):
            low, high = start[position] // unit, (start[position] + length[position] - 1) // unit
            if low == previous:  # the line that the range before it ended in
                low += 1
            for line in range(low, high + 1):
                out[filled] = offset + line
                filled += 1
            previous = high
        counts[index] = filled - opened
    return filled


class DataMovement(TracedMeter):
    """Data movement distance: the sum of sqrt(stack distance) over all reads and writes, distance counted in units."""

    name = "dmd"
    title = "data movement distance"
    unit = "sqrt(lines)"
    kind = Kind.MODELLED
    additive = True

    def __init__(self, granularity: int = CACHE_LINE) -> None:
        super().__init__()
        self.granularity = granularity

    def read(self, trace: TorchTrace) -> Reading:
        stack, time = trace_histograms(trace, self.granularity)
        detail = {
            "granularity_bytes": self.granularity,
            "mean_stack_distance_bytes": stack.mean,
            "mean_time_distance_bytes": time.mean,
            "bytes_accessed": stack.accesses * stack.unit_bytes,
            "cold_bytes": (stack.cold_reads + stack.cold_writes) * stack.unit_bytes,
        }
        return self._make(stack.dmd, detail)
