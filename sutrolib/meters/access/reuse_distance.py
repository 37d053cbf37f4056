"""The access stream as an LRU stack-distance histogram, and the numbers that are sums over it.

The stack distance of an access is the number of distinct bytes accessed since the last access of the same unit,
including the unit itself; the time distance is the number of all bytes. A unit is a cache line, or another number of
bytes. One histogram holds the misses of a least-recently-used cache of every capacity (Mattson et al., IBM Systems
Journal 9(2), 1970).

    data movement distance, DMD = sum over accesses of sqrt(stack distance)
        (Smith, Goldfarb, Ding, Beyond Time Complexity, ICS 2022, arXiv 2203.02536; Ding et al., arXiv 2312.14441)
    ByteDMD = sum over the bytes read of ceil(sqrt(depth of the byte)) (github.com/cybertronai/ByteDMD)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sutrolib.core.compiled import compiled
from sutrolib.meters.access.lru_stack import NEVER, LRUStack
from sutrolib.meters.access.trace import Accesses, TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, NoReading, Reading

CACHE_LINE = 64  # bytes: the cache line of today's processors

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


def histograms(accesses: Accesses, unit: int) -> ReuseHistograms:
    """Stack and time distances of a stream in units of so many bytes.

    Raises ValueError unless ``unit`` is a whole number from 1, and NoReading for an empty stream.
    """
    if type(unit) is not int or unit < 1:
        raise ValueError(f"unit must be a number of bytes from 1 (got {unit!r})")
    if not len(accesses):
        raise NoReading("reuse histogram: nothing was accessed inside the measured block")
    return _summed(unit, _distances(accesses, unit))


def sequence_histograms(sequence: Iterable[Hashable] | np.ndarray) -> ReuseHistograms:
    """The histograms of reads of single items, each one unit of one byte: ``sequence_histograms("abbbca")``."""
    if isinstance(sequence, np.ndarray):
        units = np.unique(sequence, return_inverse=True)[1].astype(np.int64)
    else:
        numbers: dict[Hashable, int] = {}
        units = np.array([numbers.setdefault(item, len(numbers)) for item in sequence], dtype=np.int64)
    return _summed(1, [(np.zeros(len(units), np.int64), *LRUStack(len(units)).access(units))])


def trace_histograms(trace: TorchTrace, unit: int) -> ReuseHistograms:
    """The histograms of a finished trace, computed once for all meters that share it."""
    key = ("histograms", unit)
    if key not in trace.derived:
        trace.derived[key] = histograms(trace.accesses, unit)
    found: ReuseHistograms = trace.derived[key]
    return found


_Piece = tuple[np.ndarray, np.ndarray, np.ndarray]  # direction, stack distance and time distance of each access
_Counts = tuple[np.ndarray, np.ndarray]  # distance and direction as one number, and how often it occurs


def _summed(unit: int, pieces: Iterable[_Piece]) -> ReuseHistograms:
    """The histograms of a stream that comes in pieces."""
    stack, time = [], []
    for write, distinct, passed in pieces:
        stack.append(_count(distinct, write))
        time.append(_count(passed, write))
    return ReuseHistograms(_histogram(unit, stack), _histogram(unit, time))


def _count(distances: np.ndarray, write: np.ndarray) -> _Counts:
    keys, counts = _runs(distances, write)
    if keys.max(initial=0) >= 8 * len(keys):
        found, row = np.unique(keys, return_inverse=True)
        return found, np.bincount(row, counts).astype(np.int64)
    table = np.bincount(keys, counts).astype(np.int64)  # it is small, and faster than sorting
    found = np.flatnonzero(table)
    return found, table[found]


@compiled
def _runs(distances: np.ndarray, write: np.ndarray) -> _Counts:
    """Distance and direction of each run of equal accesses, as one number, and its length."""
    keys, counts = np.empty(len(distances), np.int64), np.empty(len(distances), np.int64)
    runs = begin = 0
    for end in range(1, len(distances) + 1):
        if end == len(distances) or distances[end] != distances[begin] or write[end] != write[begin]:
            keys[runs] = (distances[begin] + 1) * 2 + write[begin]
            counts[runs] = end - begin
            runs += 1
            begin = end
    return keys[:runs], counts[:runs]


def _histogram(unit: int, counted: list[_Counts]) -> ReuseHistogram:
    keys, counts = (np.concatenate(column) for column in zip(*counted, strict=True))
    distance, row = np.unique(np.r_[NEVER, keys // 2 - 1], return_inverse=True)  # first accesses are in row 0
    table = np.zeros((2, len(distance)), np.int64)
    np.add.at(table, (keys % 2, row[1:]), counts)
    cold_reads, cold_writes = table[:, 0].tolist()
    return ReuseHistogram(unit, distance[1:] * unit, table[0, 1:], table[1, 1:], cold_reads, cold_writes)


def _distances(accesses: Accesses, unit: int) -> Iterator[_Piece]:
    """Direction, stack distance and time distance of every unit touched, piece by piece, distances in units.

    The units of a buffer have numbers from ``first[buffer]`` on. A buffer that is not accessed any more makes room for
    one of the same length.
    """
    ends = accesses.range_start + accesses.range_nbytes - 1
    spans = ends // unit - accesses.range_start // unit + 1
    before = np.r_[0, np.cumsum(spans)][accesses.set_offsets]
    touched = np.r_[0, np.cumsum((before[1:] - before[:-1])[accesses.range_set])]
    lengths = -(-accesses.buffer_nbytes // unit)
    last_access = np.zeros(len(lengths), np.int64)
    last_access[accesses.buffer] = np.arange(len(accesses))
    first, free, top = np.full(len(lengths), -1), defaultdict[int, list[int]](list), 0
    stack = LRUStack(int(touched[-1]))
    columns = accesses.buffer, accesses.range_set, accesses.set_offsets, accesses.range_start, ends
    begin = 0
    while begin < len(accesses):
        end = max(begin + 1, int(np.searchsorted(touched[1:], touched[begin] + _PIECE)))
        buffers = np.unique(accesses.buffer[begin:end])
        for buffer in buffers[first[buffers] < 0]:
            if same_length := free[lengths[buffer]]:
                first[buffer] = same_length.pop()
            else:
                first[buffer] = top
                top += lengths[buffer]
        units, counts = np.empty(touched[end] - touched[begin], np.int64), np.zeros(end - begin, np.int64)
        filled = _expand(columns, first, unit, begin, units, counts)
        yield np.repeat(accesses.write[begin:end], counts), *stack.access(units[:filled])
        for buffer in buffers[last_access[buffers] < end]:
            stack.forget(first[buffer], lengths[buffer])
            free[lengths[buffer]].append(first[buffer])
        begin = end


@compiled
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
