"""The reuse histogram: drag the capacity of a cache, choose a machine, and see misses and joules move.

Nothing is counted anew: misses at a capacity and the joules of a machine are sums over one histogram
(``reuse_distance``, ``cache_energy``). The capacity is that of the machine's largest cache; a
byte from it costs what the source of the machine says, whatever its capacity, and a level as small or smaller than
another one that it would enclose is left out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sutrolib.core.format import bytes_text
from sutrolib.meters.access.cache_energy import HARDWARE_PROFILES, MB, Hardware, cache_energy
from sutrolib.meters.access.reuse_distance import ReuseHistogram
from sutrolib.meters.base import Reading
from sutrolib.notebook.widgets.layout import dropdown, hbox, html_table, image, panel

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST, LARGEST = 64, 64 * MB  # bytes of cache that can be chosen; the largest cache of a profile lies between


@dataclasses.dataclass(frozen=True)
class CountedProgram:
    """What was counted of a program, once: its stack distances, and its operations by number type."""

    histogram: ReuseHistogram
    operations: Mapping[str, int]

    @classmethod
    def from_number_histogram(
        cls, histogram: ReuseHistogram, nbytes: int, operations: Mapping[str, int]
    ) -> CountedProgram:
        """The program whose histogram counts numbers, each of which takes ``nbytes`` bytes."""
        in_bytes = dataclasses.replace(
            histogram, unit_bytes=histogram.unit_bytes * nbytes, distance=histogram.distance * nbytes
        )
        return cls(in_bytes, operations)


def reuse_panel(programs: Mapping[str, CountedProgram], machines: Sequence[Hardware] = HARDWARE_PROFILES) -> VBox:
    """A program, a machine, and the capacity of its largest cache; the histogram, its misses, and the joules by level.

    Choosing a machine sets the capacity to its own.
    """
    import ipywidgets as widgets

    own = {machine.name: machine.levels[-2].capacity for machine in machines}
    powers = range(int(math.log2(SMALLEST)), int(math.log2(LARGEST)) + 1)
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

    # While one redraw goes on, ipywidgets keeps back all moves of the slider but the last: dragging floods nobody.
    def redraw(_change: object = None) -> None:
        chosen, changed = programs[program.value], with_cache(machine.value, capacity.value)
        energy = cache_energy(chosen.histogram, chosen.operations, changed)
        least = cache_energy(chosen.histogram, chosen.operations, with_cache(machine.value, capacities[0]))
        figure = draw_reuse(chosen.histogram, capacity.value, energy, max(energy.value, least.value))
        alt = f"Accesses of {program.value} by reuse distance, and modelled joules by level on {machine.value.name}."
        picture.value = image(figure, f"{alt} {figure.axes[0].get_title('left')}")
        text.value = describe(chosen.histogram, capacity.value, energy, own[machine.value.name])

    def to_own(change: Mapping[str, Hardware]) -> None:
        before, capacity.value = capacity.value, own[change["new"].name]
        if before == capacity.value:  # else the slider's own move has redrawn it
            redraw()

    program.observe(redraw, names="value")
    machine.observe(to_own, names="value")
    capacity.observe(redraw, names="value")
    redraw()
    return panel([program, machine, capacity, hbox(picture, text)])


def with_cache(hardware: Hardware, capacity: float) -> Hardware:
    """The machine with its largest cache of another capacity (bytes), and without the levels that are not smaller.

    Raises ValueError for a machine that has no cache.
    """
    if len(hardware.levels) < 2:
        raise ValueError(f"{hardware.name}: levels={hardware.levels!r}, accepted are two or more: a cache and a memory")
    *inner, largest, memory = hardware.levels
    kept = (level for level in inner if level.capacity < capacity)
    changed = dataclasses.replace(largest, name=f"largest cache, {bytes_text(capacity)}", capacity=capacity)
    return dataclasses.replace(hardware, levels=(*kept, changed, memory))


def describe(histogram: ReuseHistogram, capacity: float, energy: Reading, own: float) -> str:
    """HTML: misses, joules, and a table of the levels with the kind of every number."""
    misses, cold = histogram.misses(capacity), histogram.cold_reads + histogram.cold_writes
    parts: dict[str, float] = energy.detail["joules_by_part"]
    moved: dict[str, int] = energy.detail["bytes_by_level"]
    rows = [
        (part, f"{moved[part]:,}" if part in moved else "", _micro(joules), f"{joules / energy.value:.1%}")
        for part, joules in parts.items()
    ]
    rows.append(("all", f"{sum(moved.values()):,}", _micro(energy.value), "100.0%"))
    size = "the machine's own" if capacity == own else f"the machine's own is {bytes_text(own)}"
    return (
        f"<p><b>{misses:,} of {histogram.accesses:,} accesses miss</b> a cache of {bytes_text(capacity)} ({size}): counted, "
        f"in units of {bytes_text(histogram.unit_bytes)}; {cold:,} of them are first accesses, which no cache holds.</p>"
        + html_table(("part", "bytes (counted)", "uJ (modelled)", "share"), rows)
        + "<p>A first write goes to the first level. A byte of the largest cache costs the same at every capacity: "
        "an assumption, as larger caches take more.</p>"
    )


def draw_reuse(histogram: ReuseHistogram, capacity: float, energy: Reading, most: float) -> Figure:
    """Accesses by distance, with those marked that a cache of ``capacity`` bytes misses, and the joules of each part.

    ``most`` is the end of the axis of joules, so that bars can be compared while the capacity moves.
    """
    from matplotlib.figure import Figure as New  # not pyplot's: it need not be closed

    figure = New(figsize=(8, 4.6))
    above, below = figure.subplots(2, 1, height_ratios=(1.6, 1))
    _draw_distances(above, histogram, capacity)
    _draw_joules(below, energy, most)
    figure.legend(*above.get_legend_handles_labels(), fontsize=9, ncols=2, loc="outside upper right")
    missing = histogram.misses(capacity) / histogram.accesses
    title = (
        f"A cache of {bytes_text(capacity)} misses {missing:.1%} of the accesses: {_micro(energy.value)} uJ (modelled)"
    )
    above.set_title(title, loc="left")
    return figure


def _draw_distances(ax: Axes, histogram: ReuseHistogram, capacity: float) -> None:
    """Bars of accesses between powers of two; held and missed ones differ in colour and in hatching."""
    from sutrolib.plots.style import BLACK, RED

    power = np.ceil(np.log2(histogram.distance)).astype(int)
    counts, missed = histogram.reads + histogram.writes, histogram.distance > capacity
    last = max(int(power.max(initial=0)), int(math.log2(SMALLEST)))
    share = 100 / histogram.accesses
    held, far = (share * np.bincount(power[m], counts[m], minlength=last + 1) for m in (~missed, missed))
    first = share * (histogram.cold_reads + histogram.cold_writes)
    bins = np.arange(last + 1) - 0.5  # a bar ends at its power of two
    ax.bar(bins, held, width=0.9, color="#BBBBBB", edgecolor=BLACK, label="held")
    places, heights = np.r_[bins, last + 1.5], np.r_[far, first]
    ax.bar(places, heights, 0.9, np.r_[held, 0], color=RED, hatch="///", edgecolor="white", label="missed")
    place = min(math.log2(capacity), last + 0.7)
    ax.axvline(place, color=BLACK, lw=2)
    ax.annotate("cache", (place, 0.98), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                va="top", fontsize=9)  # fmt: skip
    ticks = range(0, last + 1, 1 + last // 12)
    ax.set_xticks([*ticks, last + 1.5], [*(bytes_text(2.0**tick) for tick in ticks), "first"], fontsize=8)
    ax.set_xlim(math.log2(histogram.unit_bytes) - 1.5, last + 2.2)
    ax.margins(y=0.12)
    ax.set(xlabel="reuse distance (distinct bytes)", ylabel="% of accesses (counted)")


def _draw_joules(ax: Axes, energy: Reading, most: float) -> None:
    from sutrolib.plots.style import BLACK

    parts: dict[str, float] = energy.detail["joules_by_part"]
    ax.barh(list(parts), [1e6 * joules for joules in parts.values()], color="#BBBBBB", edgecolor=BLACK, height=0.65)
    for row, joules in enumerate(parts.values()):
        ax.annotate(_micro(joules), (1e6 * joules, row), xytext=(4, 0), textcoords="offset points", va="center",
                    fontsize=9)  # fmt: skip
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=9)
    ax.set(xlim=(0, 1.12e6 * most), xlabel="uJ (modelled)")


def _micro(joules: float) -> str:
    """Three digits that count, without an exponent where they are many."""
    return f"{float(f'{1e6 * joules:.3g}'):,g}"
