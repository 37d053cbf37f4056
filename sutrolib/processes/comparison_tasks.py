"""The contests of the benchmark of processes: a problem each, a baseline tuned by hand, and the entrants.

Those who set the fields of the baseline and those who may choose among algorithms start from the same model, are judged
by the same meter, and have the same number of trials. Digits and letters are searched on their training samples alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sutrolib.core.types import Model, Problem, describe
from sutrolib.measurement.comparison import MIN_PAIRS
from sutrolib.meters.base import Meter
from sutrolib.models.images.classifier import Perceptron, SoftmaxRegression
from sutrolib.models.language.gpt import GPT
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import Entrant, Result, result_from
from sutrolib.processes.dimension import Plain, Range
from sutrolib.processes.evolution import BlankSlate
from sutrolib.processes.manual import ByHand, Change
from sutrolib.processes.model_families import (
    TUNED,
    TUNED_NOISY,
    letters_families,
    parity_families,
)
from sutrolib.processes.samplers import Grid, ModelBased, MultiFidelity, RandomSearch
from sutrolib.processes.space import Space, family_of

Record: TypeAlias = dict[str, Any]  # plain JSON

RACE = "race of processes"
LETTERS = 100_000  # characters of the text in the contest: a training of the GPT costs the same on any number


@dataclass(frozen=True)
class Contest:
    """A problem, the baseline, the entrants with their budget, and how many updates of a training are traced."""

    problem: Problem
    baseline: Model
    entrants: dict[str, Entrant]
    budget: SearchBudget
    trace_updates: int


def contests() -> dict[str, Contest]:
    """The four contests, by name."""
    net: list[tuple[str, Plain]] = [("patience", 1), ("batch", 64), ("hidden", 25), ("loss", "square"), ("lr", 1.0)]
    perceptron: list[tuple[str, Plain]] = [("patience", 1), ("hidden", 64), ("lr", 0.3)]
    gpt: list[tuple[str, Plain]] = [("max_steps", 400)]
    return {
        "parity": _contest(SparseParity(), _parity(TUNED), net, 24, 60),
        "parity, 10 % noise": _contest(SparseParity(noise=0.1), _parity(TUNED_NOISY), net[1:], 24, 60),
        "digits": _contest(search_holdout(Digits()), _digits(), perceptron, 12, 60),
        "27 letters": _contest(search_holdout(NextLetter(characters=LETTERS)), _letters(), gpt, 6, 6),
    }


def _parity(network: TwoLayerNetwork) -> Space:
    """All families, beginning with the network in ranges within which it mostly learns.

    A training that comes to nothing runs for all of its epochs: in wider ranges these would be what a search is about.
    """
    narrow = family_of(
        dataclasses.replace(network, max_epochs=60),
        "loss",
        "patience",
        enough=Range(0.8, 1.0),
        lr=Range(0.05, 1.0, log=True),
        hidden=Range(16, 400, log=True, whole=True),
        batch=Range(8, 128, log=True, whole=True),
    )
    return Space((narrow, *parity_families(network=network).families[1:]))


def _digits() -> Space:
    """Perceptron and softmax regression. A trial of the mixture of experts takes ten times as long as one of these."""
    sizes = {"batch": Range(16, 128, log=True, whole=True), "hidden": Range(16, 256, log=True, whole=True)}
    perceptron = family_of(Perceptron(max_epochs=30), "lr", "momentum", "patience", **sizes)
    return Space(
        (perceptron, family_of(SoftmaxRegression(max_epochs=30), "lr", "momentum", "patience", batch=sizes["batch"]))
    )


def _letters() -> Space:
    """The GPT and the n-gram, around the smallest GPT that is known to solve it."""
    gpt, counts = letters_families().families
    steps, batch = Range(200, 800, log=True, whole=True), Range(256, 1024, log=True, whole=True)
    return Space((dataclasses.replace(gpt, dimensions={**gpt.dimensions, "max_steps": steps, "batch": batch}), counts))


def _contest(
    problem: Problem, algorithms: Space, steps: Sequence[tuple[str, Plain]], trials: int, traced: int
) -> Contest:
    settings = Space(algorithms.families[:1])  # those of the baseline's own family
    changes = [Change(f"{name} = {value}", {name: value}, "cheaper") for name, value in steps]
    entrants = {
        "by hand": Entrant(ByHand(changes, MIN_PAIRS, trace_updates=traced), settings),
        "grid": Entrant(Grid(points=2, trace_updates=traced), settings),
        "random": Entrant(RandomSearch(trace_updates=traced), settings),
        "TPE": Entrant(ModelBased(trace_updates=traced), settings),
        "TPE with halving": Entrant(MultiFidelity(trace_updates=traced), settings),
        "random, all algorithms": Entrant(RandomSearch(trace_updates=traced), algorithms),
        "TPE, all algorithms": Entrant(ModelBased(trace_updates=traced), algorithms),
        "blank slate": Entrant(BlankSlate(trace_updates=traced), algorithms),
    }
    if algorithms.families[0].name == GPT.name:  # it holds nothing out, so there is no learning curve to end it by
        del entrants["TPE with halving"]
    return Contest(problem, algorithms.families[0].model, entrants, SearchBudget(trials=trials), traced)


def record_of(name: str, contest: Contest, meter: Meter, seeds: Sequence[int], results: Mapping[str, Result]) -> Record:
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


def kept_races(records: Sequence[Record]) -> dict[str, dict[str, Result]]:
    """The last kept outcome of each contest, among the records of a ledger (``Ledger.studies()``), in their order."""
    found = {r["contest"]: r["results"] for r in records if r.get("process") == RACE}
    return {
        name: {entrant: result_from(found[name][entrant]) for entrant in contest.entrants if entrant in found[name]}
        for name, contest in contests().items()
        if name in found
    }
