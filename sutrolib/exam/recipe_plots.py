"""Charts of recipes beyond the exam itself: on other corpora, and without one ingredient."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator, Mapping
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from sutrolib.core.stats import Interval, error_bars, pareto_front
from sutrolib.exam.plots import STYLES
from sutrolib.exam.verdict import LOSS, energy_of
from sutrolib.measurement.measure import Measurement
from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_corpus_sizes(runs: Mapping[str, Mapping[str, Measurement]]) -> Figure:
    """Loss against the energy of the training on each corpus, with the frontier: nobody has less of both.

    A corpus on which nothing was trained is left out.
    """
    held = {corpus: trained for corpus, found in runs.items() if (trained := _without_failed(found))}
    every = [run for found in held.values() for run in found.values()]
    energy = energy_of(every)
    figure, axes = plt.subplots(1, len(held), sharex=True, squeeze=False)
    names = list(dict.fromkeys(name for found in held.values() for name in found))
    style = dict(zip(names, _many_styles(), strict=False))
    title = f"J to train ({every[0].reading(energy).kind})" if every else ""
    best = []
    for ax, (corpus, found) in zip(axes[0], held.items(), strict=True):
        points = {name: (run.reading(energy).value, run.scores[LOSS]) for name, run in found.items()}
        edge = pareto_front(points)
        ax.step(*zip(*(points[name] for name in edge), strict=True), where="post", color=GREY, lw=1.5, zorder=0)
        for name, (joules, lost) in points.items():
            marker, colour = style[name]
            ax.plot(joules, lost, marker, color=colour, ms=8, ls="", label=name)
        ax.set_xscale("log")
        ax.set_xlabel(f"{corpus}\n{title}", fontsize=8)
        ax.tick_params(labelsize=8)
        best.append(f"{edge[-1]} ({points[edge[-1]][1]:.2f})")
    axes[0][0].set_ylabel("loss on its last tenth, nats", fontsize=9)
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=7)
    said = "Lowest loss, from the short to the long corpus: " + "; ".join(best)
    figure.suptitle(textwrap.fill(said, 90), fontsize=10, x=0.02, ha="left")
    return figure


def draw_savings(saved: Mapping[str, Mapping[str, Interval]], min_context: Collection[str]) -> Figure:
    """What the rest of a recipe takes without each ingredient, over the whole recipe, with intervals.

    ``saved`` maps a quantity, with its kind, to the ratios by ingredient; those of ``min_context`` missed the loss asked.
    """
    figure, ax = plt.subplots()
    first = next(iter(saved.values()))
    names = sorted(first, key=lambda name: -first[name].value)
    for number, ((what, ratios), (marker, colour)) in enumerate(zip(saved.items(), STYLES, strict=False)):
        offset = 0.2 * (number - (len(saved) - 1) / 2)
        rows = [row + offset for row in range(len(names))]
        values = [ratios[name] for name in names]
        ax.errorbar(
            [v.value for v in values], rows, xerr=error_bars(values), fmt=marker, color=colour, capsize=3, label=what
        )
    ax.axvline(1, color=GREY, ls="--", lw=1)
    ax.set_yticks(range(len(names)), [f"{name}{' (at min_context)' if name in min_context else ''}" for name in names], fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=min(0.9, *(v.low for ratios in saved.values() for v in ratios.values())))
    ax.set_xlabel("without it / the whole recipe, to the same loss on the first seed", fontsize=9)
    ax.legend(fontsize=9, loc="lower right")
    most, each = names[0], first[names[0]]
    bound = "at least " if most in min_context else ""
    ax.set_title(
        f"What saves most is {most}: without it {bound}{each.value:.2g} [{each.low:.2g}, {each.high:.2g}] times as much"
    )
    return figure


def _without_failed(runs: Mapping[str, Measurement]) -> dict[str, Measurement]:
    return {name: run for name, run in runs.items() if not run.failure}


def _many_styles() -> Iterator[tuple[str, str]]:
    """Markers and colours, twelve pairs before one comes again."""
    return zip(cycle("osD^vPX*<>ph"), cycle((BLACK, RED, PURPLE, GREY)))
