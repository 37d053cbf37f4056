"""A race of processes: the process as the thing that is measured and compared, like a model.

Every entrant searches for the same problem, by the same meter and within the same budget, once for each seed. What
comes out is the best cost against what was spent, the chance of having beaten the baseline by then, and the cost of the
search itself: after how many trainings has it paid for itself?

    break-even = cost of the search / (cost of the baseline - cost of what was found)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sutrolib.meters.base import Meter
from sutrolib.nouns import Model, Problem
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.judge import Judge, ignore
from sutrolib.processes.space import Space
from sutrolib.processes.study import Study


class Process(Protocol):
    """How an algorithm is found."""

    def improve(self, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Search ``space`` for a cheaper model, within ``budget``."""
        ...


@dataclass(frozen=True)
class Entrant:
    """A process and the space that it searches."""

    process: Process
    space: Space


@dataclass(frozen=True)
class Result:
    """What one entrant did: a study for each seed, and the cost of the baseline on the same seeds (inf: unsolved)."""

    studies: tuple[Study, ...]
    baseline: tuple[float, ...]

    @property
    def solved(self) -> int:
        """How many of its searches found a model that solves the problem."""
        return sum(study.best is not None for study in self.studies)

    def best_at(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """The best cost by the time that so much was spent, of shape (seeds, points); inf while nothing is solved."""
        return np.array([[_best_by(study.curve(unit), x) for x in spent] for study in self.studies])

    def quartiles(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """Lower quartile, median and upper quartile over the seeds, of shape (3, points)."""
        found: np.ndarray = np.quantile(self.best_at(spent, unit), [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
        return found

    def beats_baseline(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """The share of the seeds on which something cheaper than the baseline was found by then."""
        below: np.ndarray = self.best_at(spent, unit) < np.array(self.baseline)[:, None]
        share: np.ndarray = below.mean(axis=0)
        return share

    @property
    def break_even(self) -> tuple[float, ...]:
        """Trainings after which each search has paid for itself; inf where it found nothing cheaper.

        It is a number of trainings of the one model found: the baseline would have cost that much more for each.
        """
        found = []
        for study, before in zip(self.studies, self.baseline, strict=True):
            after = study.best.cost if study.best is not None and study.best.cost is not None else math.inf
            if math.isinf(before) and math.isfinite(after):
                found.append(study.effort / after)  # nothing was solved before: weigh it in trainings of what was found
            else:
                found.append(study.effort / (before - after) if after < before else math.inf)
        return tuple(found)


def race(
    entrants: Mapping[str, Entrant],
    problem: Problem,
    baseline: Model,
    meter: Meter,
    budget: SearchBudget,
    seeds: Sequence[int],
    pairs: int = 1,
    trace_updates: int | None = None,
    on_study: Callable[[Study], object] = ignore,
) -> dict[str, Result]:
    """Let every entrant search on every seed; ``on_study`` is told of each search as it ends.

    The entrants take turns, seed by seed, so that a machine that slows down slows them alike. The ``baseline`` is
    weighed on the ``pairs`` seeds that a search of that seed weighs its trials on.
    """
    studies: dict[str, list[Study]] = {name: [] for name in entrants}
    costs = []
    for seed in seeds:
        judge = Judge(problem, meter, range(seed, seed + pairs), trace_updates=trace_updates)
        cost = judge.weigh(baseline).cost
        costs.append(math.inf if cost is None else cost)
        for name, entrant in entrants.items():
            study = entrant.process.improve(problem, entrant.space, meter, budget, seed)
            studies[name].append(study)
            on_study(study)
    return {name: Result(tuple(found), tuple(costs)) for name, found in studies.items()}


def _best_by(curve: Sequence[tuple[float, float]], spent: float) -> float:
    return min((best for used, best in curve if used <= spent), default=math.inf)
