"""Metric gaming: a reading that falls while the work does not. Four checks on a model, one for each way to do it.

* *Untraced work*: the fit runs under a trace guard, which knows the ways around the trace.
* *External tensors*: a tensor that is read but never written in this fit was made before the fit or outside the
  trace: a stored answer, a cache, work done elsewhere.
* *Repeated cost*: a cache makes the second fit, or the second prediction, cheaper than the first. ``measure`` trains
  once for the clock and once for the trace, so the trace would see a cached fit.
* *Extrapolated counts*: a trace cut after some updates is extrapolated to the number of updates that the model reports.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sutrolib.core.types import Budget, Fitted, Model, Problem, Task
from sutrolib.guards.checks import SEED_OFFSET, CheckResult, Observation, PermutedProblem, TraceCost, check, traced_fit
from sutrolib.guards.trace_guard import UntracedWork, trace_guard
from sutrolib.measurement.passes import extrapolated
from sutrolib.meters.access.trace import READ, TorchTrace

_ELEMENTS_PER_INPUT = 64  # elements that may leave or enter, per input of a sample
_ELEMENTS_PER_UPDATE = 8  # and per update: a loss that is printed, the sizes of a few groups
_MAX_INSTRUCTIONS = 60  # of Python per operator; this library's models have 1 to 22
_MAX_DEVIATION = 0.25  # between a full trace and an extrapolated one


def gaming_checks(
    problem: Problem, model: Model, seed: int, trace_updates: int | None = None
) -> tuple[CheckResult, ...]:
    """All checks of this module, each on its own permuted task from ``seed`` on, so no cache knows it yet.

    If the measurement traced the whole training (``trace_updates`` is None), wrong extrapolated counts are a limit
    only: this model must not be measured by a part of its training.
    """
    counts = extrapolated_counts(problem, model, seed + 3, trace_updates)
    return (
        untraced_work(problem, model, seed),
        external_tensors(problem, model, seed + 1),
        repeated_cost(problem, model, seed + 2),
        dataclasses.replace(counts, limit=trace_updates is None),
    )


def _permuted_task(problem: Problem, model: Model, seed: int) -> Task:
    return PermutedProblem(problem).sample(seed).for_training(model.required_oracles)


def _allowed_elements(task: Task, updates: int) -> int:
    """Elements that a fit may exchange with plain Python: enough for decisions, losses and a small answer."""
    return _ELEMENTS_PER_INPUT * task.train.x[0].numel() + _ELEMENTS_PER_UPDATE * updates


@check("no work outside the trace", "the meters never see work done outside the trace")
def untraced_work(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit under a trace guard. The Python of an oracle counts as the model's own."""
    task = _permuted_task(problem, model, seed)
    # PyTorch imports parts of itself at their first use. Another task, so that this fills no cache for the check.
    traced_fit(model, _permuted_task(problem, model, seed + SEED_OFFSET), seed)
    try:
        with trace_guard() as guard:
            fitted = model.fit(task, seed)
    except UntracedWork as error:
        return False, str(error)
    allowed = _allowed_elements(task, fitted.steps)
    limit = _MAX_INSTRUCTIONS * max(1, guard.operators)
    calls = ", ".join(f"{count:,} by {call}" for call, count in sorted(guard.elements.items())) or "none"
    evidence = f"elements read as plain numbers: {calls} ({allowed:,} allowed); {guard.instructions:,} Python "
    evidence += f"instructions for {guard.operators:,} operators ({limit:,} allowed)"
    return guard.elements.total() <= allowed and guard.instructions <= limit, evidence


@check("no tensors from outside the fit", "work done before the fit, or outside the trace, enters as a tensor")
def external_tensors(problem: Problem, model: Model, seed: int) -> Observation:
    """Count the elements of tensors that a fit reads before anything in it has written them."""
    task = _permuted_task(problem, model, seed)
    fitted, trace = traced_fit(model, task, seed)
    accesses = trace.accesses
    _, first = np.unique(accesses.buffer, return_index=True)
    external = first[accesses.write[first] == READ]
    element_bytes = accesses.nbytes[external] // accesses.elements[external]
    elements = int((accesses.buffer_nbytes[accesses.buffer[external]] // element_bytes).sum())
    allowed = _allowed_elements(task, fitted.steps)
    return elements <= allowed, f"{elements:,} elements entered, {allowed:,} allowed"


@check("repeated runs cost the same", "a cache would make the measured run cheaper than the first one")
def repeated_cost(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit the same fresh task twice with one seed, and predict twice with the second result, each under a trace."""
    other = PermutedProblem(problem).sample(seed + SEED_OFFSET)  # for what PyTorch does at its first use
    fitted, _ = traced_fit(model, other.for_training(model.required_oracles), seed)
    _prediction_cost(other, fitted)
    whole = PermutedProblem(problem).sample(seed)
    task = whole.for_training(model.required_oracles)
    (_, first), (fitted, second) = (traced_fit(model, task, seed) for _ in range(2))
    fits = TraceCost.of(first), TraceCost.of(second)
    predictions = _prediction_cost(whole, fitted), _prediction_cost(whole, fitted)
    texts = [f"{one}, then {'the same' if one == two else two}" for one, two in (fits, predictions)]
    return all(one == two for one, two in (fits, predictions)), f"fits: {texts[0]}; predictions: {texts[1]}"


def _prediction_cost(task: Task, fitted: Fitted) -> TraceCost:
    trace = TorchTrace()
    with trace:
        task.inference.predictions(fitted, task.test_split)
    return TraceCost.of(trace)


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
