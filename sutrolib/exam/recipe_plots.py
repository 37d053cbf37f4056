"""Figures of recipes beyond the exam itself: on other corpora, and without one ingredient."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from sutrolib.core.stats import Interval, pareto_front
from sutrolib.exam.plots import draw_front
from sutrolib.exam.verdict import LOSS, energy_meter
from sutrolib.measurement.measure import Measurement
from sutrolib.plots.metrics import draw_intervals, label_rows
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import GREY

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_corpus_sizes(runs: Mapping[str, Mapping[str, Measurement]]) -> Figure:
    """Loss against training energy on each corpus that models were trained on, with the Pareto front."""
    trained = {corpus: {name: r for name, r in found.items() if not r.failure} for corpus, found in runs.items()}
    trained = {corpus: found for corpus, found in trained.items() if found}
    every = [run for found in trained.values() for run in found.values()]
    energy = energy_meter(every)
    figure, axes = plt.subplots(1, len(trained), sharex=True, squeeze=False)
    style = dict(zip(dict.fromkeys(name for found in trained.values() for name in found), cycle(MODEL_STYLES)))
    best = []
    for ax, (corpus, found) in zip(axes[0], trained.items(), strict=True):
        points = {name: (run.reading(energy).value, run.scores[LOSS]) for name, run in found.items()}
        front = pareto_front(points)
        draw_front(ax, [points[name] for name in front])
        for name, point in points.items():
            ax.plot(*point, style[name][0], color=style[name][1], ms=8, ls="", label=name)
        ax.set_xscale("log")
        ax.set_xlabel(f"{corpus}\ntraining energy, J ({every[0].reading(energy).kind})", fontsize=8)
        ax.tick_params(labelsize=8)
        best.append(f"{front[-1]} ({points[front[-1]][1]:.2f})")
    axes[0][0].set_ylabel("loss on its last tenth, nats (counted)", fontsize=9)
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=7)
    title = "Lowest loss, from the short to the long corpus: " + "; ".join(best)
    figure.suptitle(textwrap.fill(title, 90), fontsize=10, x=0.02, ha="left")
    return figure


def draw_savings(savings: Mapping[str, Mapping[str, Interval]], at_least: Collection[str]) -> Figure:
    """The cost without each ingredient over that of the full recipe, with intervals.

    ``savings`` maps a quantity, with its kind, to the ratios by ingredient; those in ``at_least`` missed the target
    loss, so their ratios are lower bounds.
    """
    figure, ax = plt.subplots()
    first = next(iter(savings.values()))
    names = sorted(first, key=lambda name: -first[name].value)
    for number, ((quantity, ratios), (marker, colour)) in enumerate(
        zip(savings.items(), MODEL_STYLES[1:], strict=False)
    ):
        offset = 0.2 * (number - (len(savings) - 1) / 2)
        rows = [row + offset for row in range(len(names))]
        draw_intervals(ax, rows, [ratios[name] for name in names], marker, colour, quantity)
    ax.axvline(1, color=GREY, ls="--", lw=1)
    label_rows(ax, [f"{name}{' (at least)' if name in at_least else ''}" for name in names], fontsize=8)
    lows = [ratio.low if ratio.bounded else ratio.value for ratios in savings.values() for ratio in ratios.values()]
    ax.set_xlim(left=min(0.9, *lows))
    ax.set_xlabel("without it / full recipe, at the same loss on the first seed", fontsize=9)
    ax.legend(fontsize=9, loc="lower right")
    costs = [
        f"{'at least ' if name in at_least else ''}{first[name].value:.2g} times as much without {name}"
        for name in names[:2]
    ]
    ax.set_title(f"Training costs {' and '.join(costs)}")
    return figure
