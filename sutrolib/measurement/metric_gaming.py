"""Metric gaming: a reading that falls while the work does not. Checks on a model, one for each way to do it.

* *Untraced work*: fit and predictions run under a trace guard, which knows the ways around the trace; with nothing
  around them that a model could ask for, while Python's audit hook listens; and under the trace. The operators must be
  the same, and the CPU time of the process and its children must be that of the work that was traced.
* *External tensors*: a tensor that is read but never written in this fit was made before the fit or outside the
  trace: a stored answer, a cache, work done elsewhere.
* *Repeated cost*: a cache makes the second fit, or the second prediction, cheaper than the first. ``measure`` trains
  once for the clock and once for the trace, so the trace would see a cached fit.
* *Deferred training*: a fit may keep the samples, and solve them anew in every prediction.
* *Fresh cost*: answers may be ready for the seeds that are usually tried. Disguised tasks of seeds that nobody can
  guess must cost what was claimed.
* *Extrapolated counts*: a trace cut after some updates is extrapolated to the number of updates that the model reports.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import torch

from sutrolib.core.types import Budget, Fitted, Model, Problem, Split, Task
from sutrolib.measurement.checks import (
    SEED_OFFSET,
    CheckResult,
    Observation,
    PermutedProblem,
    TraceCost,
    check,
    fresh_seed,
    traced_fit,
)
from sutrolib.measurement.measure import measure
from sutrolib.measurement.passes import PREDICTIONS, extrapolated, trace_of
from sutrolib.measurement.trace_guard import OperatorCounter, UntracedWork, audited, trace_guard
from sutrolib.meters.access.trace import READ, TorchTrace
from sutrolib.meters.base import Meter, WindowMeter

_ELEMENTS_PER_INPUT = 64  # elements that may leave or enter, per input of a sample
_ELEMENTS_PER_UPDATE = 8  # and per update: a loss that is printed, the sizes of a few groups
_MAX_INSTRUCTIONS = 60  # of Python per operator; this library's models have 1 to 22
_MAX_DEVIATION = 0.25  # between a full trace and an extrapolated one
_PREDICTED = 64  # predictions of a pass
# CPU seconds of traced work: per access, byte and operation, fitted to this library's models, which take 0.4 to 1.3 of
# it. An order of magnitude more is other work.
_CPU_SECONDS = (1.5e-6, 1e-10, 1e-10)
_MAX_CPU = 10
_CPU_SLACK_S = 0.002
_CPU_ATTEMPTS = 3  # other threads of this process work too, now and then
_FRESH_SEEDS = 3
_MAX_LUCK = 3.0  # from the claimed cost to the cheapest of so many fresh seeds


def gaming_checks(
    problem: Problem, model: Model, seed: int, trace_updates: int | None = None
) -> tuple[CheckResult, ...]:
    """The checks of this module that need no claim, each on a permuted task of its own, so no cache knows it yet.

    If the measurement traced the whole training (``trace_updates`` is None), wrong extrapolated counts are a limit
    only: this model must not be measured by a part of its training. Else the other checks trace a part of it, too.
    A model that says of itself that it is a ``lazy_learning`` one may learn in its predictions.
    """
    counts = extrapolated_counts(problem, model, seed + 4, trace_updates)
    deferred = deferred_training(problem, model, seed + 3, trace_updates)
    return (
        untraced_work(problem, model, seed, trace_updates),
        external_tensors(problem, model, seed + 1, trace_updates),
        repeated_cost(problem, model, seed + 2, trace_updates),
        dataclasses.replace(deferred, limit=getattr(model, "lazy_learning", False)),
        dataclasses.replace(counts, limit=trace_updates is None),
    )


def _permuted_task(problem: Problem, model: Model, seed: int) -> Task:
    return PermutedProblem(problem).sample(seed).for_training(model.required_oracles)


def _limit(updates: int | None) -> Budget | None:
    return None if updates is None else Budget(steps=updates)


def _allowed_elements(task: Task, updates: int) -> int:
    """Elements that a fit may exchange with plain Python: enough for decisions, losses and a small answer."""
    return _ELEMENTS_PER_INPUT * task.train.x[0].numel() + _ELEMENTS_PER_UPDATE * updates


@check("no work outside the trace", "the meters never see work done outside the trace")
def untraced_work(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Fit and predict unwatched, under a trace, and under a trace guard. The Python of an oracle is the model's own."""

    def work(task: Task, limit: Budget | None = None) -> Fitted:
        fitted = model.fit(task.for_training(model.required_oracles), seed, limit)
        task.inference.run_inference(fitted, task.test_split, _PREDICTED)
        return fitted

    # PyTorch imports parts of itself at their first use. Another task, so that this fills no cache for the check.
    with TorchTrace():
        work(PermutedProblem(problem).sample(seed + SEED_OFFSET), _limit(updates))
    task = PermutedProblem(problem).sample(seed)
    with _one_thread():
        heard, used, fitted = _unwatched(lambda: work(task))
        if heard:
            return False, f"heard by Python's audit hook, while no trace and no guard was there: {', '.join(heard)}"
        with TorchTrace() as trace, OperatorCounter() as counter:
            part = work(task, _limit(updates))
        expected = _cpu_seconds(TraceCost.of(trace)) * max(1.0, fitted.steps / max(1, part.steps))
        try:
            with trace_guard() as guard:
                work(task, _limit(updates))
        except UntracedWork as error:
            return False, str(error)
        attempts = 1
        while used > (allowed := _MAX_CPU * expected + _CPU_SLACK_S) and attempts < _CPU_ATTEMPTS:
            used, attempts = min(used, _unwatched(lambda: work(task))[1]), attempts + 1
    if used > allowed:
        return False, f"{used:.3g} s of CPU time, where the work that was traced takes {expected:.3g} s"
    if other := sorted(name for name, _ in set(guard.work.items()) ^ set(counter.work.items())):
        return False, f"it works otherwise under a guard than under a trace: {', '.join(other)}"
    allowed_elements = _allowed_elements(task, fitted.steps)
    limit = _MAX_INSTRUCTIONS * max(1, guard.operators)
    calls = ", ".join(f"{count:,} by {call}" for call, count in sorted(guard.elements.items())) or "none"
    evidence = f"elements read as plain numbers: {calls} ({allowed_elements:,} allowed); {guard.instructions:,} Python "
    evidence += f"instructions for {guard.operators:,} operators ({limit:,} allowed); CPU time {used:.3g} s"
    evidence += f" ({allowed:.3g} s allowed)"
    return guard.elements.total() <= allowed_elements and guard.instructions <= limit, evidence


def _unwatched(work: Callable[[], Fitted]) -> tuple[list[str], float, Fitted]:
    """What Python's audit hook heard, the CPU seconds of this process and its children, and the result."""
    gc.collect()
    children, before = _children_cpu(), time.process_time()
    with audited() as heard:
        fitted = work()
    used = time.process_time() - before
    return list(dict.fromkeys(heard)), used + _children_cpu() - children, fitted


def _children_cpu() -> float:
    process = psutil.Process()
    ended, alive = process.cpu_times(), 0.0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            alive += sum(child.cpu_times()[:2])
    return float(alive + ended.children_user + ended.children_system)


def _cpu_seconds(cost: TraceCost) -> float:
    """CPU seconds that this machine takes for traced work, roughly."""
    return _slowness() * float(np.dot(_CPU_SECONDS, dataclasses.astuple(cost)))


@functools.cache
def _slowness() -> float:
    """How many times slower this machine is than the one of :data:`_CPU_SECONDS`; at least 1."""

    def reference() -> None:
        x = torch.ones(100, 100)
        for _ in range(300):
            x = (x @ x).sign() + x[:1].sum()

    def seconds() -> float:
        before = time.process_time()
        reference()
        return time.process_time() - before

    with _one_thread():
        used, cost = min(seconds() for _ in range(_CPU_ATTEMPTS + 1)), TraceCost.of(trace_of(reference))
    return max(1.0, used / float(np.dot(_CPU_SECONDS, dataclasses.astuple(cost))))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads of PyTorch that wait for work take CPU time, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@check("no tensors from outside the fit", "work done before the fit, or outside the trace, enters as a tensor")
def external_tensors(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Count the elements of tensors that a fit reads before anything in it has written them."""
    task = _permuted_task(problem, model, seed)
    fitted, trace = traced_fit(model, task, seed, _limit(updates))
    accesses = trace.accesses
    _, first = np.unique(accesses.buffer, return_index=True)
    external = first[accesses.write[first] == READ]
    element_bytes = accesses.nbytes[external] // accesses.elements[external]
    elements = int((accesses.buffer_nbytes[accesses.buffer[external]] // element_bytes).sum())
    allowed = _allowed_elements(task, fitted.steps)
    return elements <= allowed, f"{elements:,} elements entered, {allowed:,} allowed"


@check("repeated runs cost the same", "a cache would make the measured run cheaper than the first one")
def repeated_cost(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Fit the same fresh task twice with one seed, and predict twice with the second result, each under a trace."""
    other = PermutedProblem(problem).sample(seed + SEED_OFFSET)  # for what PyTorch does at its first use
    fitted, _ = traced_fit(model, other.for_training(model.required_oracles), seed, _limit(updates))
    _prediction_cost(other, fitted)
    whole = PermutedProblem(problem).sample(seed)
    task = whole.for_training(model.required_oracles)
    (_, first), (fitted, second) = (traced_fit(model, task, seed, _limit(updates)) for _ in range(2))
    fits = TraceCost.of(first), TraceCost.of(second)
    predictions = _prediction_cost(whole, fitted), _prediction_cost(whole, fitted)
    texts = [f"{one}, then {'the same' if one == two else two}" for one, two in (fits, predictions)]
    return all(one == two for one, two in (fits, predictions)), f"fits: {texts[0]}; predictions: {texts[1]}"


def _prediction_cost(task: Task, fitted: Fitted) -> TraceCost:
    return TraceCost.of(trace_of(lambda: task.inference.run_inference(fitted, task.test_split, PREDICTIONS)))


@check("no training is put off until the predictions", "a training that is not finished looks cheap")
def deferred_training(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Compare the cost of one prediction with that of the fit."""
    whole = PermutedProblem(problem).sample(seed)
    fitted, trace = traced_fit(model, whole.for_training(model.required_oracles), seed, _limit(updates))
    one = Split(whole.test_split.x[:1], whole.test_split.y[:1])
    trained = TraceCost.of(trace)
    asked, many = (
        TraceCost.of(trace_of(functools.partial(whole.inference.run_inference, fitted, *what)))
        for what in ((one, 1), (whole.test_split, PREDICTIONS))
    )
    evidence = f"fit: {trained}; one prediction: {asked}; {PREDICTIONS:,}: {many}"
    return asked.nbytes <= trained.nbytes and asked.operations <= trained.operations, evidence


@check("fresh seeds cost what was claimed", "answers may be ready for the seeds that are usually tried")
def fresh_cost(
    problem: Problem, model: Model, meter: Meter, claimed: float, trace_updates: int | None = None
) -> Observation:
    """Measure disguised tasks of seeds that nobody can guess; the cheapest may cost three times the claim."""
    PermutedProblem(problem).sample(0).for_training(model.required_oracles)  # raises FailedRun if an oracle is gone
    run = functools.partial(measure, trace_updates=trace_updates, timed=isinstance(meter, WindowMeter))
    runs = [run(PermutedProblem(problem), model, [meter], fresh_seed()) for _ in range(_FRESH_SEEDS)]
    costs = [reading.value for run in runs for reading in run.readings if reading.name == meter.name]
    solved = sum(run.solved for run in runs)
    evidence = f"claimed {claimed:.3g} {meter.unit}; {solved} of {len(runs)} fresh seeds solved"
    if not costs:
        why = next(filter(None, (run.failure or run.missing.get(meter.name) for run in runs)), "no reading")
        return False, f"{evidence}; {why}"
    evidence += f", at {min(costs):.3g} to {max(costs):.3g} {meter.unit} ({meter.kind})"
    return solved > 0 and min(costs) <= _MAX_LUCK * claimed, evidence


@check("extrapolated counts match a full trace", "a long training is measured by its first updates")
def extrapolated_counts(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Cut the trace after ``updates`` (None: a quarter), extrapolate it as ``measure`` does, and compare.

    Fails for a model that reports fewer updates than it made, that does not stop at its budget, or whose first updates
    have another cost than later ones. None of them may be measured by a part of its training.
    """
    task = _permuted_task(problem, model, seed)
    fitted, trace = traced_fit(model, task, seed)
    cut = max(1, fitted.steps // 4) if updates is None else updates
    if cut >= fitted.steps:
        return None, f"not applicable: with {fitted.steps:,} updates the trace is never cut"
    stopped, part = traced_fit(model, task, seed, Budget(steps=cut))
    half = TraceCost.of(traced_fit(model, task, seed, Budget(steps=cut // 2))[1]) if cut > 1 else TraceCost(0, 0, 0)
    full, scaled = TraceCost.of(trace), TraceCost.of(part)
    ratios = {
        what: extrapolated(getattr(half, name), getattr(scaled, name), cut, fitted.steps) / getattr(full, name)
        for name, what in (("nbytes", "bytes accessed"), ("operations", "operations"))
        if getattr(full, name)
    }
    if not ratios:
        return None, "not applicable: the trace of the whole training is empty"
    evidence = f"extrapolated from {cut:,} of {fitted.steps:,} updates, relative to the full trace: " + ", ".join(
        f"{ratio:.3f} of the {what}" for what, ratio in ratios.items()
    )
    if stopped.steps > cut:
        return False, f"with a budget of {cut:,} updates it made {stopped.steps:,}; {evidence}"
    return all(1 / (1 + _MAX_DEVIATION) <= ratio <= 1 + _MAX_DEVIATION for ratio in ratios.values()), evidence
