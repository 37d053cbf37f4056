"""measure(problem, model, meters, seed) -> Measurement: one run, weighed in separate passes.

The clean pass trains once more for each meter with a window (seconds, joules), which holds the machine-wide lock;
the traced pass trains under the access trace, for all counts at once. So tracing never inflates a timing, and no two
timings on one machine overlap. The model is given the task without its test split; the score is computed here.
Training can be made cheap at the expense of its use, so with ``whole`` the same meters weigh 1,000 predictions as well.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sutrolib.core.cube import RUNGS, Axis
from sutrolib.core.provenance import commit, machine, now, versions
from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Problem, ProgramModel, Task, describe
from sutrolib.measurement.passes import MeasurementPasses, test_of
from sutrolib.measurement.passes import score_of as score_of  # part of this module's face
from sutrolib.meters.access.trace import TorchTrace
from sutrolib.meters.base import Meter, ProgramMeter, Reading
from sutrolib.meters.energy.wall_time import WallTime

BY_HAND = RUNGS[Axis.PROCESS][0].key


@dataclass(frozen=True)
class Measurement:
    """One run of one model on one task with every reading taken of it; ``missing`` holds why a meter had none.

    ``scores`` holds what the problem computes beside its score. Where the training came to no model, ``failure`` says
    why, ``score`` is None, and there are no readings.
    """

    problem: Mapping[str, Any]
    model: Mapping[str, Any]
    prior_knowledge: str
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
    long training, and carries on what adds up; such a count is modelled. A meter that cannot work here or saw nothing
    leaves no reading, and its reason in ``missing``. A FailedRun is recorded; whatever else the training raises is
    raised. Who watches the learning curve (``budget.watch``) watches the first training only; where that is ended, the
    others end at the same update.
    Raises ValueError for what cannot be done untimed.
    """
    task = problem.sample(seed)
    clock = next((m for m in meters if isinstance(m, WallTime)), WallTime())
    handed: list[Task] = []
    scales = MeasurementPasses(meters, clock, lambda: handed.append(task.for_training(model.required_oracles)))
    if not timed and (whole or scales.windows):
        raise ValueError("timed=False with whole=True or a meter of seconds or joules, accepted are counting meters")

    def fit(limit: Budget | None = None) -> Fitted:
        return model.fit(handed[-1], seed, limit or budget)

    score, scores, failure = None, {}, ""
    try:
        fitted = scales.window(clock, fit) if timed else scales.untimed(fit, trace_updates)
    except FailedRun as error:
        failure = str(error)
    else:
        unused = copy.deepcopy(fitted) if whole else fitted  # work that is put off until the first use shows there
        predictions = task.inference.predictions(fitted, test_of(task))
        score = task.score(predictions, test_of(task).y)
        scores = {name: rate(predictions, test_of(task).y) for name, rate in task.also.items()}
        if score >= task.target or not only_solved:
            if budget and budget.watch:
                budget = dataclasses.replace(budget, watch=None, steps=fitted.steps or budget.steps)
            scales.weigh(fit, trace_updates, fitted.steps)
            if whole:
                scales.serve(task, unused)
                scales.time_to_target(task, fit, fitted, score)
        else:
            scales.leave(f"not weighed, as the score of {score:.3g} misses the target of {task.target:g}")
    return measurement_of(problem, model, task, seed, process, scales, score, scores, failure)


def measure_program(
    problem: Problem, model: ProgramModel, meter: ProgramMeter, seed: int, process: str = BY_HAND
) -> Measurement:
    """Have ``meter`` run the program that ``model`` makes for the task of ``seed``, and score what it computes.

    A FailedRun is recorded; whatever else is raised is raised.
    """
    task = problem.sample(seed)
    scales = MeasurementPasses([], WallTime(), lambda: None)
    score, failure = None, ""
    try:
        with meter:
            fitted = model.fit_by(meter.run, task.for_training(model.required_oracles), seed)
    except FailedRun as error:
        failure = str(error)
    else:
        score = score_of(task, fitted)
        scales.keep(meter.name, lambda: meter.reading)
    return measurement_of(problem, model, task, seed, process, scales, score, {}, failure)


def measurement_of(
    problem: Problem,
    model: Model | ProgramModel,
    task: Task,
    seed: int,
    process: str,
    scales: MeasurementPasses,
    score: float | None,
    scores: Mapping[str, float],
    failure: str,
) -> Measurement:
    """The measurement that these readings and scores make, with where and when it was taken."""
    return Measurement(
        problem=describe(problem),
        model=describe(model),
        prior_knowledge=model.prior_knowledge,
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


def trace_one_step(problem: Problem, model: Any, seed: int = 0) -> TorchTrace:
    """The access trace of a model's first training step, its buffers loaded first, in the model's own order."""
    buffers, step = model.one_step(problem.sample(seed).for_training(), seed)
    trace = TorchTrace()
    with trace:
        trace.load_inputs(buffers)
        step()
    return trace
