"""A candidate measured against a baseline, seed by seed: the runs in a worker process, their table and their figure.

On each seed the baseline runs first and then the candidate, so that a machine that slows down affects both.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from multiprocessing.connection import Connection
from typing import TypeVar

from matplotlib.figure import Figure

from sutrolib.core.stats import Interval
from sutrolib.core.types import Budget, Model, Problem
from sutrolib.measurement.comparison import A_CLOCK, BusyRatio, compare, is_clock, reading_ratio, undecided
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.measurement.tables import cost_table
from sutrolib.meters import METERS, Kind, Meter, Reading, WallTime
from sutrolib.meters.access.trace import TracedMeter
from sutrolib.notebook.widgets.layout import html_table, image
from sutrolib.notebook.widgets.worker import PAUSE_S
from sutrolib.plots.metrics import draw_rows
from sutrolib.plots.style import SIZE

TITLES = {meter.name: meter.title for meter in METERS}
_TEXT_TRACE_UPDATES = 100  # a training on text is long: counts are extrapolated from these updates
_PROGRESS_INTERVAL_S = 0.2  # more messages would disturb a timing

_T = TypeVar("_T")
_Runs = Sequence[Measurement]
_Ratios = Sequence[tuple[Reading, Interval | str]]


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


def draw_runs(runs: _Runs) -> tuple[str, str]:
    """Table and figure, as HTML, of the runs of baseline and candidate in turn."""
    candidate, baseline = runs[1::2], runs[::2]
    found = compare_readings(candidate, baseline)
    names = (str(run.model["name"]) for run in runs[1::-1])
    return result_table(candidate, baseline, found), draw_paired_ratios(found, *names) if candidate else ""


def _has(run: Measurement, name: str) -> bool:
    return any(reading.name == name for reading in run.readings)


def reading_label(reading: Reading | type[Meter], ratio: Interval | None = None) -> str:
    """The title of a reading's meter, with unit and kind; for a ratio of estimates also whether they are a clock."""
    unit = "" if reading.unit == reading.name else f"{reading.unit}, "
    return f"{TITLES[reading.name]} ({unit}{reading.kind}{f': {A_CLOCK}' if ratio and is_clock(ratio) else ''})"


def compare_readings(candidate: _Runs, baseline: _Runs) -> list[tuple[Reading, Interval | str]]:
    """Each reading with the candidate / baseline ratio over the seeds that have both, or the reason if there is none.

    Runs are paired by their order.
    """
    read = {reading.name: reading for run in [*baseline, *candidate] for reading in run.readings}
    found: list[tuple[Reading, Interval | str]] = []
    for name in (name for name in TITLES if name in read):
        both = [pair for pair in zip(candidate, baseline, strict=False) if all(_has(run, name) for run in pair)]
        ours, theirs = [run for run, _ in both], [run for _, run in both]
        try:
            found.append((read[name], reading_ratio(ours, theirs, name) if both else "no seed has it for both"))
        except ValueError as error:
            found.append((read[name], str(error)))
    return found


def result_table(candidate: _Runs, baseline: _Runs, found: _Ratios) -> str:
    """HTML: the scores and median readings of both models, and the ratio over the seeds that both have."""
    both, pairs = {"candidate": candidate, "baseline": baseline}, min(len(candidate), len(baseline))
    header, rows = cost_table({name: runs for name, runs in both.items() if runs}, [one.name for one, _ in found])
    for row, (reading, ratio) in zip(rows[len(rows) - len(found) :], found, strict=True):
        row[0] = reading_label(reading)
        row.append(f"{ratio}; {len(ratio.points) if isinstance(ratio, Interval) else 0} of {pairs} seeds")
    runs = [*candidate, *baseline]
    failed = [f"Seed {run.seed}, {run.model['name']}: {run.failure}." for run in runs if run.failure]
    missing = {f"{name}: {why}." for run in runs for name, why in run.missing.items()}
    notes = "".join(f"<p>{escape(text)}</p>" for text in (*failed, *sorted(missing)))
    return html_table([*header, "candidate / baseline [95 %]"], rows) + notes


def verdict_text(runs: _Runs, cost: str) -> str:
    """The verdict on the reading ``cost`` of runs in turn, in words, or why there is none."""
    try:
        return f"Verdict: {compare(runs[1::2], runs[::2], cost).why}."
    except (ValueError, KeyError) as error:
        return f"No verdict: {error.args[0]}."


def draw_paired_ratios(found: _Ratios, model: str, baseline: str) -> str:
    """The ratios as an image, one row for each reading; empty if there is no ratio."""
    shown = [(reading, ratio) for reading, ratio in found if isinstance(ratio, Interval)]
    if not shown:
        return ""
    first, ratio = next((pair for pair in shown if pair[0].kind != Kind.MEASURED), shown[0])
    seeds = f"{len(ratio.points)} seed{'s' if len(ratio.points) > 1 else ''}"
    title = f"{model} needs {ratio.value:.3g} times the {reading_label(first, ratio)} of the baseline, over {seeds}"
    if isinstance(ratio, BusyRatio):
        title = f"{model} against the baseline, {reading_label(first)}: {undecided(ratio)}"
    # No figure of pyplot, whose state belongs to the notebook's cells.
    ax = Figure(figsize=(SIZE[0], 1.6 + 0.62 * len(shown)), layout="constrained").subplots()
    labels = [reading_label(*pair).replace(" (", "\n(", 1) for pair in shown]
    rows = {"mean": [ratio for _, ratio in shown]}
    figure = draw_rows(labels, rows, title, "candidate / baseline (below 1: the candidate needs less)", ax=ax)
    ratios = "; ".join(f"{reading_label(reading)} {ratio}" for reading, ratio in shown)
    return image(figure, f"{title}. Ratio of {model} to {baseline}, the baseline, for each reading: {ratios}.")
