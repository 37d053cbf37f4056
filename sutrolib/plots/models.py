"""Figures that compare models: scores by rung, quality against cost, and the cost over a model's lifetime."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm, Normalize

from sutrolib.plots.style import BLACK, GREY, PURPLE, RED, RED_TEXT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (BLACK, RED, PURPLE, GREY)
MODEL_STYLES = [(mark, _COLOURS[(n + turn) % 4]) for turn in range(4) for n, mark in enumerate("osD^vPX*")]


def draw_heatmap(cells: Mapping[str, Mapping[str, float | str]], title: str, label: str) -> Figure:
    """One row for each model and one column for each rung: a shaded number, or a text such as ``failed``."""
    figure, ax = plt.subplots()
    columns = list(dict.fromkeys(name for row in cells.values() for name in row))
    values = np.array(
        [[row[name] if isinstance(row.get(name), float) else np.nan for name in columns] for row in cells.values()]
    )
    shades = plt.get_cmap("cividis_r").with_extremes(bad="#EEEEEE")
    norm = _shading(values)
    mesh = ax.pcolormesh(np.ma.masked_invalid(values), cmap=shades, norm=norm, edgecolors="white", lw=2)
    for y, row in enumerate(cells.values()):
        for x, name in enumerate(columns):
            cell = row.get(name, "")
            dark = isinstance(cell, float) and norm is not None and norm(cell) > 0.55
            short = "{:,.0f}" if isinstance(cell, float) and cell >= 100 else "{:.2g}"
            words = short.format(cell) if isinstance(cell, float) else textwrap.fill(cell, 11)
            ax.text(x + 0.5, y + 0.5, words, ha="center", va="center", fontsize=8, color="white" if dark else BLACK)
    ax.set_xticks(np.arange(len(columns)) + 0.5, [textwrap.fill(name, 12) for name in columns], fontsize=9)
    ax.set_yticks(np.arange(len(cells)) + 0.5, list(cells), fontsize=9)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.set_title(title)
    if norm is not None:
        figure.colorbar(mesh, ax=ax, label=label)
    return figure


def _shading(values: np.ndarray) -> Normalize | None:
    """Logarithmic if the values span more than a decade; None if there are none."""
    if not np.isfinite(values).any():
        return None
    low, high = np.nanmin(values), np.nanmax(values)
    return LogNorm(low, high) if high > 10 * low > 0 else Normalize(low, high)


def draw_tradeoff(points: Mapping[str, Sequence[tuple[float, float]]], title: str, xlabel: str, ylabel: str) -> Figure:
    """Quality against cost on a logarithmic axis, one marker for each model; points of one model are joined."""
    figure, ax = plt.subplots()
    for (name, values), (marker, colour) in zip(points.items(), MODEL_STYLES, strict=False):
        xs, ys = zip(*values, strict=True)
        ax.plot(xs, ys, marker=marker, ls="-" if len(xs) > 1 else "", color=colour, lw=1, ms=7, label=name)
    ax.set_xscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="best", fontsize=8)
    return figure


def draw_lifetime_cost(
    totals: Mapping[str, tuple[Sequence[float], Sequence[float]]], break_even: float | None, title: str, ylabel: str
) -> Figure:
    """The cost of training and of all predictions so far, by the number of predictions, with the break-even point."""
    figure, ax = plt.subplots()
    for (name, (counts, costs)), style in zip(totals.items(), ("-", "--", "-.", ":"), strict=False):
        ax.plot(counts, costs, ls=style, color=BLACK, lw=2, label=name)
    if break_even is not None:
        ax.axvline(break_even, color=RED, lw=1)
        at = (break_even, 0.05)
        ax.annotate(
            f"break-even: {break_even:,.0f}", at, xycoords=("data", "axes fraction"), color=RED_TEXT, fontsize=9
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set(xlabel="number of predictions", ylabel=ylabel, title=title)
    ax.legend(loc="best", fontsize=9)
    return figure
