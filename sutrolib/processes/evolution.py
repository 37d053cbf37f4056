"""Evolution of algorithms: a space of several families, and no idea of which of them is any good.

The first trial is where the space begins. Then every family gets its turn, and after that a new candidate is one that
won a tournament, changed in a setting; or crossed with another winner; or a leap of its settings into another family;
or, for a share of all trials, one of the family that was tried least. So no family is ever closed: one bad set of
settings says little about an algorithm. Tournaments: Goldberg and Deb, A Comparative Analysis of Selection Schemes,
FOGA 1991; evolution of whole algorithms: Real et al., AutoML-Zero, ICML 2020.

Whoever tries many candidates on a few seeds finds one that is lucky on them, mostly where labels are noisy. So what is
about to be reported has to solve the problem on ``confirm`` further seeds, which nothing was chosen by.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import SearchBudget, Spent
from sutrolib.processes.evaluator import Judge, State
from sutrolib.processes.proposal_request import NothingLeft, Question
from sutrolib.processes.search import Search
from sutrolib.processes.space import Family, Proposal, Space
from sutrolib.processes.study import Study, Trial, best_of

NEW = 0.5  # share of a family's turns that do not go on from the best that it has


@dataclass(frozen=True, kw_only=True)
class BlankSlate(Search):
    """Evolution with a ``population`` of the best trials, and the best one of each family.

    Until so many trials are finished, and for a share ``fresh`` of all later ones, it is the turn of the family that
    was tried least. A share ``leap`` goes to another family, ``cross`` has two parents, and the rest has one, which is
    the best of ``tournament`` of the population. ``confirm`` is how many seeds beyond ``pairs`` the result has to
    solve: the cheapest trial that does is the best one, and a cheaper one that does not counts as not solved. What that
    costs comes on top of the budget, and is charged to these trials.
    """

    population: int = 16
    tournament: int = 4
    fresh: float = 0.25
    leap: float = 0.1
    cross: float = 0.25
    confirm: int = 5

    name: ClassVar[str] = "blank slate"
    rung: ClassVar[str] = "evolution"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("population", 1), ("tournament", 1), ("confirm", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r}, accepted are {least} and above")
        shares = (self.fresh, self.leap, self.cross)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"fresh, leap, cross = {shares}, accepted are shares that sum up to no more than 1")

    def propose(self, question: Question) -> Proposal:
        """The start, then turns of the families, then offspring. Raises NothingLeft where every family is used up."""
        space, rng, history = question.space, question.rng, question.history
        if question.ticket.place == 0 and question.attempt == 0:
            return space.start
        parents = living(history, self.population)
        fate = rng.random()
        if len(history) < self.population or not parents or fate < self.fresh:
            return _turn(space, history, rng, least=question.attempt == 0)
        parent = self._winner(parents, rng)
        if fate < self.fresh + self.leap:
            return leapt(space, parent, rng)
        if fate < self.fresh + self.leap + self.cross:
            mate = renamed(self._winner(parents, rng), space.family(parent.family))
            child = space.crossed(parent, mate, rng)
            return child if child.key != parent.key else space.mutated(child, rng)
        return space.mutated(parent, rng)

    def improve(self, problem: Problem, space: Space, meter: Meter, budget: SearchBudget, seed: int = 0) -> Study:
        """As :meth:`Search.improve`, and its result is confirmed on fresh seeds."""
        study = super().improve(problem, space, meter, budget, seed)
        seeds = range(seed + self.pairs, seed + self.pairs + self.confirm)
        judge = Judge(problem, meter, seeds, self.timed, self.trace_updates, self.rung, self.on_measurement)
        if not self.confirm:
            return study
        with ExitStack() as stack:
            charged = budget.joules is not None or self.joules
            return confirmed(study, judge, stack.enter_context(CumulativeJoules()) if charged else None)

    def _winner(self, parents: Sequence[Trial], rng: np.random.Generator) -> Proposal:
        drawn = rng.permutation(len(parents))[: self.tournament].tolist()
        best: Trial = min((parents[place] for place in drawn), key=lambda trial: trial.rank)
        assert best.proposal is not None  # what was refused is not among the living
        return best.proposal


def living(history: Sequence[Trial], population: int) -> list[Trial]:
    """The ``population`` best of the trials that ran to a score, and the best of each family, best first."""
    ranked = sorted((t for t in history if t.proposal is not None and np.isfinite(t.rank)), key=lambda t: t.rank)
    champions = {t.proposal.family: t.number for t in reversed(ranked) if t.proposal is not None}
    return [t for place, t in enumerate(ranked) if place < population or t.number in champions.values()]


def renamed(proposal: Proposal, family: Family) -> Proposal:
    """``proposal`` with its settings under the names that ``family`` has for them.

    The ``network.lr`` of a composition and the ``lr`` of a network are the same thing: the last part of a name counts.
    """
    names = {name.rpartition(".")[2]: name for name in family.dimensions}
    known = {name.rpartition(".")[2]: value for name, value in proposal.settings.items()}
    return Proposal(proposal.family, {names[last]: value for last, value in known.items() if last in names})


def leapt(space: Space, parent: Proposal, rng: np.random.Generator) -> Proposal:
    """A draw of another family, with about half of the settings that it shares with ``parent`` taken from there."""
    others = [family for family in space.families if family.name != parent.family] or list(space.families)
    family = others[int(rng.integers(len(others)))]
    return space.crossed(Space((family,)).sample(rng), renamed(parent, family), rng)


def confirmed(study: Study, judge: Judge, tally: CumulativeJoules | None = None) -> Study:
    """``study``, in which the best trial is solved on the seeds of ``judge`` as well; those that are not say so."""
    trials = list(study.trials)
    while (best := best_of(trials)) is not None:
        assert best.proposal is not None  # it was solved
        began, joules = time.perf_counter(), tally.joules if tally else 0.0
        found = judge.weigh(study.space.model(best.proposal))
        extra = Spent(0, time.perf_counter() - began, tally.joules - joules if tally else 0.0)
        held = found.state is State.SOLVED
        place = next(place for place, trial in enumerate(trials) if trial.number == best.number)
        trials[place] = dataclasses.replace(
            best,
            state=found.state,
            why=f"{best.why}; on fresh seeds: {found.why}",
            cost=best.cost if held else None,
            score=best.score if held else found.score,
            effort=best.effort + found.effort,
            spent=best.spent + extra,
        )
        if held:
            break
    return dataclasses.replace(study, trials=tuple(trials))


def _turn(space: Space, history: Sequence[Trial], rng: np.random.Generator, least: bool) -> Proposal:
    """The turn of a family with something left to try: of the one that was tried ``least``, or of any.

    It goes on from the best that the family has, or is drawn anew.
    """
    tried = {trial.proposal.key: trial.proposal.family for trial in history if trial.proposal is not None}
    count = Counter(tried.values())
    open_ones = [family for family in space.families if count[family.name] < Space((family,)).size]
    if not open_ones:
        raise NothingLeft("every family is used up")
    fewest = min(count[family.name] for family in open_ones)
    open_ones = [family for family in open_ones if not least or count[family.name] == fewest]
    family = open_ones[int(rng.integers(len(open_ones)))]
    mine = [t for t in living(history, 0) if t.proposal is not None and t.proposal.family == family.name]
    if mine and mine[0].proposal is not None and rng.random() >= NEW:
        return space.mutated(mine[0].proposal, rng)
    return Space((family,)).sample(rng)
