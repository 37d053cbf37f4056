"""The figure of the frontier; its title states where networks and counting cross."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from sutrolib.core.stats import error_bars
from sutrolib.exam.entries import CLOSED, OPEN
from sutrolib.exam.frontier import EQUAL, NGRAM, Point, crossing, undecided
from sutrolib.plots.metrics import set_log_axis
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import wrap_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAMILIES = {NGRAM: "n-grams", CLOSED: "networks", OPEN: "n-gram x network"}


def draw_frontier(made: Sequence[Point], reading: str, xlabel: str) -> Figure:
    """Loss against the work of training, a panel for each corpus; a line for each size of the network."""
    corpora = list(dict.fromkeys(point.corpus for point in made if point.corpus != EQUAL))
    figure, axes = plt.subplots(1, len(corpora), sharex=True, sharey=True, squeeze=False)
    styles = dict(zip(dict.fromkeys(p.line for p in made if p.corpus != EQUAL), cycle(MODEL_STYLES)))
    for ax, corpus in zip(axes[0], corpora, strict=True):
        for line, (marker, colour) in styles.items():
            mine = sorted((p for p in made if p.corpus == corpus and p.line == line), key=lambda p: p.work[reading])
            x, y = [p.work[reading] for p in mine], [p.loss.value for p in mine]
            style = {"marker": marker, "color": colour, "markersize": 4, "linewidth": 1}
            label = ", ".join(filter(None, (FAMILIES[line[0]], line[1])))
            ax.errorbar(x, y, error_bars([p.loss for p in mine]), label=label, **style)
        set_log_axis(ax)
        ax.set_title(corpus, fontsize=9)
    axes[0][len(corpora) // 2].set_xlabel(xlabel, fontsize=9)
    axes[0][0].set_ylabel("loss on its last tenth, nats (counted)", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7)
    figure.suptitle(wrap_lines(frontier_title(made, reading), 80), fontsize=11, x=0.02, ha="left")
    return figure


def frontier_title(made: Sequence[Point], reading: str) -> str:
    """On which corpora a network becomes better than every n-gram."""
    corpora = list(dict.fromkeys(point.corpus for point in made if point.corpus != EQUAL))
    crossed = [corpus for corpus in corpora if crossing(made, corpus, CLOSED, reading)]
    if few := next(filter(None, (undecided(made, c, CLOSED) for c in corpora if c not in crossed)), ""):
        return few.capitalize()
    if not crossed:
        return "Within reach, no network is better than the best n-gram of its corpus"
    others = [corpus for corpus in corpora if corpus not in crossed]
    text = f"Networks become better than every n-gram on {' and '.join(crossed)}"
    return text + (f", and not on {' and '.join(others)}" if others else "")
