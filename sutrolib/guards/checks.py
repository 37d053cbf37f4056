"""What the checks of a result share: an independent accuracy, and a fit with its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sutrolib.core.types import Model, Problem
from sutrolib.measurement.passes import score_of
from sutrolib.problems.parity import SparseSum


def accuracy(problem: Problem, predictions: Tensor, labels: Tensor) -> float:
    """The share of right predictions, counted one by one; this code shares nothing with the score of a problem.

    A class number is right if its prediction is the largest, a label of a sparse sum if it is the nearest value, a
    label of -1 or +1 if the sign agrees.
    """
    base: Any = problem
    while hasattr(base, "problem"):  # inside a shuffled or permuted one
        base = base.problem
    rows, count = labels.flatten().tolist(), 0
    for prediction, label in zip(predictions.flatten(1).tolist(), rows, strict=True):
        if not labels.is_floating_point():
            count += prediction.index(max(prediction)) == label
        elif isinstance(base, SparseSum):
            count += -1 < prediction[0] - label < 1
        else:
            count += prediction[0] * label > 0
    return count / len(rows)


@dataclass(frozen=True)
class FitResult:
    """The score of one fit on the test split, or the reason why there is none."""

    score: float | None
    solved: bool
    failure: str = ""


def fit_and_score(problem: Problem, model: Model, task_seed: int, fit_seed: int | None = None) -> FitResult:
    """Fit on the task of ``task_seed`` with ``fit_seed`` (None: the same seed) and score it; never raises."""
    task = problem.sample(task_seed)
    try:
        fitted = model.fit(task.for_training(model.required_oracles), task_seed if fit_seed is None else fit_seed)
        score = score_of(task, fitted)
    except Exception as error:  # a model may do anything
        return FitResult(None, False, f"{type(error).__name__}: {error}")
    return FitResult(score, score >= task.target)
