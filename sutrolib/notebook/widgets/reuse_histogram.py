"""The reuse histogram: choose a machine and the capacity of its largest cache, and see misses and joules change.

Nothing is counted again: misses and joules are sums over one histogram (``reuse_distance``, ``cache_energy``). A byte
from the largest cache costs the same at every capacity, and smaller levels that it would not enclose are left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sutrolib.core.format import bytes_text, number
from sutrolib.meters.access.cache_energy import HARDWARE_PROFILES, MB, Hardware, cache_energy
from sutrolib.meters.access.reuse_distance import ReuseHistogram
from sutrolib.meters.base import Reading
from sutrolib.notebook.widgets.layout import dropdown, hbox, html_table, image, panel

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMALLEST, _LARGEST = 64, 64 * MB  # bytes of cache that can be chosen


@dataclasses.dataclass(frozen=True)
class CountedProgram:
    """The counts of a program: its stack distances, and its operations by number type."""

    histogram: ReuseHistogram
    operations: Mapping[str, int]

    @classmethod
    def from_number_histogram(
        cls, histogram: ReuseHistogram, nbytes: int, operations: Mapping[str, int]
    ) -> CountedProgram:
        """From a histogram over numbers, each of ``nbytes`` bytes."""
        in_bytes = dataclasses.replace(
            histogram, unit_bytes=histogram.unit_bytes * nbytes, distance=histogram.distance * nbytes
        )
        return cls(in_bytes, operations)


def reuse_panel(programs: Mapping[str, CountedProgram], machines: Sequence[Hardware] = HARDWARE_PROFILES) -> VBox:
    """Choose a program, a machine, and the capacity of its largest cache; shows the histogram, misses and joules.

    Choosing a machine resets the capacity to its own.
    """
    import ipywidgets as widgets

    own = {machine.name: machine.levels[-2].capacity for machine in machines}
    powers = range(int(math.log2(_SMALLEST)), int(math.log2(_LARGEST)) + 1)
    capacities = sorted({2.0**power for power in powers} | {*own.values()})
    program = dropdown("program", programs)
    machine = dropdown("machine", [(m.name, m) for m in machines])
    capacity = widgets.SelectionSlider(
        options=[(bytes_text(c), c) for c in capacities],
        value=own[machines[0].name],
        description="cache",
        layout=widgets.Layout(width="44em"),
    )
    picture, text = widgets.HTML(), widgets.HTML()

    # During a redraw ipywidgets drops all moves of the slider except the last, so dragging stays fluent.
    def redraw(_change: object = None) -> None:
        counted = programs[program.value]
        energy, most = (
            cache_energy(counted.histogram, counted.operations, with_cache(machine.value, size))
            for size in (capacity.value, capacities[0])
        )
        figure = draw_reuse(counted.histogram, capacity.value, energy, max(energy.value, most.value))
        alt = f"Accesses of {program.value} by reuse distance, and modelled joules by level on {machine.value.name}."
        picture.value = image(figure, f"{alt} {figure.axes[0].get_title('left')}")
        text.value = _summary(counted.histogram, capacity.value, energy, own[machine.value.name])

    def on_machine(change: Mapping[str, Hardware]) -> None:
        before, capacity.value = capacity.value, own[change["new"].name]
        if before == capacity.value:  # else the slider has already redrawn
            redraw()

    program.observe(redraw, names="value")
    machine.observe(on_machine, names="value")
    capacity.observe(redraw, names="value")
    redraw()
    return panel([program, machine, capacity, hbox(picture, text)])


def with_cache(hardware: Hardware, capacity: float) -> Hardware:
    """The machine with another capacity (bytes) of its largest cache, without inner levels that are not smaller.

    Raises ValueError for a machine without a cache.
    """
    if len(hardware.levels) < 2:
        raise ValueError(f"{hardware.name} must have a cache and a memory (got levels={hardware.levels!r})")
    *inner, largest, memory = hardware.levels
    kept = (level for level in inner if level.capacity < capacity)
    changed = dataclasses.replace(largest, name=f"largest cache, {bytes_text(capacity)}", capacity=capacity)
    return dataclasses.replace(hardware, levels=(*kept, changed, memory))


def _summary(histogram: ReuseHistogram, capacity: float, energy: Reading, own: float) -> str:
    """HTML: misses, joules, and a table of the levels."""
    misses, cold = histogram.misses(capacity), histogram.cold_reads + histogram.cold_writes
    moved: dict[str, int] = energy.detail["bytes_by_level"]
    rows = [
        (part, f"{moved[part]:,}" if part in moved else "", _microjoules(joules), f"{joules / energy.value:.1%}")
        for part, joules in energy.detail["joules_by_part"].items()
    ]
    rows.append(("all", f"{sum(moved.values()):,}", _microjoules(energy.value), "100.0%"))
    size = "the machine's own" if capacity == own else f"the machine's own is {bytes_text(own)}"
    return (
        f"<p><b>{misses:,} of {histogram.accesses:,} accesses miss</b> a cache of {bytes_text(capacity)} ({size}): "
        f"counted, in units of {bytes_text(histogram.unit_bytes)}; {cold:,} of them are first accesses, which no cache "
        "holds.</p>"
        + html_table(("part", "bytes (counted)", "uJ (modelled)", "share"), rows)
        + "<p>A first write goes to the first level. A byte of the largest cache costs the same at every capacity: "
        "an assumption, as larger caches take more.</p>"
    )


def draw_reuse(histogram: ReuseHistogram, capacity: float, energy: Reading, most: float) -> Figure:
    """Accesses by distance, marked where a cache of ``capacity`` bytes misses them, and the joules of each part.

    ``most`` is the end of the axis of joules, so that bars stay comparable when the capacity changes.
    """
    from matplotlib.figure import Figure  # pyplot's state belongs to the notebook's cells

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(1.6, 1))
    _draw_distances(above, histogram, capacity)
    _draw_joules(below, energy, most)
    figure.legend(*above.get_legend_handles_labels(), fontsize=9, ncols=2, loc="outside upper right")
    share = histogram.misses(capacity) / histogram.accesses
    misses = f"A cache of {bytes_text(capacity)} misses {share:.1%} of the accesses"
    above.set_title(f"{misses}: {_microjoules(energy.value)} uJ (modelled)", loc="left")
    return figure


def _draw_distances(ax: Axes, histogram: ReuseHistogram, capacity: float) -> None:
    """Bars of accesses between powers of two; hits and misses differ in colour and in hatching."""
    from sutrolib.plots.style import BLACK, RED

    power = np.ceil(np.log2(histogram.distance)).astype(int)
    last = max(int(power.max(initial=0)), int(math.log2(_SMALLEST)))
    counts, missed = 100 / histogram.accesses * (histogram.reads + histogram.writes), histogram.distance > capacity
    first = 100 / histogram.accesses * (histogram.cold_reads + histogram.cold_writes)
    hits, misses = (np.bincount(power[mask], counts[mask], minlength=last + 1) for mask in (~missed, missed))
    bins = np.arange(last + 1) - 0.5  # a bar ends at its power of two
    ax.bar(bins, hits, 0.9, color="#BBBBBB", edgecolor=BLACK, label="hits")
    above_hits: dict[str, Any] = {
        "bottom": np.r_[hits, 0],
        "color": RED,
        "hatch": "///",
        "edgecolor": "white",
        "label": "misses",
    }
    ax.bar(np.r_[bins, last + 1.5], np.r_[misses, first], 0.9, **above_hits)
    line = min(math.log2(capacity), last + 0.7)
    ax.axvline(line, color=BLACK, lw=2)
    at: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (4, 0), "textcoords": "offset points"}
    ax.annotate("cache", (line, 0.98), va="top", fontsize=9, **at)
    ticks = range(0, last + 1, 1 + last // 12)
    ax.set_xticks([*ticks, last + 1.5], [*(bytes_text(2.0**tick) for tick in ticks), "first"], fontsize=8)
    ax.set_xlim(math.log2(histogram.unit_bytes) - 1.5, last + 2.2)
    ax.set(xlabel="reuse distance (distinct bytes)", ylabel="% of accesses (counted)")
    ax.set_ylim(0, 1.12 * max(first, *(hits + misses)))


def _draw_joules(ax: Axes, energy: Reading, most: float) -> None:
    from sutrolib.plots.style import BLACK

    parts: dict[str, float] = energy.detail["joules_by_part"]
    bars = ax.barh(list(parts), [1e6 * joules for joules in parts.values()], 0.65, color="#BBBBBB", edgecolor=BLACK)
    ax.bar_label(bars, [_microjoules(joules) for joules in parts.values()], padding=4, fontsize=9)
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=9)
    ax.set(xlim=(0, 1.12e6 * most), xlabel="uJ (modelled)")


def _microjoules(joules: float) -> str:
    return number(1e6 * joules)
