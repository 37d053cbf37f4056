"""Evolution of algorithms: a space of several families, without knowing in advance which of them is good.

The first trial is the start of the space. Then every family gets its turn. After that a new candidate is the winner of
a tournament with a changed setting, or a crossover of two winners, or a winner's settings in another family; and for a
share of all trials, a candidate of the family that was tried least. So no family is ever ruled out: one bad set of
settings says little about an algorithm. Tournaments: Goldberg and Deb, A Comparative Analysis of Selection Schemes,
FOGA 1991; evolution of whole algorithms: Real et al., AutoML-Zero, ICML 2020.

The best of many candidates on few seeds looks better than it is, mostly with noisy labels. So the result must also
solve the problem on ``n_confirm`` further seeds that nothing was chosen by.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import start_clock
from sutrolib.processes.evaluator import Evaluator, TrialState
from sutrolib.processes.search import ProposalRequest, Search, SpaceExhausted
from sutrolib.processes.space import Family, Proposal, SearchSpace
from sutrolib.processes.study import Study, Trial, best_of

_RESAMPLE_RATE = 0.5  # share of a family's turns that do not go on from its best trial


@dataclass(frozen=True, kw_only=True)
class Evolution(Search):
    """Evolution with a population of the best trials and the best one of each family.

    Args:
        population_size: Best trials that become parents. Until so many are finished, families take turns.
        tournament_size: Members of the population of which the best becomes the parent.
        random_rate: Share of the later trials for the family that was tried least.
        family_switch_rate: Share of the trials that move a parent's settings to another family.
        crossover_rate: Share of the trials with two parents; the rest has one.
        n_confirm: Seeds beyond ``pairs`` that the result must solve: the best trial is the cheapest that does, and a
            cheaper one that does not counts as not solved. This costs extra, beyond the budget.
    """

    population_size: int = 16
    tournament_size: int = 4
    random_rate: float = 0.25
    family_switch_rate: float = 0.1
    crossover_rate: float = 0.25
    n_confirm: int = 5

    name: ClassVar[str] = "evolution"
    rung: ClassVar[str] = "evolution"
    at_least: ClassVar[Mapping[str, int]] = {"population_size": 1, "tournament_size": 1, "n_confirm": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = (self.random_rate, self.family_switch_rate, self.crossover_rate)
        if min(rates) < 0 or sum(rates) > 1:
            names = "random_rate, family_switch_rate and crossover_rate"
            raise ValueError(f"{names} must be at least 0 and sum to at most 1 (got {rates})")

    def propose(self, request: ProposalRequest) -> Proposal:
        """The start, then turns of the families, then offspring. Raises SpaceExhausted when nothing is left."""
        space, rng, history = request.space, request.rng, request.history
        if request.first:
            return space.start
        parents = survivors(history, self.population_size)
        draw = rng.random()
        if len(history) < self.population_size or not parents or draw < self.random_rate:
            return _family_turn(space, history, rng, least_tried=request.attempt == 0)
        parent = self._winner(parents, rng)
        if draw < self.random_rate + self.family_switch_rate:
            return switch_family(space, parent, rng)
        if draw < self.random_rate + self.family_switch_rate + self.crossover_rate:
            mate = rename_settings(self._winner(parents, rng), space.family(parent.family))
            child = space.crossover(parent, mate, rng)
            return child if child.key != parent.key else space.mutate(child, rng)
        return space.mutate(parent, rng)

    def confirm(self, study: Study, evaluator: Evaluator, estimator: CumulativeJoules | None) -> Study:
        """``study`` with a best trial that solves fresh seeds, too."""
        first = study.seed + self.pairs
        fresh = dataclasses.replace(evaluator, seeds=range(first, first + self.n_confirm))
        return _confirm_best(study, fresh, estimator) if self.n_confirm else study

    def _winner(self, parents: Sequence[Trial], rng: np.random.Generator) -> Proposal:
        drawn = rng.permutation(len(parents))[: self.tournament_size].tolist()
        best: Trial = min((parents[place] for place in drawn), key=lambda trial: trial.objective)
        assert best.proposal is not None  # survivors have one
        return best.proposal


def survivors(history: Sequence[Trial], population_size: int) -> list[Trial]:
    """The ``population_size`` best of the trials with a score, and the best of each family, best first."""
    scored = [t for t in history if t.proposal is not None and np.isfinite(t.objective)]
    ranked = sorted(scored, key=lambda trial: trial.objective)
    champions = {t.proposal.family: t.number for t in reversed(ranked) if t.proposal is not None}
    return [t for place, t in enumerate(ranked) if place < population_size or t.number in champions.values()]


def rename_settings(proposal: Proposal, family: Family) -> Proposal:
    """``proposal`` with its settings under the names that ``family`` has for them.

    The last part of a name counts: ``network.lr`` of a composition and ``lr`` of a network are the same setting.
    """
    names = {name.rpartition(".")[2]: name for name in family.dimensions}
    known = {name.rpartition(".")[2]: value for name, value in proposal.settings.items()}
    return Proposal(proposal.family, {names[last]: value for last, value in known.items() if last in names})


def switch_family(space: SearchSpace, parent: Proposal, rng: np.random.Generator) -> Proposal:
    """A random draw from another family, with about half of the settings that both share taken from ``parent``."""
    others = [family for family in space.families if family.name != parent.family] or list(space.families)
    family = others[int(rng.integers(len(others)))]
    return space.crossover(family.sample(rng), rename_settings(parent, family), rng)


def _confirm_best(study: Study, evaluator: Evaluator, estimator: CumulativeJoules | None) -> Study:
    """``study`` with a best trial that is solved on the evaluator's seeds too; trials that fail there say so."""
    trials = list(study.trials)
    while (best := best_of(trials)) is not None:
        assert best.proposal is not None  # it was solved
        spent = start_clock(estimator)
        found = evaluator.evaluate(study.space.model(best.proposal))
        solved = found.state is TrialState.SOLVED
        total, why = best.total_cost + found.total_cost, f"{best.why}; on fresh seeds: {found.why}"
        after = dataclasses.replace(best, state=found.state, why=why, total_cost=total, spent=best.spent + spent(0))
        trials[trials.index(best)] = after if solved else dataclasses.replace(after, cost=None, score=found.score)
        if solved:
            break
    return dataclasses.replace(study, trials=tuple(trials))


def _family_turn(space: SearchSpace, history: Sequence[Trial], rng: np.random.Generator, least_tried: bool) -> Proposal:
    """A candidate of a family with something left to try: the one that was tried least, or any.

    It is a mutation of the family's best trial, or a new draw.
    """
    tried = {trial.proposal.key: trial.proposal.family for trial in history if trial.proposal is not None}
    count = Counter(tried.values())
    unfinished = [family for family in space.families if count[family.name] < family.size]
    if not unfinished:
        raise SpaceExhausted("every family is used up")
    fewest = min(count[family.name] for family in unfinished)
    unfinished = [family for family in unfinished if not least_tried or count[family.name] == fewest]
    family = unfinished[int(rng.integers(len(unfinished)))]
    best = next((t.proposal for t in survivors(history, 0) if t.proposal and t.proposal.family == family.name), None)
    if best and rng.random() >= _RESAMPLE_RATE:
        return space.mutate(best, rng)
    return family.sample(rng)
