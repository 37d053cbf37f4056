"""Mistake 4, building for the wrong future: does what was found still win elsewhere, and is the new winner found there?

Hardware and problems change. A process runs *here* and *there* (another machine, the next rung of the problem). What it
found here is weighed there, beside what it finds there: a found algorithm may lose its place, while the process keeps
its use.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sutrolib.meters.base import Meter
from sutrolib.nouns import Problem
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.judge import Judge, Judged
from sutrolib.processes.race import Process
from sutrolib.processes.space import Space
from sutrolib.processes.study import Study


@dataclass(frozen=True)
class Place:
    """Where a process searches: a problem, a space and a meter, under a title."""

    title: str
    problem: Problem
    space: Space
    meter: Meter


@dataclass(frozen=True)
class Transfer:
    """What was found here, found there, and what the first and the starting point cost there, on fresh seeds."""

    here: Place
    there: Place
    found_here: Study
    found_there: Study
    carried: Judged
    rerun: Judged
    start: Judged

    @property
    def still_wins(self) -> bool:
        """Whether what was found here solves the problem there at less cost than where the search began."""
        return _cost(self.carried) < _cost(self.start)

    @property
    def rerun_pays(self) -> bool:
        """Whether running the process again there found something cheaper than what was carried over."""
        return _cost(self.rerun) < _cost(self.carried)

    @property
    def why(self) -> str:
        """The result in words, with its numbers."""
        kept = "still beats the start" if self.still_wins else "does not beat the start"
        again = "finds something cheaper" if self.rerun_pays else "finds nothing cheaper"
        return (
            f"from {self.here.title} to {self.there.title}: {_name(self.found_here)}, found here, {kept} there "
            f"({_told(self.carried, self.start)} of its cost); the process run again {again}: "
            f"{_name(self.found_there)} ({_told(self.rerun, self.carried)} of the carried one's cost)"
        )


def transfer(
    process: Process,
    here: Place,
    there: Place,
    budget: SearchBudget,
    fresh: Sequence[int],
    seed: int = 0,
    trace_updates: int | None = None,
) -> Transfer:
    """Run ``process`` in both places and weigh what it found, there, on the ``fresh`` seeds.

    Raises ValueError where a search found nothing that solves its problem.
    """
    found = [process.improve(place.problem, place.space, place.meter, budget, seed) for place in (here, there)]
    judge = Judge(there.problem, there.meter, fresh, trace_updates=trace_updates)
    begun = there.space.model(there.space.start)
    carried, rerun, start = (judge.weigh(model) for model in (found[0].model, found[1].model, begun))
    return Transfer(here, there, found[0], found[1], carried, rerun, start)


def _cost(judged: Judged) -> float:
    return math.inf if judged.cost is None else judged.cost


def _told(one: Judged, other: Judged) -> str:
    if one.cost is None:
        return f"{one.state}: {one.why}; no share"
    return "all" if other.cost is None else f"{one.cost / other.cost:.3g}"


def _name(study: Study) -> str:
    return study.best.proposal.family if study.best and study.best.proposal else "nothing"
