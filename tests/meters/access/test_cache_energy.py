import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.meters.access.cache_energy import (
    HARDWARE_PROFILES,
    HOROWITZ_2014,
    JOUPPI_2021,
    CacheEnergy,
    Hardware,
    MemoryLevel,
    bytes_by_level,
    cache_energy,
)
from sutrolib.meters.access.reuse_distance import ReuseHistogram, sequence_histograms
from sutrolib.meters.base import NoReading

TOY = Hardware("toy", "made up", {"float32": 2.0}, (MemoryLevel("near", 2, 1.0), MemoryLevel("far", math.inf, 10.0)))


def test_each_access_pays_the_level_that_holds_it_and_each_operation_its_type():
    # of a b b b c a, the four reads that have a distance have 1, 1, 3 and three are first reads
    reading = cache_energy(sequence_histograms("abbbca").stack, {"float32": 5}, TOY)
    assert reading.detail["bytes_by_level"] == {"near": 2, "far": 1 + 3}
    assert reading.detail["joules_by_part"] == pytest.approx({"arithmetic": 10e-12, "near": 2e-12, "far": 40e-12})
    assert reading.value == pytest.approx(52e-12)
    assert (reading.unit, reading.kind) == ("J", "modelled")


def test_first_reads_come_from_the_last_level_and_first_writes_go_to_the_first():
    histogram = ReuseHistogram(1, np.array([], int), np.array([], int), np.array([], int), cold_reads=3, cold_writes=4)
    assert bytes_by_level(histogram, TOY) == {"near": 4, "far": 3}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.sampled_from(HARDWARE_PROFILES))
def test_the_levels_hold_every_byte_once_and_the_parts_sum_to_the_reading(sequence, hardware):
    histogram = sequence_histograms(sequence).stack
    assert sum(bytes_by_level(histogram, hardware).values()) == len(sequence)
    reading = cache_energy(histogram, {"float32": 1}, hardware)
    assert sum(reading.detail["joules_by_part"].values()) == pytest.approx(reading.value)


def test_the_published_tables_are_those_of_the_profiles():
    assert HOROWITZ_2014.pj_per_operation("float32") == pytest.approx((0.9 + 3.7) / 2)
    assert HOROWITZ_2014.pj_per_operation("int32") == pytest.approx((0.1 + 3.1) / 2)
    assert JOUPPI_2021.pj_per_operation("bfloat16") == pytest.approx((0.11 + 0.21) / 2)
    assert [8 * level.pj_per_byte for level in HOROWITZ_2014.levels] == [10, 20, 100, (1300 + 2600) / 2]
    assert [8 * level.pj_per_byte for level in JOUPPI_2021.levels] == [7.5, 8.5, 14, (250 + 450) / 2]
    assert all(hardware.source for hardware in HARDWARE_PROFILES)


def test_types_that_a_source_does_not_list_are_scaled_by_width_and_named():
    assert HOROWITZ_2014.pj_per_operation("float64") == pytest.approx(4.6)
    assert HOROWITZ_2014.pj_per_operation("int64") == pytest.approx(3.2)
    assert HOROWITZ_2014.pj_per_operation("bool") == HOROWITZ_2014.pj_per_operation("uint8") == 0.115
    assert HOROWITZ_2014.pj_per_operation("complex64") == 4 * HOROWITZ_2014.pj_per_operation("float32")
    assert TOY.pj_per_operation("int64") == 4.0
    assert cache_energy(sequence_histograms("aa").stack, {"int64": 1, "float32": 1}, TOY).detail["scaled_types"] == [
        "int64"
    ]
    with pytest.raises(ValueError, match="'quux'"):
        TOY.pj_per_operation("quux")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"levels": ()}, "levels"),
        ({"levels": (MemoryLevel("all", 5, 1.0),)}, "the last one infinite"),
        ({"levels": (MemoryLevel("b", 9, 1.0), MemoryLevel("a", 5, 1.0), MemoryLevel("all", math.inf, 1.0))}, "rising"),
        ({"pj_per_op": {"int8": 1.0}}, "floating-point"),
    ],
)
def test_an_impossible_machine_is_refused(change, named):
    fields = {"name": "x", "source": "y", "pj_per_op": TOY.pj_per_op, "levels": TOY.levels} | change
    with pytest.raises(ValueError, match=named):
        Hardware(**fields)
    with pytest.raises(ValueError, match=r"pj_per_byte must be at least 0 \(got -1\)"):
        MemoryLevel("L1", 5, -1)


def test_the_meter_reads_a_block_of_pytorch():
    with CacheEnergy(HOROWITZ_2014) as meter:
        a = torch.ones(16)  # one line written
        a + a  # read twice, the result written
    parts = meter.reading.detail["joules_by_part"]
    assert parts["arithmetic"] == pytest.approx(16 * 2.3e-12)
    assert parts["8 KB"] == pytest.approx(4 * 64 * 1.25e-12)
    assert parts["DRAM"] == 0
    with pytest.raises(NoReading, match="no tensor"), CacheEnergy() as empty:
        pass
    with pytest.raises(NoReading):
        _ = empty.reading
