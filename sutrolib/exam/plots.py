"""The four figures of a final exam, drawn from its record; each title states the finding."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator

from sutrolib.core.format import number
from sutrolib.core.stats import pareto_front
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import ExamRecord
from sutrolib.exam.verdict import ACCURACY, JOULES, LOSS, OTHER_COSTS, EntryVerdict, VerdictLine, energy_meter, verdicts
from sutrolib.measurement.passes import INFERENCE
from sutrolib.plots.metrics import draw_intervals, label_rows
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import BLACK, GREY, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {LOSS: "loss on the validation text, nats (counted)", ACCURACY: "accuracy on the validation text (counted)"}
_CHANGES = {LOSS: "change of loss, nats (lower is better)", ACCURACY: "change of accuracy (higher is better)"}


def draw_verdict(record: ExamRecord) -> Figure:
    """Energy and time as ratios, loss and accuracy as differences, with intervals; a row for each entry."""
    found = verdicts(record)
    figure, axes = plt.subplot_mosaic([["ratio", LOSS], ["ratio", ACCURACY]], width_ratios=(1.3, 1))
    ratio = axes["ratio"]
    energies, times = [verdict.energy for verdict in found], [verdict.time for verdict in found]
    for name, lines, style, offset in (("training energy", energies, "o", -0.16), ("time", times, "s", 0.16)):
        kind = " and ".join(dict.fromkeys(line.kind for line in lines if line))
        _draw_lines(ratio, lines, style, BLACK if style == "o" else RED, f"{name} ({kind})", offset)
    _format_ratio_axis(ratio)
    ratio.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
    for name, label in _CHANGES.items():
        _draw_lines(axes[name], [verdict.line(name) for verdict in found], "o", BLACK, name)
        axes[name].axvline(0, color=GREY, ls="--", lw=1)
        axes[name].set_xlabel(label, fontsize=8)
        axes[name].xaxis.set_major_locator(MaxNLocator(3))
    for name, ax in axes.items():
        label_rows(ax, [v.entry if name == "ratio" else "" for v in found], fontsize=8)
        ax.tick_params(labelsize=8)
    ratio.set_title(_verdict_title(found))
    return figure


def draw_seeds(record: ExamRecord) -> Figure:
    """Loss and accuracy of every run by seed; the dashed line is the target, the baseline's mean."""
    figure, axes = plt.subplots(1, 2)
    for ax, (score, label) in zip(axes, SCORES.items(), strict=True):
        for name, (marker, colour) in _styles(record).items():
            runs = record.trained(name)
            ax.plot(list(runs), [run.scores[score] for run in runs.values()], marker, color=colour, label=name)
            if name == BASELINE and runs:
                mean = statistics.fmean(run.scores[score] for run in runs.values())
                ax.axhline(mean, color=GREY, ls="--", lw=1, zorder=0)
        ax.set_xticks(range(record.seeds))
        ax.set_xlabel("seed")
        ax.set_ylabel(label, fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    axes[0].set_title(_seeds_title(record))
    return figure


def draw_other_costs(record: ExamRecord) -> Figure:
    """Costs that the verdict has no criterion for, as ratios: inference, memory, size, and modelled energy."""
    found = verdicts(record)
    kinds = {line.quantity: line.kind for verdict in found for line in verdict.lines if line.met is None}
    figure, ax = plt.subplots()
    for row, verdict in enumerate(found):
        marker, colour = _styles(record)[verdict.entry]
        offset = 0.2 * (row - (len(found) - 1) / 2)
        _draw_lines(ax, [verdict.line(quantity) for quantity in kinds], marker, colour, verdict.entry, offset)
    _format_ratio_axis(ax)
    label_rows(ax, [f"{quantity} ({kind})" for quantity, kind in kinds.items()], fontsize=8)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    ax.set_title(_other_costs_title(found))
    return figure


def draw_pareto_front(record: ExamRecord, cost: str = "", score: str = LOSS, highlight: str = "") -> Figure:
    """A score against a cost, with small points for the runs, large ones for their means, and the Pareto front.

    ``cost`` is a reading in :func:`cost_labels`, by default the training energy; ``score`` is loss or accuracy. The
    entry ``highlight`` is circled, and the title is about it.
    """
    figure, ax = plt.subplots()
    labels = cost_labels(record)
    cost = cost or next(iter(labels), "")
    means: dict[str, tuple[float, float]] = {}
    for name, (marker, colour) in _styles(record).items():
        runs = record.trained(name).values()
        if not runs or cost not in labels:
            continue
        points = [(r.value, run.scores[score]) for run in runs for r in run.readings if r.name == cost]
        means[name] = statistics.geometric_mean(x for x, _ in points), statistics.fmean(y for _, y in points)
        ax.plot(*zip(*points, strict=True), marker, color=colour, ms=4, alpha=0.4)
        ax.plot(*means[name], marker, color=colour, ms=10, label=name)
    if BASELINE in means:
        ax.axhline(means[BASELINE][1], color=GREY, ls="--", lw=1, zorder=0)
        ax.axvline(means[BASELINE][0], color=GREY, ls="--", lw=1, zorder=0)
    if means:
        sign = -1 if score == ACCURACY else 1
        front = [means[name] for name in pareto_front({name: (x, sign * y) for name, (x, y) in means.items()})]
        draw_front(ax, front, "Pareto front")
        _format_log_axis(ax)
        ax.set(xlabel=labels[cost], ylabel=SCORES[score])
    if highlight in means:
        ax.plot(*means[highlight], "o", color=BLACK, ms=20, mfc="none", mew=1.5)
    if means:
        ax.legend(fontsize=8)
    cost_name = "energy" if cost in JOULES else OTHER_COSTS.get(cost, cost or "cost")
    ax.set_title(_front_title(means, cost_name, score, highlight), loc="left")
    return figure


def cost_labels(record: ExamRecord) -> dict[str, str]:
    """The readings that all trained models have, each with quantity, unit and kind; energy first."""
    groups = [list(runs.values()) for name in record.model_names if (runs := record.trained(name))]
    energy = energy_meter([run for runs in groups for run in runs])
    names = {energy: "training energy", "time": "training time", **OTHER_COSTS}
    found = {}
    for name, quantity in names.items():
        readings = [[r for run in runs for r in run.readings if r.name == name and r.value > 0] for runs in groups]
        if groups and all(readings):
            kinds = " and ".join(sorted({str(r.kind) for group in readings for r in group}))
            unit = "" if readings[0][0].unit == name else f", {readings[0][0].unit}"
            meter = f"{name.removeprefix(INFERENCE)}, " if name.removeprefix(INFERENCE) in JOULES else ""
            found[name] = f"{quantity}{unit} ({meter}{kinds})"
    return found


def ratio_in_words(ratio: float) -> str:
    """``5.2 times less`` for 0.19, ``2 times as much`` for 2, ``as much`` for what rounds to 1.00."""
    if abs(ratio - 1) < 0.005:
        return "as much"
    return f"{number(1 / ratio)} times less" if ratio < 1 else f"{number(ratio)} times as much"


def draw_front(ax: Axes, points: Sequence[tuple[float, float]], label: str = "") -> None:
    """The Pareto front as a stair through these points."""
    ax.step(*zip(*points, strict=True), where="post", color=GREY, ls=":", zorder=0, label=label or None)


def _styles(record: ExamRecord) -> dict[str, tuple[str, str]]:
    return dict(zip(record.model_names, cycle(MODEL_STYLES)))


def _draw_lines(
    ax: Axes, lines: Sequence[VerdictLine | None], marker: str, colour: str, label: str, offset: float = 0.0
) -> None:
    there = [(row + offset, line.change) for row, line in enumerate(lines) if line is not None]
    draw_intervals(ax, [row for row, _ in there], [change for _, change in there], marker, colour, label)


def _format_ratio_axis(ax: Axes) -> None:
    ax.axvline(1, color=GREY, ls="--", lw=1)
    _format_log_axis(ax)
    ax.set_xlabel("candidate / baseline (below 1 is better)", fontsize=9)


def _format_log_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_formatter("{x:g}")
    if high < 100 * low:  # the decades alone would leave hardly any label
        ax.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7) if high < 10 * low else (2, 5)))
    ax.xaxis.set_minor_formatter("{x:g}" if high < 100 * low else "")
    ax.tick_params(axis="x", which="both", labelsize=8)


def _verdict_title(found: Sequence[EntryVerdict]) -> str:
    """The verdict on the only entry; of several, how many pass, and the one of least energy."""
    compared = {line.change.value: verdict for verdict in found if (line := verdict.energy)}
    if len(found) == 1 or not compared:
        return "; ".join(_sentence(verdict) for verdict in found)
    return f"{sum(v.passed for v in found)} of {len(found)} entries pass; {_sentence(compared[min(compared)])}"


def _sentence(verdict: EntryVerdict) -> str:
    """One sentence: passed or not, and by how much."""
    lines = (verdict.energy, "energy"), (verdict.time, "time")
    amounts = " and ".join(f"{ratio_in_words(line.change.value)} {name}" for line, name in lines if line)
    missed = ", ".join(line.quantity for line in verdict.criteria if not line.met)
    state = "passes" if verdict.passed else "does not pass"
    why = "" if verdict.passed else f" (not met: {missed})" if missed else " (not everything could be compared)"
    return f"{verdict.entry} {state} with {amounts or 'no numbers'}{why}"


def _seeds_title(record: ExamRecord) -> str:
    """How often each entry has the lower loss; one sentence if that is always."""
    baseline = record.trained(BASELINE)
    wins = {}
    for name in record.entries:
        pairs = [(baseline[seed], run) for seed, run in record.trained(name).items() if seed in baseline]
        wins[name] = sum(run.scores[LOSS] < base.scores[LOSS] for base, run in pairs), len(pairs)
    if len(wins) > 1 and set(wins.values()) == {(record.seeds, record.seeds)}:
        return f"All {len(wins)} entries have a lower loss than the baseline on every seed"
    return "; ".join(f"{name} has the lower loss on {won} of {total} seeds" for name, (won, total) in wins.items())


def _other_costs_title(found: Sequence[EntryVerdict]) -> str:
    """The higher costs of the only entry; of several, how many have one, and the highest."""
    costlier = [verdict for verdict in found if verdict.side_costs]
    if len(found) == 1 or not costlier:
        return "; ".join(f"{verdict.entry}: {_side_costs(verdict)}" for verdict in found)
    ratio, quantity, entry = max(
        (line.change.value, line.quantity, verdict.entry) for verdict in costlier for line in verdict.side_costs
    )
    return f"{len(costlier)} of {len(found)} entries have higher other costs, up to {quantity} x {ratio:.3g} ({entry})"


def _side_costs(verdict: EntryVerdict) -> str:
    lines = sorted(verdict.side_costs, key=lambda line: -line.change.value)
    if not lines:
        return "no other cost is higher"
    return "at the cost of " + ", ".join(f"{line.quantity} x {line.change.value:.3g}" for line in lines[:3])


def _front_title(means: Mapping[str, tuple[float, float]], cost_name: str, score: str, highlight: str) -> str:
    """What ``highlight`` reaches; without it, the cheapest of the entries that beat the baseline in both."""
    if BASELINE not in means:
        return "There is no baseline to compare with"
    cost, base = means[BASELINE]
    sign, better, article = (-1, "a higher", "an") if score == ACCURACY else (1, "a lower", "a")
    winners = [name for name, (x, y) in means.items() if x < cost and sign * y < sign * base]
    if not winners and highlight not in means:
        return f"No entry has less {cost_name} and {better} {score} than the baseline"
    best = highlight if highlight in means else min(winners, key=lambda name: means[name][0])
    x, y = means[best]
    return f"{best}: {ratio_in_words(x / cost)} {cost_name} at {article} {score} of {y:.3f} instead of {base:.3f}"
