"""Panels that show what is known already: positions of the cube, a reuse histogram, and the records of final exams.

Nothing is measured. Misses and joules are sums over one histogram (``reuse_distance``, ``cache_energy``); a byte from
the largest cache costs the same at every capacity, and smaller levels that it would not enclose are left out.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from html import escape

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from sutrolib.core.cube import RUNGS, A, Axis, Position
from sutrolib.core.format import bytes_text, number
from sutrolib.exam.entries import CLOSED, OPEN, SCALES
from sutrolib.exam.plots import SCORES, cost_labels, draw_pareto_front
from sutrolib.exam.record import exam_path, read_record
from sutrolib.exam.verdict import EntryVerdict, verdict_of
from sutrolib.exam.verdict_line import comparison_cells
from sutrolib.measurement.coverage import count_positions, measured_at, steps_from
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.walk_records import read_records, walked_positions
from sutrolib.meters.access.cache_energy import HARDWARE_PROFILES, MB, Hardware, cache_energy
from sutrolib.meters.access.reuse_distance import ReuseHistogram
from sutrolib.meters.base import Reading
from sutrolib.notebook.widgets.layout import dropdown, explorer, html_table, image, panel, status
from sutrolib.plots.style import BLACK, RED, draw_cube

_NO_RECORD = "There is no record of an exam yet. To run one: python -m sutrolib exam --division closed --scale smoke"
Programs = Mapping[str, tuple[ReuseHistogram, Mapping[str, int]]]  # by name: its histogram in bytes, its operations
_SMALLEST, _LARGEST = 64, 64 * MB  # bytes of cache that can be chosen


def cube_explorer(measurements: Sequence[Measurement], here: Position = A) -> widgets.VBox:
    """Three selectors for a position; below them the cube, what was measured there, and the next steps."""
    counts, (walked, turned_back) = count_positions(measurements), walked_positions(read_records())
    names = {axis: [(f"{rung.key}: {rung.title}", rung.key) for rung in RUNGS[axis]] for axis in Axis}
    selectors = [dropdown(axis.value, options) for axis, options in names.items()]
    for axis, selector in zip(Axis, selectors, strict=True):
        selector.value = getattr(here, axis)

    def draw() -> tuple[str, str]:
        keys = [selector.value for selector in selectors]
        position = Position(*keys)
        # Names come from the ledger: markup in them must stay text.
        heading, header, rows = measured_at(position, measurements)
        steps = "".join(f"<li>{escape(step)}</li>" for step in steps_from(position))
        text = f"<p><b>{escape(heading)}</b></p>{html_table(header, rows)}<p><b>Next single-axis steps</b></p>"
        figure = draw_cube(counts, position, walked=walked, turned_back=turned_back)
        picture = image(figure, f"The cube, with {' / '.join(keys)} circled")
        return picture, f"{text}<ul>{steps}</ul>"

    return explorer(selectors, draw)


def pareto_panel() -> widgets.VBox:
    """Choose an exam, a cost, a score and an entry; shows the Pareto front, and the entry against the baseline.

    It reads the stored records; nothing is trained.
    """
    exams = [(scale, d) for scale in reversed(SCALES) for d in (OPEN, CLOSED) if exam_path(scale, d).exists()]
    if not exams:
        return panel([widgets.HTML(status(_NO_RECORD))])
    exam = dropdown("exam", [(f"{division} division, scale {scale}", (scale, division)) for scale, division in exams])
    cost, score = dropdown("cost", []), dropdown("score", [(label, name) for name, label in SCORES.items()])
    entry = dropdown("entry", [])

    def draw() -> tuple[str, str]:
        record = read_record(exam_path(*exam.value))
        if not (costs := cost_labels(record)):
            raise ValueError("This exam has no runs yet.")
        _set_options(cost, {label: name for name, label in costs.items()})
        _set_options(entry, {name: name for name in record.entries})
        figure = draw_pareto_front(record, cost.value, score.value, entry.value)
        what = f"{score.label} against {cost.label}, {exam.label}, {entry.value} circled"
        return image(figure, f"{what}. {figure.axes[0].get_title('left')}"), _in_words(verdict_of(record, entry.value))

    return explorer([exam, cost, score, entry], draw)


def _set_options(control: widgets.Dropdown, options: Mapping[str, str]) -> None:
    """Give a control these options, and keep its value if it is one of them."""
    before, control.options = control.value, list(options.items())
    control.value = before if before in options.values() else next(iter(options.values()))


def _in_words(verdict: EntryVerdict) -> str:
    """HTML: whether an entry passed, and its quantities against those of the baseline."""
    met = {True: "met", False: "not met", None: ""}
    rows = [(*comparison_cells(line), met[line.met] or ("higher" if line.costlier else "")) for line in verdict.lines]
    state = "; ".join([verdict.state, *verdict.errors])
    header = ("quantity", "kind", "baseline", "entry", "change (95 %)", "verdict")
    return f"<p><b>{escape(f'{verdict.entry}: {state}')}.</b></p>{html_table(header, rows)}"


def in_bytes(histogram: ReuseHistogram, nbytes: int) -> ReuseHistogram:
    """The histogram in bytes of one over numbers, each of ``nbytes`` bytes."""
    unit = histogram.unit_bytes * nbytes
    return dataclasses.replace(histogram, unit_bytes=unit, distance=histogram.distance * nbytes)


def reuse_panel(programs: Programs, opening: float | None = None) -> widgets.VBox:
    """Choose a program, a machine, and the capacity of its largest cache; shows the histogram, misses and joules.

    A program is its stack distances in bytes, and its operations by number type. Choosing a machine resets the capacity
    to its own. The panel opens with a capacity of ``opening`` bytes, a power of two (default: the machine's own).
    """
    own = {machine.name: machine.levels[-2].capacity for machine in HARDWARE_PROFILES}
    powers = range(int(math.log2(_SMALLEST)), int(math.log2(_LARGEST)) + 1)
    capacities = sorted({2.0**power for power in powers} | {*own.values()})
    program, machine = dropdown("program", programs), dropdown("machine", [(m.name, m) for m in HARDWARE_PROFILES])
    layout, options = widgets.Layout(width="44em"), [(bytes_text(c), c) for c in capacities]
    shown = HARDWARE_PROFILES[0]
    size = opening or own[shown.name]
    capacity = widgets.SelectionSlider(options=options, value=size, description="cache", layout=layout)

    def draw() -> tuple[str, str]:
        nonlocal shown
        if machine.value is not shown:
            shown, capacity.value = machine.value, own[machine.value.name]
        histogram, operations = programs[program.value]
        machines_now = (with_cache(machine.value, size) for size in (capacity.value, capacities[0]))
        energy, most = (cache_energy(histogram, operations, hardware) for hardware in machines_now)
        figure = draw_reuse(histogram, capacity.value, energy, max(energy.value, most.value))
        alt = f"Accesses of {program.value} by reuse distance, and modelled joules by level on {machine.value.name}."
        text = _summary(histogram, capacity.value, energy, own[machine.value.name])
        text += _all_programs(programs, with_cache(machine.value, capacity.value))
        return image(figure, f"{alt} {figure.axes[0].get_title('left')}"), text

    return explorer([program, machine, capacity], draw)


def with_cache(hardware: Hardware, capacity: float) -> Hardware:
    """The machine with another capacity (bytes) of its largest cache, without inner levels that are not smaller."""
    *inner, largest, memory = hardware.levels
    kept = (level for level in inner if level.capacity < capacity)
    changed = dataclasses.replace(largest, name=f"largest cache, {bytes_text(capacity)}", capacity=capacity)
    return dataclasses.replace(hardware, levels=(*kept, changed, memory))


def _summary(histogram: ReuseHistogram, capacity: float, energy: Reading, own: float) -> str:
    """HTML: misses, joules, and a table of the levels."""
    misses, cold = histogram.misses(capacity), histogram.cold_reads + histogram.cold_writes
    moved: dict[str, int] = energy.detail["bytes_by_level"]
    parts = energy.detail["joules_by_part"] | {"all": energy.value}
    moved = moved | {"all": sum(moved.values())}
    rows = [
        (part, f"{moved[part]:,}" if part in moved else "", number(1e6 * joules), f"{joules / energy.value:.1%}")
        for part, joules in parts.items()
    ]
    size = "the machine's own" if capacity == own else f"the machine's own is {bytes_text(own)}"
    return (
        f"<p><b>{misses:,} of {histogram.accesses:,} accesses miss</b> a cache of {bytes_text(capacity)} ({size}): "
        f"counted, in units of {bytes_text(histogram.unit_bytes)}; {cold:,} of them are first accesses, which no cache "
        f"holds.</p>{html_table(('part', 'bytes (counted)', 'uJ (modelled)', 'share'), rows)}<p>A first write goes to "
        "the first level. A byte of the largest cache costs the same at every capacity: an assumption, as larger "
        "caches take more.</p>"
    )


def _all_programs(programs: Programs, hardware: Hardware) -> str:
    """HTML: misses and joules of every program with this cache, to compare them."""
    rows, cache = [], hardware.levels[-2].capacity
    for name, (histogram, operations) in programs.items():
        misses, energy = histogram.misses(cache), cache_energy(histogram, operations, hardware)
        rows.append((name, f"{misses:,} ({misses / histogram.accesses:.1%})", number(1e6 * energy.value)))
    return html_table(("program", f"misses, {bytes_text(cache)} (counted)", "uJ (modelled)"), rows)


def draw_reuse(histogram: ReuseHistogram, capacity: float, energy: Reading, most: float) -> Figure:
    """Accesses by distance, marked where a cache of ``capacity`` bytes misses them, and the joules of each part.

    ``most`` is the end of the axis of joules, so that bars stay comparable when the capacity changes.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")  # not of pyplot, whose state is that of the cells
    above, below = figure.subplots(2, 1, height_ratios=(1.6, 1))
    power = np.ceil(np.log2(histogram.distance)).astype(int)  # a bar holds the distances up to a power of two
    smallest = int(math.log2(histogram.unit_bytes))
    last = max(int(power.max(initial=0)), int(math.log2(_SMALLEST)))
    counts, missed = histogram.reads + histogram.writes, histogram.distance > capacity
    hits, misses = (np.bincount(power[mask], counts[mask], minlength=last + 2) for mask in (~missed, missed))
    misses[-1] = histogram.cold_reads + histogram.cold_writes  # first accesses: a bar of their own
    percent, bars = 100 / histogram.accesses, np.arange(last + 2)
    above.bar(bars, percent * hits, 0.9, color="#BBBBBB", edgecolor=BLACK, label="hits")
    above.bar(bars, percent * misses, 0.9, percent * hits, color=RED, hatch="///", edgecolor="white", label="misses")
    above.axvline(min(math.log2(capacity), last) + 0.5, color=BLACK, lw=2, label="capacity of the cache")
    ticks = range(smallest, last + 1, 1 + last // 12)
    above.set_xticks([*ticks, last + 1], [*(bytes_text(2.0**tick) for tick in ticks), "first"], fontsize=8)
    above.set(xlabel="reuse distance up to (distinct bytes)", ylabel="% of accesses (counted)")
    above.set(xlim=(smallest - 0.6, last + 1.6), ylim=(0, 1.1 * percent * (hits + misses).max()))
    figure.legend(fontsize=9, ncols=3, loc="outside upper right")
    share = histogram.misses(capacity) / histogram.accesses
    title = f"A cache of {bytes_text(capacity)} misses {share:.1%} of the accesses"
    above.set_title(f"{title}: {number(1e6 * energy.value)} uJ (modelled)", loc="left")
    joules = {part: 1e6 * value for part, value in energy.detail["joules_by_part"].items()}
    parts = below.barh(list(joules), list(joules.values()), 0.65, color="#BBBBBB", edgecolor=BLACK)
    below.bar_label(parts, map(number, joules.values()), padding=4, fontsize=9)
    below.invert_yaxis()
    below.set(xlim=(0, 1.12e6 * most), xlabel="uJ (modelled)")
    return figure
