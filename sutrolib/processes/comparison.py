"""Comparing search processes: the process is measured like a model.

Every search works on the same problem, with the same meter and the same budget, once for each seed. The result is the
best cost against what was spent, the chance of having beaten the baseline by then, and the cost of the search itself:
after how many trainings has it paid for itself?

    break-even = cost of the search / (cost of the baseline - cost of what was found)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sutrolib.core.types import Model, Problem
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import ResourceUse, SearchBudget
from sutrolib.processes.evaluator import Evaluator, ignore
from sutrolib.processes.manual import ManualTuning
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import CURVE_UNITS, Study, spent_in


@dataclass(frozen=True)
class SearchConfig:
    """A process and the space that it searches."""

    process: Search | ManualTuning
    space: SearchSpace


@dataclass(frozen=True)
class Trajectory:
    """One search, trial by trial: its lifetime cost (None unless solved and kept), and what was spent in each unit."""

    costs: tuple[float | None, ...]
    spent: Mapping[str, tuple[float, ...]]  # by unit (:data:`CURVE_UNITS`)
    found: str

    @classmethod
    def of(cls, study: Study) -> Trajectory:
        """The trajectory of a study."""
        return cls(
            costs=study.costs,
            spent={unit: tuple(spent_in(trial, unit) for trial in study.trials) for unit in CURVE_UNITS},
            found=str(study.best.proposal) if study.best else "nothing",
        )

    def overspent(self, budget: SearchBudget) -> float:
        """As :attr:`sutrolib.processes.study.Study.overspent`, of this budget."""
        return budget.share_used(ResourceUse(0, sum(self.spent["seconds"]), sum(self.spent["joules"])))

    def best_by(self, spent: float, unit: str) -> float:
        """The best cost by the time that so much was spent, in one of :data:`CURVE_UNITS`; inf while there is none."""
        used = np.cumsum(self.spent[unit])
        return min((c for c, u in zip(self.costs, used, strict=True) if c is not None and u <= spent), default=math.inf)


@dataclass(frozen=True)
class ComparisonResult:
    """The result of one search: a trajectory and the cost of the baseline (inf: unsolved) for each seed.

    The baseline is measured on the same seeds as the trials.
    """

    trajectories: tuple[Trajectory, ...]
    baseline: tuple[float, ...]

    @property
    def solved(self) -> int:
        """How many of the searches found a model that solves the problem."""
        return sum(math.isfinite(best) for best in self.best)

    @property
    def best(self) -> tuple[float, ...]:
        """The best cost of each search in the end, inf where it found nothing."""
        return tuple(trajectory.best_by(math.inf, "trials") for trajectory in self.trajectories)

    def best_at(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """The best cost by the time that so much was spent, of shape (seeds, points); inf while nothing is solved.

        Raises ValueError for a unit that is not one of :data:`CURVE_UNITS`.
        """
        if unit not in CURVE_UNITS:
            raise ValueError(f"unit must be one of {', '.join(CURVE_UNITS)} (got {unit!r})")
        return np.array([[trajectory.best_by(x, unit) for x in spent] for trajectory in self.trajectories])

    def quartiles(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """Lower quartile, median and upper quartile over the seeds of best / baseline, of shape (3, points)."""
        best = self.best_at(spent, unit)
        with np.errstate(invalid="ignore"):  # nothing found over nothing solved: still nothing found
            ratios = np.where(np.isinf(best), math.inf, best / np.array(self.baseline)[:, None])
        return np.asarray(np.quantile(ratios, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf"))

    def beats_baseline(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """The share of the seeds on which something cheaper than the baseline was found by then."""
        return np.asarray(np.mean(self.best_at(spent, unit) < np.array(self.baseline)[:, None], axis=0))

    @property
    def break_even(self) -> tuple[float, ...]:
        """Trainings after which each search has paid for itself; inf where it found nothing cheaper.

        Each training of the model found saves its difference to the baseline.
        """
        spent = [sum(trajectory.spent["total_cost"]) for trajectory in self.trajectories]
        return tuple(
            # Without a solved baseline: counted in trainings of what was found.
            cost / (before - after if math.isfinite(before) else after) if after < before else math.inf
            for cost, before, after in zip(spent, self.baseline, self.best, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, without infinities."""
        return dataclasses.asdict(self) | {"baseline": [b if math.isfinite(b) else None for b in self.baseline]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ComparisonResult:
        """The result of :meth:`to_dict`."""
        trajectories = tuple(
            Trajectory(tuple(t["costs"]), {unit: tuple(values) for unit, values in t["spent"].items()}, t["found"])
            for t in content["trajectories"]
        )
        return cls(trajectories, tuple(math.inf if b is None else b for b in content["baseline"]))


def why_withheld(results: Mapping[str, ComparisonResult], min_trials: int) -> str:
    """Why these searches cannot be compared, in words; empty if they can.

    Each needs at least ``min_trials`` on every seed, a solved baseline, and a result on most of its seeds.
    """
    fewest = {name: min((len(t.costs) for t in result.trajectories), default=0) for name, result in results.items()}
    few = ", ".join(f"{name} {trials} of {min_trials}" for name, trials in fewest.items() if trials < min_trials)
    reasons = [f"not enough trials: {few}"] if few else []
    if any(not math.isfinite(cost) for result in results.values() for cost in result.baseline):
        reasons.append("the baseline does not solve every seed")
    for name, result in results.items():
        if 2 * result.solved <= len(result.trajectories):
            reasons.append(f"{name} found something on {result.solved} of {len(result.trajectories)} seeds")
    return "; ".join(reasons)


def compare_searches(
    configs: Mapping[str, SearchConfig],
    problem: Problem,
    baseline: Model,
    meter: Meter,
    budget: SearchBudget,
    seeds: Sequence[int],
    trace_updates: int | None = None,
    on_study: Callable[[Study], object] = ignore,
) -> dict[str, ComparisonResult]:
    """Run every search on every seed; ``on_study`` is called with each finished study.

    The searches take turns, seed by seed, so that a machine that slows down affects them alike. The ``baseline`` is
    measured for each of them, with ``trace_updates`` as in :class:`sutrolib.processes.evaluator.Evaluator`.
    """
    trajectories: dict[str, list[Trajectory]] = {name: [] for name in configs}
    costs: dict[str, list[float]] = {name: [] for name in configs}
    for seed in seeds:
        known: dict[Any, float] = {}  # by the number of seeds that the baseline is measured on, and whether use counts
        for name, config in configs.items():
            about = pairs, use = config.process.pairs, getattr(config.process, "check_best", False)
            if about not in known:
                options: dict[str, Any] = {"trace_updates": trace_updates, "charge_use": use}
                cost = Evaluator(problem, meter, range(seed, seed + pairs), **options).evaluate(baseline).lifetime_cost
                known[about] = math.inf if cost is None else cost
            costs[name].append(known[about])
            study = config.process.improve(problem, config.space, meter, budget, seed)
            trajectories[name].append(Trajectory.of(study))
            on_study(study)
    return {name: ComparisonResult(tuple(trajectories[name]), tuple(costs[name])) for name in configs}
