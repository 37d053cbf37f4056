"""measure(problem, model, meters, seed) -> Measurement: one run, weighed in separate passes.

The clean pass trains once more for each meter with a window (seconds, joules), which holds the machine-wide lock;
the traced pass trains under the access trace, for all counts at once. So tracing never inflates a timing, and no two
timings on one machine overlap. The model is given the task without its test split; the score is computed here.
Training can be made cheap at the expense of its use, so with ``whole`` the same meters weigh 1,000 predictions as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutrolib.cube import RUNGS, Axis
from sutrolib.meters.base import Kind, Meter, NoReading, ProgramMeter, Reading
from sutrolib.meters.clock import WallTime
from sutrolib.meters.trace import TorchTrace, TracedMeter
from sutrolib.nouns import Budget, FailedRun, Fitted, Model, Problem, ProgramModel, Task, describe
from sutrolib.provenance import commit, machine, now, versions

BY_HAND = RUNGS[Axis.PROCESS][0].key
PREDICTIONS = 1000
INFERENCE, TO_TARGET, SIZE = "inference-", "time-to-target", "model-size"  # readings of a whole measurement


@dataclass(frozen=True)
class Measurement:
    """One run of one model on one task with every reading taken of it; ``missing`` holds why a meter had none.

    ``scores`` holds what the problem computes beside its score. Where the training came to no model, ``failure`` says
    why, ``score`` is None, and there are no readings.
    """

    problem: Mapping[str, Any]
    model: Mapping[str, Any]
    told: str
    seed: int
    score_name: str
    score: float | None
    target: float
    readings: tuple[Reading, ...]
    rungs: Mapping[str, str]  # where on the process and the problem axis the run stands
    missing: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    when: str = ""

    @property
    def solved(self) -> bool:
        """Whether the score reached the problem's target."""
        return self.score is not None and self.score >= self.target

    def reading(self, name: str) -> Reading:
        """The reading of this name. Raises KeyError that lists those there are, and why this one is missing."""
        for reading in self.readings:
            if reading.name == name:
                return reading
        why = self.missing.get(name) or self.failure
        there = ", ".join(r.name for r in self.readings) or "none"
        raise KeyError(f"no reading {name!r}{f' ({why})' if why else ''}; there are {there}")


def measure(
    problem: Problem,
    model: Model,
    meters: Sequence[Meter],
    seed: int,
    *,
    budget: Budget | None = None,
    process: str = BY_HAND,
    only_solved: bool = False,
    whole: bool = False,
    trace_updates: int | None = None,
    timed: bool = True,
) -> Measurement:
    """Train ``model`` on the task of ``seed`` once for every pass that ``meters`` need, and score it.

    Wall-clock time is always measured, unless ``timed`` is False: then nothing waits for a quiet machine, and one
    traced training gives score and counts. With ``only_solved``, a run whose score misses the target is timed and not
    weighed any further. With ``whole``, there are three more sorts of reading: ``time-to-target``, ``model-size``, and
    ``inference-...`` of each meter for 1,000 predictions. ``trace_updates`` traces no more than so many updates of a
    long training, and scales what adds up; such a count is modelled. A meter that cannot work here or saw nothing
    leaves no reading, and its reason in ``missing``. A FailedRun is recorded; whatever else the training raises is
    raised. Who watches the learning curve (``budget.watch``) watches the first training only; where that is ended, the
    others end at the same update.
    Raises ValueError for what cannot be done untimed.
    """
    task = problem.sample(seed)
    clock = next((m for m in meters if isinstance(m, WallTime)), WallTime())
    scales = _Scales(meters, clock)
    if not timed and (whole or scales.windows):
        raise ValueError("timed=False with whole=True or a meter of seconds or joules, accepted are counting meters")

    def fit(limit: Budget | None = None) -> Fitted:
        return model.fit(task.for_training(model.asks), seed, limit or budget)

    score, scores, failure = None, {}, ""
    try:
        fitted = scales.window(clock, fit) if timed else scales.untimed(fit, trace_updates)
    except FailedRun as error:
        failure = str(error)
    else:
        predictions = task.examiner.predictions(fitted, _test(task))
        score = task.score(predictions, _test(task).y)
        scores = {name: rate(predictions, _test(task).y) for name, rate in task.also.items()}
        if score >= task.target or not only_solved:
            if budget and budget.watch:
                budget = dataclasses.replace(budget, watch=None, steps=fitted.steps or budget.steps)
            scales.weigh(fit, trace_updates, fitted.steps)
            if whole:
                scales.serve(task, fitted)
                scales.time_to_target(task, fit, fitted, score)
        else:
            scales.leave(f"not weighed, as the score of {score:.3g} misses the target of {task.target:g}")
    return _measurement(problem, model, task, seed, process, scales, score, scores, failure)


def measure_program(
    problem: Problem, model: ProgramModel, meter: ProgramMeter, seed: int, process: str = BY_HAND
) -> Measurement:
    """Have ``meter`` run the program that ``model`` makes for the task of ``seed``, and score what it computes.

    A FailedRun is recorded; whatever else is raised is raised.
    """
    task = problem.sample(seed)
    scales = _Scales([], WallTime())
    score, failure = None, ""
    try:
        with meter:
            fitted = model.fit_by(meter.run, task.for_training(model.asks), seed)
    except FailedRun as error:
        failure = str(error)
    else:
        score = score_of(task, fitted)
        scales.keep(meter.name, lambda: meter.reading)
    return _measurement(problem, model, task, seed, process, scales, score, {}, failure)


def _measurement(
    problem: Problem,
    model: Model | ProgramModel,
    task: Task,
    seed: int,
    process: str,
    scales: _Scales,
    score: float | None,
    scores: Mapping[str, float],
    failure: str,
) -> Measurement:
    return Measurement(
        problem=describe(problem),
        model=describe(model),
        told=model.told,
        seed=seed,
        score_name=task.score_name,
        score=score,
        target=task.target,
        readings=tuple(scales.readings),
        rungs={"process": process, "problem": problem.rung},
        missing=scales.missing,
        scores=scores,
        failure=failure,
        machine=machine(),
        versions=versions(),
        commit=commit(),
        when=now(),
    )


class _Scales:
    """The readings of one measurement, as they come in."""

    def __init__(self, meters: Sequence[Meter], clock: WallTime) -> None:
        self.clock = clock
        self.traced = [m for m in meters if isinstance(m, TracedMeter)]
        self.windows = [m for m in meters if not isinstance(m, TracedMeter | WallTime)]
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}
        self._trace: TorchTrace | None = None

    def untimed(self, work: Callable[[], Fitted], trace_updates: int | None) -> Fitted:
        """Run ``work`` once, under the trace where all of it is to be traced anyway."""
        if not self.traced or trace_updates is not None:
            return work()
        self._trace = TorchTrace()
        with self._trace:
            return work()

    def window(self, meter: Meter, work: Callable[[], Any], name: str = "", **detail: Any) -> Any:
        """Run ``work`` in the window of ``meter``, keep its reading (as ``name``), and return the last result."""
        with meter:
            result = meter.repeat(work)
        self.keep(name or meter.name, lambda: meter.reading, detail)
        return result

    def weigh(self, work: Callable[..., Any], trace_updates: int | None, updates: int) -> None:
        """The traced pass, cut to ``trace_updates`` of all ``updates`` where that is less, and the windows."""
        cut = trace_updates if trace_updates is not None and trace_updates < updates else None
        if self.traced:
            trace = self._trace or _trace(lambda: work(Budget(steps=cut)) if cut else work())
            for meter in self.traced:
                scale = updates / cut if cut and meter.adds_up else 1.0
                detail = {"updates": updates, "traced_updates": cut} if cut else {}
                self.keep(meter.name, lambda meter=meter: meter.read(trace), detail, scale)  # type: ignore[misc]
        self._windows(work)

    def serve(self, task: Task, fitted: Fitted) -> None:
        """The same meters on 1,000 predictions, and the bytes that the model takes."""

        def work() -> None:
            task.examiner.serve(fitted, _test(task), PREDICTIONS)

        detail = {"predictions": PREDICTIONS}
        clock = WallTime()
        self.window(clock, work, INFERENCE + clock.name, **detail)
        if self.traced:
            trace = _trace(work)
            for meter in self.traced:
                self.keep(INFERENCE + meter.name, lambda meter=meter: meter.read(trace), detail)  # type: ignore[misc]
        self._windows(work, INFERENCE, **detail)
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

    def keep(
        self, name: str, read: Callable[[], Reading], detail: Mapping[str, Any] | None = None, scale: float = 1.0
    ) -> None:
        try:
            found = read()
        except NoReading as error:
            self.missing[name] = str(error)
            return
        kind = Kind.MODELLED if scale != 1 and found.kind is Kind.COUNTED else found.kind
        told = {**found.detail, **(detail or {})}
        self.readings.append(dataclasses.replace(found, name=name, value=found.value * scale, kind=kind, detail=told))


def score_of(task: Task, fitted: Fitted) -> float:
    """The score of ``fitted`` on the test split of ``task``."""
    return task.score(task.examiner.predictions(fitted, _test(task)), _test(task).y)


def _test(task: Task) -> Any:
    if task.test is None:
        raise ValueError("this task has no test split: it is a copy made for training")
    return task.test


def trace_one_step(problem: Problem, model: Any, seed: int = 0) -> TorchTrace:
    """The access trace of a model's first training step, its buffers loaded first, in the model's own order."""
    buffers, step = model.one_step(problem.sample(seed).for_training(), seed)
    trace = TorchTrace()
    with trace:
        trace.place(buffers)
        step()
    return trace


def _trace(work: Callable[[], Any]) -> TorchTrace:
    trace = TorchTrace()
    with trace:
        work()
    return trace
