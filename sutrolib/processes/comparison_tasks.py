"""The tasks on which search processes are compared: a problem, a baseline tuned by hand, and the searches.

Searches over the settings of the baseline and searches over algorithms start from the same model, with the same meter
and the same number of trials. Digits and letters are searched on their training samples alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core.stats import MIN_PAIRS
from sutrolib.core.types import Model, Problem, describe
from sutrolib.meters.base import Meter
from sutrolib.models.images.classifier import MLPClassifier, SoftmaxRegression
from sutrolib.models.language.gpt import GPT
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import ComparisonResult, SearchConfig
from sutrolib.processes.dimension import Range
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.model_families import (
    TUNED_MLP,
    TUNED_MLP_NOISY,
    letters_families,
    parity_families,
)
from sutrolib.processes.samplers import GridSearch, PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.space import SearchSpace, family_of

COMPARISON = "comparison of searches"  # the ``process`` of its record in the ledger
N_CHARACTERS = 100_000  # of the text; a training of the GPT costs the same on any number


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
        return {
            "process": COMPARISON,
            "task": name,
            "problem": describe(self.problem),
            "baseline": describe(self.baseline),
            "metric": meter.name,
            "unit": meter.unit,
            "kind": str(meter.kind),
            "budget": dataclasses.asdict(self.budget),
            "seeds": list(seeds),
            "results": {search: result.to_dict() for search, result in results.items()},
        }


def stored_comparisons(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, ComparisonResult]]:
    """The latest results of each task among the records of a ledger (``Ledger.studies()``), in their order."""
    found = {r["task"]: r["results"] for r in records if r.get("process") == COMPARISON}
    return {
        name: {
            search: ComparisonResult.from_dict(found[name][search]) for search in task.configs if search in found[name]
        }
        for name, task in comparison_tasks().items()
        if name in found
    }


def comparison_tasks() -> dict[str, ComparisonTask]:
    """The four tasks, by name."""
    net = {"patience": 1, "batch": 64, "hidden": 25, "loss": "square", "lr": 1.0}  # what to change by hand, in order
    noisy_net = {name: value for name, value in net.items() if name != "patience"}
    perceptron = {"patience": 1, "hidden": 64, "lr": 0.3}
    letters = search_holdout(NextLetter(characters=N_CHARACTERS))
    return {
        "parity": _task(SparseParity(), _parity(TUNED_MLP), net, 24, 60),
        "parity, 10 % noise": _task(SparseParity(noise=0.1), _parity(TUNED_MLP_NOISY), noisy_net, 24, 60),
        "digits": _task(search_holdout(Digits()), _digits(), perceptron, 12, 60),
        "27 letters": _task(letters, _letters(), {"max_steps": 400}, 6, 6),
    }


def _parity(network: TwoLayerNetwork) -> SearchSpace:
    """All families, beginning with the network, in ranges in which it mostly learns.

    A training that fails runs for all of its epochs: with wider ranges a search would mostly avoid those.
    """
    narrow = family_of(
        dataclasses.replace(network, max_epochs=60),
        "loss",
        "patience",
        stop_accuracy=Range(0.8, 1.0),
        lr=Range(0.05, 1.0, log=True),
        hidden=Range(16, 400, log=True, integer=True),
        batch=Range(8, 128, log=True, integer=True),
    )
    return SearchSpace((narrow, *parity_families(network=network).families[1:]))


def _digits() -> SearchSpace:
    """Perceptron and softmax regression; a trial of the mixture of experts would take ten times as long."""
    sizes = {"batch": Range(16, 128, log=True, integer=True), "hidden": Range(16, 256, log=True, integer=True)}
    perceptron = family_of(MLPClassifier(max_epochs=30), "lr", "momentum", "patience", **sizes)
    return SearchSpace(
        (perceptron, family_of(SoftmaxRegression(max_epochs=30), "lr", "momentum", "patience", batch=sizes["batch"]))
    )


def _letters() -> SearchSpace:
    """The GPT and the n-gram, around the smallest GPT that is known to solve it."""
    gpt, counts = letters_families().families
    steps, batch = Range(200, 800, log=True, integer=True), Range(256, 1024, log=True, integer=True)
    return SearchSpace(
        (dataclasses.replace(gpt, dimensions={**gpt.dimensions, "max_steps": steps, "batch": batch}), counts)
    )


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
