"""Charts that more than one notebook draws, in the house style of :mod:`sutrolib.plots.style`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from sutrolib.core.format import bytes_text
from sutrolib.core.stats import error_bars
from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from sutrolib.core.stats import Interval
    from sutrolib.meters.thermal.protocol import RoundRises


def draw_ratios(labels: Sequence[str], ratios: Mapping[str, Sequence[Interval | None]], title: str) -> Figure:
    """Candidate over best-so-far: a row for each change, a marker with interval for each quantity that was weighed."""
    figure, ax = plt.subplots()
    markers = zip("osD^", (BLACK, RED, PURPLE, GREY), strict=True)
    for number, ((name, intervals), (marker, colour)) in enumerate(zip(ratios.items(), markers, strict=False)):
        offset = 0.22 * (number - (len(ratios) - 1) / 2)
        there = [(row + offset, i) for row, i in enumerate(intervals) if i is not None]
        ax.errorbar(
            [i.value for _, i in there],
            [row for row, _ in there],
            xerr=error_bars([interval for _, interval in there]),
            fmt=marker,
            color=colour,
            capsize=3,
            label=name,
        )
        for row, interval in there:
            if not interval.bounded:
                ax.plot(interval.points, [row] * len(interval.points), marker, color=colour, ms=3, alpha=0.5)
    for row, intervals in enumerate(zip(*ratios.values(), strict=True)):
        if not any(intervals):
            ax.text(0.5, row, "incorrect, so not weighed", transform=ax.get_yaxis_transform(), ha="center", va="center")
    ax.axvline(1, color=GREY, ls="--", lw=1)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}")
    ax.tick_params(axis="x", which="minor", labelsize=8)
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set(xlabel="ratio to the best before it, below 1 is better (95 % interval)", title=title)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_rank_agreement(agreements: Mapping[str, Interval], title: str) -> Figure:
    """Rank agreement of each metric with a reference, with its interval, from -1 to 1."""
    figure, ax = plt.subplots()
    for row, tau in enumerate(agreements.values()):
        ax.errorbar(tau.value, row, xerr=error_bars([tau]), fmt="o", color=BLACK, capsize=4)
        ax.annotate(f"{tau.value:.2f}", (tau.value, row), xytext=(0, 8), textcoords="offset points", ha="center")
    ax.axvline(0, color=GREY, ls="--", lw=1)
    ax.set_yticks(range(len(agreements)), list(agreements))
    ax.set_ylim(len(agreements) - 0.5, -0.6)
    ax.set(
        xlim=(-1.05, 1.05),
        xlabel="Kendall's tau with the reference (95 % interval)",
        title=title,
    )
    return figure


def draw_energy_map(
    ratios: Sequence[float],
    capacities: Sequence[float],
    log_ratio: ArrayLike,
    landmarks: Mapping[str, tuple[float, float]],
    title: str,
) -> Figure:
    """Which of two algorithms wins over hardware, with the line on which it flips and known machines on the map.

    ``log_ratio`` is log10 of A's energy over B's, shape (capacities, ratios); landmarks map a name to (ratio, bytes).
    """
    figure, ax = plt.subplots()
    values = np.asarray(log_ratio, float)
    extreme = max(0.05, float(np.abs(values).max()))
    mesh = ax.pcolormesh(ratios, capacities, values, cmap="PuOr_r", vmin=-extreme, vmax=extreme, rasterized=True)
    figure.colorbar(mesh, ax=ax, label="log10 of energy, A over B (modelled)")
    if values.min() < 0 < values.max():
        ax.contour(ratios, capacities, values, levels=[0], colors=BLACK, linewidths=2)
    for number, (name, (ratio, capacity)) in enumerate(landmarks.items()):
        ax.plot(ratio, capacity, "o", color=BLACK, mfc="white", clip_on=False)
        above = capacity < max(capacities) / 2 and (number % 2 == 0 or capacity <= min(capacities))
        offset, side = (-7 if ratio > 10 else 7, 6 if above else -13), "right" if ratio > 10 else "left"
        box = {"boxstyle": "round,pad=0.1", "color": "white", "alpha": 0.7, "lw": 0}
        ax.annotate(name, (ratio, capacity), xytext=offset, textcoords="offset points", ha=side, fontsize=9, bbox=box)
    ax.set_xscale("log")
    ax.set_yscale("log", base=2)
    ax.set(xlim=(min(ratios), max(ratios)), ylim=(min(capacities), max(capacities)), title=title)
    ax.set(xlabel="energy of a byte from DRAM / energy of an operation", ylabel="cache, bytes")
    ax.yaxis.set_major_formatter(lambda value, _: bytes_text(value))
    return figure


def draw_miss_ratios(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, xlabel: str) -> Figure:
    """Miss ratio over cache size, one line a program; each curve holds its capacities, from 0, and its ratios."""
    figure, ax = plt.subplots()
    sizes = {name: np.asarray(capacities, float) for name, (capacities, _) in curves.items()}
    positive = np.concatenate([values[values > 0] for values in sizes.values()])
    low, high = positive.min(initial=2.0) / 2, 2 * positive.max(initial=2.0)
    for (name, (_, ratios)), style in zip(curves.items(), ("-", "--", "-.", ":"), strict=False):
        misses = np.asarray(ratios, float)
        ax.step([low, *sizes[name][1:], high], [*misses, misses[-1]], style, where="post", label=name, lw=2)
    ax.set_xscale("log", base=2)
    ax.set(xlabel=xlabel, ylabel="miss ratio (counted)", ylim=(0, 1.04), title=title)
    ax.legend(fontsize=9)
    return figure


def draw_stacked_bars(bars: Mapping[str, Mapping[str, float]], title: str, xlabel: str) -> Figure:
    """One stacked bar for each row, split into its parts."""
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
    """A square for each pair of a metric (row) and a more realistic one (column): verdict, tau, pairs ranked wrong."""
    figure, ax = plt.subplots()
    colours = {"safe": "#009E73", "not safe": RED, "cannot tell": "#BBBBBB"}
    rows, columns = metrics[:-1], metrics[1:]
    for (metric, reference), (verdict, tau, wrong) in verdicts.items():
        x, y = columns.index(reference), rows.index(metric)
        ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colours[verdict], alpha=0.45, lw=0))
        ax.text(x, y, f"{verdict}\ntau {tau:.2f}, {wrong} wrong", ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(columns)), columns, fontsize=9)
    ax.set_yticks(range(len(rows)), rows)
    ax.grid(visible=False)
    ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(len(rows) - 0.4, -0.6), title=title)
    ax.set(xlabel="the more realistic metric", ylabel="optimised in its place")
    return figure


def draw_proxy_traps(ratios: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """Tempting over sound program by metric, a row for each trap; left of 1 a metric prefers the tempting one."""
    figure, ax = plt.subplots()
    names = list(dict.fromkeys(name for row in ratios.values() for name in row))
    for number, (name, marker, colour) in enumerate(zip(names, "osD", (RED, PURPLE, BLACK), strict=False)):
        rows = np.arange(len(ratios)) + 0.15 * (number - (len(names) - 1) / 2)
        ax.plot([row[name] for row in ratios.values()], rows, marker, color=colour, ms=8, label=name)
    ax.axvline(1, color=GREY, ls="--", lw=1)
    ax.set_xscale("log")
    ax.set_yticks(range(len(ratios)), [textwrap.fill(name, 24) for name in ratios])
    ax.set_ylim(len(ratios) - 0.5, -0.5)
    ax.set(xlabel="tempting over sound program (counted and modelled)", title=title)
    ax.legend(fontsize=9)
    return figure


def draw_power_windows(watts: Mapping[str, Mapping[str, Sequence[float]]], title: str, xlabel: str) -> Figure:
    """A row for each work and a dot for each of its windows; one marker for each meter, named with its kind."""
    figure, ax = plt.subplots()
    for number, ((name, works), marker, colour) in enumerate(zip(watts.items(), "os", (BLACK, RED), strict=False)):
        for row, (_, values) in enumerate(works.items()):
            rows = [row + 0.2 * (number - (len(watts) - 1) / 2)] * len(values)
            ax.plot(values, rows, marker, color=colour, alpha=0.6, ms=8, label=name if row == 0 else None)
    labels = list(next(iter(watts.values())))
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel=xlabel, title=title, ylim=(len(labels) - 0.5, -0.5))
    ax.set_xlim(left=0)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_heat_plan(
    seconds: Sequence[float], gaps: Mapping[str, Sequence[float]], told: Mapping[str, float], run_s: float, title: str
) -> Figure:
    """By how many kelvins two rises differ, modelled, over the seconds of a run; a line for each power difference.

    ``gaps`` maps a label to one value for each of ``seconds``; ``told`` maps who tells temperatures to the least
    difference told (K); ``run_s`` is the planned run.
    """
    figure, ax = plt.subplots()
    for (label, values), style in zip(gaps.items(), ("-", "--", "-.", ":"), strict=False):
        ax.plot(seconds, values, color=BLACK, ls=style, label=label)
    for (label, least), colour, style in zip(told.items(), (RED, PURPLE), ("-", "--"), strict=False):
        ax.axhline(least, color=colour, lw=2, ls=style, label=label)
    ax.axvline(run_s, color=GREY, ls="--", lw=1)
    ax.annotate("planned run", (run_s, 0), xytext=(4, 4), textcoords="offset points", fontsize=9, color=GREY)
    ax.set(xlabel="seconds of each run", ylabel="difference of the two rises, K (modelled)", title=title)
    ax.set_xlim(seconds[0], seconds[-1])
    ax.set_ylim(0)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_temperature_rises(rises: Sequence[RoundRises], names: tuple[str, str], quantity: str, title: str) -> Figure:
    """The rise of A and of B in each round, joined by a line; ``quantity`` is the axis, with unit and kind."""
    figure, ax = plt.subplots()
    for name, values, marker, colour in zip(
        names, ([r.a for r in rises], [r.b for r in rises]), "os", (BLACK, RED), strict=True
    ):
        ax.plot([r.round for r in rises], values, marker, color=colour, ms=7, label=name)
    for r in rises:
        ax.plot([r.round, r.round], [r.a, r.b], color=GREY, lw=1, zorder=0)
    ax.axhline(0, color=GREY, ls="--", lw=1)
    ax.set_xticks([r.round for r in rises])
    ax.set(xlabel="round", ylabel=quantity, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure
