"""Mistake 4, building for the wrong future: does what was found still win elsewhere, and is the new winner found there?

Hardware and problems change. A process runs *here* and *there* (another machine, the next rung of the problem). What it
found here is weighed there, beside what it finds there: a found algorithm may lose its place, while the process keeps
its use. Both are weighed on seeds that neither was chosen by, and one counts as cheaper than the other only where the
95 % interval of the ratio of their costs, paired by seed, lies below 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_ratio
from sutrolib.core.types import Problem
from sutrolib.guards.hardware_map import NEAR, HardwarePoint
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.access.cache_energy import Hardware, MemoryLevel
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import Process
from sutrolib.processes.evaluator import Evaluation, Evaluator
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study


@dataclass(frozen=True)
class Setting:
    """Where a process searches: a problem, a space and a meter, under a title."""

    title: str
    problem: Problem
    space: SearchSpace
    meter: Meter


@dataclass(frozen=True)
class TransferResult:
    """What was found here, and what was found there; and there, on fresh seeds, the cost of both and of the start.

    ``rerun`` is None where the search there found nothing.
    """

    here: Setting
    there: Setting
    found_here: Study
    found_there: Study
    carried: Evaluation
    rerun: Evaluation | None
    start: Evaluation

    @property
    def of_start(self) -> Interval | None:
        """Cost of what was carried over that of the start, there; None where one of them does not solve the problem."""
        return _ratio(self.carried, self.start, self.there.meter.name)

    @property
    def of_carried(self) -> Interval | None:
        """Cost of what was found there over that of what was carried; None where one of them does not solve it."""
        return _ratio(self.rerun, self.carried, self.there.meter.name)

    @property
    def still_wins(self) -> bool:
        """Whether what was found here solves the problem there at less cost than where the search begins there."""
        return _cheaper(self.carried, self.start, self.of_start)

    @property
    def rerun_pays(self) -> bool:
        """Whether the process, run again there, found something cheaper than what was carried over."""
        return self.rerun is not None and _cheaper(self.rerun, self.carried, self.of_carried)

    @property
    def new_winner(self) -> bool:
        """Whether what the process found there is cheaper, and another algorithm rather than other settings."""
        return self.rerun_pays and _family(self.found_there) != _family(self.found_here)

    @property
    def why(self) -> str:
        """The result in words, with its numbers."""
        return (
            f"{_family(self.found_here)}, found on {self.here.title}, {self._kept()}; "
            f"the process, run again there, {self._again()}"
        )

    def _kept(self) -> str:
        place, ratio = self.there.title, self.of_start
        if self.carried.cost is None:
            return f"does not solve {place} ({_reason(self.carried)})"
        if ratio is None:
            return f"still wins on {place}, which the start does not solve ({_reason(self.start)})"
        return f"{'still wins' if self.still_wins else 'does not win'} on {place}, at {ratio} of the start's cost"

    def _again(self) -> str:
        name, ratio = _family(self.found_there), self.of_carried
        if self.rerun is None:
            return "finds nothing that solves it"
        if self.rerun.cost is None:
            return f"finds {name}, which fails on fresh seeds ({_reason(self.rerun)})"
        if ratio is None:
            begun = _ratio(self.rerun, self.start, self.there.meter.name)
            return f"finds {name}, " + (
                f"at {begun} of the start's cost" if begun else "which the start does not match"
            )
        if not self.rerun_pays:
            return f"finds nothing cheaper ({name}, at {ratio} of its cost)"
        return f"finds {f'{name} instead' if self.new_winner else 'other settings of it'}, at {ratio} of its cost"


def run_transfer(
    process: Process,
    here: Setting,
    there: Setting,
    budget: SearchBudget,
    fresh: Sequence[int],
    seed: int = 0,
    trace_updates: int | None = None,
) -> TransferResult:
    """Run ``process`` in both places, and :func:`evaluate_transfer` what it found."""
    studies = [process.improve(p.problem, p.space, p.meter, budget, seed) for p in (here, there)]
    return evaluate_transfer(here, there, studies[0], studies[1], fresh, trace_updates)


def evaluate_transfer(
    here: Setting,
    there: Setting,
    found_here: Study,
    found_there: Study,
    fresh: Sequence[int],
    trace_updates: int | None = None,
) -> TransferResult:
    """Weigh there, on the ``fresh`` seeds, what two searches found.

    Raises ValueError where the search here found nothing, for fewer than five fresh seeds, and for one that a trial
    of either search ran on. Seeds that a search confirmed its result on are the caller's to leave out as well.
    """
    used = {run.seed for study in (found_here, found_there) for trial in study.trials for run in trial.runs}
    if len(set(fresh)) < max(MIN_PAIRS, len(fresh)) or used & set(fresh):
        raise ValueError(
            f"fresh seeds {list(fresh)}, accepted are {MIN_PAIRS} and more, each once, and none of those that the "
            f"searches ran on ({', '.join(map(str, sorted(used))) or 'not known'})"
        )
    judge = Evaluator(there.problem, there.meter, fresh, trace_updates=trace_updates)
    return TransferResult(
        here,
        there,
        found_here,
        found_there,
        carried=judge.evaluate(found_here.model),
        rerun=judge.evaluate(found_there.model) if found_there.best else None,
        start=judge.evaluate(there.space.model(there.space.start)),
    )


def landmark_hardware(landmark: HardwarePoint) -> Hardware:
    """The hardware that a landmark stands for, with one picojoule for an operation of 32 bits.

    Its joules are those of E(r, C) in :mod:`sutrolib.guards.hardware_map`, so that a search can be judged by them.
    """
    levels = (
        MemoryLevel("cache", landmark.capacity, NEAR * landmark.ratio),
        MemoryLevel("DRAM", math.inf, landmark.ratio),
    )
    return Hardware(landmark.name, landmark.source, {"float32": 1.0}, levels)


def _cheaper(one: Evaluation, other: Evaluation, ratio: Interval | None) -> bool:
    """Whether ``one`` solves what the ``other`` does not, or is shown to cost less."""
    if one.cost is None or other.cost is None:
        return one.cost is not None
    return ratio is not None and ratio.high < 1


def _ratio(one: Evaluation | None, other: Evaluation, name: str) -> Interval | None:
    if one is None or one.cost is None or other.cost is None:
        return None
    return paired_ratio(_readings(one.runs, name), _readings(other.runs, name))  # the evaluator goes seed by seed


def _readings(runs: Sequence[Measurement], name: str) -> list[float]:
    return [run.reading(name).value for run in runs]


def _reason(judged: Evaluation) -> str:
    """Why it did not solve the problem, up to what would be accepted instead."""
    return judged.why.partition(";")[0]


def _family(study: Study) -> str:
    return study.best.proposal.family if study.best and study.best.proposal else "nothing"
