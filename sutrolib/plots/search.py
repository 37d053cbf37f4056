"""Charts of searches: what was tried, what it cost, and what was found."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
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

TOP = 0.96  # of the height of the axes
NAME_HEIGHT = 0.06  # of the axes, which a line of small text takes
COLOURS_OF_FAMILIES = (BLACK, RED, PURPLE, GREY)


def draw_trials(
    families: Mapping[str, Sequence[tuple[int, float | None]]],
    start: float | None,
    title: str,
    ylabel: str,
    figure: Figure | None = None,
) -> Figure:
    """The cost of every trial by its number, a marker for each family; hollow along the top where nothing was solved.

    The line is the best cost so far, and the dashed one the cost of the ``start``, where that solves the problem.
    Drawn on ``figure``, an empty one; on a new one of pyplot's where it is None.
    """
    figure = plt.figure() if figure is None else figure
    ax = figure.subplots()
    for (name, trials), marker, colour in zip(families.items(), cycle("osD^vPX"), cycle(COLOURS_OF_FAMILIES)):
        solved = [(number, cost) for number, cost in trials if cost is not None]
        missed = [number for number, cost in trials if cost is None]
        style: dict[str, Any] = {"marker": marker, "ls": "", "ms": 6, "color": colour}
        ax.plot([n for n, _ in solved], [c for _, c in solved], label=f"{name}: {len(solved)}/{len(trials)}", **style)
        ax.plot(missed, [TOP] * len(missed), mfc="none", transform=ax.get_xaxis_transform(), **style)
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
    ax.set_ylim(low, high * (high / low) ** 0.12)  # room for the hollow ones
    ax.set(xlabel="trial", ylabel=ylabel, title=title)
    legend = ax.legend(
        loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, title="solved / tried\n(hollow: not solved)"
    )
    legend.set_alignment("left")
    legend.get_title().set_fontsize(8)
    return figure


PASSED, FAILED, LIMIT = "#99D8C7", RED_TEXT, "#DDDDDD"  # the green of the metric axis is stronger


def draw_checks(outcomes: Mapping[str, Mapping[str, str]], title: str) -> Figure:
    """A row for each check and a column for each model, by model and check: ``passed``, ``failed``, or another word.

    A failed check is dark; what only says where a result ends is grey, and what does not apply is left white.
    """
    figure, ax = plt.subplots()
    checks = list(dict.fromkeys(check for words in outcomes.values() for check in words))
    colours = {"passed": PASSED, "failed": FAILED, "not tested": "white"}
    for x, words in enumerate(outcomes.values()):
        for y, check in enumerate(checks):
            word = words.get(check, "not tested")
            ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colours.get(word, LIMIT), lw=0))
            colour, weight = ("white", "bold") if word == "failed" else (BLACK, "normal")
            shown = "-" if word == "not tested" else word
            ax.text(x, y, shown, ha="center", va="center", fontsize=7.5, color=colour, weight=weight)
    ax.set_xticks(range(len(outcomes)), [textwrap.fill(name, 11) for name in outcomes], fontsize=7.5)
    ax.set_yticks(range(len(checks)), [textwrap.fill(check, 36) for check in checks], fontsize=7.5)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set(xlim=(-0.5, len(outcomes) - 0.5), ylim=(len(checks) - 0.5, -0.5), title=title)
    return figure


def draw_records(
    curves: Mapping[str, Sequence[tuple[float, float]]], records: Mapping[str, float], title: str, ylabel: str
) -> Figure:
    """The best cost so far of each search by the number of its trial; public records as lines, named at the right.

    A curve holds (trials, best cost) points, infinite while nothing is solved; a name that begins with ``kept`` is
    dashed. Names of records that lie close together are moved apart, each joined to its line.
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
    if high < 10 * low:  # no power of ten or one: the ticks between them are to be named as well
        ax.yaxis.set_minor_formatter("{x:,.0f}")
        ax.tick_params(axis="y", which="minor", labelsize=9)
    _name_records(ax, records)
    ax.set(xlabel="trial", ylabel=ylabel, title=title)
    ax.yaxis.label.set_fontsize(10)
    ax.legend(loc="best", fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _name_records(ax: Axes, records: Mapping[str, float]) -> None:
    """Write the names of records beside the axes, lowest first, none closer to the one below than its height."""
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
        above += NAME_HEIGHT
