"""A candidate against a baseline, seed by seed: the table and the figure of what has been measured so far."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from sutrolib.core.stats import Interval, error_bars
from sutrolib.measurement.comparison import compare, reading_ratio
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind, Reading
from sutrolib.notebook.widgets.layout import html_table
from sutrolib.plots.style import BLACK, GREY, SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 0.62  # inches of the figure that a reading takes


@dataclass(frozen=True)
class ReadingComparison:
    """One sort of reading: the ratio of every seed that both have it of, and their mean with its interval."""

    reading: Reading  # one of them, for its name, unit and kind
    title: str
    ratios: tuple[float, ...]
    mean: Interval | None
    why: str  # there is no interval

    @property
    def label(self) -> str:
        """Its title with unit and kind."""
        unit = "" if self.reading.unit == self.reading.name else f"{self.reading.unit}, "
        return f"{self.title} ({unit}{self.reading.kind})"


def compare_readings(
    candidate: Sequence[Measurement], baseline: Sequence[Measurement], titles: Mapping[str, str]
) -> list[ReadingComparison]:
    """Every sort of reading that there is, in the order of ``titles``, which name them."""
    read = {reading.name: reading for run in [*baseline, *candidate] for reading in run.readings}
    pairs = paired(candidate, baseline)
    found = []
    for name in (name for name in titles if name in read):
        both = [pair for pair in pairs if all(_has(run, name) for run in pair)]
        mean, why = None, "no seed has it of both"
        ratios = tuple(c.reading(name).value / b.reading(name).value for c, b in both)
        try:
            if both:
                mean, why = reading_ratio([c for c, _ in both], [b for _, b in both], name), ""
        except ValueError as error:
            why = str(error)
        found.append(ReadingComparison(read[name], titles[name], ratios, mean, why))
    return found


def _has(run: Measurement, name: str) -> bool:
    """Whether a run came to its end and has this reading, of which a ratio can be taken."""
    return not run.failure and any(reading.name == name and reading.value > 0 for reading in run.readings)


def paired(candidate: Sequence[Measurement], baseline: Sequence[Measurement]) -> list[tuple[Measurement, Measurement]]:
    """The runs of the seeds that both have, in order."""
    others = {run.seed: run for run in baseline}
    return [(run, others[run.seed]) for run in candidate if run.seed in others]


def result_table(candidate: Sequence[Measurement], baseline: Sequence[Measurement], found: Sequence[ReadingComparison]) -> str:
    """HTML: a row for each reading with median and range of both, and the ratio over the seeds that have it of both."""
    both, pairs = (candidate, baseline), len(paired(candidate, baseline))
    rows = [
        ["seeds solved", str(Kind.COUNTED), *(f"{sum(r.solved for r in runs)} of {len(runs)}" for runs in both), ""],
        ["score", str(Kind.COUNTED), *(_spread([r.score for r in runs if r.score is not None]) for runs in both), ""],
    ]
    for quantity in found:
        name, unit = quantity.reading.name, quantity.reading.unit
        values = ([r.value for run in runs for r in run.readings if r.name == name] for runs in both)
        title = quantity.title if unit == name else f"{quantity.title}, {unit}"
        ratio = f"{quantity.mean or quantity.why}; {len(quantity.ratios)} of {pairs} seeds"
        rows.append([title, str(quantity.reading.kind), *map(_spread, values), ratio])
    header = ("", "kind", "candidate: median (range)", "baseline: median (range)", "candidate / baseline [95 %]")
    failed = [f"Seed {run.seed}, {run.model['name']}: {run.failure}." for runs in both for run in runs if run.failure]
    missing = {f"{name}: {why}." for runs in both for run in runs for name, why in run.missing.items()}
    return html_table(header, rows) + "".join(f"<p>{escape(text)}</p>" for text in (*failed, *sorted(missing)))


def verdict_text(candidate: Sequence[Measurement], baseline: Sequence[Measurement], cost: str) -> str:
    """The verdict on the reading ``cost`` in words; what is missing for one where there is none."""
    pairs = paired(candidate, baseline)
    try:
        return f"Verdict: {compare([c for c, _ in pairs], [b for _, b in pairs], cost).why}."
    except (ValueError, KeyError) as error:
        return f"No verdict: {error.args[0]}."


def draw_comparison(found: Sequence[ReadingComparison], names: tuple[str, str]) -> tuple[Figure, str]:
    """The ratios, a row for each reading: a small dot for each seed, a diamond with its interval for the mean.

    Also its description in words. Drawn without pyplot, whose state belongs to the cells of a notebook.
    """
    from matplotlib.figure import Figure

    shown = [quantity for quantity in found if quantity.ratios]
    figure = Figure(figsize=(SIZE[0], max(2.2, 1.4 + ROW * len(shown))), layout="constrained")
    ax = figure.add_subplot()
    for row, quantity in enumerate(shown):
        label = "one seed" if row == 0 else None
        ax.plot(quantity.ratios, [row] * len(quantity.ratios), "o", color=GREY, ms=5, alpha=0.7, label=label)
    means = [(row, quantity.mean) for row, quantity in enumerate(shown) if quantity.mean and quantity.mean.bounded]
    if means:
        rows, values = [row - 0.22 for row, _ in means], [m.value for _, m in means]
        bars, label = error_bars([mean for _, mean in means]), "mean, 95 % interval"
        ax.errorbar(values, rows, xerr=bars, fmt="D", ms=7, color=BLACK, capsize=4, label=label)
    ax.axvline(1, color=GREY, ls="--", lw=1, label="as the baseline")
    ax.set_xscale("log")
    low, high = min((1, *(r for q in shown for r in q.ratios))), max((1, *(r for q in shown for r in q.ratios)))
    ax.set_xlim(low / 1.5, high * 1.5)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}" if high < 12 * low else "")
    ax.set_yticks(range(len(shown)), [quantity.label.replace(" (", "\n(", 1) for quantity in shown])
    ax.set_ylim(len(shown) - 0.5, -0.6)
    ax.set_xlabel("candidate / baseline; left of 1 is less")
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    first = next((q for q in shown if q.reading.kind is not Kind.MEASURED), shown[0])
    value = first.mean.value if first.mean else statistics.median(first.ratios)
    over = f"over {len(first.ratios)} seed{'s' if len(first.ratios) > 1 else ''}"
    title = f"{names[0]}: {value:.3g} times the baseline's {first.label}, {over}"
    ax.set_title(title, loc="left", fontsize=11)
    told = "; ".join(f"{q.label} {q.mean or f'{statistics.median(q.ratios):.3g}'}" for q in shown)
    return figure, f"Dots and intervals of {names[0]} over {names[1]}, by reading: {told}."


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    return f"{_short(statistics.median(values))} ({_short(min(values))} to {_short(max(values))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
