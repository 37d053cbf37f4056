import re

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from sutrolib.core.format import bytes_text
from sutrolib.meters.access.cache_energy import A100, HOROWITZ_2014, Hardware, MemoryLevel, cache_energy
from sutrolib.meters.access.reuse_distance import sequence_histograms
from sutrolib.models.kernels.matmul import product_reads
from sutrolib.notebook.widgets import explorers, in_bytes, reuse_panel
from sutrolib.notebook.widgets.explorers import draw_reuse, with_cache
from sutrolib.notebook.widgets.layout import PANEL

OPERATIONS = {"float32": 2 * 16**3}
NAIVE, TILED = (in_bytes(sequence_histograms(product_reads(16, tile)).stack, 4) for tile in (1, 4))


class Explorer:
    """The panel of two orders of the matrix product, and its controls."""

    def __init__(self):
        self.panel = reuse_panel({"naive": (NAIVE, OPERATIONS), "tiles of 4": (TILED, OPERATIONS)})
        self.program, self.machine, self.capacity, row = self.panel.children
        self.picture, self.text = row.children

    @property
    def alt(self):
        return re.search('alt="(.*?)"', self.picture.value)[1]


def test_the_panel_opens_on_the_machine_as_it_is_published():
    explorer = Explorer()
    assert PANEL in explorer.panel._dom_classes
    assert explorer.capacity.label == "1 MiB"
    assert "a cache of 1 MiB (the machine's own)" in explorer.text.value
    published = cache_energy(NAIVE, OPERATIONS, HOROWITZ_2014)
    moved = cache_energy(NAIVE, OPERATIONS, with_cache(HOROWITZ_2014, 2**20))
    assert moved.value == published.value


def test_the_panel_can_open_with_another_cache_and_compares_all_programs():
    panel = reuse_panel({"naive": (NAIVE, OPERATIONS), "tiles of 4": (TILED, OPERATIONS)}, opening=512.0)
    assert panel.children[2].label == "512 B"
    text = panel.children[3].children[1].value
    assert "a cache of 512 B (the machine's own is 1 MiB)" in text
    for histogram in (NAIVE, TILED):
        energy = cache_energy(histogram, OPERATIONS, with_cache(HOROWITZ_2014, 512.0))
        misses = histogram.misses(512)
        assert f"<td>{misses:,} ({misses / (2 * 16**3):.1%})</td><td>{1e6 * energy.value:.3g}</td>" in text


@pytest.mark.parametrize("capacity", [64, 256, 2**10, 2**12, 2**20])
def test_misses_and_joules_follow_the_slider_and_are_those_of_the_histogram(capacity):
    explorer = Explorer()
    explorer.capacity.value = float(capacity)
    misses = NAIVE.misses(capacity)
    assert f"<b>{misses:,} of {2 * 16**3:,} accesses miss</b> a cache of {bytes_text(capacity)}" in explorer.text.value
    energy = cache_energy(NAIVE, OPERATIONS, with_cache(HOROWITZ_2014, capacity))
    assert f"misses {misses / (2 * 16**3):.1%} of the accesses: {1e6 * energy.value:.3g} uJ (modelled)" in explorer.alt
    assert energy.detail["bytes_by_level"]["DRAM"] == 4 * misses


def test_a_smaller_cache_sends_more_to_memory_and_costs_more():
    energies = [cache_energy(NAIVE, {}, with_cache(HOROWITZ_2014, 2.0**p)).value for p in range(6, 16)]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] > 2 * energies[-1]


def test_another_machine_brings_its_own_cache_and_another_program_its_own_histogram():
    explorer = Explorer()
    before = explorer.picture.value
    explorer.machine.value = A100
    assert explorer.capacity.label == "40 MiB"
    assert explorer.picture.value != before
    assert "on A100 (GPU)" in explorer.alt
    explorer.capacity.value = 512.0
    naive = explorer.text.value
    explorer.program.value = "tiles of 4"
    assert explorer.capacity.value == 512
    assert f"<b>{TILED.misses(512):,} of" in explorer.text.value
    assert explorer.text.value != naive


def test_a_machine_with_a_cache_of_the_same_capacity_is_drawn_anew_too(monkeypatch):
    other = Hardware("other", "made up", {"float32": 1.0}, (MemoryLevel("L1", 2**20, 1), MemoryLevel("RAM", np.inf, 9)))
    monkeypatch.setattr(explorers, "HARDWARE_PROFILES", (HOROWITZ_2014, other))
    panel = reuse_panel({"naive": (NAIVE, OPERATIONS)})
    panel.children[1].value = other
    assert "on other" in panel.children[3].children[0].value


def test_levels_that_the_largest_cache_would_not_enclose_are_left_out():
    assert [level.name for level in with_cache(HOROWITZ_2014, 32 * 2**10).levels] == [
        "8 KB",
        "largest cache, 32 KiB",
        "DRAM",
    ]
    assert [level.name for level in with_cache(HOROWITZ_2014, 64).levels] == ["largest cache, 64 B", "DRAM"]


@pytest.mark.parametrize("capacity", [64, 300, 1024, 2**25])
def test_the_bars_add_up_to_all_accesses_and_the_hatched_ones_to_the_misses(capacity):
    energy = cache_energy(NAIVE, OPERATIONS, with_cache(HOROWITZ_2014, capacity))
    above = draw_reuse(NAIVE, capacity, energy, energy.value).axes[0]
    heights = {bar: bar.get_height() for bar in above.patches}
    assert sum(heights.values()) == pytest.approx(100)
    hatched = sum(height for bar, height in heights.items() if bar.get_hatch())
    assert {bar.get_edgecolor() for bar in heights if not bar.get_hatch()} == {to_rgba("black")}
    assert hatched == pytest.approx(100 * NAIVE.misses(capacity) / NAIVE.accesses)
