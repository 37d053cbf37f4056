"""Gaming the metric: a reading that falls while the work does not. Four checks on a model, each of a way to do it.

* *Stays inside the trace*: the fit runs under a seal (``trace_guard``), which knows the ways out of it.
* *Nothing from elsewhere*: a tensor that is read and that nobody in this fit has written was made before it, or
  outside the trace: an answer learned by heart, a cache, work done elsewhere.
* *The same cost twice*: a cache makes the second fit, or the second prediction, cheaper than the first. ``measure``
  trains once for the clock and once for the trace, so that the trace would see a cached fit.
* *Scaled counts agree*: a trace that is cut after some updates is carried on to those that the model says it made.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from sutrolib.core.types import Budget, Fitted, Model, Problem, Task
from sutrolib.guards.checks import UNRELATED, CheckResult, Observation, PermutedProblem, TraceCost, check, traced_fit
from sutrolib.guards.trace_guard import UntracedWork, trace_guard
from sutrolib.measurement.passes import extrapolated
from sutrolib.meters.access.trace import READ, TorchTrace

PER_INPUT = 64  # elements that may leave, or come in, for each input of a sample
PER_UPDATE = 8  # and for each update: a loss that is looked at, the sizes of a few groups
INSTRUCTIONS = 60  # of Python for each operator; those of this library's models have 1 to 22
MARGIN = 0.25  # between a full trace and a scaled one


def allowance(task: Task, updates: int) -> int:
    """Elements that a fit may exchange with plain Python: the few that decisions, losses and a small answer need."""
    return PER_INPUT * task.train.x[0].numel() + PER_UPDATE * updates


def gaming_checks(problem: Problem, model: Model, seed: int, trace_updates: int | None = None) -> tuple[CheckResult, ...]:
    """All checks of this module, each on a disguised task of its own, from ``seed`` on: no cache may know it yet.

    Where the result was not weighed by a part of its training (``trace_updates`` is None), a scaled count that does not
    agree is a limit: it must not be weighed so.
    """
    scaled = extrapolated_counts(problem, model, seed + 3, trace_updates)
    return (
        untraced_work(problem, model, seed),
        external_tensors(problem, model, seed + 1),
        repeated_cost(problem, model, seed + 2),
        dataclasses.replace(scaled, limit=trace_updates is None),
    )


@check("stays inside the trace", "what is done outside of it is never weighed")
def untraced_work(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit under a seal. What a teacher does when it is asked counts as Python of the model."""
    disguised = PermutedProblem(problem)
    task = disguised.sample(seed).for_training(model.required_oracles)
    # PyTorch imports parts of itself at their first use; another task, or a cache would be filled here.
    traced_fit(model, disguised.sample(seed + UNRELATED).for_training(model.required_oracles), seed)
    try:
        with trace_guard() as seal:
            fitted = model.fit(task, seed)
    except UntracedWork as error:
        return False, str(error)
    allowed = allowance(task, fitted.steps)
    limit = INSTRUCTIONS * max(1, seal.operators)
    doors = ", ".join(f"{count:,} by {door}" for door, count in sorted(seal.left.items())) or "none"
    seen = (
        f"elements that left as plain numbers: {doors}, {allowed:,} allowed; {seal.instructions:,} Python "
        f"instructions beside {seal.operators:,} operators, {limit:,} allowed"
    )
    return seal.left.total() <= allowed and seal.instructions <= limit, seen


@check("nothing from elsewhere", "work done before the fit, or outside the trace, comes in as a tensor")
def external_tensors(problem: Problem, model: Model, seed: int) -> Observation:
    """Count the elements of tensors that are read in a fit before anything in it has written them."""
    task = PermutedProblem(problem).sample(seed).for_training(model.required_oracles)
    fitted, trace = traced_fit(model, task, seed)
    brought, allowed = _brought(trace), allowance(task, fitted.steps)
    return brought <= allowed, f"{brought:,} elements came in, {allowed:,} allowed"


def _brought(trace: TorchTrace) -> int:
    accesses = trace.accesses
    _, first = np.unique(accesses.buffer, return_index=True)
    foreign = first[accesses.write[first] == READ]
    each = accesses.nbytes[foreign] // accesses.elements[foreign]
    return int((accesses.buffer_nbytes[accesses.buffer[foreign]] // each).sum())


@check("the same cost twice", "a cache would make what is weighed cheaper than what was done first")
def repeated_cost(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit the same fresh task twice with one seed, and have the second result predict twice, each under a trace."""
    warm = PermutedProblem(problem).sample(seed + UNRELATED)
    fitted, _ = traced_fit(model, warm.for_training(model.required_oracles), seed)  # PyTorch's own first times
    _predicting(warm, fitted)
    whole = PermutedProblem(problem).sample(seed)
    task = whole.for_training(model.required_oracles)
    (_, one), (fitted, other) = (traced_fit(model, task, seed) for _ in range(2))
    fits = TraceCost.of(one), TraceCost.of(other)
    served = _predicting(whole, fitted), _predicting(whole, fitted)
    seen = "; ".join(
        f"{what}: {first}, then {'the same' if first == second else second}"
        for what, (first, second) in (("fits", fits), ("predictions", served))
    )
    return fits[0] == fits[1] and served[0] == served[1], seen


def _predicting(task: Task, fitted: Fitted) -> TraceCost:
    trace = TorchTrace()
    with trace:
        task.inference.predictions(fitted, task.test_split)
    return TraceCost.of(trace)


@check("scaled counts agree with a full trace", "a long training is weighed by its first updates")
def extrapolated_counts(problem: Problem, model: Model, seed: int, updates: int | None = None) -> Observation:
    """Cut the trace to so many ``updates``, a quarter where it is None, carry it on as ``measure`` does, and compare.

    It fails for a model that says it made fewer updates than it did, that does not stop where it is told to, or whose
    first updates are cheaper or dearer than the later ones: none of them may be weighed by a part of its training.
    """
    task = PermutedProblem(problem).sample(seed).for_training(model.required_oracles)
    fitted, trace = traced_fit(model, task, seed)
    cut = max(1, fitted.steps // 4) if updates is None else updates
    if cut >= fitted.steps:
        return None, f"not applicable: {fitted.steps:,} updates, so that it is traced as a whole"
    stopped, part = traced_fit(model, task, seed, Budget(steps=cut))
    half = TraceCost.of(traced_fit(model, task, seed, Budget(steps=cut // 2))[1]) if cut > 1 else TraceCost(0, 0, 0)
    whole, scaled = TraceCost.of(trace), TraceCost.of(part)
    ratios = [
        extrapolated(getattr(half, name), getattr(scaled, name), cut, fitted.steps) / getattr(whole, name)
        for name in ("nbytes", "operations")
        if getattr(whole, name)
    ]
    seen = f"carried on from {cut:,} of {fitted.steps:,} updates over all of them: " + ", ".join(
        f"{ratio:.3f} of the {what}" for ratio, what in zip(ratios, ("bytes accessed", "operations"), strict=False)
    )
    if stopped.steps > cut:
        return False, f"told to stop after {cut:,} updates, it made {stopped.steps:,}; {seen}"
    return all(1 / (1 + MARGIN) <= ratio <= 1 + MARGIN for ratio in ratios), seen
