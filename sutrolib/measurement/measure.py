"""measure(problem, model, meters, seed) -> Measurement: one run, measured in separate passes.

The model is trained once more for each meter with a window (seconds, joules), which holds the machine-wide lock, and
once under the access trace, for all counts at once. So tracing never slows a timing, and no two timings on one machine
overlap. The model is given the task without its test split; the score is computed here.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from sutrolib.core.cube import RUNGS, Axis
from sutrolib.core.io import not_finite
from sutrolib.core.provenance import commit, machine, now, versions
from sutrolib.core.records import check_types, checked
from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Problem, ProgramModel, describe
from sutrolib.measurement.passes import MeasurementPasses, reading_of
from sutrolib.measurement.passes import score_of as score_of  # for users of this module
from sutrolib.meters.access.trace import TorchTrace
from sutrolib.meters.base import Meter, ProgramMeter, Reading

BY_HAND = RUNGS[Axis.PROCESS][0].key


class _Named(TypedDict):  # what is read of a stored problem and model, of the rungs, and of a reading's detail
    name: str


class _Scores(TypedDict, total=False):
    score: float | None
    scores: dict[str, float]


class _Rungs(TypedDict):
    process: str
    problem: str


class _Detail(TypedDict, total=False):
    load: float | None
    runs: float
    window_s: float


@dataclass(frozen=True)
class Measurement:
    """One run of a model on a task, with all its readings; ``missing`` holds why a meter has none.

    ``scores`` are the problem's further scores. If the training failed, ``failure`` says why, ``score`` is None, and
    there are no readings. A score that is not a finite number makes it a failed run, whose ``failure`` names the score.
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

    def __post_init__(self) -> None:
        if wrong := not_finite({self.score_name: self.score, **self.scores}):
            failed: dict[str, Any] = {"failure": self.failure or wrong, "score": None, "scores": {}, "readings": ()}
            for name, value in failed.items():
                object.__setattr__(self, name, value)

    @property
    def solved(self) -> bool:
        """Whether the score reached the problem's target."""
        return self.score is not None and self.score >= self.target

    def reading(self, name: str) -> Reading:
        """The reading of this name. Raises KeyError, with all names and the reason why this one is missing."""
        for reading in self.readings:
            if reading.name == name:
                return reading
        why = self.missing.get(name) or self.failure
        there = ", ".join(r.name for r in self.readings) or "none"
        raise KeyError(f"no reading {name!r}{f' ({why})' if why else ''}; there are {there}")

    def to_dict(self) -> dict[str, Any]:
        """The measurement as values that JSON has; :meth:`from_dict` reads them."""
        readings = [dict(vars(reading)) for reading in self.readings]
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | {"readings": readings}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Measurement:
        """The measurement of :meth:`to_dict`. Raises KeyError, TypeError or ValueError for another sort of record."""
        check_types(record, _Scores)  # a Measurement makes a failed run of other values
        readings, target = tuple(Reading(**reading) for reading in record["readings"]), float(record["target"])
        made = checked(cls(**{**record, "readings": readings, "target": target}))
        check_types(made.problem, _Named)
        check_types(made.model, _Named)
        check_types(made.rungs, _Rungs)
        for reading in readings:
            check_types(reading.detail, _Detail)
            if not all(reading.detail.get(name, 1) > 0 for name in ("runs", "window_s")):
                raise ValueError(f"runs and window_s of {reading.name} must be above 0")
        return made


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
    use: Literal["never", "solved", "always"] = "never",
    trace_updates: int | None = None,
    timed: bool = True,
) -> Measurement:
    """Train ``model`` on the task of ``seed`` once for every pass that ``meters`` need, and score it.

    A meter that cannot work here or saw nothing leaves no reading, but its reason in ``missing``. A FailedRun is
    recorded, as is a score or a reading that is not a finite number; any other exception of the training is raised.

    Args:
        problem: what is learned.
        model: what learns it.
        meters: the wall clock, meters that read the trace, and meters of joules, in any number.
        seed: of the task and of the training.
        budget: limits each training. ``budget.watch`` sees only the first one; the others end at the same update.
        process: the key of the rung of the process axis.
        only_solved: measure the time alone if the score misses the target.
        whole: add the readings ``time-to-target``, ``model-size``, and ``inference-...`` of each meter for 1,000
            predictions: a training can be made cheap at the expense of the model's use.
        use: add the readings ``inference-...`` of the ``meters`` alone, without the clock; where the score reaches the
            target, or always.
        trace_updates: trace only so many updates of a longer training and extrapolate what adds up (kind: modelled).
        timed: False for no clock: then nothing waits for a quiet machine, and one traced training gives score and
            counts.

    Raises:
        ValueError: ``timed`` is False, and ``whole`` or a meter needs a clock.
    """
    passes = MeasurementPasses(problem, model, seed, meters, budget, trace_updates)
    if not timed and (whole or passes.windows):
        raise ValueError("timed=False needs whole=False and no meter of seconds or joules")
    try:
        fitted = passes.first_training(timed)
        used = whole or use != "never"
        unused = copy.deepcopy(fitted) if used else fitted  # work that is put off until the first use shows there
        score, target = passes.evaluate(fitted), passes.task.target
        if score < target and only_solved:
            why = f"not measured, because the score of {score:.3g} misses the target of {target:g}"
            passes.missing |= {meter.name: why for meter in (*passes.traced, *passes.windows)}
            return measurement_of(passes, process)
        passes.trace_training(fitted.steps)
        passes.measure_windows(passes.fit)
        if use == "always" or (use == "solved" and score >= target):
            passes.measure_use(unused)
        if whole:
            passes.measure_inference(unused)
            passes.measure_time_to_target(fitted)
    except FailedRun as error:
        passes.fail(error)
    return measurement_of(passes, process)


def measure_program(
    problem: Problem, model: ProgramModel, meter: ProgramMeter, seed: int, process: str = BY_HAND
) -> Measurement:
    """Let ``meter`` run the program that ``model`` makes for the task of ``seed``, and score what it computes.

    A FailedRun is recorded; any other exception is raised.
    """
    passes = MeasurementPasses(problem, model, seed)
    try:
        given = passes.task.for_training(model.required_oracles)
        fitted: list[Fitted] = []
        passes.keep(meter.name, lambda: reading_of(meter, lambda: fitted.append(model.fit_by(meter.run, given, seed))))
        passes.score = score_of(passes.task, fitted[0])
    except FailedRun as error:
        passes.fail(error)
    return measurement_of(passes, process)


def measurement_of(passes: MeasurementPasses, process: str) -> Measurement:
    """The measurement of these passes, with the machine, the versions, the commit and the time."""
    return Measurement(
        problem=describe(passes.problem),
        model=describe(passes.model),
        prior_knowledge=passes.model.prior_knowledge,
        seed=passes.seed,
        score_name=passes.task.score_name,
        score=passes.score,
        target=passes.task.target,
        readings=tuple(passes.readings),
        rungs={"process": process, "problem": passes.problem.rung},
        missing=passes.missing,
        scores=passes.scores,
        failure=passes.failure,
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
