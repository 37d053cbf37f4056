"""The four figures of a final exam's page, drawn from its record; titles say what the record shows."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator

from sutrolib.core.stats import error_bars, pareto_front
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import ExamRecord
from sutrolib.exam.verdict import (
    ACCURACY,
    OTHER_COSTS,
    ENERGY,
    LOSS,
    MISSED,
    TO_TARGET,
    TRAINING_ENERGY,
    VerdictLine,
    EntryVerdict,
    energy_of,
    verdicts,
)
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE
from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {LOSS: "loss on the validation text, nats (counted)", ACCURACY: "accuracy on the validation text (counted)"}
STYLES = tuple(zip("sD^vPX", (RED, PURPLE, GREY, RED, PURPLE, GREY), strict=True))  # of the entries, in their order


def draw_verdict(record: ExamRecord) -> Figure:
    """Energy and time as ratios, loss and accuracy as differences, each with its interval; a row for each entry."""
    found = verdicts(record)
    figure, axes = plt.subplot_mosaic([["ratio", LOSS], ["ratio", ACCURACY]], width_ratios=(1.3, 1))
    ratio = axes["ratio"]
    for number, what in enumerate((TRAINING_ENERGY, "time")):
        marker, colour = ("o", BLACK) if number == 0 else ("s", RED)
        lines = [verdict_of.line(what) if number == 0 else _time(verdict_of) for verdict_of in found]
        kind = " and ".join(dict.fromkeys(line.kind for line in lines if line))
        _bars(ratio, lines, marker, colour, f"{what} ({kind})", 0.16 * (2 * number - 1))
    ratio.axvline(1, color=GREY, ls="--", lw=1)
    _log_axis(ratio)
    ratio.set_xlabel("candidate / baseline, below 1 is better", fontsize=9)
    ratio.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
    for what, label in (
        (LOSS, "difference of loss, nats (less is better)"),
        (ACCURACY, "difference of accuracy (more is better)"),
    ):
        _bars(axes[what], [verdict_of.line(what) for verdict_of in found], "o", BLACK, what)
        axes[what].axvline(0, color=GREY, ls="--", lw=1)
        axes[what].set_xlabel(label, fontsize=8)
        axes[what].xaxis.set_major_locator(MaxNLocator(3))
    for name, ax in axes.items():
        ax.set_yticks(range(len(found)), [o.entry for o in found] if name == "ratio" else [""] * len(found))
        ax.set_ylim(len(found) - 0.5, -0.5)
        ax.tick_params(labelsize=8)
    ratio.set_title(_findings(found))
    return figure


def draw_seeds(record: ExamRecord) -> Figure:
    """Loss and accuracy of every sitting by its seed; the dashed line is the target, the baseline's mean."""
    figure, axes = plt.subplots(1, 2)
    for ax, what, unit in zip(axes, (LOSS, ACCURACY), ("loss on the validation text, nats", "accuracy"), strict=True):
        for name, marker, colour in _styles(record):
            runs = _trained(record, name)
            ax.plot([run.seed for run in runs], [run.scores[what] for run in runs], marker, color=colour, label=name)
        if runs := _trained(record, BASELINE):
            ax.axhline(statistics.fmean(run.scores[what] for run in runs), color=GREY, ls="--", lw=1, zorder=0)
        ax.set_xticks(range(record.seeds))
        ax.set_xlabel("seed")
        ax.set_ylabel(unit)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    axes[0].set_title(_on_seeds(record))
    return figure


def draw_other_costs(record: ExamRecord) -> Figure:
    """What the verdict does not ask for, as ratios: the use of the model, memory, size, and modelled energy."""
    found = verdicts(record)
    whats = list(dict.fromkeys(line.what for o in found for line in o.lines if line.held is None))
    figure, ax = plt.subplots()
    for number, (verdict_of, (marker, colour)) in enumerate(zip(found, cycle(STYLES))):
        offset = 0.2 * (number - (len(found) - 1) / 2)
        _bars(ax, [verdict_of.line(what) for what in whats], marker, colour, verdict_of.entry, offset)
    kinds = {line.what: line.kind for o in found for line in o.lines}
    ax.axvline(1, color=GREY, ls="--", lw=1)
    _log_axis(ax)
    ax.set_yticks(range(len(whats)), [f"{what} ({kinds[what]})" for what in whats], fontsize=8)
    ax.set_ylim(max(1, len(whats)) - 0.5, -0.5)
    ax.set_xlabel("candidate / baseline, below 1 is better", fontsize=9)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    ax.set_title(_prices(found))
    return figure


def draw_pareto_front(record: ExamRecord, cost: str = "", score: str = LOSS, single: str = "") -> Figure:
    """A score against a cost, a small point for each sitting and a large one for their means; the front joins the best.

    ``cost`` is the name of a reading in :func:`cost_labels`, the energy of the training unless given; ``score`` is loss or
    accuracy. The entry ``single`` is circled, and the title is about it.
    """
    figure, ax = plt.subplots()
    labels = cost_labels(record)
    cost = cost or next(iter(labels), "")
    means: dict[str, tuple[float, float]] = {}
    for name, marker, colour in _styles(record):
        runs = _trained(record, name)
        if not runs or cost not in labels:
            continue
        sat = [(r.value, run.scores[score]) for run in runs for r in run.readings if r.name == cost]
        means[name] = statistics.geometric_mean(value for value, _ in sat), statistics.fmean(y for _, y in sat)
        ax.plot(*zip(*sat, strict=True), marker, color=colour, ms=4, alpha=0.4)
        ax.plot(*means[name], marker, color=colour, ms=10, label=name)
    if BASELINE in means:
        ax.axhline(means[BASELINE][1], color=GREY, ls="--", lw=1, zorder=0)
        ax.axvline(means[BASELINE][0], color=GREY, ls="--", lw=1, zorder=0)
    if means:
        _draw_front(ax, means, score)
        _log_axis(ax)
        ax.set(xlabel=labels[cost], ylabel=SCORES[score])
    if single in means:
        ax.plot(*means[single], "o", color=BLACK, ms=20, mfc="none", mew=1.5)
    if means:
        ax.legend(fontsize=8)
    what = "energy" if cost in ENERGY else re.sub(r", (\w+)$", r" (\1)", OTHER_COSTS.get(cost, cost or "cost"))
    ax.set_title(_frontier(means, what, score, single), loc="left")
    return figure


def cost_labels(record: ExamRecord) -> dict[str, str]:
    """The readings that all who were trained have, each with what it is, its unit and its kind; energy first."""
    groups = [runs for name in record.model_names if (runs := _trained(record, name))]
    energy = energy_of([run for runs in groups for run in runs])
    names = {energy: "energy of the training", "time": "time of the training", **OTHER_COSTS}
    found = {}
    for name, what in names.items():
        readings = [[r for run in runs for r in run.readings if r.name == name and r.value > 0] for runs in groups]
        if groups and all(readings):
            kinds = " and ".join(sorted({str(r.kind) for group in readings for r in group}))
            unit = "" if readings[0][0].unit == name else f", {readings[0][0].unit}"
            meter = f"{name.removeprefix(INFERENCE)}, " if name.removeprefix(INFERENCE) in ENERGY else ""
            found[name] = f"{what}{unit} ({meter}{kinds})"
    return found


def _draw_front(ax: Axes, means: Mapping[str, tuple[float, float]], score: str) -> None:
    """A stair through those that nobody beats in both."""
    sign = -1 if score == ACCURACY else 1
    front = [means[name] for name in pareto_front({name: (x, sign * y) for name, (x, y) in means.items()})]
    ax.step(
        *zip(*front, strict=True), where="post", color=GREY, ls=":", zorder=0, label="front: beaten in both by nobody"
    )


def _styles(record: ExamRecord) -> list[tuple[str, str, str]]:
    entries = [(name, marker, colour) for name, (marker, colour) in zip(record.entries, cycle(STYLES))]
    return [(BASELINE, "o", BLACK), *entries]


def _trained(record: ExamRecord, name: str) -> list[Measurement]:
    return [run for run in record.runs(name) if not run.failure]


def _time(verdict_of: EntryVerdict) -> VerdictLine | None:
    return verdict_of.line(TO_TARGET) or verdict_of.line(MISSED)


def _bars(ax: Axes, lines: Sequence[VerdictLine | None], marker: str, colour: str, label: str, offset: float = 0.0) -> None:
    """A marker with its interval in the row of each line that there is."""
    there = [(row + offset, line.change) for row, line in enumerate(lines) if line is not None]
    ax.errorbar(
        [change.value for _, change in there],
        [row for row, _ in there],
        xerr=error_bars([c for _, c in there]),
        fmt=marker,
        color=colour,
        capsize=3,
        label=label,
    )


def _log_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_formatter("{x:g}")
    if high < 100 * low:  # or hardly a number would stand there
        ax.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7) if high < 10 * low else (2, 5)))
    ax.xaxis.set_minor_formatter("{x:g}" if high < 100 * low else "")
    ax.tick_params(axis="x", which="both", labelsize=8)


def _finding(verdict_of: EntryVerdict) -> str:
    """One sentence: passed or not, and by how much."""
    energy, time = verdict_of.line(TRAINING_ENERGY), _time(verdict_of)
    amounts = [
        f"{factor(line.change.value)} {what}" for line, what in ((energy, "energy"), (time, "time")) if line is not None
    ]
    state = "passes" if verdict_of.passed else "does not pass"
    missed = [line.what for line in verdict_of.lines if line.held is False]
    why = f" ({', '.join(missed)} not held)" if missed else " (not everything could be compared)"
    return f"{verdict_of.entry} {state} at {' and '.join(amounts) or 'no numbers'}{'' if verdict_of.passed else why}."


def _findings(found: Sequence[EntryVerdict]) -> str:
    """What one entry does; of several, how many pass, and the one of least energy."""
    compared = [verdict_of for verdict_of in found if verdict_of.line(TRAINING_ENERGY)]
    if len(found) == 1 or not compared:
        return " ".join(_finding(verdict_of) for verdict_of in found)
    min_context = min(compared, key=lambda o: o.line(TRAINING_ENERGY).change.value)  # type: ignore[union-attr]
    return f"{sum(o.passed for o in found)} of {len(found)} entries pass; {_finding(min_context)}"


def _prices(found: Sequence[EntryVerdict]) -> str:
    """What one entry pays with; of several, how many do, and the highest price."""
    paying = [verdict_of for verdict_of in found if verdict_of.side_costs]
    if len(found) == 1 or not paying:
        return " ".join(f"{o.entry}: {_sacrifices(o)}." for o in found)
    price, who = max(((line.change.value, line.what), o.entry) for o in paying for line in o.side_costs)
    return (
        f"{len(paying)} of {len(found)} entries pay with something beside, at most {who}: {price[1]} x {price[0]:.3g}"
    )


def factor(ratio: float) -> str:
    """A ratio in words: ``5.2 times less`` for 0.19, ``as much`` for what is 1 to two digits."""
    if abs(ratio - 1) < 0.005:
        return "as much"
    return f"{_plain(1 / ratio)} times less" if ratio < 1 else f"{_plain(ratio)} times as much"


def _plain(number: float) -> str:
    """Three digits that count, without an exponent."""
    return f"{float(f'{number:.3g}'):,g}"


def _on_seeds(record: ExamRecord) -> str:
    """How often each entry has the lower loss; in one sentence where that is always."""
    said = [_on_every_seed(record, name) for name in record.entries]
    always = all(text.endswith(f"{record.seeds} of {record.seeds} seeds") for text in said)
    return f"All {len(said)} entries have the lower loss on every seed" if always and len(said) > 1 else "; ".join(said)


def _on_every_seed(record: ExamRecord, name: str) -> str:
    first = {run.seed: run for run in _trained(record, BASELINE)}
    pairs = [(first[run.seed], run) for run in _trained(record, name) if run.seed in first]
    lower = sum(run.scores[LOSS] < base.scores[LOSS] for base, run in pairs)
    return f"{name} has the lower loss on {lower} of {len(pairs)} seeds"


def _sacrifices(verdict_of: EntryVerdict) -> str:
    lines = sorted(verdict_of.side_costs, key=lambda line: -line.change.value)
    if not lines:
        return "nothing beside is shown to be costlier"
    return "pays with " + ", ".join(f"{line.what} x {line.change.value:.3g}" for line in lines[:3])


def _frontier(means: Mapping[str, tuple[float, float]], what: str, score: str, single: str) -> str:
    """What the entry ``single`` comes to; without one, the cheapest of those that are better in both."""
    if BASELINE not in means:
        return "There is no baseline to compare with"
    cost, base = means[BASELINE]
    sign, words = (-1, ("a higher", "an")) if score == ACCURACY else (1, ("a lower", "a"))
    better = [name for name, (x, y) in means.items() if x < cost and sign * y < sign * base]
    if not better and single not in means:
        return f"No entry has less {what} and {words[0]} {score} than the baseline"
    best = single if single in means else min(better, key=lambda name: means[name][0])
    x, y = means[best]
    return f"{best}: {factor(x / cost)} {what} at {words[1]} {score} of {y:.3f} instead of {base:.3f}"
