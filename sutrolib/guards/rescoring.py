"""Scoring once more, in plain loops: nothing here is shared with the score that a problem computes.

A label that is a class number is met by the largest of the predictions; a text's by the logarithm of its probability;
one of a sparse sum by the nearest of its values; and one of -1 or +1 by its sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from sutrolib.core.types import Model, Problem
from sutrolib.guards.checks import LEVEL, Observation, check
from sutrolib.measurement.measure import measure
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum

FRESH = 2000  # inputs that no generator of the problem has drawn
_LABELS: Mapping[Any, Callable[[list[float]], float]] = {SparseParity: math.prod, SparseSum: math.fsum, SparseAnd: min}


def base_problem(problem: Any) -> Any:
    """The problem that a control or a disguise is made of."""
    while hasattr(problem, "problem"):
        problem = problem.problem
    return problem


def accuracy(problem: Problem, predictions: Tensor, labels: Tensor) -> float:
    """The share of right answers, counted one by one."""
    rows, count = labels.flatten().tolist(), 0
    nearest = isinstance(base_problem(problem), SparseSum)
    for said, label in zip(predictions.flatten(1).tolist(), rows, strict=True):
        if not labels.is_floating_point():
            count += said.index(max(said)) == label
        elif nearest:
            count += -1 < said[0] - label < 1
        else:
            count += said[0] * label > 0
    return count / len(rows)


def mean_log_probability(predictions: Tensor, labels: Tensor) -> float:
    """The mean natural logarithm of the probability of each label, summed up exactly."""
    found = np.asarray(predictions.double())
    return math.fsum(found[row, label] for row, label in enumerate(labels.flatten().tolist())) / len(labels)


def label_frequencies(labels: Tensor) -> np.ndarray:
    """The share of each label that occurs."""
    rows = labels.flatten().tolist()
    return np.array([rows.count(value) for value in sorted(set(rows))]) / len(rows)


@check("independent scoring", "a mistake in the score would be a mistake in every run that it judged")
def independent_scoring(problem: Problem, model: Model, seed: int) -> Observation:
    """Score the same predictions by loops, and a parity on inputs of NumPy's generator with labels from the secret."""
    stated = measure(problem, model, [], seed, timed=False)
    if stated.score is None:
        return False, f"the fit came to no model: {stated.failure}"
    task = problem.sample(seed)
    fitted = model.fit(task.for_training(model.required_oracles), seed)
    predictions, labels = task.inference.predictions(fitted, task.test_split), task.test_split.y
    found = mean_log_probability(predictions, labels) if task.alphabet else accuracy(problem, predictions, labels)
    agrees = math.isclose(found, stated.score, rel_tol=1e-6, abs_tol=1e-9)
    seen = f"{task.score_name} {stated.score:.6g} as measured, {found:.6g} counted by loops"
    if type(problem) in _LABELS:
        fresh = _on_fresh_inputs(problem, fitted, seed)
        low, high = _plausible(stated.score, len(labels))
        agrees = agrees and low <= fresh <= high
        seen += f", {fresh:.4f} on {FRESH:,} fresh inputs (accepted are {low:.4f} to {high:.4f})"
    return agrees, seen


def _on_fresh_inputs(problem: Any, fitted: Any, seed: int) -> float:
    import torch

    rows = np.random.default_rng([seed, FRESH]).choice((-1.0, 1.0), (FRESH, problem.n))
    secret = problem.secret(seed)
    labels = [_LABELS[type(problem)]([row[bit] for bit in secret]) for row in rows.tolist()]
    predictions = fitted.predict(torch.tensor(rows, dtype=torch.float32))
    return accuracy(problem, predictions, torch.tensor(labels)[:, None])


def _plausible(score: float, samples: int) -> tuple[float, float]:
    """Where the share on the fresh inputs lies if the model is right as often as ``score`` of ``samples`` says."""
    from scipy.stats import binom, binomtest

    true = binomtest(round(score * samples), samples).proportion_ci(LEVEL, method="exact")
    side = (1 - LEVEL) / 2
    return float(binom.ppf(side, FRESH, true.low) / FRESH), float(binom.ppf(1 - side, FRESH, true.high) / FRESH)
