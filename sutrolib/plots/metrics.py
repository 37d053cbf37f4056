"""Figures about metrics that several notebooks draw, in the house style of :mod:`sutrolib.plots.style`."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from sutrolib.core.format import bytes_text
from sutrolib.core.stats import Interval, error_bars
from sutrolib.meters.thermal.protocol import RoundRises
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import BLACK, GREY, LINE_STYLES, SIZE, wrap_lines


def draw_rows(
    labels: Sequence[str],
    series: Mapping[str, Sequence[Interval | Sequence[float] | None]],
    title: str,
    xlabel: str,
    reference: float | None = 1.0,
    log: bool = True,
    ax: Axes | None = None,
) -> Figure:
    """One row for each label, and in it one marker for each series: an interval, or numbers (pale) with their mean.

    None stands for what was not measured. Where there are too few points for an interval, they are shown. A dashed line
    marks the ``reference``.
    """
    height = max(SIZE[1], 1.9 + 0.33 * len(labels))
    ax = ax or plt.subplots(figsize=(height * SIZE[0] / SIZE[1], height))[1]  # the shape that fills a slide
    for number, ((name, found), (marker, colour)) in enumerate(zip(series.items(), cycle(MODEL_STYLES))):
        offset = 0.2 * (number - (len(series) - 1) / 2)
        rows = [row + offset for row, one in enumerate(found) if one is not None]
        intervals = [
            one if isinstance(one, Interval) else Interval(float(np.mean(one)), -math.inf, math.inf, tuple(one))
            for one in found
            if one is not None
        ]
        bars: dict[str, Any] = {"xerr": error_bars(intervals), "capsize": 3, "label": wrap_lines(name, 40)}
        ax.errorbar([interval.value for interval in intervals], rows, fmt=marker, color=colour, **bars)
        for row, interval in zip(rows, intervals, strict=True):
            if not interval.bounded:
                ax.plot(interval.points, [row] * len(interval.points), marker, color=colour, ms=4, alpha=0.4)
    for row, found in enumerate(zip(*series.values(), strict=True)):
        if not any(found):
            ax.text(0.5, row, "not measured", transform=ax.get_yaxis_transform(), ha="center", va="center")
    if reference is not None:
        ax.axvline(reference, color=GREY, ls="--", lw=1)
    if log:
        set_log_axis(ax)
    ax.set_yticks(range(len(labels)), [wrap_lines(label, 28) for label in labels], fontsize=9)
    ax.set(xlabel=xlabel, title=title, ylim=(max(1, len(labels)) - 0.5, -0.5))
    figure: Figure = ax.get_figure()  # type: ignore[assignment]
    if len(series) > 1:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def set_log_axis(ax: Axes) -> None:
    """A logarithmic x axis with plain numbers; over less than two decades, some between the powers of ten as well."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_formatter("{x:g}")
    if high < 100 * low:
        ax.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7) if high < 10 * low else (2, 5)))
    ax.xaxis.set_minor_formatter("{x:g}" if high < 100 * low else "")
    ax.tick_params(axis="x", which="both", labelsize=9)


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
    for (name, (capacities, ratios)), (colour, dashes) in zip(curves.items(), LINE_STYLES, strict=False):
        sizes, misses = np.maximum(capacities, 0.5), np.asarray(ratios, float)  # a logarithmic axis has no 0
        ends = [*sizes, 2 * sizes[-1]], [*misses, misses[-1]]
        ax.step(*ends, where="post", color=colour, ls=dashes, label=name, lw=2)
    ax.set_xscale("log", base=2)
    ax.set(xlabel=xlabel, ylabel="miss ratio (counted)", ylim=(0, 1.04), title=title)
    ax.legend(fontsize=9)
    return figure


def draw_stacked_bars(bars: Mapping[str, Mapping[str, float]], title: str, xlabel: str) -> Figure:
    """One stacked bar for each row, divided into its parts."""
    import pandas as pd

    figure, ax = plt.subplots()
    table = pd.DataFrame.from_dict(dict(bars), orient="index").iloc[::-1]  # the first bar on top
    table.plot.barh(stacked=True, ax=ax, colormap="cividis_r", edgecolor="white", xlabel=xlabel, legend=False)
    ax.set_title(title)
    ax.tick_params(axis="y", labelsize=9)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=9)
    return figure


def draw_temperature_rises(rises: Sequence[RoundRises], names: tuple[str, str], quantity: str, title: str) -> Figure:
    """The rises of A and B in each round, joined by a line; ``quantity`` labels the axis, with unit and kind."""
    figure, ax = plt.subplots()
    rounds = [r.round for r in rises]
    for name, arm, (marker, colour) in zip(names, "ab", MODEL_STYLES, strict=False):
        ax.plot(rounds, [getattr(r, arm) for r in rises], marker, color=colour, ms=7, label=name)
    ax.vlines(rounds, [r.a for r in rises], [r.b for r in rises], color=GREY, lw=1, zorder=0)
    ax.axhline(0, color=GREY, ls="--", lw=1)
    ax.set_xticks(rounds)
    ax.set(xlabel="round", ylabel=quantity, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure
