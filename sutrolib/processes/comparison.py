"""A race of processes: the process as the thing that is measured and compared, like a model.

Every entrant searches for the same problem, by the same meter and within the same budget, once for each seed. What
comes out is the best cost against what was spent, the chance of having beaten the baseline by then, and the cost of the
search itself: after how many trainings has it paid for itself?

    break-even = cost of the search / (cost of the baseline - cost of what was found)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sutrolib.core.types import Model, Problem
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import Judge, ignore
from sutrolib.processes.space import Space
from sutrolib.processes.study import Study

UNITS = ("trials", "effort", "seconds", "joules")  # effort is in the unit of the meter


class Process(Protocol):
    """How an algorithm is found; ``pairs`` is the number of seeds that it weighs a candidate on."""

    @property
    def pairs(self) -> int: ...

    def improve(self, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """Search ``space`` for a cheaper model, within ``budget``."""
        ...


@dataclass(frozen=True)
class Entrant:
    """A process and the space that it searches."""

    process: Process
    space: Space


@dataclass(frozen=True)
class Course:
    """One search, trial by trial: the cost where it was solved (and kept, by hand), and what was spent on it."""

    costs: tuple[float | None, ...]
    efforts: tuple[float, ...]
    seconds: tuple[float, ...]
    joules: tuple[float, ...]
    found: str

    def best_by(self, spent: float, unit: str) -> float:
        """The best cost by the time that so much was spent, in a unit of :data:`UNITS`; inf while there is none."""
        each = {
            "trials": (1,) * len(self.costs),
            "effort": self.efforts,
            "seconds": self.seconds,
            "joules": self.joules,
        }
        used = np.cumsum(each[unit])
        return min((c for c, u in zip(self.costs, used, strict=True) if c is not None and u <= spent), default=math.inf)


def course_of(study: Study) -> Course:
    """The course of a study."""
    costs = [trial.cost if trial.kept else None for trial in study.trials]
    return Course(
        costs=tuple(costs),
        efforts=tuple(trial.effort for trial in study.trials),
        seconds=tuple(trial.spent.seconds for trial in study.trials),
        joules=tuple(trial.spent.joules for trial in study.trials),
        found=str(study.best.proposal) if study.best else "nothing",
    )


@dataclass(frozen=True)
class Result:
    """What one entrant did: a course for each seed, and the cost of the baseline (inf: unsolved).

    The baseline is weighed on the seeds that the entrant weighs its own trials on.
    """

    courses: tuple[Course, ...]
    baseline: tuple[float, ...]

    @property
    def solved(self) -> int:
        """How many of its searches found a model that solves the problem."""
        return sum(math.isfinite(best) for best in self.best)

    @property
    def best(self) -> tuple[float, ...]:
        """The best cost of each search in the end, inf where it found nothing."""
        return tuple(course.best_by(math.inf, "effort") for course in self.courses)

    def best_at(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """The best cost by the time that so much was spent, of shape (seeds, points); inf while nothing is solved.

        Raises ValueError for a unit that is not one of :data:`UNITS`.
        """
        if unit not in UNITS:
            raise ValueError(f"unit={unit!r}, accepted are {', '.join(UNITS)}")
        return np.array([[course.best_by(x, unit) for x in spent] for course in self.courses])

    def quartiles(self, spent: Sequence[float], unit: str = "trials") -> np.ndarray:
        """Lower quartile, median and upper quartile over the seeds of best / baseline, of shape (3, points)."""
        best = self.best_at(spent, unit)
        with np.errstate(invalid="ignore"):  # nothing found over nothing solved: still nothing found
            ratios = np.where(np.isinf(best), math.inf, best / np.array(self.baseline)[:, None])
        found: np.ndarray = np.quantile(ratios, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
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
        for course, before, after in zip(self.courses, self.baseline, self.best, strict=True):
            # Nothing solved before: counted in trainings of what was found.
            saved = before - after if math.isfinite(before) else after
            found.append(sum(course.efforts) / saved if after < before else math.inf)
        return tuple(found)

    def plain(self) -> dict[str, Any]:
        """As plain JSON, without infinities."""
        courses = [dataclasses.asdict(course) for course in self.courses]
        return {"courses": courses, "baseline": [b if math.isfinite(b) else None for b in self.baseline]}


def result_from(plain: Mapping[str, Any]) -> Result:
    """The result of :meth:`Result.plain`."""
    courses: list[dict[str, Any]] = [
        {name: value if name == "found" else tuple(value) for name, value in course.items()}
        for course in plain["courses"]
    ]
    return Result(
        tuple(Course(**course) for course in courses), tuple(math.inf if b is None else b for b in plain["baseline"])
    )


def race(
    entrants: Mapping[str, Entrant],
    problem: Problem,
    baseline: Model,
    meter: Meter,
    budget: SearchBudget,
    seeds: Sequence[int],
    trace_updates: int | None = None,
    on_study: Callable[[Study], object] = ignore,
) -> dict[str, Result]:
    """Let every entrant search on every seed; ``on_study`` is told of each search as it ends.

    The entrants take turns, seed by seed, so that a machine that slows down slows them alike. The ``baseline`` is
    weighed beside each of them, with ``trace_updates`` as in :class:`sutrolib.processes.evaluator.Judge`.
    """
    courses: dict[str, list[Course]] = {name: [] for name in entrants}
    costs: dict[str, list[float]] = {name: [] for name in entrants}
    for seed in seeds:
        before: dict[int, float] = {}  # by the number of seeds that it is weighed on
        for name, entrant in entrants.items():
            pairs = entrant.process.pairs
            if pairs not in before:
                cost = (
                    Judge(problem, meter, range(seed, seed + pairs), trace_updates=trace_updates).weigh(baseline).cost
                )
                before[pairs] = math.inf if cost is None else cost
            costs[name].append(before[pairs])
            study = entrant.process.improve(problem, entrant.space, meter, budget, seed)
            courses[name].append(course_of(study))
            on_study(study)
    return {name: Result(tuple(courses[name]), tuple(costs[name])) for name in entrants}
