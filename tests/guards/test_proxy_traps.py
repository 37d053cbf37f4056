import numpy as np
import pytest

from sutrolib.guards.proxy_traps import TrapResult, gf2_reuse, known_traps, run_trap


@pytest.mark.parametrize("trap", known_traps(), ids=lambda trap: trap.name)
def test_each_trap_fools_the_reuse_distance_and_not_the_total_of_data_movement(trap):
    sprung = run_trap(trap)
    assert sprung.fooled == ("ard",)
    assert sprung.ratios["ard"] < 1 < sprung.ratios["cache-energy"]


def test_a_metric_that_prefers_the_sound_program_is_not_fooled():
    trap = known_traps()[0]
    assert TrapResult(trap, {"ard": 1.5, "dmd": 0.5, "cache-energy": 2.0}).fooled == ("dmd",)
    assert TrapResult(trap, {"ard": 0.5, "dmd": 0.5, "cache-energy": 0.9}).fooled == ()


def test_coarse_tracking_sees_one_read_of_the_matrix_and_misses_the_row_operations():
    coarse, fine = gf2_reuse()
    assert (coarse.per_read, round(coarse.dmc), len(coarse.distance)) == (420, 8607, 1)
    assert len(fine.distance) > 100
    assert np.median([f.dmc / c.dmc for c, f in (gf2_reuse(seed=seed) for seed in range(5))]) > 20
