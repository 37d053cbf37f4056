"""Spaces of algorithms: for each problem, the families to try on it.

The first family learns by gradient descent and was tuned by hand; a process starts there. The others are every model of
the library that takes such samples, including those that are known to fail. A family's ``prior_knowledge``, what it
knows beyond the samples, is part of the description of the space and of every trial. Families that need an oracle are
only included on request.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sutrolib.core.types import Model
from sutrolib.models.images.classifier import MixtureOfExperts, MLPClassifier, NearestNeighbours, SoftmaxRegression
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.curriculum import Curriculum
from sutrolib.models.parity.feature_selection import FeatureSelectThenTrain
from sutrolib.models.parity.gf2 import GF2Elimination, RobustGF2
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, InfluenceEstimation, WalshFourier
from sutrolib.processes.dimension import Choice, Dimension, Range
from sutrolib.processes.space import Family, SearchSpace, family_of

# Found by tuning by hand (notebook 11 for the first): each solves 10 of 10 seeds of n=20, k=3, the second one with 10 %
# of the labels corrupted. The GPT solves the 27 letters in one to two seconds.
TUNED_MLP = TwoLayerNetwork(hidden=50, lr=0.5)
TUNED_MLP_NOISY = TwoLayerNetwork(hidden=200, lr=0.3, weight_decay=0.03)
SMALL_GPT = GPT(
    layers=1, heads=1, width=32, block_size=1, batch=1024, max_steps=800, warmup=10, lr=0.03, weight_decay=0.0
)

_STOPPING: dict[str, Dimension] = {  # when the training of a network ends; under noise no accuracy reaches 1
    "max_epochs": Range(10, 100, log=True, integer=True),
    "stop_accuracy": Range(0.8, 1.0),
}
_NETWORK_STOPPING = {f"network.{name}": dimension for name, dimension in _STOPPING.items()}


def parity_families(k: int | None = None, oracles: bool = False, network: TwoLayerNetwork = TUNED_MLP) -> SearchSpace:
    """All families for a parity, beginning with ``network``.

    Args:
        k: The number of secret bits, given to the families that need it; None makes it a setting to search.
        oracles: Add the families that ask for labels of chosen inputs, or for lessons.
    """
    families = [
        _family(network, _STOPPING),
        _family(GF2Elimination()),
        _family(RobustGF2()),
        _family(WalshFourier(), k=k),
        _family(ConstraintSearch(), k=k),
        _family(Hebbian()),
        _family(FeatureSelectThenTrain(network=network), _NETWORK_STOPPING, k),
    ]
    if oracles:
        families += [_family(InfluenceEstimation()), _family(Curriculum(network=network), _NETWORK_STOPPING)]
    return SearchSpace(tuple(families))


def digits_families(nearest_neighbours: bool = True) -> SearchSpace:
    """All families for classes of images, beginning with the perceptron.

    ``nearest_neighbours`` do all their work at inference: a process that minimises the cost of training always chooses
    them.
    """
    families: list[Model] = [MLPClassifier(), SoftmaxRegression(), MixtureOfExperts()]
    if nearest_neighbours:
        families.append(NearestNeighbours())
    return SearchSpace(tuple(family_of(model) for model in families))


def letters_families() -> SearchSpace:
    """All families for the next of 27 letters, beginning with a GPT of one block that sees one letter."""
    gpt = family_of(
        SMALL_GPT,
        width=Choice((8, 16, 32, 64)),
        batch=Range(64, 2048, log=True, integer=True),
        max_steps=Range(50, 1600, log=True, integer=True),
        lr=Range(1e-3, 0.1, log=True),
        beta2=Range(0.9, 0.999),
        weight_decay=Range(0.0, 0.2),
    )
    return SearchSpace((gpt, family_of(KneserNey())))


def _family(model: Any, more: Mapping[str, Dimension] | None = None, k: int | None = None) -> Family:
    """The searchable fields of ``model``, and ``more`` by dotted name; without ``k`` where it is given."""
    given = {name.replace(".", "__"): dimension for name, dimension in (more or {}).items()}
    family = family_of(model, *family_of(model).dimensions, **given)
    if k is None:
        return family
    left = {name: dimension for name, dimension in family.dimensions.items() if name != "k"}
    return Family(dataclasses.replace(model, k=k), left)
