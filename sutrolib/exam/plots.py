"""The figures of a final exam and of its recipes; each title states the finding."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from sutrolib.core.format import number
from sutrolib.core.stats import Interval, pareto_front
from sutrolib.exam.entries import BASELINE
from sutrolib.exam.record import ExamRecord
from sutrolib.exam.verdict import (
    ACCURACY,
    COSTLIER_USE,
    JOULES,
    LOSS,
    OTHER_COSTS,
    EntryVerdict,
    energy_meter,
    verdicts,
)
from sutrolib.exam.verdict_line import VerdictLine
from sutrolib.measurement.comparison import A_CLOCK, is_clock, kinds_of, undecided
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import INFERENCE
from sutrolib.meters.base import too_high_load
from sutrolib.plots.metrics import draw_rows, set_log_axis
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import BLACK, GREY, SIZE, wrap_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORES = {LOSS: "loss on the validation text, nats (counted)", ACCURACY: "accuracy on the validation text (counted)"}
_CHANGES = {LOSS: "change of loss, nats\n(lower is better)", ACCURACY: "change of accuracy\n(higher is better)"}
_RATIO = "candidate / baseline\n(below 1 is better)"
_Points = Mapping[str, tuple[float, float]]  # cost and score, by model


def draw_verdict(record: ExamRecord) -> Figure:
    """Costs of training as ratios, loss and accuracy as differences, with intervals; a row for each entry."""
    found = verdicts(record)
    entries = [verdict.title for verdict in found]
    size = [length * max(1.0, 0.8 + 0.15 * len(entries)) for length in SIZE]
    figure, (ratio, *scores) = plt.subplots(1, 3, width_ratios=(2, 1, 1), sharey=True, figsize=size)
    costs = {"training energy": [v.energy for v in found], "time": [v.time for v in found]}
    costs |= {name: [v.line(name) for v in found] for name in (OTHER_COSTS["operations"], OTHER_COSTS["cache-energy"])}
    kinds = {name: [k for line in lines if line for k in line.kind.split(" and ")] for name, lines in costs.items()}
    series = {f"{name} ({_one_kind(kinds[name])})": _changes(costs[name]) for name in costs if kinds[name]}
    draw_rows(entries, series, _verdict_title(found), _RATIO, ax=ratio)
    for ax, (score, label) in zip(scores, _CHANGES.items(), strict=True):
        changes = {score: _changes(verdict.line(score) for verdict in found)}
        draw_rows(entries, changes, "", label, reference=0, log=False, ax=ax)
    return figure


def _one_kind(kinds: Sequence[str]) -> str:
    """The kinds, each once; that an estimate is a clock only where all of them are."""
    found = dict.fromkeys(kinds)
    return " and ".join(found if len(found) == 1 else dict.fromkeys(kind.split(":")[0] for kind in found))


def draw_seeds(record: ExamRecord) -> Figure:
    """Loss and accuracy of every run by seed; the dashed line is the target, the baseline's mean."""
    figure, axes = plt.subplots(1, 2)
    for ax, (score, label) in zip(axes, SCORES.items(), strict=True):
        for name, (marker, colour) in _styles(record).items():
            scores = {seed: run.scores[score] for seed, run in record.trained(name).items()}
            ax.plot(list(scores), list(scores.values()), marker, color=colour, label=name)
            if name == BASELINE and scores:
                ax.axhline(statistics.fmean(scores.values()), color=GREY, ls="--", lw=1, zorder=0)
        ax.set_xticks(range(record.seeds))
        ax.set(xlabel="seed", ylabel=label)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    axes[0].set_title(_seeds_title(record))
    return figure


def draw_other_costs(record: ExamRecord) -> Figure:
    """Costs that the verdict has no criterion for, as ratios to the baseline's: inference, memory and size."""
    found = [verdict for verdict in verdicts(record) if verdict.baseline == BASELINE]
    kinds = {line.quantity: line.kind for verdict in found for line in verdict.lines if line.met is None and line.ratio}
    series = {verdict.entry: _changes(verdict.line(quantity) for quantity in kinds) for verdict in found}
    labels = [f"{quantity} ({kind})" for quantity, kind in kinds.items()]
    return draw_rows(labels, series, _other_costs_title(found), _RATIO)


def draw_pareto_front(record: ExamRecord, cost: str = "", score: str = LOSS, highlight: str = "") -> Figure:
    """A score against a cost, with small points for the runs, large ones for their means, and the Pareto front.

    ``cost`` is a reading in :func:`cost_labels`, by default the training energy; ``score`` is loss or accuracy. The
    entry ``highlight`` is circled, and the title is about it.
    """
    figure, ax = plt.subplots()
    labels = cost_labels(record)
    cost = cost or next(iter(labels), "")
    means: dict[str, tuple[float, float]] = {}
    trained = [run for name in record.model_names for run in record.trained(name).values()]
    load = too_high_load(r for run in trained for r in run.readings if r.name == cost in labels)
    for name, (marker, colour) in _styles(record).items():
        runs = record.trained(name).values()
        points = [(r.value, run.scores[score]) for run in runs for r in run.readings if r.name == cost in labels]
        if points:
            means[name] = statistics.geometric_mean(x for x, _ in points), statistics.fmean(y for _, y in points)
            ax.plot(*zip(*points, strict=True), marker, color=colour, ms=4, alpha=0.4)
    if means:
        _draw_models(ax, means, _styles(record), falling=score == LOSS)
        ax.set(xlabel=labels[cost], ylabel=SCORES[score])
        ax.legend(fontsize=8)
    if BASELINE in means:
        ax.axvline(means[BASELINE][0], color=GREY, ls="--", lw=1, zorder=0)
        ax.axhline(means[BASELINE][1], color=GREY, ls="--", lw=1, zorder=0)
    if highlight in means:
        ax.plot(*means[highlight], "o", color=BLACK, ms=20, mfc="none", mew=1.5)
    cost_name = "energy" if cost in JOULES else OTHER_COSTS.get(cost, cost or "cost")
    busy = f"Not decided: the machine was busy, load {load:.2f}" if load else ""
    clock = f" ({A_CLOCK})" if A_CLOCK in labels.get(cost, "") else ""
    ax.set_title(busy or _front_title(means, cost_name, score, highlight) + clock, loc="left")
    return figure


def draw_corpus_sizes(runs: Mapping[str, Mapping[str, Measurement]]) -> Figure:
    """Loss against training energy on each corpus that models were trained on, with the Pareto front."""
    trained = {corpus: {name: r for name, r in found.items() if not r.failure} for corpus, found in runs.items()}
    trained = {corpus: found for corpus, found in trained.items() if found}
    every = [run for found in trained.values() for run in found.values()]
    if not (energy := energy_meter(every)):
        raise ValueError(f"all runs need the same joules to be compared (got {len(every)} runs that did not fail)")
    figure, axes = plt.subplots(1, len(trained), sharex=True, squeeze=False)
    styles = dict(zip(dict.fromkeys(name for found in trained.values() for name in found), cycle(MODEL_STYLES)))
    best = []
    for ax, (corpus, found) in zip(axes[0], trained.items(), strict=True):
        points = {name: (run.reading(energy).value, run.scores[LOSS]) for name, run in found.items()}
        front = _draw_models(ax, points, styles)
        ax.set_title(corpus, fontsize=9)
        best.append(f"{front[-1]} ({points[front[-1]][1]:.2f})")
    kinds = kinds_of([run.reading(energy) for run in every])
    axes[0][len(trained) // 2].set_xlabel(wrap_lines(f"training energy, J ({kinds})", 90), fontsize=9)
    axes[0][0].set_ylabel("loss on its last tenth, nats (counted)", fontsize=9)
    handles = {label: h for ax in axes[0] for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=7)
    title = f"Lowest loss, from the short to the long corpus: {'; '.join(best)}"
    figure.suptitle(wrap_lines(title, 80), fontsize=11, x=0.02, ha="left")
    return figure


def draw_savings(savings: Mapping[str, Mapping[str, Interval]], at_least: Collection[str]) -> Figure:
    """The cost without each ingredient over that of the full recipe, with intervals.

    ``savings`` maps a quantity, with its kind, to the ratios by ingredient; those in ``at_least`` missed the target
    loss, so their ratios are lower bounds.
    """
    if not (first := next(iter(savings.values()), {})):
        raise ValueError("savings must hold a ratio of at least one ingredient (got none)")
    names = sorted(first, key=lambda name: -first[name].value)
    bounds = {name: "at least " if name in at_least else "" for name in names}
    costs = [f"{bounds[name]}{first[name].value:.2g} times as much without {name}" for name in names[:2]]
    open_ones = [why for name in names if (why := undecided(first[name]))]
    quantity = next(iter(savings))
    title = open_ones[0].capitalize() if open_ones else f"Training costs {' and '.join(costs)}: {quantity}"
    labels = [f"{name} (at least)" if bounds[name] else name for name in names]
    series = {quantity: [ratios[name] for name in names] for quantity, ratios in savings.items()}
    xlabel = "without it / full recipe, at the same loss on the first seed"
    return draw_rows(labels, series, title, xlabel, log=False)


def cost_labels(record: ExamRecord) -> dict[str, str]:
    """The readings that all trained models have, each with quantity, unit and kind; energy first."""
    groups = [list(runs.values()) for name in record.model_names if (runs := record.trained(name))]
    energy = energy_meter([run for runs in groups for run in runs])
    names = {energy: "training energy", "time": "training time", **OTHER_COSTS}
    found = {}
    for name, quantity in names.items():
        readings = [[r for run in runs for r in run.readings if r.name == name and r.value > 0] for runs in groups]
        if groups and all(readings):
            kinds = kinds_of([r for group in readings for r in group])
            unit = "" if readings[0][0].unit == name else f", {readings[0][0].unit}"
            meter = f"{name.removeprefix(INFERENCE)}, " if name.removeprefix(INFERENCE) in JOULES else ""
            found[name] = f"{quantity}{unit} ({meter}{kinds})"
    return found


def ratio_in_words(ratio: float) -> str:
    """``5.2 times less`` for 0.19, ``2 times as much`` for 2, ``as much`` for what rounds to 1.00."""
    if abs(ratio - 1) < 0.005:
        return "as much"
    return f"{number(1 / ratio)} times less" if ratio < 1 else f"{number(ratio)} times as much"


def _styles(record: ExamRecord) -> dict[str, tuple[str, str]]:
    return dict(zip((*record.entries, BASELINE), cycle(MODEL_STYLES)))  # entries as in rows, which lack the baseline


def _draw_models(
    ax: Axes, points: _Points, styles: Mapping[str, tuple[str, str]], falling: bool = True
) -> Sequence[str]:
    """A marker for each model, and the Pareto front as a stair; returns the names on it, from the cheapest on."""
    front = pareto_front({name: (x, y if falling else -y) for name, (x, y) in points.items()})
    stair = [points[name] for name in front]
    ax.step(*zip(*stair, strict=True), where="post", color=GREY, ls=":", zorder=0, label="Pareto front")
    for name, point in points.items():
        ax.plot(*point, styles[name][0], color=styles[name][1], ms=9, label=name)
    set_log_axis(ax)
    return front


def _changes(lines: Iterable[VerdictLine | None]) -> list[Interval | None]:
    return [line.change if line else None for line in lines]


def _verdict_title(found: Sequence[EntryVerdict]) -> str:
    """The verdict on the only entry; of several, how many pass, and the one of least energy.

    Where there is a tuned baseline, the comparison with it comes first.
    """
    tuned = [verdict for verdict in found if verdict.baseline != BASELINE]
    if tuned and len(tuned) < len(found):
        others = [one for one in found if one.baseline == BASELINE and one.entry != tuned[0].baseline]
        return f"{_verdict_title(tuned)}; {_verdict_title(others)}"
    compared = {line.change.value: v for v in found if (line := v.energy) and line.change.bounded}
    if len(found) == 1 or not compared:
        return "; ".join(_sentence(verdict) for verdict in found)
    return f"{sum(v.passed for v in found)} of {len(found)} entries pass; {_sentence(compared[min(compared)])}"


def _sentence(verdict: EntryVerdict) -> str:
    """One sentence: passed or not, and by how much."""
    clock = verdict.energy is not None and is_clock(verdict.energy.change)
    lines = (None if clock else verdict.energy, "energy"), (verdict.time, "time")
    decided = [(line.change.value, name) for line, name in lines if line and line.change.bounded]
    amounts = " and ".join(f"{ratio_in_words(ratio)} {name}" for ratio, name in decided)
    amounts += f" ({A_CLOCK})" if clock else ""
    if (worst := verdict.least_favourable) and worst not in (verdict.energy, verdict.time):
        amounts += f"; least favourable: {worst.quantity}, {ratio_in_words(worst.change.value)}"
    if verdict.state == "not decided":
        reasons = dict.fromkeys([*verdict.errors, *(line.state for line in verdict.criteria if not line.met)])
        return f"{verdict.title}: not decided ({'; '.join(r.removeprefix('not decided: ') for r in reasons)})"
    missed = ", ".join(line.quantity for line in verdict.criteria if line.state == "not met")
    state = {"passed": "passes", COSTLIER_USE: COSTLIER_USE + ":"}.get(verdict.state, "does not pass")
    why = "" if verdict.passed else f" (not met: {missed})" if missed else " (not everything could be compared)"
    return f"{verdict.title} {state} with {amounts or 'no numbers'}{why}"


def _seeds_title(record: ExamRecord) -> str:
    """How often each entry has the lower loss; one sentence if that is always."""
    baseline = record.trained(BASELINE)
    wins = {}
    for name in record.entries:
        pairs = [(baseline[seed], run) for seed, run in record.trained(name).items() if seed in baseline]
        wins[name] = sum(run.scores[LOSS] < base.scores[LOSS] for base, run in pairs), len(pairs)
    if len(wins) > 1 and set(wins.values()) == {(record.seeds, record.seeds)}:
        return f"All {len(wins)} entries have a lower loss than the baseline on every seed"
    parts = {name: f"has the lower loss on {won} of {total} seeds" for name, (won, total) in wins.items() if total}
    return "; ".join(f"{name} {parts.get(name, 'has no run to compare')}" for name in wins)


def _other_costs_title(found: Sequence[EntryVerdict]) -> str:
    """The costs of each entry that are above the baseline's: the highest, and of a single entry the highest three."""
    parts = []
    for verdict in found:
        highest = sorted(verdict.side_costs, key=lambda line: -line.change.value)[: 3 if len(found) == 1 else 1]
        costs = ", ".join(f"{line.quantity} x {line.change.value:.3g}" for line in highest)
        none = "no other cost is higher" if verdict.side_costs_compared else "not decided"
        parts.append(f"{verdict.entry}: {costs or none}")
    return "; ".join(parts)


def _front_title(means: _Points, cost_name: str, score: str, highlight: str) -> str:
    """What ``highlight`` reaches; without it, the cheapest of the entries that beat the baseline in both."""
    if BASELINE not in means:
        return "There is no baseline to compare with"
    if len(means) == 1:
        return "There is no entry to compare with the baseline"
    cost, base = means[BASELINE]
    sign, better, article = (-1, "a higher", "an") if score == ACCURACY else (1, "a lower", "a")
    winners = [name for name, (x, y) in means.items() if x < cost and sign * y < sign * base]
    if not winners and highlight not in means:
        return f"No entry has less {cost_name} and {better} {score} than the baseline"
    best = highlight if highlight in means else min(winners, key=lambda name: means[name][0])
    x, y = means[best]
    return f"{best}: {ratio_in_words(x / cost)} {cost_name} at {article} {score} of {y:.3f} instead of {base:.3f}"
