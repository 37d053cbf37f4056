"""Figures that compare models: scores by rung, quality against cost, and the cost over a model's lifetime."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure

from sutrolib.plots.style import BLACK, GREY, LINE_STYLES, PURPLE, RED, RED_TEXT, SIZE, wrap_lines

_COLOURS = (BLACK, RED, PURPLE, GREY)
MODEL_STYLES = [(mark, _COLOURS[(n + turn) % 4]) for turn in range(4) for n, mark in enumerate("osD^vPX*")]
_GOOD = "#99D8C7"  # the green of the metric axis is stronger
VERDICT_COLOURS = {"passed": _GOOD, "safe": _GOOD, "failed": RED_TEXT, "not safe": RED_TEXT, "not tested": "white"}


def draw_heatmap(
    cells: Mapping[str, Mapping[str, float | str]], title: str, label: str = "", xlabel: str = "", ylabel: str = ""
) -> Figure:
    """One row for each key and one column for each of the inner ones: a shaded number, or words such as ``failed``.

    ``label`` is that of the scale. Words that begin with a verdict of :data:`VERDICT_COLOURS` have its colour.
    """
    columns = list(dict.fromkeys(name for row in cells.values() for name in row))
    numbers = [n for row in cells.values() for n in row.values() if isinstance(n, float) and math.isfinite(n)]
    width = (3.6 if numbers else 2.6) + 0.62 * len(columns)  # beside the columns: labels, and the scale
    figure, ax = plt.subplots(figsize=np.maximum(SIZE, (width, 1.1 + 0.3 * len(cells))))
    low, high = min(numbers, default=0), max(numbers, default=1)
    scale = ScalarMappable(LogNorm(low, high) if high > 10 * low > 0 else Normalize(low, high), "cividis_r")
    squares = np.ones((len(cells), len(columns), 4))
    for (y, row), (x, name) in itertools.product(enumerate(cells.values()), enumerate(columns)):
        cell = row.get(name, "")
        if isinstance(cell, float):
            squares[y, x], words = scale.to_rgba(np.array(cell)), f"{cell:,.0f}" if cell >= 100 else f"{cell:.2g}"
        else:
            colours = [colour for verdict, colour in VERDICT_COLOURS.items() if cell.startswith(verdict)]
            squares[y, x] = to_rgba(colours[0] if colours else "#EEEEEE" if cell else "white")
            words = wrap_lines(cell, 12)
        dark = squares[y, x, :3] @ (0.3, 0.6, 0.1) < 0.46
        colour = "white" if dark else BLACK
        ax.text(x + 0.5, y + 0.5, words, ha="center", va="center", fontsize=8.5, linespacing=1.0, color=colour)
    ax.pcolormesh(squares, edgecolors="white", lw=2)
    letters = max(10, 40 // len(columns))
    ax.set_xticks(np.arange(len(columns)) + 0.5, [wrap_lines(name, letters) for name in columns], fontsize=8)
    ax.set_yticks(np.arange(len(cells)) + 0.5, [wrap_lines(name, 36) for name in cells], fontsize=9)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if numbers:
        figure.colorbar(scale, ax=ax, label=label)
    return figure


def draw_tradeoff(points: Mapping[str, Sequence[tuple[float, float]]], title: str, xlabel: str, ylabel: str) -> Figure:
    """Quality against cost on a logarithmic axis, one marker for each model; points of one model are joined."""
    figure, ax = plt.subplots()
    for (name, values), (marker, colour) in zip(points.items(), MODEL_STYLES, strict=False):
        xs, ys = zip(*values, strict=True)
        ax.plot(xs, ys, marker=marker, ls="-" if len(xs) > 1 else "", color=colour, lw=1, ms=7, label=name)
    ax.set_xscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure


def draw_lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float | None],
    log: bool = True,
) -> Figure:
    """Lines by name, each as (x, y), with a vertical line at each of the ``marks`` that is not None."""
    figure, ax = plt.subplots()
    for (name, (xs, ys)), (colour, dashes) in zip(curves.items(), itertools.cycle(LINE_STYLES)):
        ax.plot(xs, ys, ls=dashes, color=colour, lw=2, label=name)
    for name, at in marks.items():
        if at is not None:
            ax.axvline(at, color=RED, lw=1, label=f"{name}: {at:,.0f}")
    if log:
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure
