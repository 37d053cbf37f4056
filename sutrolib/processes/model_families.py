"""Spaces of algorithms: for each problem, the families to try on it; and the tasks on which processes are compared.

The first family learns by gradient descent and was tuned by hand; a process starts there. The others are every model of
the library that takes such samples, including those that are known to fail. A family's ``prior_knowledge``, what it
knows beyond the samples, is part of the description of the space and of every trial. Families that need an oracle are
only included on request.

A task is a problem, a baseline tuned by hand, and the searches: over the settings of the baseline, and over algorithms.
All start from the same model, with the same meter and number of trials. Digits and letters are searched on their
training samples alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core.stats import MIN_PAIRS
from sutrolib.core.types import Model, Problem, describe
from sutrolib.meters.base import Meter
from sutrolib.models.images.classifier import MixtureOfExperts, MLPClassifier, NearestNeighbours, SoftmaxRegression
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import GF2Elimination, RobustGF2
from sutrolib.models.parity.guided_network import Curriculum, FeatureSelectThenTrain
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, InfluenceEstimation, WalshFourier
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import ComparisonResult, SearchConfig
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.samplers import GridSearch, PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.space import Family, SearchSpace, family_of

# Found by tuning by hand (notebook 11 for the first): each solves 10 of 10 seeds of n=20, k=3, the second one with 10 %
# of the labels corrupted. The GPT solves the 27 letters in one to two seconds.
TUNED_MLP = TwoLayerNetwork(hidden=50, lr=0.5)
TUNED_MLP_NOISY = TwoLayerNetwork(hidden=200, lr=0.3, weight_decay=0.03)
SMALL_GPT = GPT(
    layers=1, heads=1, width=32, block_size=1, batch=1024, max_steps=800, warmup=10, lr=0.03, weight_decay=0.0
)
COMPARISON = "comparison of searches"  # the ``process`` of its record in the ledger
N_CHARACTERS = 100_000  # of the text; a training of the GPT costs the same on any number


def _integers(low: int, high: int) -> Range:
    return Range(low, high, log=True, integer=True)


# When the training of a network ends, and of one inside of a model; under noise no accuracy reaches 1.
_STOPPING = {"max_epochs": _integers(10, 100), "stop_accuracy": Range(0.8, 1.0)}
_NETWORK_STOPPING = {f"network__{name}": dimension for name, dimension in _STOPPING.items()}


def parity_families(oracles: bool = False, network: TwoLayerNetwork = TUNED_MLP) -> SearchSpace:
    """All families for a parity, beginning with ``network``; the number of secret bits is a setting to search.

    ``oracles`` adds the families that ask for labels of chosen inputs, or for lessons.
    """
    families = [_family(network, _STOPPING), family_of(GF2Elimination()), family_of(RobustGF2())]
    families += [family_of(WalshFourier()), family_of(ConstraintSearch()), family_of(Hebbian())]
    families.append(_family(FeatureSelectThenTrain(network=network), _NETWORK_STOPPING))
    if oracles:
        families += [family_of(InfluenceEstimation()), _family(Curriculum(network=network), _NETWORK_STOPPING)]
    return SearchSpace(tuple(families))


def digits_families() -> SearchSpace:
    """All families for classes of images, beginning with the perceptron.

    Nearest neighbours do all their work at inference: a process that minimises the cost of training chooses them.
    """
    models: list[Model] = [MLPClassifier(), SoftmaxRegression(), MixtureOfExperts(), NearestNeighbours()]
    return SearchSpace(tuple(map(family_of, models)))


def letters_families() -> SearchSpace:
    """All families for the next of 27 letters, beginning with a GPT of one block that sees one letter."""
    sizes = {"batch": _integers(64, 2048), "max_steps": _integers(50, 1600)}
    rates = {"lr": Range(1e-3, 0.1, log=True), "beta2": Range(0.9, 0.999), "weight_decay": Range(0.0, 0.2)}
    gpt = family_of(SMALL_GPT, width=Choice((8, 16, 32, 64)), **sizes, **rates)
    return SearchSpace((gpt, family_of(KneserNey())))


def _family(model: Model, more: Mapping[str, Range]) -> Family:
    """The searchable fields of ``model``, and ``more``."""
    return family_of(model, *family_of(model).dimensions, **more)


@dataclass(frozen=True)
class ComparisonTask:
    """A problem, the baseline, the searches with their budget, and how many updates of a training are traced."""

    problem: Problem
    baseline: Model
    configs: dict[str, SearchConfig]
    budget: SearchBudget
    trace_updates: int

    def record(
        self, name: str, meter: Meter, seeds: Sequence[int], results: Mapping[str, ComparisonResult]
    ) -> dict[str, Any]:
        """The results as plain JSON, for the ledger."""
        record: dict[str, Any] = {"metric": meter.name, "unit": meter.unit, "kind": str(meter.kind)}
        record |= {"process": COMPARISON, "task": name, "problem": describe(self.problem), "seeds": list(seeds)}
        record |= {"baseline": describe(self.baseline), "budget": dataclasses.asdict(self.budget)}
        return record | {"results": {search: result.to_dict() for search, result in results.items()}}


def stored_comparisons(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, ComparisonResult]]:
    """The latest results of each task among the records of a ledger (``Ledger.studies()``), in their order."""
    latest = {r["task"]: r["results"] for r in records if r.get("process") == COMPARISON}
    tasks = {name: task for name, task in comparison_tasks().items() if name in latest}
    return {
        name: {s: ComparisonResult.from_dict(latest[name][s]) for s in task.configs if s in latest[name]}
        for name, task in tasks.items()
    }


def comparison_tasks() -> dict[str, ComparisonTask]:
    """The four tasks, by name."""
    net = {"patience": 1, "batch": 64, "hidden": 25, "loss": "square", "lr": 1.0}  # what to change by hand, in order
    noisy_net = {name: value for name, value in net.items() if name != "patience"}
    perceptron = {"patience": 1, "hidden": 64, "lr": 0.3}
    return {
        "parity": _task(SparseParity(), _parity(TUNED_MLP), net, 24, 60),
        "parity, 10 % noise": _task(SparseParity(noise=0.1), _parity(TUNED_MLP_NOISY), noisy_net, 24, 60),
        "digits": _task(search_holdout(Digits()), _digits(), perceptron, 12, 60),
        "27 letters": _task(search_holdout(NextLetter(characters=N_CHARACTERS)), _letters(), {"max_steps": 400}, 6, 6),
    }


def _parity(network: TwoLayerNetwork) -> SearchSpace:
    """All families, beginning with the network, in ranges in which it mostly learns.

    A training that fails runs for all of its epochs: with wider ranges a search would mostly avoid those.
    """
    ranges = {"stop_accuracy": Range(0.8, 1.0), "lr": Range(0.05, 1.0, log=True)}
    ranges |= {"hidden": _integers(16, 400), "batch": _integers(8, 128)}
    narrow = family_of(dataclasses.replace(network, max_epochs=60), "loss", "patience", **ranges)
    return SearchSpace((narrow, *parity_families(network=network).families[1:]))


def _digits() -> SearchSpace:
    """Perceptron and softmax regression; a trial of the mixture of experts would take ten times as long."""
    fields, batch = ("lr", "momentum", "patience"), _integers(16, 128)
    perceptron = family_of(MLPClassifier(max_epochs=30), *fields, batch=batch, hidden=_integers(16, 256))
    return SearchSpace((perceptron, family_of(SoftmaxRegression(max_epochs=30), *fields, batch=batch)))


def _letters() -> SearchSpace:
    """The GPT and the n-gram, around the smallest GPT that is known to solve it."""
    gpt, counts = letters_families().families
    near = {**gpt.dimensions, "max_steps": _integers(200, 800), "batch": _integers(256, 1024)}
    return SearchSpace((dataclasses.replace(gpt, dimensions=near), counts))


def _task(
    problem: Problem, algorithms: SearchSpace, by_hand: Mapping[str, Any], trials: int, trace_updates: int
) -> ComparisonTask:
    settings = SearchSpace(algorithms.families[:1])  # those of the baseline's own family
    changes = [ProposedChange(f"{name} = {value}", {name: value}, "cheaper") for name, value in by_hand.items()]
    traced: dict[str, Any] = {"trace_updates": trace_updates}
    configs = {
        "by hand": SearchConfig(ManualTuning(changes, MIN_PAIRS, **traced), settings),
        "grid": SearchConfig(GridSearch(points=2, **traced), settings),
        "random": SearchConfig(RandomSearch(**traced), settings),
        "TPE": SearchConfig(TPESearch(**traced), settings),
        "TPE with halving": SearchConfig(PrunedTPE(**traced), settings),
        "random, all algorithms": SearchConfig(RandomSearch(**traced), algorithms),
        "TPE, all algorithms": SearchConfig(TPESearch(**traced), algorithms),
        "evolution": SearchConfig(Evolution(**traced), algorithms),
    }
    if algorithms.families[0].name == GPT.name:  # it holds nothing out, so there is no learning curve to prune by
        del configs["TPE with halving"]
    return ComparisonTask(problem, algorithms.families[0].model, configs, SearchBudget(trials=trials), trace_updates)
