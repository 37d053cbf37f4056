"""Modelled joules of a run on given hardware: a price for each operation by its type, and for each byte by its level.

    E = sum over operations of e(type) + sum over bytes accessed of e(the smallest level that holds them)

A level of c bytes holds what has a stack distance of at most c: the cache is fully associative and replaces the least
recently used line (Mattson et al., IBM Systems Journal 9(2), 1970). A first read comes from the last level, DRAM; a
first write goes to the first. Write-backs of evicted lines, instructions, clocks and leakage cost nothing: the joules
are those of arithmetic and data movement, and the kind is ``modelled``.

An operation costs the mean of an addition and a multiplication if the source gives both. ``HOROWITZ_2014`` and
``JOUPPI_2021`` are energies of circuits. The other two are fits to the power of whole machines, which include
instructions and clocks: compare runs on one profile, never the joules of two profiles.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from sutrolib.meters.access.reuse_distance import CACHE_LINE, ReuseHistogram, trace_histograms
from sutrolib.meters.access.trace import TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, NoReading, Reading

KB, MB = 2**10, 2**20


@dataclass(frozen=True)
class MemoryLevel:
    """A level of memory: its capacity in bytes, and picojoules for each byte accessed there."""

    name: str
    capacity: float
    pj_per_byte: float

    def __post_init__(self) -> None:
        for name, value in (("capacity", self.capacity), ("pj_per_byte", self.pj_per_byte)):
            if not value >= 0:
                raise ValueError(f"level {self.name}: {name} must be at least 0 (got {value!r})")


@dataclass(frozen=True)
class Hardware:
    """Energies of a machine: picojoules per operation by dtype, and memory levels from the smallest to DRAM.

    ValueError unless capacities rise, the last one is infinite, and there is a floating-point type among ``pj_per_op``.
    """

    name: str
    source: str
    pj_per_op: Mapping[str, float]
    levels: tuple[MemoryLevel, ...]

    def __post_init__(self) -> None:
        capacities = [level.capacity for level in self.levels]
        if not capacities or sorted(set(capacities)) != capacities or capacities[-1] != math.inf:
            raise ValueError(f"levels must have rising capacities, the last one infinite (got {self.levels!r})")
        if not any(_family(name) == "float" for name in self.pj_per_op):
            raise ValueError(f"pj_per_op must hold a floating-point dtype (got {dict(self.pj_per_op)!r})")

    def pj_per_operation(self, dtype: str) -> float:
        """Picojoules of one operation of a dtype, by PyTorch's name for it (``float32``).

        A dtype that the source does not list costs what the dtype of its family with the nearest width does, times the
        ratio of their widths. Integers use the floating-point dtypes if no integer is listed. A complex operation
        counts as four of its parts.
        """
        if dtype in self.pj_per_op:
            return self.pj_per_op[dtype]
        if dtype.startswith("complex"):
            return 4 * self.pj_per_operation(f"float{dtype_bits(dtype) // 2}")
        family = [name for name in self.pj_per_op if _family(name) == _family(dtype)]
        listed = family or [name for name in self.pj_per_op if _family(name) == "float"]
        width = dtype_bits(dtype)
        nearest = min(listed, key=lambda name: (abs(math.log(dtype_bits(name) / width)), name))
        return self.pj_per_op[nearest] * width / dtype_bits(nearest)


def dtype_bits(dtype: str) -> int:
    """Bits of a dtype by its name: the number at its end, or before its variant (``float8_e5m2``)."""
    if dtype == "bool":
        return 8
    found = re.match(r"[a-z]+(\d+)", dtype)
    if not found:
        raise ValueError(f"dtype must be a name such as 'float32', 'int8' or 'bool' (got {dtype!r})")
    return int(found[1])


def _family(dtype: str) -> str:
    return "int" if dtype.startswith(("int", "uint", "bool")) else "float"


HOROWITZ_2014 = Hardware(
    "45 nm, 2014",
    "M. Horowitz, Computing's energy problem, ISSCC 2014; DRAM: the middle of 1.3 to 2.6 nJ for 64 bits",
    {"int8": 0.115, "int32": 1.6, "float16": 0.75, "float32": 2.3},
    (
        MemoryLevel("8 KB", 8 * KB, 10 / 8),
        MemoryLevel("32 KB", 32 * KB, 20 / 8),
        MemoryLevel("1 MB", MB, 100 / 8),
        MemoryLevel("DRAM", math.inf, 1950 / 8),
    ),
)
JOUPPI_2021 = Hardware(
    "7 nm, 2021",
    "N. Jouppi et al., Ten lessons from three generations shaped Google's TPUv4i, ISCA 2021, table 2; "
    "DRAM: HBM2, the middle of 250 to 450 pJ for 64 bits",
    {"int8": 0.0385, "int32": 0.755, "bfloat16": 0.16, "float16": 0.25, "float32": 0.845},
    (
        MemoryLevel("8 KB", 8 * KB, 7.5 / 8),
        MemoryLevel("32 KB", 32 * KB, 8.5 / 8),
        MemoryLevel("1 MB", MB, 14 / 8),
        MemoryLevel("DRAM", math.inf, 350 / 8),
    ),
)
CORE_I7_950 = Hardware(
    "Core i7-950 (CPU)",
    "operations and DRAM: J. Choi, D. Bedard, R. Fowler, R. Vuduc, A roofline model of energy, IPDPS 2013, fitted to "
    "measured power, quoted from memory and not checked against the paper; caches: Horowitz 2014, of the same 45 nm, "
    "with 20 pJ for 64 bits in 32 KB, and 100 pJ in 8 MB of which the source only lists 1 MB",
    {"float32": 371, "float64": 670},
    (MemoryLevel("L1", 32 * KB, 20 / 8), MemoryLevel("L3", 8 * MB, 100 / 8), MemoryLevel("DRAM", math.inf, 795)),
)
A100 = Hardware(
    "A100 (GPU)",
    "O. Antepara et al., SC 2025, doi 10.1145/3712285.3759815, table 3, fitted to measured power (vector float32 and "
    "float64, matrix float16); capacities: 108 first-level caches of 192 KB together, and a second level of 40 MB",
    {"float16": 0.70, "bfloat16": 0.70, "float32": 10.7, "float64": 28.5},
    (MemoryLevel("L1", 108 * 192 * KB, 12.7), MemoryLevel("L2", 40 * MB, 50.4), MemoryLevel("HBM2", math.inf, 155.3)),
)
HARDWARE_PROFILES = (HOROWITZ_2014, JOUPPI_2021, CORE_I7_950, A100)


def bytes_by_level(histogram: ReuseHistogram, hardware: Hardware) -> dict[str, int]:
    """How many bytes of a histogram are accessed at each level."""
    total = histogram.accesses
    beyond = [histogram.misses(level.capacity) - histogram.cold_writes for level in hardware.levels[:-1]] + [0]
    inside = [total - beyond[0]] + [before - after for before, after in pairwise(beyond)]
    return {level.name: count * histogram.unit_bytes for level, count in zip(hardware.levels, inside, strict=True)}


def cache_energy(histogram: ReuseHistogram, ops: Mapping[str, int], hardware: Hardware) -> Reading:
    """Modelled joules of a run from its histogram of stack distances and its operations by dtype.

    The detail splits them into arithmetic and each level. Raises ValueError for a dtype that has no width.
    """
    moved = bytes_by_level(histogram, hardware)
    by_level = {level.name: 1e-12 * level.pj_per_byte * moved[level.name] for level in hardware.levels}
    arithmetic = 1e-12 * sum(hardware.pj_per_operation(name) * count for name, count in ops.items())
    detail = {
        "hardware": hardware.name,
        "source": hardware.source,
        "joules_by_part": {"arithmetic": arithmetic, **by_level},
        "bytes_by_level": moved,
        "scaled_types": sorted(name for name in ops if name not in hardware.pj_per_op),
        "granularity_bytes": histogram.unit_bytes,
    }
    return Reading("cache-energy", arithmetic + sum(by_level.values()), "J", Kind.MODELLED, detail)


class CacheEnergy(TracedMeter):
    """Modelled joules of arithmetic and data movement on ``hardware``, with the split by level in the detail."""

    name = "cache-energy"
    title = "cache-hierarchy energy"
    unit = "J"
    kind = Kind.MODELLED
    additive = True

    def __init__(self, hardware: Hardware = JOUPPI_2021, granularity: int = CACHE_LINE) -> None:
        super().__init__()
        self.hardware, self.granularity = hardware, granularity

    def read(self, trace: TorchTrace) -> Reading:
        if not len(trace.accesses):
            raise NoReading("cache-energy: no tensor was touched in the measured block")
        return cache_energy(trace_histograms(trace, self.granularity).stack, operations_by_dtype(trace), self.hardware)


def operations_by_dtype(trace: TorchTrace) -> dict[str, int]:
    """Operations of a finished trace by dtype."""
    found: Counter[str] = Counter()
    for (_, dtype), count in trace.operations.items():
        found[dtype] += count
    return dict(found)
