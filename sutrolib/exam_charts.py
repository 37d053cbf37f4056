"""The four figures of a final exam's page, drawn from its record; titles say what the record shows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from sutrolib.exam_entries import BASELINE
from sutrolib.exam_outcome import (
    ACCURACY,
    LOSS,
    MISSED,
    TO_TARGET,
    TRAINING_ENERGY,
    Line,
    Outcome,
    energy_of,
    outcomes,
)
from sutrolib.exam_record import Record
from sutrolib.figures import BLACK, GREY, PURPLE, RED
from sutrolib.measure import Measurement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = tuple(zip("sD^vPX", (RED, PURPLE, GREY, RED, PURPLE, GREY), strict=True))  # of the entries, in their order


def draw_asked(record: Record) -> Figure:
    """Energy and time as ratios, loss and accuracy as differences, each with its interval; a row for each entry."""
    found = outcomes(record)
    figure, axes = plt.subplot_mosaic([["ratio", LOSS], ["ratio", ACCURACY]], width_ratios=(1.3, 1))
    ratio = axes["ratio"]
    for number, what in enumerate((TRAINING_ENERGY, "time")):
        marker, colour = ("o", BLACK) if number == 0 else ("s", RED)
        lines = [outcome.line(what) if number == 0 else _time(outcome) for outcome in found]
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
        _bars(axes[what], [outcome.line(what) for outcome in found], "o", BLACK, what)
        axes[what].axvline(0, color=GREY, ls="--", lw=1)
        axes[what].set_xlabel(label, fontsize=8)
        axes[what].xaxis.set_major_locator(MaxNLocator(3))
    for name, ax in axes.items():
        ax.set_yticks(range(len(found)), [o.entry for o in found] if name == "ratio" else [""] * len(found))
        ax.set_ylim(len(found) - 0.5, -0.5)
        ax.tick_params(labelsize=8)
    ratio.set_title(_findings(found))
    return figure


def draw_seeds(record: Record) -> Figure:
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


def draw_beside(record: Record) -> Figure:
    """What the verdict does not ask for, as ratios: the use of the model, memory, size, and modelled energy."""
    found = outcomes(record)
    whats = list(dict.fromkeys(line.what for o in found for line in o.lines if line.held is None))
    figure, ax = plt.subplots()
    for number, (outcome, (marker, colour)) in enumerate(zip(found, cycle(STYLES))):
        offset = 0.2 * (number - (len(found) - 1) / 2)
        _bars(ax, [outcome.line(what) for what in whats], marker, colour, outcome.entry, offset)
    kinds = {line.what: line.kind for o in found for line in o.lines}
    ax.axvline(1, color=GREY, ls="--", lw=1)
    _log_axis(ax)
    ax.set_yticks(range(len(whats)), [f"{what} ({kinds[what]})" for what in whats], fontsize=8)
    ax.set_ylim(max(1, len(whats)) - 0.5, -0.5)
    ax.set_xlabel("candidate / baseline, below 1 is better", fontsize=9)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    ax.set_title(_prices(found))
    return figure


def draw_frontier(record: Record) -> Figure:
    """Loss against the energy of the training, a small point for each sitting and a large one for their means."""
    figure, ax = plt.subplots()
    every = [run for name in record.contestants for run in _trained(record, name)]
    energy = energy_of(every)
    means: dict[str, tuple[float, float]] = {}
    for name, marker, colour in _styles(record):
        runs = _trained(record, name)
        if not runs or not energy:
            continue
        joules, losses = [run.reading(energy).value for run in runs], [run.scores[LOSS] for run in runs]
        means[name] = statistics.geometric_mean(joules), statistics.fmean(losses)
        ax.plot(joules, losses, marker, color=colour, ms=4, alpha=0.4)
        ax.plot(*means[name], marker, color=colour, ms=10, label=name)
    if BASELINE in means:
        ax.axhline(means[BASELINE][1], color=GREY, ls="--", lw=1, zorder=0)
        ax.axvline(means[BASELINE][0], color=GREY, ls="--", lw=1, zorder=0)
    if means:
        _log_axis(ax)
        kind = every[0].reading(energy).kind
        ax.set(xlabel=f"energy of the training, J ({energy}, {kind})", ylabel="loss on the validation text, nats")
        ax.legend(fontsize=9)
    ax.set_title(_frontier(means))
    return figure


def _styles(record: Record) -> list[tuple[str, str, str]]:
    entries = [(name, marker, colour) for name, (marker, colour) in zip(record.entries, cycle(STYLES))]
    return [(BASELINE, "o", BLACK), *entries]


def _trained(record: Record, name: str) -> list[Measurement]:
    return [run for run in record.runs(name) if not run.failure]


def _time(outcome: Outcome) -> Line | None:
    return outcome.line(TO_TARGET) or outcome.line(MISSED)


def _bars(ax: Axes, lines: Sequence[Line | None], marker: str, colour: str, label: str, offset: float = 0.0) -> None:
    """A marker with its interval in the row of each line that there is."""
    there = [(row + offset, line.change) for row, line in enumerate(lines) if line is not None]
    ax.errorbar(
        [change.value for _, change in there],
        [row for row, _ in there],
        xerr=[[c.value - c.low for _, c in there], [c.high - c.value for _, c in there]],
        fmt=marker,
        color=colour,
        capsize=3,
        label=label,
    )


def _log_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}" if high < 10 * low else "")
    ax.tick_params(axis="x", which="both", labelsize=8)


def _finding(outcome: Outcome) -> str:
    """One sentence: passed or not, and by how much."""
    energy, time = outcome.line(TRAINING_ENERGY), _time(outcome)
    amounts = [
        f"{factor(line.change.value)} {what}" for line, what in ((energy, "energy"), (time, "time")) if line is not None
    ]
    state = "passes" if outcome.passed else "does not pass"
    missed = [line.what for line in outcome.lines if line.held is False]
    why = f" ({', '.join(missed)} not held)" if missed else " (not everything could be compared)"
    return f"{outcome.entry} {state} at {' and '.join(amounts) or 'no numbers'}{'' if outcome.passed else why}."


def _findings(found: Sequence[Outcome]) -> str:
    """What one entry does; of several, how many pass, and the one of least energy."""
    compared = [outcome for outcome in found if outcome.line(TRAINING_ENERGY)]
    if len(found) == 1 or not compared:
        return " ".join(_finding(outcome) for outcome in found)
    least = min(compared, key=lambda o: o.line(TRAINING_ENERGY).change.value)  # type: ignore[union-attr]
    return f"{sum(o.passed for o in found)} of {len(found)} entries pass; {_finding(least)}"


def _prices(found: Sequence[Outcome]) -> str:
    """What one entry pays with; of several, how many do, and the highest price."""
    paying = [outcome for outcome in found if outcome.sacrifices]
    if len(found) == 1 or not paying:
        return " ".join(f"{o.entry}: {_sacrifices(o)}." for o in found)
    price, who = max(((line.change.value, line.what), o.entry) for o in paying for line in o.sacrifices)
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


def _on_seeds(record: Record) -> str:
    """How often each entry has the lower loss; in one sentence where that is always."""
    said = [_on_every_seed(record, name) for name in record.entries]
    always = all(text.endswith(f"{record.seeds} of {record.seeds} seeds") for text in said)
    return f"All {len(said)} entries have the lower loss on every seed" if always and len(said) > 1 else "; ".join(said)


def _on_every_seed(record: Record, name: str) -> str:
    first = {run.seed: run for run in _trained(record, BASELINE)}
    pairs = [(first[run.seed], run) for run in _trained(record, name) if run.seed in first]
    lower = sum(run.scores[LOSS] < base.scores[LOSS] for base, run in pairs)
    return f"{name} has the lower loss on {lower} of {len(pairs)} seeds"


def _sacrifices(outcome: Outcome) -> str:
    lines = sorted(outcome.sacrifices, key=lambda line: -line.change.value)
    if not lines:
        return "nothing beside is shown to be costlier"
    return "pays with " + ", ".join(f"{line.what} x {line.change.value:.3g}" for line in lines[:3])


def _frontier(means: dict[str, tuple[float, float]]) -> str:
    if BASELINE not in means:
        return "There is no baseline to compare with"
    energy, loss = means[BASELINE]
    better = [name for name, (joules, lost) in means.items() if joules < energy and lost < loss]
    if not better:
        return "No entry has less energy and a lower loss than the baseline"
    best = min(better, key=lambda name: means[name][0])
    joules, lost = means[best]
    return f"{best}: {energy / joules:.3g} times less energy at a loss of {lost:.3f} instead of {loss:.3f}"
