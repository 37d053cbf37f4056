"""The access stream as an LRU stack-distance histogram, and the numbers that are sums over it.

The stack distance of an access is the number of distinct bytes accessed since the last access of the same unit,
including the unit itself; the time distance is the number of all bytes. A unit is a cache line, a scalar or a whole
tensor. One histogram holds the misses of a least-recently-used cache of every capacity (Mattson et al., IBM Systems
Journal 9(2), 1970).

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

_PIECE = 1 << 20  # units that are processed at one time


@dataclass(frozen=True)
class ReuseHistogram:
    """How many units of ``unit_bytes`` bytes were read and written at each distance (bytes, ascending).

    ``cold_reads`` and ``cold_writes`` are first accesses, which have no distance.
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
        """Mean distance in bytes of the accesses that have one. Raises NoReading if none has."""
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
        depths, unit = zip(self.distance.tolist(), self.reads.tolist(), strict=True), self.unit_bytes
        return sum(reads * (sum_ceil_sqrt(depth) - sum_ceil_sqrt(depth - unit)) for depth, reads in depths if reads)

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

    ``"scalar"`` is the smallest element in the stream. At ``"tensor"`` every access touches its whole buffer, as in
    coarse trackers; distances and counts are in bytes then. Raises ValueError for another granularity, and NoReading
    for an empty stream.
    """
    if not len(accesses):
        raise NoReading("reuse histogram: nothing was accessed inside the measured block")
    if granularity == "tensor":
        distances = weighted_distances(accesses.buffer, accesses.buffer_nbytes)
        return _summed(1, [(accesses.write, *distances)], accesses.buffer_nbytes[accesses.buffer])
    unit = int((accesses.nbytes // accesses.elements).min()) if granularity == "scalar" else granularity
    if not isinstance(unit, int) or isinstance(unit, bool) or unit < 1:
        raise ValueError(f"granularity must be a number of bytes, 'scalar' or 'tensor' (got {granularity!r})")
    return _summed(unit, _distances(accesses, unit))


def sequence_histograms(sequence: Iterable[Hashable] | np.ndarray) -> ReuseHistograms:
    """The histograms of reads of single items, each one unit of one byte: ``sequence_histograms("abbbca")``."""
    if isinstance(sequence, np.ndarray):
        units = np.unique(sequence, return_inverse=True)[1].astype(np.int64)
    else:
        numbers: dict[Hashable, int] = {}
        units = np.array([numbers.setdefault(item, len(numbers)) for item in sequence], dtype=np.int64)
    return _summed(1, [(np.zeros(len(units), np.int64), *LRUStack(len(units)).access(units))])


def trace_histograms(trace: TorchTrace, granularity: Granularity) -> ReuseHistograms:
    """The histograms of a finished trace, computed once for all meters that share it."""
    key = ("histograms", granularity)
    if key not in trace.derived:
        trace.derived[key] = histograms(trace.accesses, granularity)
    found: ReuseHistograms = trace.derived[key]
    return found


_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]  # direction, stack distance and time distance of each access


def _summed(unit: int, pieces: Iterable[_Piece], weights: np.ndarray | None = None) -> ReuseHistograms:
    """The histograms of a stream that comes in pieces; ``weights`` counts each access that many times."""
    stack, time = _Counts(), _Counts()
    for write, distinct, passed in pieces:
        stack.add(distinct, write, weights)
        time.add(passed, write, weights)
    return ReuseHistograms(stack.histogram(unit), time.histogram(unit))


class _Counts:
    """Adds up how often each pair of distance and direction occurs."""

    def __init__(self) -> None:
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []

    def add(self, distances: np.ndarray, write: np.ndarray, weights: np.ndarray | None) -> None:
        keys = (distances + 1) * 2 + write
        if weights is None and keys.max(initial=0) < 8 * len(keys):  # a table is small, and faster than sorting
            table = np.bincount(keys)
            keys = np.flatnonzero(table)
            weights = table[keys]
        elif weights is None:
            keys, weights = np.unique(keys, return_counts=True)
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


def _distances(accesses: Accesses, unit: int) -> Iterator[_Piece]:
    """Direction, stack distance and time distance of every unit touched, piece by piece, distances in units."""
    ends = accesses.range_start + accesses.range_nbytes - 1
    spans = ends // unit - accesses.range_start // unit + 1
    before = np.r_[0, np.cumsum(spans)][accesses.set_offsets]
    touched = np.r_[0, np.cumsum((before[1:] - before[:-1])[accesses.range_set])]
    lengths = -(-accesses.buffer_nbytes // unit)
    last_access = np.zeros(len(lengths), np.int64)
    last_access[accesses.buffer] = np.arange(len(accesses))
    numbering, stack = _UnitNumbers(lengths), LRUStack(int(touched[-1]))
    columns = accesses.buffer, accesses.range_set, accesses.set_offsets, accesses.range_start, ends
    begin = 0
    while begin < len(accesses):
        end = max(begin + 1, int(np.searchsorted(touched[1:], touched[begin] + _PIECE)))
        buffers = np.unique(accesses.buffer[begin:end])
        numbering.take(buffers)
        units, counts = np.empty(touched[end] - touched[begin], np.int64), np.zeros(end - begin, np.int64)
        filled = _expand(columns, numbering.first, unit, begin, units, counts)
        yield np.repeat(accesses.write[begin:end], counts), *stack.access(units[:filled])
        for buffer in buffers[last_access[buffers] < end]:
            stack.forget(numbering.first[buffer], lengths[buffer])
            numbering.give_back(buffer)
        begin = end


class _UnitNumbers:
    """Numbers the units of buffers; a buffer that is not accessed any more makes room for one of the same length."""

    def __init__(self, lengths: np.ndarray) -> None:
        self.first = np.full(len(lengths), -1, np.int64)
        self._lengths = lengths
        self._free: dict[int, list[int]] = {}
        self._top = 0

    def take(self, buffers: np.ndarray) -> None:
        for buffer in buffers[self.first[buffers] < 0]:
            length = int(self._lengths[buffer])
            free = self._free.get(length)
            if free:
                self.first[buffer] = free.pop()
            else:
                self.first[buffer] = self._top
                self._top += length

    def give_back(self, buffer: int) -> None:
        self._free.setdefault(int(self._lengths[buffer]), []).append(int(self.first[buffer]))


@njit(cache=True)
def _expand(
    columns: tuple[np.ndarray, ...], base: np.ndarray, unit: int, begin: int, units: np.ndarray, counts: np.ndarray
) -> int:
    """Write the unit numbers that the accesses from ``begin`` on touch into ``units``, and how many into ``counts``."""
    buffer, range_set, set_offsets, start, end = columns
    filled = 0
    for index in range(len(counts)):
        offset, ranges = base[buffer[begin + index]], range_set[begin + index]
        opened, previous = filled, -1
        for position in range(set_offsets[ranges], set_offsets[ranges + 1]):
            low, high = start[position] // unit, end[position] // unit
            if low == previous:  # the unit that the range before it ended in
                low += 1
            for number in range(low, high + 1):
                units[filled] = offset + number
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
