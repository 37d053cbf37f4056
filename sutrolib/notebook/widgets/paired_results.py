"""A candidate against a baseline, seed by seed: the table and the figure of the runs so far."""

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

_ROW_INCHES = 0.62


@dataclass(frozen=True)
class ReadingComparison:
    """One reading: its candidate / baseline ratio on every seed that has it for both, and their geometric mean."""

    reading: Reading  # one of them, for name, unit and kind
    title: str
    ratios: tuple[float, ...]
    mean: Interval | None
    why: str  # the reason if there is no mean

    @property
    def label(self) -> str:
        """Its title with unit and kind."""
        unit = "" if self.reading.unit == self.reading.name else f"{self.reading.unit}, "
        return f"{self.title} ({unit}{self.reading.kind})"


def compare_readings(
    candidate: Sequence[Measurement], baseline: Sequence[Measurement], titles: Mapping[str, str]
) -> list[ReadingComparison]:
    """A comparison of each reading, in the order of ``titles``, which maps a reading's name to its title."""
    read = {reading.name: reading for run in [*baseline, *candidate] for reading in run.readings}
    pairs = seed_pairs(candidate, baseline)
    found = []
    for name in (name for name in titles if name in read):
        both = [pair for pair in pairs if all(_has_positive(run, name) for run in pair)]
        mean, why = None, "no seed has it for both"
        try:
            if both:
                mean, why = reading_ratio([c for c, _ in both], [b for _, b in both], name), ""
        except ValueError as error:
            why = str(error)
        ratios = tuple(c.reading(name).value / b.reading(name).value for c, b in both)
        found.append(ReadingComparison(read[name], titles[name], ratios, mean, why))
    return found


def _has_positive(run: Measurement, name: str) -> bool:
    """Whether a run succeeded and has this reading, above 0."""
    return not run.failure and any(reading.name == name and reading.value > 0 for reading in run.readings)


def seed_pairs(
    candidate: Sequence[Measurement], baseline: Sequence[Measurement]
) -> list[tuple[Measurement, Measurement]]:
    """The runs on the seeds that both have, in order."""
    by_seed = {run.seed: run for run in baseline}
    return [(run, by_seed[run.seed]) for run in candidate if run.seed in by_seed]


def result_table(
    candidate: Sequence[Measurement], baseline: Sequence[Measurement], found: Sequence[ReadingComparison]
) -> str:
    """HTML: for each reading the median and range of both models, and the ratio over their common seeds."""
    both, counted = (candidate, baseline), str(Kind.COUNTED)
    rows = [
        ["seeds solved", counted, *(f"{sum(run.solved for run in runs)} of {len(runs)}" for runs in both), ""],
        ["score", counted, *(_spread([run.score for run in runs if run.score is not None]) for runs in both), ""],
    ]
    for one in found:
        name, unit = one.reading.name, one.reading.unit
        values = ([r.value for run in runs for r in run.readings if r.name == name] for runs in both)
        title = one.title if unit == name else f"{one.title}, {unit}"
        ratio = f"{one.mean or one.why}; {len(one.ratios)} of {len(seed_pairs(candidate, baseline))} seeds"
        rows.append([title, str(one.reading.kind), *map(_spread, values), ratio])
    header = ("", "kind", "candidate: median (range)", "baseline: median (range)", "candidate / baseline [95 %]")
    failed = [f"Seed {run.seed}, {run.model['name']}: {run.failure}." for runs in both for run in runs if run.failure]
    missing = {f"{name}: {why}." for runs in both for run in runs for name, why in run.missing.items()}
    return html_table(header, rows) + "".join(f"<p>{escape(text)}</p>" for text in (*failed, *sorted(missing)))


def verdict_text(candidate: Sequence[Measurement], baseline: Sequence[Measurement], cost: str) -> str:
    """The verdict on the reading ``cost`` in words, or why there is none."""
    pairs = seed_pairs(candidate, baseline)
    try:
        return f"Verdict: {compare([c for c, _ in pairs], [b for _, b in pairs], cost).why}."
    except (ValueError, KeyError) as error:
        return f"No verdict: {error.args[0]}."


def draw_paired_ratios(found: Sequence[ReadingComparison], model: str, baseline: str) -> tuple[Figure, str]:
    """The ratios, one row for each reading: a dot for each seed, a diamond with its interval for the mean.

    Returns the figure, which pyplot does not know, as pyplot's state belongs to the notebook's cells; and its alt text.
    """
    from matplotlib.figure import Figure

    shown = [one for one in found if one.ratios]
    figure = Figure(figsize=(SIZE[0], max(2.2, 1.4 + _ROW_INCHES * len(shown))), layout="constrained")
    ax = figure.add_subplot()
    for row, one in enumerate(shown):
        label = "one seed" if row == 0 else None
        ax.plot(one.ratios, [row] * len(one.ratios), "o", color=GREY, ms=5, alpha=0.7, label=label)
    if means := [(row - 0.22, one.mean) for row, one in enumerate(shown) if one.mean and one.mean.bounded]:
        rows, intervals = zip(*means, strict=True)
        values, bars = [mean.value for mean in intervals], error_bars(intervals)
        ax.errorbar(values, rows, xerr=bars, fmt="D", ms=7, color=BLACK, capsize=4, label="mean, 95 % interval")
    ax.axvline(1, color=GREY, ls="--", lw=1, label="equal to the baseline")
    ratios = [1.0, *(ratio for one in shown for ratio in one.ratios)]
    low, high = min(ratios), max(ratios)
    ax.set(xscale="log", xlim=(low / 1.5, high * 1.5), ylim=(len(shown) - 0.5, -0.6))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}" if high < 12 * low else "")
    ax.set_yticks(range(len(shown)), [one.label.replace(" (", "\n(", 1) for one in shown])
    ax.set_xlabel("candidate / baseline (below 1: the candidate needs less)")
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    first = next((one for one in shown if one.reading.kind is not Kind.MEASURED), shown[0])
    seeds = f"{len(first.ratios)} seed{'s' if len(first.ratios) > 1 else ''}"
    title = f"{model} needs {_center(first):.3g} times the {first.label} of the baseline, over {seeds}"
    ax.set_title(title, loc="left", fontsize=11)
    ratios_text = "; ".join(f"{one.label} {one.mean or f'{_center(one):.3g}'}" for one in shown)
    return figure, f"Ratio of {model} to {baseline}, the baseline, for each reading: {ratios_text}."


def _center(comparison: ReadingComparison) -> float:
    return comparison.mean.value if comparison.mean else statistics.median(comparison.ratios)


def _spread(values: Sequence[float]) -> str:
    median = _short(statistics.median(values)) if values else "none"
    return f"{median} ({_short(min(values))} to {_short(max(values))})" if values else median


def _short(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
