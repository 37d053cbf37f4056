"""Independent scoring in plain loops: this code shares nothing with the score that a problem computes.

A class number is right if its prediction is the largest, a label of a sparse sum if it is the nearest value, a label of
-1 or +1 if the sign agrees. A text is scored by the mean log probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import Model, Problem
from sutrolib.guards.checks import CHECK_CONFIDENCE, Observation, check
from sutrolib.measurement.measure import measure
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum

_FRESH_INPUTS = 2000  # drawn by NumPy, not by the problem's generator
_LABELS: Mapping[Any, Callable[[list[float]], float]] = {SparseParity: math.prod, SparseSum: math.fsum, SparseAnd: min}


def _base_problem(problem: Any) -> Any:
    """The problem inside a shuffled or permuted one."""
    while hasattr(problem, "problem"):
        problem = problem.problem
    return problem


def accuracy(problem: Problem, predictions: Tensor, labels: Tensor) -> float:
    """The share of right predictions, counted one by one."""
    rows, count = labels.flatten().tolist(), 0
    nearest = isinstance(_base_problem(problem), SparseSum)
    for prediction, label in zip(predictions.flatten(1).tolist(), rows, strict=True):
        if not labels.is_floating_point():
            count += prediction.index(max(prediction)) == label
        elif nearest:
            count += -1 < prediction[0] - label < 1
        else:
            count += prediction[0] * label > 0
    return count / len(rows)


def _mean_log_probability(predictions: Tensor, labels: Tensor) -> float:
    """The mean natural logarithm of the probability of each label, from an exact sum."""
    found = np.asarray(predictions.double())
    return math.fsum(found[row, label] for row, label in enumerate(labels.flatten().tolist())) / len(labels)


@check("independent scoring", "an error in the score would be an error in every run")
def independent_scoring(problem: Problem, model: Model, seed: int) -> Observation:
    """Score the same predictions by loops; for a parity, also on inputs from NumPy with labels from the secret."""
    stated = measure(problem, model, [], seed, timed=False)
    if stated.score is None:
        return False, f"the fit failed: {stated.failure}"
    task = problem.sample(seed)
    fitted = model.fit(task.for_training(model.required_oracles), seed)
    predictions, labels = task.inference.predictions(fitted, task.test_split), task.test_split.y
    found = _mean_log_probability(predictions, labels) if task.alphabet else accuracy(problem, predictions, labels)
    agrees = math.isclose(found, stated.score, rel_tol=1e-6, abs_tol=1e-9)
    evidence = f"{task.score_name} {stated.score:.6g} as measured, {found:.6g} by loops"
    if type(problem) in _LABELS:
        fresh = _on_fresh_inputs(problem, fitted, seed)
        low, high = _plausible(stated.score, len(labels))
        agrees = agrees and low <= fresh <= high
        evidence += f", {fresh:.4f} on {_FRESH_INPUTS:,} fresh inputs (expected {low:.4f} to {high:.4f})"
    return agrees, evidence


def _on_fresh_inputs(problem: Any, fitted: Any, seed: int) -> float:
    rows = np.random.default_rng([seed, _FRESH_INPUTS]).choice((-1.0, 1.0), (_FRESH_INPUTS, problem.n))
    secret = problem.secret(seed)
    labels = [_LABELS[type(problem)]([row[bit] for bit in secret]) for row in rows.tolist()]
    predictions = fitted.predict(torch.tensor(rows, dtype=torch.float32))
    return accuracy(problem, predictions, torch.tensor(labels)[:, None])


def _plausible(score: float, samples: int) -> tuple[float, float]:
    """The range of the accuracy on fresh inputs, given the accuracy ``score`` on ``samples``."""
    from scipy.stats import binom, binomtest

    true = binomtest(round(score * samples), samples).proportion_ci(CHECK_CONFIDENCE, method="exact")
    side = (1 - CHECK_CONFIDENCE) / 2
    low, high = binom.ppf(side, _FRESH_INPUTS, true.low), binom.ppf(1 - side, _FRESH_INPUTS, true.high)
    return float(low / _FRESH_INPUTS), float(high / _FRESH_INPUTS)
