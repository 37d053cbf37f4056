"""Searches over settings: a grid, random ones, a model of what is good, several objectives, and early endings.

TPE, NSGA-II, successive halving and Hyperband are those of Optuna (Akiba et al., KDD 2019; Bergstra et al., NIPS 2011;
Deb et al., IEEE TEC 2002; Jamieson and Talwalkar, AISTATS 2016; Li et al., JMLR 2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from sutrolib.processes.dimension import Choice, Dimension, Plain
from sutrolib.processes.proposal_request import NothingLeft, Question
from sutrolib.processes.search import Search
from sutrolib.processes.space import Proposal, Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


MOST = 1_000_000  # points of a grid


@dataclass(frozen=True, kw_only=True)
class Grid(Search):
    """Every combination of ``points`` values of each range and of all choices, in random order.

    In order of the fields, a budget that ends before the grid does would have seen one end of the first field only.
    """

    points: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.points < 1:
            raise ValueError(f"points={self.points!r}, accepted are 1 and above")

    name: ClassVar[str] = "grid"
    rung: ClassVar[str] = "search"

    def propose(self, question: Question) -> Proposal:
        """The first that was not tried. Raises ValueError for a grid of more than a million points."""
        size = sum(
            math.prod(len(d.points(self.points)) for d in f.dimensions.values()) for f in question.space.families
        )
        if size > MOST:
            raise ValueError(f"a grid of {size:,} points, accepted are up to {MOST:,}: fewer fields or points")
        known = {trial.proposal.key for trial in question.history if trial.proposal}
        grid = list(self._grid(question.space))
        order: list[int] = np.random.default_rng(question.seed).permutation(len(grid)).tolist()
        open_ones = (grid[number] for number in order if grid[number].key not in known)
        for proposal in itertools.islice(open_ones, question.attempt, None):  # other workers are at the first ones
            return proposal
        raise NothingLeft("the grid is used up")

    def _grid(self, space: Space) -> Iterator[Proposal]:
        for family in space.families:
            values = [dimension.points(self.points) for dimension in family.dimensions.values()]
            for point in itertools.product(*values):
                yield Proposal(family.name, dict(zip(family.dimensions, point, strict=True)))


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Search):
    """Settings drawn one by one."""

    name: ClassVar[str] = "random search"
    rung: ClassVar[str] = "search"

    def propose(self, question: Question) -> Proposal:
        """A draw."""
        return question.space.sample(question.rng)


@dataclass(frozen=True, kw_only=True)
class ModelBased(Search):
    """Tree-structured Parzen estimator: the first trial is the starting point, the next ``random`` ones are drawn."""

    random: int = 10

    name: ClassVar[str] = "TPE"
    rung: ClassVar[str] = "model-based"

    def sampler(self, seed: int) -> BaseSampler:
        """TPE, one dimension after the other: a family is chosen first, and then what is in it."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.random, seed=seed)

    def propose(self, question: Question) -> Proposal:
        """Where the space begins, then what the sampler says; a draw where that is known already."""
        if question.ticket.place == 0 and question.attempt == 0:
            return question.space.start
        if question.attempt:
            return question.space.sample(question.rng)
        return suggested(question.ticket.handle, question.space)


@dataclass(frozen=True, kw_only=True)
class ManyObjectives(ModelBased):
    """Cost, wall time and score at once, each for its own sake: a Pareto front instead of one best trial."""

    timed: bool = True
    method: Literal["nsga2", "tpe"] = "nsga2"
    population: int = 12

    name: ClassVar[str] = "Pareto search"
    objectives: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("nsga2", "tpe"):
            raise ValueError(f"method={self.method!r}, accepted are nsga2 and tpe")

    def sampler(self, seed: int) -> BaseSampler:
        """NSGA-II, or TPE of several objectives."""
        from optuna.samplers import NSGAIISampler

        if self.method == "tpe":
            return super().sampler(seed)
        return NSGAIISampler(population_size=self.population, seed=seed)


@dataclass(frozen=True, kw_only=True)
class MultiFidelity(ModelBased):
    """TPE that ends a training early when its learning curve is not among the best 1 / ``factor`` at a rung.

    A rung is a point of the learning curve, ``factor`` times as late as the one before; the first is ``first``. What
    was spent on those that are ended is charged as for any other.
    """

    method: Literal["halving", "hyperband"] = "halving"
    first: int = 2
    factor: int = 3

    name: ClassVar[str] = "TPE with halving"
    rung: ClassVar[str] = "multi-fidelity"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("halving", "hyperband"):
            raise ValueError(f"method={self.method!r}, accepted are halving and hyperband")

    def pruner(self) -> BasePruner:
        """Asynchronous successive halving, or Hyperband, which runs it with several first rungs."""
        from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

        if self.method == "hyperband":
            return HyperbandPruner(min_resource=self.first, max_resource=100, reduction_factor=self.factor)
        return SuccessiveHalvingPruner(min_resource=self.first, reduction_factor=self.factor)


def suggested(handle: Any, space: Space) -> Proposal:
    """What Optuna suggests: a family, and settings that go by the family's name where there are several."""
    names = [family.name for family in space.families]
    chosen = handle.suggest_categorical("family", names) if len(names) > 1 else names[0]
    family = space.family(chosen)
    prefix = f"{chosen}: " if len(names) > 1 else ""
    return Proposal(chosen, {name: _value(handle, prefix + name, d) for name, d in family.dimensions.items()})


def _value(handle: Any, name: str, dimension: Dimension) -> Plain:
    if isinstance(dimension, Choice):
        found: Plain = handle.suggest_categorical(name, list(dimension.values))
        return found
    if dimension.whole:
        return int(handle.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log))
    return float(handle.suggest_float(name, dimension.low, dimension.high, log=dimension.log))
