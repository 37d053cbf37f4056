"""Verification of a surprising winner: try to break it before it is reported.

The group did this for GF(2) elimination, which solved in microseconds what a network learns in seconds: independent
scoring, fresh seeds, harder n and k, noise, shuffled labels, a leak test, and a plain statement of prior knowledge.
Checks for metric gaming are added: ways to lower a reading without lowering the work.

A failed check is evidence against the result, unless it is a limit. If a harder or noisy problem is not solved, the
result holds up to there. If a part of the training does not represent all of it, measure the whole training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sutrolib.core.types import Model, Problem
from sutrolib.guards.checks import accuracy, fit_and_score
from sutrolib.guards.leakage import leak_checks
from sutrolib.measurement.checks import CHECK_CONFIDENCE, CheckResult, Observation, check, fresh_seed
from sutrolib.measurement.measure import measure
from sutrolib.measurement.metric_gaming import fresh_cost, gaming_checks
from sutrolib.meters.access.cache_energy import CacheEnergy
from sutrolib.meters.base import Meter
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum
from sutrolib.processes.evaluator import Evaluator

_MIN_FRESH_SEEDS = 10
_RELIABLE = 0.5  # the share of seeds that must be shown to be solved
_SEEDS_PER_LIMIT = 3  # seeds for each harder or noisy problem
_FRESH_INPUTS = 2000  # drawn by NumPy, not by the problem's generator
_LABELS: Mapping[Any, Any] = {SparseParity: math.prod, SparseSum: math.fsum, SparseAnd: min}  # of the secret bits


@dataclass(frozen=True)
class Verification:
    """The results of all checks of one model on one problem."""

    problem: str
    model: str
    checks: tuple[CheckResult, ...]

    @property
    def verified(self) -> bool:
        """No check failed, limits aside, and one passed."""
        return not self.failures and any(one.passed for one in self.checks)

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The failed checks that are not limits."""
        return tuple(one for one in self.checks if one.status == "failed")

    @property
    def summary(self) -> str:
        """The outcome in words: failed checks, limits, and checks that were not tested."""
        passed = sum(one.passed is True for one in self.checks)
        tested = sum(one.passed is not None for one in self.checks)
        text = f"{self.model} on {self.problem}: {'verified' if self.verified else 'not verified'}, "
        text += f"{passed} of {tested} checks passed"
        for status, words in (("failed", "failed"), ("a limit", "limits"), ("not tested", "not tested")):
            titles = [one.title for one in self.checks if one.status == status]
            text += f"; {words}: {', '.join(titles)}" if titles else ""
        return text

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each check by title. Limits of one sort (``noise: 5 %``) are counted together."""
        groups: dict[str, list[CheckResult]] = {}
        for one in self.checks:
            groups.setdefault(one.title.split(": ")[0] if one.limit else one.title, []).append(one)
        return {
            title: ones[0].status if len(ones) == 1 else f"{sum(one.passed is True for one in ones)} of {len(ones)}"
            for title, ones in groups.items()
        }

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows of a table, one row per check."""
        header = ["check", "status", "evidence", "why it matters"]
        return header, [[one.title, one.status, one.evidence, one.why] for one in self.checks]


def verify(
    problem: Problem,
    model: Model,
    seeds: Sequence[int],
    *,
    harder: Mapping[str, Problem] | None = None,
    noisy: Mapping[str, Problem] | None = None,
    fresh: int = _MIN_FRESH_SEEDS,
    trace_updates: int | None = None,
    meter: Meter | None = None,
    claimed: float | None = None,
) -> Verification:
    """Try to break the result that ``model`` solves ``problem``. The model is fitted some 50 times.

    The fresh seeds are drawn by the operating system, so that no model can be ready for them.

    Args:
        seeds: The seeds that the result was found on.
        harder: Problems, by name, that may be the limits of the result; so is ``noisy``.
        fresh: The number of fresh seeds, at least ten.
        trace_updates: As in the measurement, if it traced a part of the training only.
        meter: Of the claimed cost; modelled joules by default.
        claimed: The cost that was found; None measures it anew on ``seeds``.

    Raises:
        ValueError: No seeds, or fewer than ten fresh ones.
    """
    if not seeds:
        raise ValueError("seeds must hold the seeds that the result was found on (got none)")
    if fresh < _MIN_FRESH_SEEDS:
        raise ValueError(f"fresh must be at least {_MIN_FRESH_SEEDS} (got {fresh!r})")
    new = [fresh_seed() for _ in range(fresh)]
    limits = {f"harder: {name}": other for name, other in (harder or {}).items()}
    limits |= {f"noise: {name}": other for name, other in (noisy or {}).items()}
    checks = (
        independent_scoring(problem, model, seeds[0]),
        fresh_seeds(problem, model, new),
        *(_limit(title, other, model, new[:_SEEDS_PER_LIMIT]) for title, other in limits.items()),
        *leak_checks(problem, model, new),
        *gaming_checks(problem, model, fresh_seed(), trace_updates),
        _claim(problem, model, seeds, meter or CacheEnergy(), claimed, trace_updates),
    )
    return Verification(problem.name, model.name, checks)


def _claim(
    problem: Problem, model: Model, seeds: Sequence[int], meter: Meter, claimed: float | None, updates: int | None
) -> CheckResult:
    """The check of the claimed cost; a model that gives no reading on ``seeds`` claims none."""
    found = Evaluator(problem, meter, seeds, trace_updates=updates).evaluate(model) if claimed is None else None
    cost = found.cost if found else claimed
    if cost is None:
        return CheckResult("fresh seeds cost what was claimed", None, f"not applicable: {found and found.why}", "")
    return fresh_cost(problem, model, meter, cost, updates)


@check("independent scoring", "an error in the score would be an error in every run")
def independent_scoring(problem: Problem, model: Model, seed: int) -> Observation:
    """Score the same predictions by loops; for a parity, also on inputs from NumPy with labels from the secret."""
    stated = measure(problem, model, [], seed, timed=False)
    if stated.score is None:
        return False, f"the fit failed: {stated.failure}"
    task = problem.sample(seed)
    fitted = model.fit(task.for_training(model.required_oracles), seed)
    predictions, labels = task.inference.predictions(fitted, task.test_split), task.test_split.y
    if task.alphabet:  # the mean natural logarithm of the probability of each label, from an exact sum
        rows = np.asarray(predictions.double())
        found = math.fsum(rows[row, label] for row, label in enumerate(labels.flatten().tolist())) / len(labels)
    else:
        found = accuracy(problem, predictions, labels)
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
    labels = [_LABELS[type(problem)](row) for row in rows[:, problem.secret(seed)].tolist()]
    predictions = fitted.predict(torch.tensor(rows, dtype=torch.float32))
    return accuracy(problem, predictions, torch.tensor(labels)[:, None])


def _plausible(score: float, samples: int) -> tuple[float, float]:
    """The range of the accuracy on fresh inputs, given the accuracy ``score`` on ``samples``."""
    from scipy.stats import binom, binomtest

    true = binomtest(round(score * samples), samples).proportion_ci(CHECK_CONFIDENCE, method="exact")
    side = (1 - CHECK_CONFIDENCE) / 2
    low, high = binom.ppf(side, _FRESH_INPUTS, true.low), binom.ppf(1 - side, _FRESH_INPUTS, true.high)
    return float(low / _FRESH_INPUTS), float(high / _FRESH_INPUTS)


@check("fresh seeds", "a result found on some seeds may hold on these only")
def fresh_seeds(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    """Solve unused seeds; passed if more than half are shown to be solved (Clopper-Pearson)."""
    from scipy.stats import binomtest

    solved, _, failures = _results(problem, model, seeds)
    ci = binomtest(solved, len(seeds)).proportion_ci(0.95, method="exact")
    evidence = f"{solved} of {len(seeds)} solved, {solved / len(seeds):.2f} [{ci.low:.2f}, {ci.high:.2f}] at 95 %"
    return bool(ci.low > _RELIABLE), evidence + failures


def _limit(title: str, problem: Problem, model: Model, seeds: Sequence[int]) -> CheckResult:
    """Whether the model solves all seeds of a problem beyond the verified one."""
    solved, scores, failures = _results(problem, model, seeds)
    found = f", scores {min(scores):.3f} to {max(scores):.3f}" if scores else ""
    evidence = f"{solved} of {len(seeds)} solved{found}{failures}"
    return CheckResult(title, solved == len(seeds), evidence, "says where the result ends", limit=True)


def _results(problem: Problem, model: Model, seeds: Sequence[int]) -> tuple[int, list[float], str]:
    """The number of solved seeds, the scores, and how many fits failed, with the first reason."""
    results = [fit_and_score(problem, model, seed) for seed in seeds]
    failures = [result.failure for result in results if result.failure]
    why = f"; {len(failures)} fits failed: {failures[0]}" if failures else ""
    return sum(result.solved for result in results), [r.score for r in results if r.score is not None], why
