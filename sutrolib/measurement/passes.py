"""The passes of one measurement, and the readings that come in from them.

What adds up over a long training of like updates can be traced over its first ones and carried on from there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sutrolib.core.types import Budget, Fitted, Task
from sutrolib.meters.access.trace import TorchTrace, TracedMeter
from sutrolib.meters.base import Kind, Meter, NoReading, Reading
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.wall_time import WallTime

T = TypeVar("T")

PREDICTIONS = 1000
INFERENCE, TO_TARGET, SIZE = "inference-", "time-to-target", "model-size"  # readings of a whole measurement


class MeasurementPasses:
    """The readings of one measurement, as they come in."""

    def __init__(self, meters: Sequence[Meter], clock: WallTime, renew: Callable[[], object]) -> None:
        """``renew`` is called before each pass: what a training leaves in its task is not to help the next one."""
        self.clock, self.renew = clock, renew
        self.traced = [m for m in meters if isinstance(m, TracedMeter)]
        self.windows = [m for m in meters if not isinstance(m, TracedMeter | WallTime)]
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}
        self._trace: TorchTrace | None = None

    def untimed(self, work: Callable[[], Fitted], trace_updates: int | None) -> Fitted:
        """Run ``work`` once, under the trace where all of it is to be traced anyway."""
        self.renew()
        if not self.traced or trace_updates is not None:
            return work()
        self._trace = TorchTrace()
        with self._trace:
            return work()

    def window(self, meter: Meter, work: Callable[[], Any], name: str = "", **detail: Any) -> Any:
        """Run ``work`` in the window of ``meter``, keep its reading (as ``name``), and return the last result."""
        self.renew()
        with meter:
            result = meter.repeat(work)
        self.keep(name or meter.name, lambda: meter.reading, detail)
        return result

    def weigh(self, work: Callable[..., Any], trace_updates: int | None, updates: int) -> None:
        """The traced pass (:meth:`trace`) and the windows."""
        self.trace(work, trace_updates, updates)
        self._windows(work)

    def trace(self, work: Callable[..., Any], trace_updates: int | None, updates: int) -> None:
        """The traced pass, cut to ``trace_updates`` of all ``updates`` where that is less."""
        if self.traced and trace_updates is not None and trace_updates < updates:
            self._extrapolate(work, trace_updates, updates)
        elif self.traced:
            trace = self._trace or self._traced(work)
            for meter in self.traced:
                self.keep(meter.name, functools.partial(meter.read, trace))

    def at_once(self, together: CombinedMeter, work: Callable[[], T], prefix: str = "", **detail: Any) -> T:
        """Run ``work`` with all the windows of ``together`` open, keep its readings, and return the last result."""
        self.renew()
        result = together.measure(work)
        for reading in together.readings:
            self.keep(prefix + reading.name, functools.partial(_same, reading), detail)
        self.missing |= {prefix + name: why for name, why in together.missing.items()}
        return result

    def _traced(self, work: Callable[[], Any]) -> TorchTrace:
        self.renew()
        return traced(work)

    def _extrapolate(self, work: Callable[..., Any], cut: int, updates: int) -> None:
        """Trace up to half of ``cut`` updates and up to all of these; what adds up is :func:`carried_on` from there."""
        half = cut // 2
        traces = [self._traced(functools.partial(work, Budget(steps=steps))) for steps in (half, cut) if steps]
        detail = {"updates": updates, "traced_updates": cut}

        def read(meter: TracedMeter) -> Reading:
            found = [meter.read(trace) for trace in traces]
            last = found[-1]
            if not meter.additive:
                return last
            value = carried_on(found[0].value if half else 0.0, last.value, cut, updates)
            kind = Kind.MODELLED if last.kind is Kind.COUNTED else last.kind
            return dataclasses.replace(last, value=value, kind=kind)

        for meter in self.traced:
            self.keep(meter.name, functools.partial(read, meter), detail)

    def serve(self, task: Task, fitted: Fitted) -> None:
        """The same meters on 1,000 predictions, and the bytes that the model takes."""
        self.trace_serving(task, fitted)  # before the clock: the first use pays for whatever the training has put off
        clock, work, detail = WallTime(), _serving(task, fitted), {"predictions": PREDICTIONS}
        self.window(clock, work, INFERENCE + clock.name, **detail)
        self._windows(work, INFERENCE, **detail)
        self.size(fitted)

    def serve_at_once(self, together: CombinedMeter, task: Task, fitted: Fitted) -> None:
        """The meters of ``together`` on 1,000 predictions, and the bytes that the model takes."""
        self.at_once(together, _serving(task, fitted), INFERENCE, predictions=PREDICTIONS)
        self.size(fitted)

    def trace_serving(self, task: Task, fitted: Fitted) -> None:
        """The traced pass of 1,000 predictions."""
        if self.traced:
            trace = traced(_serving(task, fitted))
            for meter in self.traced:
                read = functools.partial(meter.read, trace)
                self.keep(INFERENCE + meter.name, read, {"predictions": PREDICTIONS})

    def size(self, fitted: Fitted) -> None:
        """The bytes that the model takes."""
        if fitted.nbytes:
            self.readings.append(Reading(SIZE, fitted.nbytes, "B", Kind.COUNTED))
        else:
            self.missing[SIZE] = "the model keeps nothing"

    def time_to_target(self, task: Task, fit: Callable[..., Fitted], fitted: Fitted, score: float) -> None:
        """Train once more up to the first point of the learning curve at which the test score is at the target."""
        if score < task.target:
            self.missing[TO_TARGET] = f"never there: the score of {score:.3g} misses the target of {task.target:g}"
            return
        for updates in [u for u, held_out in fitted.history if held_out >= task.target and u < fitted.steps]:
            clock = WallTime(self.clock.runs, self.clock.window)
            self.renew()
            with clock:
                part = clock.repeat(lambda updates=updates: fit(Budget(steps=updates)))  # type: ignore[misc]
            if score_of(task, part) >= task.target:
                self.keep(TO_TARGET, lambda clock=clock: clock.reading, {"updates": updates})  # type: ignore[misc]
                return
        whole = next(reading for reading in self.readings if reading.name == self.clock.name)
        self.keep(TO_TARGET, lambda: whole, {"updates": fitted.steps})

    def leave(self, why: str) -> None:
        """Weigh nothing more, for this reason."""
        self.missing |= {meter.name: why for meter in (*self.traced, *self.windows)}

    def _windows(self, work: Callable[[], Any], prefix: str = "", **detail: Any) -> None:
        for window in self.windows:
            if window.available().ok:
                self.window(window, work, prefix + window.name, **detail)
            else:
                self.missing[prefix + window.name] = window.available().why

    def keep(self, name: str, read: Callable[[], Reading], detail: Mapping[str, Any] | None = None) -> None:
        """Keep a reading under this name, or why there is none."""
        try:
            found = read()
        except NoReading as error:
            self.missing[name] = str(error)
            return
        told = {**found.detail, **(detail or {})}
        self.readings.append(dataclasses.replace(found, name=name, detail=told))


def carried_on(at_half: float, at_cut: float, cut: int, updates: int) -> float:
    """What adds up to ``at_half`` after ``cut // 2`` updates and to ``at_cut`` after ``cut``, after all ``updates``.

    It goes on at the rate of the second half, so that what comes before the first update is counted once, however long
    the training is.
    """
    return at_cut + (at_cut - at_half) / (cut - cut // 2) * (updates - cut)


def _serving(task: Task, fitted: Fitted) -> Callable[[], None]:
    return lambda: task.inference.run_inference(fitted, test_of(task), PREDICTIONS)


def _same(reading: Reading) -> Reading:
    return reading


def score_of(task: Task, fitted: Fitted) -> float:
    """The score of ``fitted`` on the test split of ``task``."""
    return task.score(task.inference.predictions(fitted, test_of(task)), test_of(task).y)


def test_of(task: Task) -> Any:
    """The test split. Raises ValueError where the task is a copy made for training."""
    if task.test is None:
        raise ValueError("this task has no test split: it is a copy made for training")
    return task.test


def traced(work: Callable[[], Any]) -> TorchTrace:
    """The access trace of ``work``."""
    trace = TorchTrace()
    with trace:
        work()
    return trace
