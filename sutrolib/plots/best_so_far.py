"""Charts of races between processes: what was found against what was spent, and the chance of having found anything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt

from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHADES, DASHES = (BLACK, RED, PURPLE, GREY), ("-", "--", ":", "-.")
STYLES = [(shade, DASHES[(n + turn) % 4]) for turn in range(3) for n, shade in enumerate(SHADES)]  # both differ

Curves = Mapping[str, Sequence[Sequence[float]]]  # by entrant: lower quartile, median, upper quartile over the seeds


def draw_best_so_far(
    spent: Sequence[float], curves: Curves, lines: Mapping[str, float], title: str, xlabel: str, ylabel: str
) -> Figure:
    """The median of the best so far with its quartiles as a band, by entrant; ``lines`` are known costs, by name."""
    figure, ax = plt.subplots()
    _draw_curves(ax, spent, curves, _styles(curves))
    for name, value in lines.items():
        ax.axhline(value, color=GREY, lw=1, ls="-.")
        ax.annotate(name, (max(spent), value), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8)
    if any(np.isfinite(middle).any() for _, middle, _ in map(np.asarray, curves.values())):
        ax.set_yscale("log")  # of nothing there is no logarithm
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="upper right", fontsize=8)
    return figure


def draw_races(
    spent: Sequence[float], races: Mapping[str, Curves], title: str, xlabel: str, ylabel: str, log: bool = True
) -> Figure:
    """A small panel for each problem; an entrant looks the same in all of them, and is named once."""
    rows, styles = math.ceil(len(races) / 2), _styles(name for curves in races.values() for name in curves)
    figure, axes = plt.subplots(rows, min(2, len(races)), sharex=True, squeeze=False)
    for ax, (problem, curves) in zip(axes.flat, races.items(), strict=False):
        _draw_curves(ax, spent, curves, styles)
        if log:
            ax.set_yscale("log")
        ax.annotate(problem, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8)
        ax.tick_params(labelsize=8)
    for ax in list(axes.flat)[len(races) :]:
        ax.set_visible(False)
    axes[0, 0].set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=7, handlelength=3)
    return figure


def _styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each entrant, in the order in which they are first named."""
    return dict(zip(dict.fromkeys(names), itertools.cycle(STYLES), strict=False))


def _draw_curves(ax: Axes, spent: Sequence[float], curves: Curves, styles: Mapping[str, tuple[str, str]]) -> None:
    for name, (low, middle, high) in curves.items():
        colour, style = styles[name]
        # What is not solved yet is infinite, and is left out of the picture.
        shown = [np.where(np.isfinite(values), values, np.nan) for values in (low, middle, high)]
        ax.fill_between(spent, shown[0], shown[2], color=colour, alpha=0.12, lw=0, step="post")
        ax.step(spent, shown[1], where="post", color=colour, ls=style, lw=1.8, label=name)
