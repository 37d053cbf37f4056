"""Figures about metrics that several notebooks draw, in the house style of :mod:`sutrolib.plots.style`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from sutrolib.core.format import bytes_text
from sutrolib.core.stats import error_bars
from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from sutrolib.core.stats import Interval
    from sutrolib.meters.thermal.protocol import RoundRises

_LINE_STYLES = ("-", "--", "-.", ":")
_MARKERS = tuple(zip("osD^", (BLACK, RED, PURPLE, GREY), strict=True))


def label_rows(ax: Axes, labels: Sequence[str], **text: Any) -> None:
    """One label for each row, the first on top; ``text`` are properties of the labels."""
    ax.set_yticks(range(len(labels)), labels, **text)
    ax.set_ylim(max(1, len(labels)) - 0.5, -0.5)


def draw_intervals(
    ax: Axes, rows: Sequence[float], intervals: Sequence[Interval], marker: str, colour: str, label: str
) -> None:
    """A marker in each row with its interval, or with its single points if there are too few for an interval."""
    values = [interval.value for interval in intervals]
    ax.errorbar(values, rows, xerr=error_bars(intervals), fmt=marker, color=colour, capsize=3, label=label)
    for row, interval in zip(rows, intervals, strict=True):
        if not interval.bounded:
            ax.plot(interval.points, [row] * len(interval.points), marker, color=colour, ms=4, alpha=0.4)


def _offset(number: int, count: int, spacing: float) -> float:
    """How far marker ``number`` of ``count`` in one row lies from its middle."""
    return spacing * (number - (count - 1) / 2)


def draw_ratios(labels: Sequence[str], ratios: Mapping[str, Sequence[Interval | None]], title: str) -> Figure:
    """Candidate / best so far, one row for each change, one marker with interval for each quantity.

    None stands for a change that was rejected before its cost was measured.
    """
    figure, ax = plt.subplots()
    for number, ((name, intervals), (marker, colour)) in enumerate(zip(ratios.items(), _MARKERS, strict=False)):
        rows = [row + _offset(number, len(ratios), 0.22) for row, one in enumerate(intervals) if one is not None]
        measured = [one for one in intervals if one is not None]
        draw_intervals(ax, rows, measured, marker, colour, name)
    for row, intervals in enumerate(zip(*ratios.values(), strict=True)):
        if not any(intervals):
            at: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": "center", "va": "center"}
            ax.text(0.5, row, "not solved, so not measured", **at)
    ax.axvline(1, color=GREY, ls="--", lw=1)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}")
    ax.tick_params(axis="x", which="minor", labelsize=8)
    label_rows(ax, labels)
    ax.set(xlabel="ratio to the best so far (95 % interval; below 1 is better)", title=title)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_rank_agreement(agreements: Mapping[str, Interval], title: str) -> Figure:
    """Rank agreement of each metric with a reference, and its interval, from -1 to 1."""
    figure, ax = plt.subplots()
    for row, tau in enumerate(agreements.values()):
        ax.errorbar(tau.value, row, xerr=error_bars([tau]), fmt="o", color=BLACK, capsize=4)
        ax.annotate(f"{tau.value:.2f}", (tau.value, row), xytext=(0, 8), textcoords="offset points", ha="center")
    ax.axvline(0, color=GREY, ls="--", lw=1)
    label_rows(ax, list(agreements))
    ax.set(xlim=(-1.05, 1.05), xlabel="Kendall's tau with the reference (95 % interval)", title=title)
    return figure


def draw_energy_map(
    ratios: Sequence[float],
    capacities: Sequence[float],
    log_ratio: ArrayLike,
    machines: Mapping[str, tuple[float, float]],
    title: str,
) -> Figure:
    """Which of two algorithms needs less energy, by hardware, with the line where both need the same.

    Args:
        ratios, capacities: the grid: energy of a byte from DRAM / energy of an operation, and bytes of cache.
        log_ratio: log10 of A's energy over B's, of shape (capacities, ratios).
        machines: known machines by name, as (ratio, capacity).
        title: the title.
    """
    figure, ax = plt.subplots()
    values = np.asarray(log_ratio, float)
    extreme = max(0.05, float(np.abs(values).max()))
    mesh = ax.pcolormesh(ratios, capacities, values, cmap="PuOr_r", vmin=-extreme, vmax=extreme, rasterized=True)
    figure.colorbar(mesh, ax=ax, label="log10 of energy, A / B (modelled)")
    if values.min() < 0 < values.max():
        ax.contour(ratios, capacities, values, levels=[0], colors=BLACK, linewidths=2)
    box: dict[str, Any] = {"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.7, "lw": 0}
    for number, (name, (ratio, capacity)) in enumerate(machines.items()):
        ax.plot(ratio, capacity, "o", color=BLACK, mfc="white", clip_on=False)
        above = capacity < max(capacities) / 2 and (number % 2 == 0 or capacity <= min(capacities))
        offset, side = (-7 if ratio > 10 else 7, 6 if above else -13), "right" if ratio > 10 else "left"
        ax.annotate(name, (ratio, capacity), xytext=offset, textcoords="offset points", ha=side, fontsize=9, bbox=box)
    ax.set_xscale("log")
    ax.set_yscale("log", base=2)
    ax.set(xlim=(min(ratios), max(ratios)), ylim=(min(capacities), max(capacities)), title=title)
    ax.set(xlabel="energy of a byte from DRAM / energy of an operation", ylabel="cache size")
    ax.yaxis.set_major_formatter(lambda value, _: bytes_text(value))
    return figure


def draw_miss_ratios(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, xlabel: str) -> Figure:
    """Miss ratio by cache size, one line for each program: its capacities, starting at 0, and its ratios."""
    figure, ax = plt.subplots()
    sizes = {name: np.asarray(capacities, float) for name, (capacities, _) in curves.items()}
    positive = np.concatenate([values[values > 0] for values in sizes.values()])
    low, high = positive.min(initial=2.0) / 2, 2 * positive.max(initial=2.0)
    for (name, (_, ratios)), style in zip(curves.items(), _LINE_STYLES, strict=False):
        misses = np.asarray(ratios, float)
        ax.step([low, *sizes[name][1:], high], [*misses, misses[-1]], style, where="post", label=name, lw=2)
    ax.set_xscale("log", base=2)
    ax.set(xlabel=xlabel, ylabel="miss ratio (counted)", ylim=(0, 1.04), title=title)
    ax.legend(fontsize=9)
    return figure


def draw_stacked_bars(bars: Mapping[str, Mapping[str, float]], title: str, xlabel: str) -> Figure:
    """One stacked bar for each row, divided into its parts."""
    figure, ax = plt.subplots()
    parts = list(dict.fromkeys(part for row in bars.values() for part in row))
    left = np.zeros(len(bars))
    shades = plt.get_cmap("cividis")(np.linspace(0.95, 0, len(parts)))
    for part, shade in zip(parts, shades, strict=True):
        values = np.array([row.get(part, 0.0) for row in bars.values()])
        ax.barh(list(bars), values, left=left, color=shade, edgecolor="white", lw=0.5, height=0.6, label=part)
        left += values
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, title=title)
    ax.legend(fontsize=9)
    return figure


def draw_proxy_audit(
    metrics: Sequence[str], verdicts: Mapping[tuple[str, str], tuple[str, float, int]], title: str
) -> Figure:
    """One square for each pair of a metric (row) and a more realistic one (column): verdict, tau, wrong pairs."""
    figure, ax = plt.subplots()
    colours = {"safe": "#009E73", "not safe": RED, "cannot tell": "#BBBBBB"}
    rows, columns = metrics[:-1], metrics[1:]
    for (metric, reference), (verdict, tau, wrong) in verdicts.items():
        x, y = columns.index(reference), rows.index(metric)
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colours[verdict], alpha=0.45, lw=0))
        ax.text(x, y, f"{verdict}\ntau {tau:.2f}, {wrong} wrong", ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    label_rows(ax, rows)
    ax.grid(visible=False)
    ax.set(xlim=(-0.6, len(columns) - 0.4), title=title)
    ax.set(xlabel="more realistic metric", ylabel="metric optimised instead")
    return figure


def draw_proxy_traps(ratios: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """The program that a proxy prefers over the truly cheaper one, one row for each trap, one marker for each metric.

    Left of 1, a metric prefers the wrong program.
    """
    figure, ax = plt.subplots()
    names = list(dict.fromkeys(name for row in ratios.values() for name in row))
    for number, (name, (marker, colour)) in enumerate(zip(names, _MARKERS, strict=False)):
        rows = np.arange(len(ratios)) + _offset(number, len(names), 0.15)
        ax.plot([row[name] for row in ratios.values()], rows, marker, color=colour, ms=8, label=name)
    ax.axvline(1, color=GREY, ls="--", lw=1)
    ax.set_xscale("log")
    label_rows(ax, [textwrap.fill(name, 24) for name in ratios])
    ax.set(xlabel="cost, program that ARD prefers / truly cheaper program (counted, modelled)", title=title)
    ax.legend(fontsize=9)
    return figure


def draw_power_windows(watts: Mapping[str, Mapping[str, Sequence[float]]], title: str, xlabel: str) -> Figure:
    """The power in each measured window, one row for each workload and one marker for each meter."""
    figure, ax = plt.subplots()
    for number, ((meter, workloads), (marker, colour)) in enumerate(zip(watts.items(), _MARKERS, strict=False)):
        for row, values in enumerate(workloads.values()):
            rows = [row + _offset(number, len(watts), 0.2)] * len(values)
            ax.plot(values, rows, marker, color=colour, alpha=0.6, ms=8, label=meter if row == 0 else None)
    label_rows(ax, list(next(iter(watts.values()))))
    ax.set(xlabel=xlabel, title=title)
    ax.set_xlim(left=0)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_heat_plan(
    seconds: Sequence[float],
    gaps: Mapping[str, Sequence[float]],
    detectable: Mapping[str, float],
    run_s: float,
    title: str,
) -> Figure:
    """The modelled difference of two temperature rises by the length of a run, one line for each power difference.

    Args:
        seconds: lengths of a run.
        gaps: by label, the difference (K) at each of ``seconds``.
        detectable: by label, the smallest difference (K) that a thermometer or a hand detects.
        run_s: the planned run.
        title: the title.
    """
    figure, ax = plt.subplots()
    for (label, values), style in zip(gaps.items(), _LINE_STYLES, strict=False):
        ax.plot(seconds, values, color=BLACK, ls=style, label=label)
    for (label, least), colour, style in zip(detectable.items(), (RED, PURPLE), _LINE_STYLES, strict=False):
        ax.axhline(least, color=colour, lw=2, ls=style, label=label)
    ax.axvline(run_s, color=GREY, ls="--", lw=1)
    ax.annotate("planned run", (run_s, 0), xytext=(4, 4), textcoords="offset points", fontsize=9, color=GREY)
    ax.set(xlabel="length of each run, s", ylabel="difference of the temperature rises, K (modelled)", title=title)
    ax.set(xlim=(seconds[0], seconds[-1]), ylim=(0, None))
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_temperature_rises(rises: Sequence[RoundRises], names: tuple[str, str], quantity: str, title: str) -> Figure:
    """The rises of A and B in each round, joined by a line; ``quantity`` labels the axis, with unit and kind."""
    figure, ax = plt.subplots()
    rounds = [r.round for r in rises]
    for name, arm, (marker, colour) in zip(names, "ab", _MARKERS, strict=False):
        ax.plot(rounds, [getattr(r, arm) for r in rises], marker, color=colour, ms=7, label=name)
    ax.vlines(rounds, [r.a for r in rises], [r.b for r in rises], color=GREY, lw=1, zorder=0)
    ax.axhline(0, color=GREY, ls="--", lw=1)
    ax.set_xticks(rounds)
    ax.set(xlabel="round", ylabel=quantity, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure
