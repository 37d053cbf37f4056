"""A candidate measured against a baseline, seed by seed: the runs in a worker process, their table and their figure.

On each seed the baseline runs first and then the candidate, so that a machine that slows down affects both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from multiprocessing.connection import Connection
from typing import TypeVar

from sutrolib.core.format import integer_or_number
from sutrolib.core.stats import MIN_PAIRS, Interval, error_bars
from sutrolib.core.types import Budget, Model, Problem
from sutrolib.measurement.comparison import compare, reading_ratio
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters import Kind, Meter, Reading, WallTime
from sutrolib.meters.access.trace import TracedMeter
from sutrolib.notebook.widgets.layout import html_table, image
from sutrolib.notebook.widgets.worker import PAUSE_S

_TEXT_TRACE_UPDATES = 100  # a training on text is long: counts are extrapolated from these updates
_PROGRESS_INTERVAL_S = 0.2  # more messages would disturb a timing

_T = TypeVar("_T")
_Runs = Sequence[Measurement]


def run_alternating(
    connection: Connection, problem: Problem, models: Mapping[str, Model], meters: Sequence[type[Meter]], seeds: range
) -> None:
    """Measure the baseline and the candidate on every seed; sends what is being done, in words, and finished runs."""
    trace_updates = _TEXT_TRACE_UPDATES if problem.rung in ("letters", "shakespeare") else None
    for position, seed in enumerate(seeds, start=1):
        for role, model in models.items():

            def say(doing: str, which: str = f"Seed {seed} ({position} of {len(seeds)}), {role}") -> None:
                connection.send(f"{which}: {doing}.")

            say("waiting until nothing else is measured on this machine")
            clock = _ReportingClock(say, ", ".join(meter.title for meter in meters))
            read = [clock, *(meter() for meter in meters)]
            budget = Budget(watch=clock.watch)
            connection.send(measure(problem, model, read, seed, budget=budget, trace_updates=trace_updates))
        if not any(issubclass(meter, TracedMeter) for meter in meters):  # else one timing would follow on the other
            time.sleep(PAUSE_S)


class _ReportingClock(WallTime):
    """The wall clock, which says when the timed training begins and how it goes, and what the next ones are for."""

    def __init__(self, say: Callable[[str], None], others: str) -> None:
        super().__init__()
        self._say, self._others, self._said = say, others, time.perf_counter()

    def repeat(self, work: Callable[[], _T]) -> _T:
        self._say(f"training for {self.title} ({self.kind})")
        result = super().repeat(work)
        if self._others:
            self._say(f"training again, for {self._others}")
        return result

    def watch(self, updates: int, score: float) -> bool:
        """Report the learning curve; never ends the training."""
        if time.perf_counter() - self._said >= _PROGRESS_INTERVAL_S:
            self._said = time.perf_counter()
            self._say(f"timed training, {updates:,} updates, held-out score {score:.3g}")
        return True


@dataclass(frozen=True)
class ReadingComparison:
    """One reading: its title with unit and kind, and the candidate / baseline ratio over the seeds that have both.

    The ratio is a text if there is none: the reason.
    """

    name: str
    label: str
    kind: Kind
    ratio: Interval | str


def draw_runs(runs: _Runs, titles: Mapping[str, str]) -> tuple[str, str]:
    """Table and figure, as HTML, of the runs of baseline and candidate in turn."""
    candidate, baseline = runs[1::2], runs[::2]
    found = compare_readings(candidate, baseline, titles)
    names = (str(run.model["name"]) for run in runs[1::-1])
    return result_table(candidate, baseline, found), draw_paired_ratios(found, *names) if candidate else ""


def reading_label(title: str, reading: Reading | type[Meter]) -> str:
    """The title of a reading with its unit and kind."""
    unit = "" if reading.unit == reading.name else f"{reading.unit}, "
    return f"{title} ({unit}{reading.kind})"


def compare_readings(candidate: _Runs, baseline: _Runs, titles: Mapping[str, str]) -> list[ReadingComparison]:
    """A comparison of each reading of ``titles``, which maps its name to its title; runs are paired by their order."""
    read = {reading.name: reading for run in [*baseline, *candidate] for reading in run.readings}
    found = []
    for name in (name for name in titles if name in read):
        both = [pair for pair in zip(candidate, baseline, strict=False) if all(_values(name, [run]) for run in pair)]
        ours, theirs = [run for run, _ in both], [run for _, run in both]
        try:
            ratio: Interval | str = reading_ratio(ours, theirs, name) if both else "no seed has it for both"
        except ValueError as error:
            ratio = str(error)
        found.append(ReadingComparison(name, reading_label(titles[name], read[name]), read[name].kind, ratio))
    return found


def _values(name: str, runs: _Runs) -> list[float]:
    return [reading.value for run in runs for reading in run.readings if reading.name == name]


def result_table(candidate: _Runs, baseline: _Runs, found: Sequence[ReadingComparison]) -> str:
    """HTML: for each reading the median and range of both models, and the ratio over their common seeds."""
    both, pairs = (candidate, baseline), min(len(candidate), len(baseline))
    rows = [
        ["seeds solved (counted)", *(f"{sum(run.solved for run in runs)} of {len(runs)}" for runs in both), ""],
        ["score (counted)", *(_spread([run.score for run in runs if run.score is not None]) for runs in both), ""],
    ]
    for one in found:
        seeds = f"{len(one.ratio.points) if isinstance(one.ratio, Interval) else 0} of {pairs} seeds"
        rows.append([one.label, *(_spread(_values(one.name, runs)) for runs in both), f"{one.ratio}; {seeds}"])
    header = ("", "candidate: median (range)", "baseline: median (range)", "candidate / baseline [95 %]")
    failed = [f"Seed {run.seed}, {run.model['name']}: {run.failure}." for runs in both for run in runs if run.failure]
    missing = {f"{name}: {why}." for runs in both for run in runs for name, why in run.missing.items()}
    return html_table(header, rows) + "".join(f"<p>{escape(text)}</p>" for text in (*failed, *sorted(missing)))


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    middle, low, high = map(integer_or_number, (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def verdict_text(runs: _Runs, cost: str) -> str:
    """The verdict on the reading ``cost`` of runs in turn, in words, or why there is none."""
    try:
        return f"Verdict: {compare(runs[1::2], runs[::2], cost).why}."
    except (ValueError, KeyError) as error:
        return f"No verdict: {error.args[0]}."


def draw_paired_ratios(found: Sequence[ReadingComparison], model: str, baseline: str) -> str:
    """The ratios as an image, one row for each reading: a dot for each seed, a diamond with its interval for the mean.

    Empty if there is no ratio.
    """
    from matplotlib.figure import Figure  # pyplot's state belongs to the notebook's cells

    from sutrolib.plots.metrics import label_rows
    from sutrolib.plots.style import BLACK, GREY, SIZE

    shown = [(one, one.ratio) for one in found if isinstance(one.ratio, Interval)]
    if not shown:
        return ""
    figure = Figure(figsize=(SIZE[0], 1.6 + 0.62 * len(shown)), layout="constrained")
    ax = figure.subplots()
    for row, (_, ratio) in enumerate(shown):
        ax.plot(ratio.points, [row] * len(ratio.points), "o", color=GREY, alpha=0.7, label=None if row else "one seed")
    means = [ratio for _, ratio in shown]
    rows = [row - 0.22 for row in range(len(shown))]
    label = f"mean, with its 95 % interval from {MIN_PAIRS} seeds on"
    ax.errorbar([m.value for m in means], rows, xerr=error_bars(means), fmt="D", color=BLACK, capsize=4, label=label)
    ax.axvline(1, color=GREY, ls="--", lw=1, label="equal to the baseline")
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("{x:.2g}" if high < 20 * low else "")
    label_rows(ax, [one.label.replace(" (", "\n(", 1) for one, _ in shown])
    figure.legend(fontsize=9, loc="outside lower center", ncols=3)
    first, ratio = next((pair for pair in shown if pair[0].kind is not Kind.MEASURED), shown[0])
    seeds = f"{len(ratio.points)} seed{'s' if len(ratio.points) > 1 else ''}"
    title = f"{model} needs {ratio.value:.3g} times the {first.label} of the baseline, over {seeds}"
    ax.set(xlabel="candidate / baseline (below 1: the candidate needs less)")
    ax.set_title(title, loc="left", fontsize=11)
    ratios = "; ".join(f"{one.label} {ratio}" for one, ratio in shown)
    return image(figure, f"{title}. Ratio of {model} to {baseline}, the baseline, for each reading: {ratios}.")
