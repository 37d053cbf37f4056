import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.guards.hardware_map import (
    CACHE_ENERGY,
    HARDWARE_POINTS,
    HardwarePoint,
    Workload,
    energy_ratios,
    winner_map,
)
from sutrolib.meters import TorchTrace
from sutrolib.meters.access.cache_energy import HOROWITZ_2014
from sutrolib.meters.access.reuse_distance import sequence_histograms


def work(name, sequence, operations):
    return Workload(name, sequence_histograms(sequence).stack, operations)


# 10 items read twice in turn: all missed below 10 bytes of cache, half of them from there on
COMPUTING = work("computes", [*range(10)], 100.0)
MOVING = work("moves", [*range(10)] * 2, 20.0)


def test_energy_is_operations_plus_what_comes_from_memory_and_from_the_cache():
    assert MOVING.energy(2.0, 5) == 20 + 2 * 20
    assert MOVING.energy(2.0, 10) == pytest.approx(20 + 2 * (10 + CACHE_ENERGY * 10))


def test_the_winner_flips_where_the_energies_are_equal():
    found = winner_map(COMPUTING, MOVING, capacities=np.array([5.0, 10.0]))
    assert found.flips[0] == pytest.approx(80 / 10)
    assert found.flips[1] == pytest.approx(80 / (10 * CACHE_ENERGY))
    for capacity, flip in zip(found.capacities, found.flips, strict=True):
        assert COMPUTING.energy(flip, capacity) == pytest.approx(MOVING.energy(flip, capacity))
    assert found.log_ratio[0, 0] > 0 > found.log_ratio[0, -1]
    assert 0 < found.share_a < 1


def test_there_is_no_flip_where_one_is_never_dearer():
    assert all(math.isnan(flip) for flip in winner_map(COMPUTING, work("less", [1], 1.0)).flips)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_the_sign_changes_on_the_flip_line_and_nowhere_else(one, other, few, many):
    a, b = work("a", one, float(few)), work("b", other, float(many))
    found = winner_map(a, b, capacities=np.array([1.0, 4.0, 16.0]))
    for row, flip in zip(found.log_ratio, found.flips, strict=True):
        signs = np.sign(np.round(row, 12))
        changes = np.flatnonzero(np.diff(signs[signs != 0]))
        inside = found.ratios[0] < flip < found.ratios[-1]
        assert len(changes) == (1 if inside else 0) or (signs == 0).any()


def test_an_algorithm_that_moves_less_wins_later_and_loses_where_memory_is_free():
    ratios = energy_ratios(COMPUTING, MOVING)
    assert ratios["memory-free"] > ratios["1985-like"] > ratios["45 nm, 2014"]
    assert ratios["memory-free"] > 1
    assert set(ratios) == {mark.name for mark in HARDWARE_POINTS}


def test_landmarks_come_from_their_profiles_and_name_their_source():
    mark = HardwarePoint.of(HOROWITZ_2014)
    assert mark.ratio == pytest.approx(1950 / 8 / 2.3)
    assert mark.capacity == 2**20
    assert all(m.source for m in HARDWARE_POINTS)
    order = {m.name: m.ratio for m in HARDWARE_POINTS}
    assert order["memory-free"] < order["1985-like"] < order["7 nm, 2021"] < order["45 nm, 2014"]


def test_the_work_of_a_trace_counts_wide_operations_double():
    with TorchTrace() as trace:
        torch.ones(8, dtype=torch.float64) * 2
    assert Workload.of_trace("x", trace).operations == 16


@pytest.mark.parametrize("capacities", [[1.0, -1.0], [], [2.0, 2.0]])
def test_maps_over_nothing_are_refused(capacities):
    with pytest.raises(ValueError, match="capacities must be increasing numbers above 0"):
        winner_map(COMPUTING, MOVING, capacities=np.array(capacities))
