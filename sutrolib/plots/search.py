"""Charts of searches: the trials, the best cost so far of one or several searches, and checks of what was found."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sutrolib.core.cube import COLOURS, Axis
from sutrolib.plots.style import BLACK, GREY, LINE_STYLES, PURPLE, RED, SIZE, wrap_lines

_UNSOLVED_HEIGHT = 0.96  # of the axes

Curves = Mapping[str, Sequence[Sequence[float]]]  # by search: lower quartile, median, upper quartile over the seeds


def draw_trials(
    families: Mapping[str, Sequence[tuple[int, float | None]]],
    start: float | None,
    title: str,
    ylabel: str,
    figure: Figure | None = None,
) -> Figure:
    """The cost of every trial by its number, one marker per family, hollow at the top where the problem is not solved.

    ``families`` holds (number, cost or None) pairs. The solid line is the best cost so far, the dashed line the cost of
    the ``start``, where that solves the problem. ``figure`` is an empty figure; None makes one with pyplot.
    """
    figure = plt.figure() if figure is None else figure
    ax = figure.subplots()
    for (name, trials), marker, colour in zip(families.items(), cycle("osD^vPX"), cycle((BLACK, RED, PURPLE, GREY))):
        solved = [(number, cost) for number, cost in trials if cost is not None]
        missed = [number for number, cost in trials if cost is None]
        style: dict[str, Any] = {"marker": marker, "ls": "", "ms": 6, "color": colour}
        ax.plot([n for n, _ in solved], [c for _, c in solved], label=f"{name}: {len(solved)}/{len(trials)}", **style)
        ax.plot(missed, [_UNSOLVED_HEIGHT] * len(missed), mfc="none", transform=ax.get_xaxis_transform(), **style)
    every = sorted(trial for trials in families.values() for trial in trials)
    best = np.fmin.accumulate([np.nan if cost is None else cost for _, cost in every])
    line: dict[str, Any] = {"color": COLOURS[Axis.PROCESS], "lw": 2.5, "label": "best so far", "zorder": 1}
    ax.step([number for number, _ in every], best, where="post", **line)
    if start is not None:
        ax.axhline(start, color=GREY, ls="--", lw=1, label="the start", zorder=0)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12)  # room for the hollow markers
    ax.set(xlabel="trial", ylabel=ylabel, title=title)
    beside: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    words = "solved / tried\n(hollow: not solved)"
    ax.legend(title=words, title_fontsize=8, fontsize=8, alignment="left", **beside)
    return figure


def draw_best_so_far(
    spent: Sequence[float],
    problems: Mapping[str, Curves],
    title: str,
    xlabel: str,
    ylabel: str,
    lines: Mapping[str, float] | None = None,
    log: bool = True,
) -> Figure:
    """One panel per problem: the median of the best so far of each search, with a bar over the quartiles at its end.

    A search looks the same in all panels. A curve may be shorter than ``spent``. ``lines`` are known costs by name.
    Infinite means not solved yet, and is not drawn; an infinite quartile ends at the highest cost of its panel.
    """
    names = dict.fromkeys(name for curves in problems.values() for name in curves)
    styles = dict(zip(names, cycle(LINE_STYLES), strict=False))
    rows, size = math.ceil(len(problems) / 2), SIZE if len(problems) <= 2 else (7, 4.2)
    figure, axes = plt.subplots(rows, min(2, len(problems)), squeeze=False, figsize=size)
    for ax, (problem, curves) in zip(axes.flat, problems.items(), strict=False):
        ends = [(value, name, GREY, "-.") for name, value in (lines or {}).items()]
        top = max((cost for curve in curves.values() for cost in np.ravel(curve) if np.isfinite(cost)), default=0)
        for number, (name, quartiles) in enumerate(curves.items(), start=1):
            colour, dashes = styles[name]
            low, middle, high = np.where(np.isfinite(quartiles), quartiles, np.nan)
            xs = spent[: len(middle)]
            ax.step(xs, middle, where="post", color=colour, ls=dashes, lw=1.8, label=name)
            beside = xs[-1] + 0.015 * number * (xs[-1] - xs[0])
            ax.vlines(beside, low[-1], np.fmin(high[-1], top), color=colour, lw=1.8)
            ends.append((middle[-1], name, colour, dashes))
        for name, value in (lines or {}).items():
            ax.axhline(value, color=GREY, lw=1, ls="-.", label=name)
        ax.set_yscale("log" if log and top else "linear")  # a logarithmic scale needs a finite value
        ax.set_title(problem, fontsize=9)
        ax.set_xlabel(xlabel, fontsize=9)
        ax.tick_params(which="both", labelsize=8)
        _name_ends(ax, ends, gap=0.05 * len(axes))
    for ax in axes.flat[len(problems) :]:
        ax.set_visible(False)
    figure.suptitle(title)
    figure.supylabel(wrap_lines(ylabel, int(9 * size[1])), fontsize=9)
    return figure


def _name_ends(ax: Axes, ends: Sequence[tuple[float, str, str, str]], gap: float) -> None:
    """Name lines at the right, each (last value, name, colour, dashes), at least ``gap`` of the axes' height apart."""
    ax.get_ylim()  # sets the limits, which the transformation needs
    to_axes, placed = ax.transData + ax.transAxes.inverted(), -gap
    heights = [1 if np.isnan(value) else to_axes.transform((1, value))[1] for value, *_ in ends]
    ordered = sorted(zip(heights, ends, strict=True))
    for above, (height, (value, name, colour, dashes)) in enumerate(ordered, 1 - len(ends)):
        placed = min(max(height, placed + gap), 1 + gap * above)  # leaves room for those above, -above in number
        words = f"{name}: not solved" if np.isnan(value) else name
        line = {"arrowstyle": "-", "color": colour, "ls": dashes, "lw": 1.5, "relpos": (0, 0.5), "shrinkB": 0}
        ax.annotate(words, (1, height), (1.1, placed), "axes fraction", "axes fraction", line, va="center", fontsize=8)
