"""Searches over settings: grid, random, hill climbing, model-based, multi-objective, and with early stopping.

TPE, NSGA-II and successive halving are those of Optuna (Akiba et al., KDD 2019; Bergstra et al., NIPS 2011; Deb et al.,
IEEE TEC 2002; Jamieson and Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np

from sutrolib.processes.dimension import Choice, Dimension, SettingValue
from sutrolib.processes.search import ProposalRequest, Search, SpaceExhausted
from sutrolib.processes.space import Proposal, SearchSpace
from sutrolib.processes.study import Trial

if TYPE_CHECKING:
    import optuna

_MAX_GRID_POINTS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class GridSearch(Search):
    """Every combination of ``points`` values of each range and of all choices, in random order.

    In the order of the fields, a budget that ends early would have seen only one end of the first field.
    """

    points: int = 3

    name: ClassVar[str] = "grid"
    at_least: ClassVar[Mapping[str, int]] = {"points": 1}
    rung: ClassVar[str] = "search"

    def propose(self, request: ProposalRequest) -> Proposal:
        """The next point that was not tried. Raises ValueError for a grid of more than a million points."""
        families = [(f, [d.grid_points(self.points) for d in f.dimensions.values()]) for f in request.space.families]
        size = sum(math.prod(map(len, axes)) for _, axes in families)
        if size > _MAX_GRID_POINTS:
            raise ValueError(f"a grid of {size:,} points is above {_MAX_GRID_POINTS:,}: take fewer fields or points")
        grid = [
            Proposal(family.name, dict(zip(family.dimensions, point, strict=True)))
            for family, axes in families
            for point in itertools.product(*axes)
        ]
        tried = {trial.proposal.key for trial in request.history if trial.proposal}
        order: list[int] = np.random.default_rng(request.seed).permutation(len(grid)).tolist()
        untried = (grid[number] for number in order if grid[number].key not in tried)
        for proposal in itertools.islice(untried, request.attempt, None):  # other workers are at the first ones
            return proposal
        raise SpaceExhausted("the grid is used up")


@dataclass(frozen=True, kw_only=True)
class RandomSearch(Search):
    """Settings drawn one by one."""

    name: ClassVar[str] = "random search"
    rung: ClassVar[str] = "search"

    def propose(self, request: ProposalRequest) -> Proposal:
        """A random draw."""
        return request.space.sample(request.rng)


@dataclass(frozen=True, kw_only=True)
class HillClimbing(Search):
    """Change the best so far a little, keep the change unless it is worse; restart after ``patience`` vain trials.

    A (1+1) climb (Droste, Jansen and Wegener, Theoretical Computer Science 276, 2002): the child takes over unless it
    is worse, so a climb crosses a plateau. The first begins at the start of the space, each later one at a random draw.
    """

    patience: int = 300

    name: ClassVar[str] = "hill climbing"
    at_least: ClassVar[Mapping[str, int]] = {"patience": 1}
    rung: ClassVar[str] = "search"

    def propose(self, request: ProposalRequest) -> Proposal:
        """The start of the space, then the parent of the climb with a change; a random draw at a restart."""
        if request.first:
            return request.space.start
        parent = current_parent(request.history, self.patience)
        if parent is None or parent.proposal is None:
            return request.space.sample(request.rng)
        return request.space.mutate(parent.proposal, request.rng)


def current_parent(history: Iterable[Trial], patience: int) -> Trial | None:
    """The latest of the best trials of the current climb; None where a climb is to begin.

    A trial without a score is never a parent.
    """
    parent: Trial | None = None
    best, waited = math.inf, 0
    for trial in history:
        if waited >= patience:
            parent, best, waited = None, math.inf, 0
        waited = 0 if trial.objective < best else waited + 1
        if trial.objective <= best and trial.objective < math.inf:
            parent, best = trial, trial.objective
    return None if waited >= patience else parent


@dataclass(frozen=True, kw_only=True)
class TPESearch(Search):
    """Tree-structured Parzen estimator: the starting point first, then random draws up to ``n_startup_trials``."""

    n_startup_trials: int = 10

    name: ClassVar[str] = "TPE"
    rung: ClassVar[str] = "model-based"

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """TPE, one dimension after the other: a family is chosen first, then its settings."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.n_startup_trials, seed=seed)

    def propose(self, request: ProposalRequest) -> Proposal:
        """The start of the space, then what the sampler suggests; a random draw where that was tried before."""
        if request.first:
            return request.space.start
        if request.attempt:
            return request.space.sample(request.rng)
        assert request.trial is not None
        return _suggest(request.trial, request.space)


@dataclass(frozen=True, kw_only=True)
class ParetoSearch(TPESearch):
    """Cost, wall time and score as three objectives: a Pareto front instead of one best trial."""

    timed: bool = True
    method: Literal["nsga2", "tpe"] = "nsga2"
    population_size: int = 12

    name: ClassVar[str] = "Pareto search"
    n_objectives: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in ("nsga2", "tpe"):
            raise ValueError(f"method must be nsga2 or tpe (got {self.method!r})")

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """NSGA-II, or multi-objective TPE."""
        from optuna.samplers import NSGAIISampler

        if self.method == "tpe":
            return super().sampler(seed)
        return NSGAIISampler(population_size=self.population_size, seed=seed)


@dataclass(frozen=True, kw_only=True)
class PrunedTPE(TPESearch):
    """TPE that ends a training early unless its learning curve is among the best third so far.

    Curves are compared at halving levels: points of the learning curve, each three times as late as the one before,
    beginning with point ``min_resource``. What a pruned training has cost is charged as for any other.
    """

    min_resource: int = 2

    name: ClassVar[str] = "TPE with halving"
    rung: ClassVar[str] = "multi-fidelity"

    def pruner(self) -> optuna.pruners.BasePruner:
        """Asynchronous successive halving."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=self.min_resource, reduction_factor=3)


def _suggest(trial: optuna.Trial, space: SearchSpace) -> Proposal:
    """What Optuna suggests: a family, and settings that carry the family's name where there are several."""
    names = [family.name for family in space.families]
    chosen = trial.suggest_categorical("family", names) if len(names) > 1 else names[0]
    prefix = f"{chosen}: " if len(names) > 1 else ""
    dimensions = space.family(chosen).dimensions
    return Proposal(chosen, {name: _suggest_value(trial, prefix + name, d) for name, d in dimensions.items()})


def _suggest_value(trial: optuna.Trial, name: str, dimension: Dimension) -> SettingValue:
    if isinstance(dimension, Choice):
        return cast(SettingValue, trial.suggest_categorical(name, list(dimension.values)))
    if dimension.integer:
        return int(trial.suggest_int(name, int(dimension.low), int(dimension.high), log=dimension.log))
    return float(trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log))
