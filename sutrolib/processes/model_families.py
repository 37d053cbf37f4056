"""The spaces of algorithms: for each problem, the families that may be tried on it and what each of them is told.

The first family is learning by gradient descent, tuned by hand, which is where a process begins. The others are every
model of the library that takes such samples, those that are known to fail among them. What a family is told beyond the
samples is its ``prior_knowledge``, which stands in the description of the space and at every trial; a family that asks a teacher
is only there where the caller has one (``teacher``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sutrolib.core.types import Model
from sutrolib.models.images.classifier import Perceptron, SoftmaxRegression
from sutrolib.models.images.mixture_of_experts import MixtureOfExperts
from sutrolib.models.images.nearest_neighbours import NearestNeighbours
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.backtracking import ConstraintSearch
from sutrolib.models.parity.curriculum import Curriculum
from sutrolib.models.parity.feature_selection import Feeding
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.gf2_noisy import RobustGF2
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.influence import InfluenceEstimation
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.walsh_fourier import WalshFourier
from sutrolib.processes.dimension import Choice, Dimension, Range
from sutrolib.processes.space import Family, Space, family_of

# What tuning by hand came to (notebook 11 for the first): each solves 10 of 10 seeds of n=20, k=3, the second one with
# 10 % of the labels corrupted. The GPT solves the 27 letters in one to two seconds.
TUNED = TwoLayerNetwork(hidden=50, lr=0.5)
TUNED_NOISY = TwoLayerNetwork(hidden=200, lr=0.3, weight_decay=0.03)
SMALL_GPT = GPT(layers=1, heads=1, width=32, block=1, batch=1024, max_steps=800, warmup=10, lr=0.03, weight_decay=0.0)

STOPPING: dict[str, Dimension] = {  # when the training of a network ends; under noise it never is right throughout
    "max_epochs": Range(10, 100, log=True, whole=True),
    "enough": Range(0.8, 1.0),
}
IN_NETWORK = {f"network.{name}": dimension for name, dimension in STOPPING.items()}


def parity_families(k: int | None = None, teacher: bool = False, network: TwoLayerNetwork = TUNED) -> Space:
    """All families for a parity, beginning with ``network``.

    Those that need to know how many bits are secret are told ``k``; without it they have to search for k as for any
    other setting. ``teacher`` adds those that ask one: for labels of inputs of their own, or for lessons.
    """
    families = [
        _family(network, STOPPING),
        _family(GF2Elimination()),
        _family(RobustGF2()),
        _family(WalshFourier(), k=k),
        _family(ConstraintSearch(), k=k),
        _family(Hebbian()),
        _family(Feeding(network=network), IN_NETWORK, k),
    ]
    if teacher:
        families += [_family(InfluenceEstimation()), _family(Curriculum(network=network), IN_NETWORK)]
    return Space(tuple(families))


def digits_families(lazy: bool = True) -> Space:
    """All families for classes of images, beginning with the perceptron.

    The nearest neighbours (``lazy``) do all their work when asked: a process that is judged by the cost of training
    alone cannot but choose them.
    """
    families: list[Model] = [Perceptron(), SoftmaxRegression(), MixtureOfExperts()]
    if lazy:
        families.append(NearestNeighbours())
    return Space(tuple(family_of(model) for model in families))


def letters_families() -> Space:
    """All families for the next one of 27 letters, beginning with a GPT of one block that sees one letter."""
    gpt = family_of(
        SMALL_GPT,
        width=Choice((8, 16, 32, 64)),
        batch=Range(64, 2048, log=True, whole=True),
        max_steps=Range(50, 1600, log=True, whole=True),
        lr=Range(1e-3, 0.1, log=True),
        beta2=Range(0.9, 0.999),
        weight_decay=Range(0.0, 0.2),
    )
    return Space((gpt, family_of(KneserNey())))


def _family(model: Any, more: Mapping[str, Dimension] | None = None, k: int | None = None) -> Family:
    """All that may be searched of ``model`` and ``more``, by dotted name; without its ``k`` where that is told."""
    given = {name.replace(".", "__"): dimension for name, dimension in (more or {}).items()}
    family = family_of(model, *family_of(model).dimensions, **given)
    if k is None:
        return family
    left = {name: dimension for name, dimension in family.dimensions.items() if name != "k"}
    return Family(dataclasses.replace(model, k=k), left)
