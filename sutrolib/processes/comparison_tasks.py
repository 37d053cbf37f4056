"""The contests of the benchmark of processes: a problem each, a baseline tuned by hand, and the entrants.

Those who set the fields of the baseline and those who may choose among algorithms start from the same model, are judged
by the same meter, and have the same number of trials. Digits and letters are searched on their training samples alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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
from sutrolib.processes.comparison import SearchConfig, ComparisonResult, result_from
from sutrolib.processes.dimension import SettingValue, Range
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.model_families import (
    TUNED_MLP,
    TUNED_MLP_NOISY,
    letters_families,
    parity_families,
)
from sutrolib.processes.samplers import GridSearch, TPESearch, PrunedTPE, RandomSearch
from sutrolib.processes.space import SearchSpace, family_of

Record: TypeAlias = dict[str, Any]  # plain JSON

RACE = "race of processes"
LETTERS = 100_000  # characters of the text in the contest: a training of the GPT costs the same on any number


@dataclass(frozen=True)
class ComparisonTask:
    """A problem, the baseline, the entrants with their budget, and how many updates of a training are traced."""

    problem: Problem
    baseline: Model
    configs: dict[str, SearchConfig]
    budget: SearchBudget
    trace_updates: int


def comparison_tasks() -> dict[str, ComparisonTask]:
    """The four contests, by name."""
    net: list[tuple[str, SettingValue]] = [("patience", 1), ("batch", 64), ("hidden", 25), ("loss", "square"), ("lr", 1.0)]
    perceptron: list[tuple[str, SettingValue]] = [("patience", 1), ("hidden", 64), ("lr", 0.3)]
    gpt: list[tuple[str, SettingValue]] = [("max_steps", 400)]
    return {
        "parity": _contest(SparseParity(), _parity(TUNED_MLP), net, 24, 60),
        "parity, 10 % noise": _contest(SparseParity(noise=0.1), _parity(TUNED_MLP_NOISY), net[1:], 24, 60),
        "digits": _contest(search_holdout(Digits()), _digits(), perceptron, 12, 60),
        "27 letters": _contest(search_holdout(NextLetter(characters=LETTERS)), _letters(), gpt, 6, 6),
    }


def _parity(network: TwoLayerNetwork) -> SearchSpace:
    """All families, beginning with the network in ranges within which it mostly learns.

    A training that comes to nothing runs for all of its epochs: in wider ranges these would be what a search is about.
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
    """Perceptron and softmax regression. A trial of the mixture of experts takes ten times as long as one of these."""
    sizes = {"batch": Range(16, 128, log=True, integer=True), "hidden": Range(16, 256, log=True, integer=True)}
    perceptron = family_of(MLPClassifier(max_epochs=30), "lr", "momentum", "patience", **sizes)
    return SearchSpace(
        (perceptron, family_of(SoftmaxRegression(max_epochs=30), "lr", "momentum", "patience", batch=sizes["batch"]))
    )


def _letters() -> SearchSpace:
    """The GPT and the n-gram, around the smallest GPT that is known to solve it."""
    gpt, counts = letters_families().families
    steps, batch = Range(200, 800, log=True, integer=True), Range(256, 1024, log=True, integer=True)
    return SearchSpace((dataclasses.replace(gpt, dimensions={**gpt.dimensions, "max_steps": steps, "batch": batch}), counts))


def _contest(
    problem: Problem, algorithms: SearchSpace, steps: Sequence[tuple[str, SettingValue]], trials: int, traced: int
) -> ComparisonTask:
    settings = SearchSpace(algorithms.families[:1])  # those of the baseline's own family
    changes = [ProposedChange(f"{name} = {value}", {name: value}, "cheaper") for name, value in steps]
    configs = {
        "by hand": SearchConfig(ManualTuning(changes, MIN_PAIRS, trace_updates=traced), settings),
        "grid": SearchConfig(GridSearch(points=2, trace_updates=traced), settings),
        "random": SearchConfig(RandomSearch(trace_updates=traced), settings),
        "TPE": SearchConfig(TPESearch(trace_updates=traced), settings),
        "TPE with halving": SearchConfig(PrunedTPE(trace_updates=traced), settings),
        "random, all algorithms": SearchConfig(RandomSearch(trace_updates=traced), algorithms),
        "TPE, all algorithms": SearchConfig(TPESearch(trace_updates=traced), algorithms),
        "blank slate": SearchConfig(Evolution(trace_updates=traced), algorithms),
    }
    if algorithms.families[0].name == GPT.name:  # it holds nothing out, so there is no learning curve to end it by
        del configs["TPE with halving"]
    return ComparisonTask(problem, algorithms.families[0].model, configs, SearchBudget(trials=trials), traced)


def record_of(name: str, contest: ComparisonTask, meter: Meter, seeds: Sequence[int], results: Mapping[str, ComparisonResult]) -> Record:
    """The outcome of a contest as plain JSON, for the ledger."""
    return {
        "process": RACE,
        "contest": name,
        "problem": describe(contest.problem),
        "baseline": describe(contest.baseline),
        "metric": meter.name,
        "unit": meter.unit,
        "kind": str(meter.kind),
        "budget": dataclasses.asdict(contest.budget),
        "seeds": list(seeds),
        "results": {entrant: result.plain() for entrant, result in results.items()},
    }


def kept_races(records: Sequence[Record]) -> dict[str, dict[str, ComparisonResult]]:
    """The last kept outcome of each contest, among the records of a ledger (``Ledger.studies()``), in their order."""
    found = {r["contest"]: r["results"] for r in records if r.get("process") == RACE}
    return {
        name: {entrant: result_from(found[name][entrant]) for entrant in contest.configs if entrant in found[name]}
        for name, contest in comparison_tasks().items()
        if name in found
    }
