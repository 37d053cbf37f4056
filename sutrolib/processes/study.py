"""A Study: what a process tried, what it found, and what the search itself cost."""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core.records import checked
from sutrolib.core.types import Model, Problem, describe
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import NO_USE, AbandonedFamily, MilestoneResult, Override, ResourceUse, SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.space import Proposal, SearchSpace

_UNSOLVED = 100.0  # decades above any cost: a trial that solves the problem ranks before one that does not
CURVE_UNITS = ("trials", "total_cost", "seconds", "joules")  # total_cost is in the unit of the meter
_NOT_STORED = ("runs", "baseline_runs", "verdict")  # fields of a trial, and of a step of tuning by hand


@dataclass(frozen=True)
class Trial:
    """One candidate: the proposal, the outcome, and what the trial cost.

    ``cost`` is None unless the problem was solved; ``total_cost`` is the sum of all readings, in the meter's unit;
    ``kept`` is False for a candidate that the process rejected, whatever it cost; ``runs`` is empty for a trial of
    another process or of an earlier session; ``recheck`` is the cost by the more realistic metric of a re-check.
    ``predictions`` is the cost of 1,000 predictions where they were charged.
    """

    number: int
    proposal: Proposal | None  # None where there was no valid proposal
    state: TrialState
    why: str
    prior_knowledge: str = ""
    cost: float | None = None
    score: float | None = None
    seconds: float | None = None
    total_cost: float = 0.0
    spent: ResourceUse = NO_USE
    kept: bool = True
    recheck: float | None = None
    predictions: float | None = None
    runs: tuple[Measurement, ...] = ()

    @property
    def lifetime_cost(self) -> float | None:
        """The cost with that of 1,000 predictions where they were charged; None unless the problem was solved."""
        return None if self.cost is None else self.cost + (self.predictions or 0.0)

    @property
    def objective(self) -> float:
        """What a search minimises: log10 of the cost, with that of 1,000 predictions, if solved.

        Else a larger number that falls as the score rises.
        """
        if self.lifetime_cost is not None:
            return math.log10(self.lifetime_cost)
        return _UNSOLVED - self.score if self.score is not None else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Everything but the runs and what is computed from them, as plain JSON."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in _NOT_STORED}
        proposal = self.proposal.to_dict() if self.proposal else None
        return found | {"spent": dataclasses.asdict(self.spent), "proposal": proposal}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Trial:
        """The trial of :meth:`to_dict`. Raises KeyError, TypeError or ValueError for another sort of record."""
        proposal = content["proposal"]
        known, spent = Proposal(**proposal) if proposal else None, ResourceUse(**content["spent"])
        return checked(cls(**{**content, "proposal": known, "spent": spent, "state": TrialState(content["state"])}))


@dataclass(frozen=True)
class Study:
    """The trials of one search in order, why it ended, and its milestones.

    ``metric``, ``unit`` and ``kind`` are those of the meter. ``control_use`` is what the controls of the milestones
    cost, ``chosen`` the number of the best trial where the process does not go by the cost alone, ``dropped`` holds the
    families that were given up afterwards, ``audit`` says what the audit of proxies has against the metric.
    """

    process: str
    problem: Mapping[str, Any]
    space: SearchSpace
    metric: str
    unit: str
    kind: str
    budget: SearchBudget
    seed: int
    trials: tuple[Trial, ...]
    stopped: str
    milestones: tuple[MilestoneResult, ...] = ()
    overrides: tuple[Override, ...] = ()
    control_use: ResourceUse = NO_USE
    chosen: int | None = None
    dropped: tuple[AbandonedFamily, ...] = ()
    audit: str = ""

    @classmethod
    def of(cls, process: str, problem: Problem, space: SearchSpace, meter: Meter, *others: Any, **named: Any) -> Study:
        """The study of ``process`` by ``meter``; ``others`` are the remaining fields."""
        return cls(process, describe(problem), space, meter.name, meter.unit, str(meter.kind), *others, **named)

    @property
    def spent(self) -> ResourceUse:
        """What the search spent, its controls and its re-check included."""
        return sum((trial.spent for trial in self.trials), NO_USE) + self.control_use

    @property
    def overspent(self) -> float:
        """How many times its seconds or joules the search spent; at most 1 if it kept to its budget."""
        return self.budget.share_used(self.spent)

    @property
    def total_cost(self) -> float:
        """The readings of all that was trained, pruned and failed trials included, in the meter's unit."""
        return sum(trial.total_cost for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial that was chosen, or the cheapest one that solves the problem, by the re-check if there was one.

        None where none does.
        """
        return best_of(self.trials if self.chosen is None else [self.trials[self.chosen]])

    @property
    def model(self) -> Model:
        """The model of the best trial. Raises ValueError where no trial solved the problem."""
        if self.best is None or self.best.proposal is None:
            raise ValueError(f"{self.process}: none of {len(self.trials)} trials solved the problem")
        return self.space.model(self.best.proposal)

    def space_from_best(self) -> SearchSpace:
        """The same space, starting at the best trial, for a search that continues from there. Raises as ``model``."""
        model = self.model
        families = sorted(self.space.families, key=lambda family: family.name != type(model).name)
        return SearchSpace((dataclasses.replace(families[0], model=model), *families[1:]))

    @property
    def pareto_front(self) -> tuple[Trial, ...]:
        """The Pareto front in cost, seconds and score: trials that no other one dominates."""
        points = [
            ((trial.cost or trial.total_cost, trial.seconds, -trial.score), trial)
            for trial in self.trials
            if trial.seconds is not None and trial.score is not None and trial.total_cost > 0
        ]
        front = [
            (mine, trial)
            for mine, trial in points
            if not any(theirs != mine and all(map(operator.le, theirs, mine)) for theirs, _ in points)
        ]
        return tuple(trial for _, trial in sorted(front, key=lambda point: point[0]))

    @property
    def improvements(self) -> tuple[Trial, ...]:
        """The trials that were cheaper than all before them."""
        found: list[Trial] = []
        for trial in self.trials:
            if trial.cost is not None and (not found or trial.objective < found[-1].objective):
                found.append(trial)
        return tuple(found)

    @property
    def tried(self) -> str:
        """How much of the space was tried, in words."""
        proposals = {t.proposal.key: t.proposal.family for t in self.trials if t.proposal is not None}
        many, known = len(self.space.families), len(set(proposals.values()))
        families = f"{known} of {many} families, " if many > 1 else ""
        return f"{families}{len(proposals)} of {_count(self.space.size)} settings"

    def curve(self, unit: str = "trials") -> list[tuple[float, float]]:
        """The best lifetime cost so far over what was spent, in one of :data:`CURVE_UNITS`, trial by trial.

        Infinite while nothing is solved. Raises ValueError for another unit.
        """
        spent = itertools.accumulate(float(spent_in(trial, unit)) for trial in self.trials)
        costs = (math.inf if cost is None else cost for cost in self.costs)
        return list(zip(spent, itertools.accumulate(costs, min), strict=True))

    @property
    def costs(self) -> tuple[float | None, ...]:
        """The lifetime cost of each trial; None unless it solved the problem and was kept, in a re-check too."""
        least = self.best.objective if self.best and self.best.recheck is not None else -math.inf
        return tuple(trial.lifetime_cost if trial.kept and trial.objective >= least else None for trial in self.trials)

    def drop(self, family: str, mechanism: str) -> Study:
        """This study with ``family`` given up because of ``mechanism``, and how much of it was tried.

        Raises ValueError for a family that was not tried, one that solved the problem, and an empty mechanism.
        """
        tried = [trial for trial in self.trials if trial.proposal is not None and trial.proposal.family == family]
        solved = sum(trial.cost is not None for trial in tried)
        if not tried or solved or not mechanism.strip():
            got = f"{len(tried)} trials, {solved} solved, mechanism={mechanism!r}"
            rule = "a family must have been tried and never have solved the problem, and the mechanism must be stated"
            raise ValueError(f"cannot drop {family!r} ({got}): {rule}")
        settings = len({trial.proposal.key for trial in tried if trial.proposal is not None})
        scores = [trial.score for trial in tried if trial.score is not None]
        best = f"best score {max(scores):.3g}" if scores else "none ran to a score"
        extent = f"{settings} of {_count(self.space.family(family).size)} settings, {best}"
        return dataclasses.replace(self, dropped=(*self.dropped, AbandonedFamily(family, extent, mechanism)))

    def to_dict(self, max_trials: int = 500) -> dict[str, Any]:
        """The study as plain JSON, for the ledger; of more than ``max_trials``, those that improved on the best."""
        trials = self.trials if len(self.trials) <= max_trials else self.improvements
        copied = ("process", "metric", "unit", "kind", "seed", "total_cost", "stopped", "tried", "audit")
        as_dicts = ("milestones", "overrides", "dropped")
        record = {name: getattr(self, name) for name in copied}
        record |= {name: [dataclasses.asdict(item) for item in getattr(self, name)] for name in as_dicts}
        record |= {name: dataclasses.asdict(getattr(self, name)) for name in ("budget", "spent")}
        record |= {"problem": dict(self.problem), "space": self.space.describe(), "found": self._found()}
        record |= {"n_trials": len(self.trials), "trials": [trial.to_dict() for trial in trials]}
        return record | {"best": self.best.to_dict() if self.best else None}

    def _found(self) -> dict[str, Any] | None:
        """The best model in full, and its program's text: a record outlives the code that it was found with."""
        if self.best is None or self.best.proposal is None:
            return None
        model: Any = self.model
        program = model.program_text(self.problem) if hasattr(model, "program_text") else ""
        return {"model": describe(model), "program": program, "cost": self.best.cost, "score": self.best.score}


def spent_in(trial: Trial, unit: str) -> float:
    """What a trial spent, in one of :data:`CURVE_UNITS`. Raises ValueError for another unit."""
    if unit not in CURVE_UNITS:
        raise ValueError(f"unit must be one of {', '.join(CURVE_UNITS)} (got {unit!r})")
    spent: float = trial.total_cost if unit == "total_cost" else getattr(trial.spent, unit)
    return spent


def _count(size: float) -> str:
    return f"{size:,.0f}" if math.isfinite(size) else "infinitely many"


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The cheapest of the kept ones that solve the problem, by the re-check if there was one; the first of equals."""
    solved = [trial for trial in trials if trial.cost is not None and trial.kept]
    checked = [trial for trial in solved if trial.recheck is not None]
    return min(checked or solved, key=lambda trial: trial.recheck or trial.objective, default=None)
