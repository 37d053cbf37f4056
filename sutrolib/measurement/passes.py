"""The passes of one measurement: separate trainings for the clock, the trace and every meter of joules.

A long training of like updates can be traced over its first updates and extrapolated from there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from sutrolib.core.io import as_float
from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Problem, ProgramModel, Task
from sutrolib.meters.access.trace import TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, Meter, NoReading, Reading
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.wall_time import WallTime

_T = TypeVar("_T")

PREDICTIONS = 1000
INFERENCE, TO_TARGET, SIZE = "inference-", "time-to-target", "model-size"  # readings of a whole measurement
UPDATES = "updates"  # at which a training to a target loss ended


@dataclass
class MeasurementPasses:
    """Trains a model on the task of a seed, once for each pass, and keeps the readings, the scores and the failure.

    ``missing`` holds why a meter has no reading. ``score`` is None until a training has succeeded.
    """

    problem: Problem
    model: Model | ProgramModel
    seed: int
    meters: Sequence[Meter] = ()
    budget: Budget | None = None
    trace_updates: int | None = None
    readings: list[Reading] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    score: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    failure: str = ""

    def __post_init__(self) -> None:
        self._copy = self.task = self.problem.sample(self.seed)
        self.clock = next((meter for meter in self.meters if isinstance(meter, WallTime)), WallTime())
        self.traced = [meter for meter in self.meters if isinstance(meter, TracedMeter)]
        self.windows = [meter for meter in self.meters if not isinstance(meter, TracedMeter | WallTime)]
        self._trace: TorchTrace | None = None

    def copy_task(self) -> None:
        """Copy the task for the next training: it must not see what an earlier one wrote into its own copy."""
        self._copy = self.task.for_training(self.model.required_oracles)

    def fit(self, limit: Budget | None = None) -> Fitted:
        """Train on the present copy of the task, within ``limit`` or else the measurement's own budget."""
        return self.model.fit(self._copy, self.seed, limit or self.budget)  # type: ignore[union-attr]

    def first_training(self, timed: bool) -> Fitted:
        """The training that is scored: with the clock, or else with the trace where all updates are to be traced.

        A watched budget is watched here only: the later trainings end at the same update.
        """
        self.copy_task()
        if not timed and self.traced and self.trace_updates is None:
            self._trace = TorchTrace()
        with self._trace or contextlib.nullcontext():
            fitted = self._window(self.clock, self.fit) if timed else self.fit()
        if self.budget and self.budget.watch:
            self.budget = dataclasses.replace(self.budget, watch=None, steps=fitted.steps or self.budget.steps)
        return fitted

    def evaluate(self, fitted: Fitted) -> float:
        """Compute and keep all scores of a fitted model; returns the main one. Raises FailedRun as score_of."""
        return self.keep_scores(self.task.inference.predictions(fitted, self.task.test_split))

    def keep_scores(self, predictions: Tensor) -> float:
        """Compute and keep all scores of the predictions; returns the main one. Raises FailedRun as score_of."""
        task, labels = self.task, self.task.test_split.y
        score = finite_score(task.score_name, task.score(predictions, labels))
        self.scores = {name: finite_score(name, also(predictions, labels)) for name, also in task.also.items()}
        self.score = score
        return score

    def fail(self, error: FailedRun) -> None:
        """Make this a failed run: its scores and readings are dropped, as nothing follows from them."""
        self.failure, self.score, self.scores, self.readings = str(error), None, {}, []

    def trace_training(self, updates: int) -> None:
        """The traced pass; where ``trace_updates`` is less than ``updates``, the readings are extrapolated."""
        if self.traced and self.trace_updates is not None and self.trace_updates < updates:
            self._extrapolate(self.trace_updates, updates)
        elif self.traced:
            self._read_trace(self._trace or self._trace_fit())

    def measure_inference(self, fitted: Fitted) -> None:
        """The same meters on 1,000 predictions, and the bytes of the model."""
        self.trace_inference(fitted)  # before the clock: the first use pays for work that the training has put off
        self._window(WallTime(), self._inference(fitted), INFERENCE, predictions=PREDICTIONS)
        self.measure_windows(self._inference(fitted), INFERENCE, predictions=PREDICTIONS)
        self._keep_size(fitted)

    def trace_inference(self, fitted: Fitted) -> None:
        """The traced pass of 1,000 predictions."""
        if self.traced:
            self._read_trace(self.inference_trace(fitted), INFERENCE, predictions=PREDICTIONS)

    def measure_use(self, fitted: Fitted) -> None:
        """The same meters, without the clock, on 1,000 predictions.

        Predictions that are no work, such as looks at a table, leave no reading and nothing in ``missing``.
        """
        if self.traced:
            trace = self.inference_trace(fitted)
            self._read_trace(trace, INFERENCE, predictions=PREDICTIONS)
            with contextlib.suppress(NoReading):
                trace.check_complete()
                for meter in self.traced:
                    self.missing.pop(INFERENCE + meter.name, None)
        self.measure_windows(self._inference(fitted), INFERENCE, predictions=PREDICTIONS)

    def inference_trace(self, fitted: Fitted) -> TorchTrace:
        """The trace of 1,000 predictions."""
        return trace_of(self._inference(fitted))

    def combined(self, meter: CombinedMeter, work: Callable[[], _T], prefix: str = "", **detail: Any) -> _T:
        """Run ``work`` with all windows of ``meter`` open, keep its readings, and return the last result."""
        result = meter.measure(work)
        for reading in meter.readings:
            self._add(reading, prefix + reading.name, **detail)
        self.missing |= {prefix + name: why for name, why in meter.missing.items()}
        return result

    def combined_inference(self, meter: CombinedMeter, fitted: Fitted) -> None:
        """The readings of ``meter`` for 1,000 predictions, and the bytes of the model."""
        self.combined(meter, self._inference(fitted), INFERENCE, predictions=PREDICTIONS)
        self._keep_size(fitted)

    def measure_time_to_target(self, fitted: Fitted) -> None:
        """Train again up to the first point of the learning curve at which the test score reaches the target."""
        assert self.score is not None, "the training is scored first"
        target = self.task.target
        if self.score < target:
            self.missing[TO_TARGET] = f"never reached: the score of {self.score:.3g} misses the target of {target:g}"
            return
        for updates in [u for u, held_out in fitted.history if held_out >= target and u < fitted.steps]:
            clock = WallTime(self.clock.runs, self.clock.window)
            self.copy_task()
            with clock:
                part = clock.repeat(functools.partial(self.fit, Budget(steps=updates)))
            if score_of(self.task, part) >= target:
                self._add(clock.reading, TO_TARGET, updates=updates)
                return
        whole = next(reading for reading in self.readings if reading.name == self.clock.name)
        self._add(whole, TO_TARGET, updates=fitted.steps)

    def keep(self, name: str, read: Callable[[], Reading], **detail: Any) -> None:
        """Keep a reading under this name, or the reason why there is none."""
        try:
            reading = read()
        except NoReading as error:
            self.missing[name] = str(error)
        else:
            self._add(reading, name, **detail)

    def _add(self, reading: Reading, name: str, **detail: Any) -> None:
        self.readings.append(dataclasses.replace(reading, name=name, detail={**reading.detail, **detail}))

    def _window(self, meter: Meter, work: Callable[[], _T], prefix: str = "", **detail: Any) -> _T:
        with meter:
            result = meter.repeat(work)
        self.keep(prefix + meter.name, lambda: meter.reading, **detail)
        return result

    def measure_windows(self, work: Callable[[], Any], prefix: str = "", **detail: Any) -> None:
        """The windows of the joule meters, one after the other."""
        for meter in self.windows:
            if (available := meter.available()).ok:
                self.copy_task()
                self.keep(prefix + meter.name, functools.partial(reading_of, meter, work), **detail)
            else:
                self.missing[prefix + meter.name] = available.why

    def _inference(self, fitted: Fitted) -> Callable[[], None]:
        return lambda: self.task.inference.run_inference(fitted, self.task.test_split, PREDICTIONS)

    def _keep_size(self, fitted: Fitted) -> None:
        if fitted.nbytes:
            self.readings.append(Reading(SIZE, fitted.nbytes, "B", Kind.COUNTED))
        else:
            self.missing[SIZE] = "the model keeps nothing"

    def _trace_fit(self, limit: Budget | None = None) -> TorchTrace:
        self.copy_task()
        return trace_of(functools.partial(self.fit, limit))

    def _read_trace(self, trace: TorchTrace, prefix: str = "", **detail: Any) -> None:
        for meter in self.traced:
            self.keep(prefix + meter.name, functools.partial(meter.read_complete, trace), **detail)

    def _extrapolate(self, cut: int, updates: int) -> None:
        """Trace half of ``cut`` updates and all of them; what adds up is extrapolated from these two."""
        half = cut // 2
        traces = [self._trace_fit(Budget(steps=steps)) for steps in (half, cut) if steps]

        def read(meter: TracedMeter) -> Reading:
            found = [meter.read_complete(trace) for trace in traces]
            last = found[-1]
            if not meter.additive:
                return last
            value = extrapolated(found[0].value if half else 0.0, last.value, cut, updates)
            kind = Kind.MODELLED if last.kind is Kind.COUNTED else last.kind
            return dataclasses.replace(last, value=value, kind=kind)

        for meter in self.traced:
            self.keep(meter.name, functools.partial(read, meter), updates=updates, traced_updates=cut)


def reading_of(meter: Meter, work: Callable[[], Any]) -> Reading:
    """The reading of a window of its own. Raises NoReading if the meter refuses it, before or after the work."""
    with meter:
        meter.repeat(work)
    return meter.reading


def extrapolated(at_half: float, at_cut: float, cut: int, updates: int) -> float:
    """The sum after ``updates`` updates, from ``at_half`` after ``cut // 2`` of them and ``at_cut`` after ``cut``.

    It grows at the rate of the second half, so what comes before the first update is counted once.
    """
    return at_cut + (at_cut - at_half) / (cut - cut // 2) * (updates - cut)


def score_of(task: Task, fitted: Fitted) -> float:
    """The score of ``fitted`` on the test split of ``task``. Raises FailedRun, which names it, if it is not finite."""
    predictions = task.inference.predictions(fitted, task.test_split)
    return finite_score(task.score_name, task.score(predictions, task.test_split.y))


def finite_score(name: str, score: Any) -> float:
    """The score as a float. Raises FailedRun, with its name, if it is not a finite number: nothing follows from it."""
    if (number := as_float(score)) is None:
        raise FailedRun(f"{name} is {score}")
    return number


def trace_of(work: Callable[[], Any]) -> TorchTrace:
    """The trace of some work."""
    trace = TorchTrace()
    with trace:
        work()
    return trace
