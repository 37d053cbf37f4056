"""What is learned and what may be chosen at each rung of the problem axis.

Every space holds the families of its problem, beginning with the one that was tuned by hand. A walk begins at the
champion that it inherits; where that cannot take the new problem, at the problem's own start, which at nanoGPT is the
published recipe. No family there starts at a setting that was found or chosen for the final exam.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sutrolib.core.types import Model, Problem
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.extended_ngram import ProductOfExperts
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter, WindowedText
from sutrolib.processes.dimension import Choice, Dimension, Range
from sutrolib.processes.model_families import (
    N_CHARACTERS,
    TUNED_MLP,
    digits_families,
    letters_families,
    parity_families,
)
from sutrolib.processes.space import Family, SearchSpace, family_of

# nanoGPT's published recipe reaches 1.83 nats on the search's part of the training text (notebook 41); what is to
# reach 1.88 on the test text on other seeds must be below that by more than seeds differ.
_SEARCHED_LOSS = 1.75


@dataclass(frozen=True)
class Ground:
    """A rung of the problem axis: the problem, the one to search on, the space, and how many updates are traced.

    ``divisions`` are narrower spaces that are searched as well.
    """

    problem: Problem
    searched: Problem
    space: SearchSpace
    trace_updates: int
    divisions: Mapping[str, SearchSpace] = field(default_factory=dict)

    def space_from(self, champion: Model) -> tuple[SearchSpace, str]:
        """The space that starts at ``champion``, and why it does not; the reason is empty where it does."""
        name = type(champion).name
        if name not in (family.name for family in self.space.families):
            return self.space, f"{name} is none of the families for {type(self.problem).name}"
        own = self.space.family(name)
        try:
            start = dataclasses.replace(own, model=_with_settings(own, champion))
        except ValueError as error:  # a setting that this problem's space does not have
            return self.space, str(error)
        others = (family for family in self.space.families if family.name != name)
        return SearchSpace((start, *others)), ""


def _with_settings(family: Family, champion: Model) -> Model:
    """The family's model with the champion's settings. Raises ValueError for one outside the family's ranges."""
    settings = dataclasses.replace(family, model=champion).start.settings
    space = SearchSpace((family,))
    return space.model(space.validate(family.name, settings))


def grounds() -> Mapping[str, Ground]:
    """What is learned at each rung of the problem axis, by its key."""
    parity, hard, digits = SparseParity(), SparseParity(noise=0.1), Digits()
    letters, text = NextLetter(characters=N_CHARACTERS), WindowedText()
    searched = dataclasses.replace(search_holdout(text), target_loss=_SEARCHED_LOSS)  # type: ignore[type-var]
    return {
        "parity": Ground(parity, parity, _parity_space(), 60),
        "parity-hard": Ground(hard, hard, _parity_space(), 60),
        "digits": Ground(digits, search_holdout(digits), digits_families(), 60),
        "letters": Ground(letters, search_holdout(letters), _letters_space(), 6),
        "shakespeare": Ground(text, searched, nanogpt_families(), 10, {"closed": nanogpt_families(closed=True)}),
    }


def _parity_space() -> SearchSpace:
    """The network within ranges in which it mostly learns, and every other family that learns from samples alone."""
    ranges = {"hidden": Range(8, 400, log=True, integer=True), "lr": Range(0.05, 1.0, log=True)}
    ranges |= {"batch": Range(8, 128, log=True, integer=True), "weight_decay": Range(0.0, 0.05)}
    ranges |= {"max_epochs": Range(10, 100, log=True, integer=True), "stop_accuracy": Range(0.8, 1.0)}
    network = family_of(TwoLayerNetwork(hidden=TUNED_MLP.hidden, lr=TUNED_MLP.lr), "loss", "patience", **ranges)
    return SearchSpace((network, *parity_families().families[1:]))


def _letters_space() -> SearchSpace:
    """The families for letters; the GPT holds a part of the text out, so that a poor training can be ended early."""
    gpt, *others = letters_families().families
    watched: Any = dataclasses.replace(gpt.model, holdout=0.05, eval_every=25)  # type: ignore[type-var]
    return SearchSpace((dataclasses.replace(gpt, model=watched), *others))


def nanogpt_families(closed: bool = False) -> SearchSpace:
    """nanoGPT's published recipe, and what it may be changed to; with ``closed`` only its own network, trained anew.

    The ranges are wide: decades of learning rates, from no distillation to nothing but it, any order of the n-grams.
    """
    shared: dict[str, Dimension] = {"max_steps": Range(100, 2000, log=True, integer=True)}
    shared |= {"batch": Range(4, 32, log=True, integer=True), "lr": Range(1e-4, 0.1, log=True)}
    adamw = {**shared, "warmup": Range(0, 200, integer=True)}
    adamw |= {"beta1": Range(0.5, 0.99), "beta2": Range(0.9, 0.999), "weight_decay": Range(0.0, 0.5)}
    published = GPT(holdout=0.02, eval_every=200)  # the last part of the curve is worth more than the text held out
    muon = {**shared, "matrix_lr": Range(1e-4, 0.1, log=True), "beta1": Range(0.5, 0.99), "momentum": Range(0.5, 0.99)}
    muon |= {"distill_weight": Range(0.0, 1.0), "teacher_order": Range(2, 8, integer=True)}
    muon |= {"embedding_std": Range(0.01, 1.0, log=True), "value_gain": Range(0.0, 1.0)}
    choices: dict[str, Dimension] = {name: Choice(values) for name, values in _CHOICES.items()}
    if not closed:
        sizes: dict[str, Dimension] = {"layers": Range(1, 4, integer=True), "width": Choice((32, 64, 96, 128))}
        adamw |= sizes
        muon |= sizes
    plain = DistilledGPT(max_steps=2000, batch=12, lr=1e-3, matrix_lr=1e-3, distill_weight=0.0, value_gain=0.0)
    trained = family_of(published, **adamw), family_of(plain, **muon, **choices)
    if closed:
        return SearchSpace(trained)
    short = LeaveOneOutNGram(order=3, steps=10)
    counted = family_of(KneserNey()), family_of(short, order=Range(2, 9, integer=True), steps=_STEPS)
    product = ProductOfExperts(short, plain, ngram_exponent=0.5, gpt_exponent=0.5)
    inner = {f"gpt__{name}": dimension for name, dimension in (muon | choices).items()}
    inner |= {"ngram__order": Range(2, 9, integer=True), "ngram__steps": _STEPS}
    return SearchSpace((*trained, *counted, family_of(product, "ngram_exponent", "gpt_exponent", **inner)))


_STEPS = Range(5, 60, log=True, integer=True)  # of learning the discounts of an n-gram
_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "optimizer": ("muon", "adam"),
    "lr_decay": (True, False),
    "precision": ("bfloat16", "float32"),
}
