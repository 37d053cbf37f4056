"""Charts of searches: the trials, the best cost so far of one or several searches, and checks of what was found."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from sutrolib.core.cube import COLOURS, Axis
from sutrolib.plots.style import BLACK, GREY, PURPLE, RED, RED_TEXT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PASSED, FAILED, OTHER = "#99D8C7", RED_TEXT, "#DDDDDD"  # the green of the metric axis is stronger
LABEL_HEIGHT = 0.06  # of the axes, for a line of small text
_SHADES, _DASHES = (BLACK, RED, PURPLE, GREY), ("-", "--", ":", "-.")
_LINE_STYLES = [(shade, _DASHES[(n + turn) % 4]) for turn in range(3) for n, shade in enumerate(_SHADES)]  # both differ
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
    for (name, trials), marker, colour in zip(families.items(), cycle("osD^vPX"), cycle(_SHADES)):
        solved = [(number, cost) for number, cost in trials if cost is not None]
        missed = [number for number, cost in trials if cost is None]
        style: dict[str, Any] = {"marker": marker, "ls": "", "ms": 6, "color": colour}
        ax.plot([n for n, _ in solved], [c for _, c in solved], label=f"{name}: {len(solved)}/{len(trials)}", **style)
        ax.plot(missed, [_UNSOLVED_HEIGHT] * len(missed), mfc="none", transform=ax.get_xaxis_transform(), **style)
    every = sorted(trial for trials in families.values() for trial in trials)
    ax.step(
        [number for number, _ in every],
        np.fmin.accumulate([np.nan if cost is None else cost for _, cost in every]),
        where="post",
        color=COLOURS[Axis.PROCESS],
        lw=2.5,
        label="best so far",
        zorder=1,
    )
    if start is not None:
        ax.axhline(start, color=GREY, ls="--", lw=1, label="the start", zorder=0)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12)  # room for the hollow markers
    ax.set(xlabel="trial", ylabel=ylabel, title=title)
    legend = ax.legend(
        loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, title="solved / tried\n(hollow: not solved)"
    )
    legend.set_alignment("left")
    legend.get_title().set_fontsize(8)
    return figure


def draw_best_so_far(
    spent: Sequence[float], curves: Curves, lines: Mapping[str, float], title: str, xlabel: str, ylabel: str
) -> Figure:
    """The median of the best so far of each search, with its quartiles as a band; ``lines`` are known costs by name."""
    figure, ax = plt.subplots()
    _draw_curves(ax, spent, curves, _styles_of(curves))
    for name, value in lines.items():
        ax.axhline(value, color=GREY, lw=1, ls="-.")
        ax.annotate(name, (max(spent), value), xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8)
    if any(np.isfinite(middle).any() for _, middle, _ in map(np.asarray, curves.values())):
        ax.set_yscale("log")  # matplotlib needs a finite value for it
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(loc="upper right", fontsize=8)
    return figure


def draw_best_so_far_panels(
    spent: Sequence[float], problems: Mapping[str, Curves], title: str, xlabel: str, ylabel: str, log: bool = True
) -> Figure:
    """One panel per problem; each search has the same colour and dashes in all of them, and one legend entry."""
    rows, styles = math.ceil(len(problems) / 2), _styles_of(name for curves in problems.values() for name in curves)
    figure, axes = plt.subplots(rows, min(2, len(problems)), sharex=True, squeeze=False)
    for ax, (problem, curves) in zip(axes.flat, problems.items(), strict=False):
        _draw_curves(ax, spent, curves, styles)
        if log:
            ax.set_yscale("log")
        ax.annotate(problem, (0.98, 0.97), xycoords="axes fraction", ha="right", va="top", fontsize=8)
        ax.tick_params(labelsize=8)
    for ax in list(axes.flat)[len(problems) :]:
        ax.set_visible(False)
    axes[0, 0].set_title(title)
    for ax in axes[-1]:
        ax.set_xlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    handles = {line.get_label(): line for ax in axes.flat for line in ax.get_lines()}
    figure.legend(handles=[*handles.values()], loc="outside lower center", ncols=4, fontsize=7, handlelength=3)
    return figure


def _styles_of(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each search, by the order in which they first occur."""
    return dict(zip(dict.fromkeys(names), cycle(_LINE_STYLES), strict=False))


def _draw_curves(ax: Axes, spent: Sequence[float], curves: Curves, styles: Mapping[str, tuple[str, str]]) -> None:
    for name, (low, middle, high) in curves.items():
        colour, style = styles[name]
        # Infinite means not solved yet, and is not drawn.
        shown = [np.where(np.isfinite(values), values, np.nan) for values in (low, middle, high)]
        ax.fill_between(spent, shown[0], shown[2], color=colour, alpha=0.12, lw=0, step="post")
        ax.step(spent, shown[1], where="post", color=colour, ls=style, lw=1.8, label=name)


def draw_records(
    curves: Mapping[str, Sequence[tuple[float, float]]], records: Mapping[str, float], title: str, ylabel: str
) -> Figure:
    """The best cost so far of each search over its trials, with public records as lines that are named at the right.

    A curve holds (trials, best cost) points, infinite while nothing is solved; it is dashed where its name begins with
    ``kept``. Names of records that lie close together are moved apart, each joined to its line.
    """
    figure, ax = plt.subplots()
    looks = cycle(((COLOURS[Axis.PROCESS], "o"), (BLACK, "s"), (PURPLE, "D")))
    for (name, points), (colour, mark) in zip(curves.items(), looks, strict=False):
        trials, costs = [trial for trial, _ in points], [best if np.isfinite(best) else np.nan for _, best in points]
        style: dict[str, Any] = {"color": colour, "ls": "--" if name.startswith("kept") else "-", "lw": 2.5}
        style |= {"marker": mark, "ms": 6, "markevery": 0.1}
        ax.step(trials, costs, where="post", label=textwrap.fill(name, 34), zorder=3, **style)
    for cost in records.values():
        ax.axhline(cost, color=GREY, lw=1, zorder=1)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    low, high = ax.get_ylim()
    if high < 10 * low:  # at most one power of ten: label the ticks between them too
        ax.yaxis.set_minor_formatter("{x:,.0f}")
        ax.tick_params(axis="y", which="minor", labelsize=9)
    _name_records(ax, records)
    ax.set(xlabel="trial", ylabel=ylabel, title=title)
    ax.yaxis.label.set_fontsize(10)
    ax.legend(loc="best", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _name_records(ax: Axes, records: Mapping[str, float]) -> None:
    """Write the names of records to the right of the axes, lowest first, without overlap."""
    low, high = np.log(ax.get_ylim())
    above = 0.0
    for name, cost in sorted(records.items(), key=lambda record: record[1]):
        place = (np.log(cost) - low) / (high - low)
        above = max(place, above)
        ax.annotate(
            name,
            xy=(1, place),
            xytext=(1.04, above),
            xycoords="axes fraction",
            va="center",
            fontsize=8,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.7, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)},
        )
        above += LABEL_HEIGHT


def draw_checks(outcomes: Mapping[str, Mapping[str, str]], title: str) -> Figure:
    """A row for each check and a column for each model; ``outcomes`` holds a word by model and check.

    ``passed`` is green, ``failed`` is dark, ``not tested`` is white, and any other word, such as a number, is grey.
    """
    figure, ax = plt.subplots()
    checks = list(dict.fromkeys(check for words in outcomes.values() for check in words))
    colours = {"passed": PASSED, "failed": FAILED, "not tested": "white"}
    for x, words in enumerate(outcomes.values()):
        for y, check in enumerate(checks):
            word = words.get(check, "not tested")
            ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colours.get(word, OTHER), lw=0))
            colour, weight = ("white", "bold") if word == "failed" else (BLACK, "normal")
            shown = "-" if word == "not tested" else word
            ax.text(x, y, shown, ha="center", va="center", fontsize=7.5, color=colour, weight=weight)
    ax.set_xticks(range(len(outcomes)), [textwrap.fill(name, 11) for name in outcomes], fontsize=7.5)
    ax.set_yticks(range(len(checks)), [textwrap.fill(check, 36) for check in checks], fontsize=7.5)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set(xlim=(-0.5, len(outcomes) - 0.5), ylim=(len(checks) - 0.5, -0.5), title=title)
    return figure
