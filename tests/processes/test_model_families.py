import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.core.types import FailedRun
from sutrolib.measurement.measure import score_of
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter
from sutrolib.processes.evolution import switch_family
from sutrolib.processes.model_families import (
    TUNED_MLP,
    TUNED_MLP_NOISY,
    digits_families,
    letters_families,
    parity_families,
)

SPACES = {
    "parity": parity_families(),
    "parity, with a teacher": parity_families(oracles=True),
    "digits": digits_families(),
    "letters": letters_families(),
}
PARITY = SparseParity(n=8, n_train=200)
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


@each_space
def test_every_family_builds_where_it_starts_and_says_what_it_is_told(space):
    for family, described in zip(space.families, space.describe(), strict=True):
        assert space.model(family.start) == family.model
        assert described["prior_knowledge"] == family.model.prior_knowledge != ""


@each_space
@given(seed=st.integers(0, 2**32), one=st.integers(0, 20), other=st.integers(0, 20))
def test_whatever_is_drawn_crossed_mutated_or_leapt_is_a_proposal_that_builds(space, seed, one, other):
    rng = np.random.default_rng(seed)
    one, other = (space.families[number % len(space.families)].sample(rng) for number in (one, other))
    for found in (one, space.crossover(one, other, rng), space.mutate(one, rng), switch_family(space, one, rng)):
        assert space.validate(found.family, found.settings) == found
        assert type(space.model(found)).name == found.family


@pytest.mark.parametrize("oracles", [False, True])
def test_every_family_of_a_parity_takes_its_samples(oracles):
    task = PARITY.sample(0)
    for family in parity_families(oracles=oracles).families:
        with contextlib.suppress(FailedRun):  # a result of the algorithm, and not a misunderstanding of the samples
            score_of(task, family.model.fit(task.for_training(family.model.required_oracles), 0))


def test_only_who_has_a_teacher_gets_the_families_that_ask_one():
    assert not any(family.model.required_oracles for family in parity_families().families)
    asking = {
        family.name: family.prior_knowledge
        for family in parity_families(oracles=True).families
        if family.model.required_oracles
    }
    assert asking == {
        "influence estimation": "that it is a parity, and the label of any input it asks for",
        "network with a curriculum": "lesson by lesson, which few bits hold the secret",
    }


def test_k_is_searched_for():
    searched = {family.name for family in parity_families().families if "k" in family.dimensions}
    assert searched == {"Walsh-Fourier search", "constraint search", "feature selection, then network"}


def test_a_parity_begins_at_the_network_that_is_given_and_everything_of_it_may_change():
    network = TwoLayerNetwork(hidden=77)
    space = parity_families(network=network)
    assert space.model(space.start) == network
    assert {"update", "optimizer", "dtype", "batch", "lr", "stop_accuracy"} <= set(space.families[0].dimensions)
    assert {"selector", "network.update", "network.optimizer", "network.dtype"} <= set(
        space.family("feature selection, then network").dimensions
    )


@pytest.mark.slow
@pytest.mark.parametrize(("network", "noise"), [(TUNED_MLP, 0.0), (TUNED_MLP_NOISY, 0.1)])
def test_the_networks_tuned_by_hand_solve_what_they_are_tuned_for(network, noise):
    problem = SparseParity(noise=noise)
    tasks = [problem.sample(seed) for seed in range(20, 25)]
    solved = [score_of(task, network.fit(task.for_training(), seed)) >= task.target for seed, task in enumerate(tasks)]
    assert sum(solved) >= 4


def test_every_family_of_the_digits_reads_digits():
    task = Digits().sample(0)
    scores = {f.name: score_of(task, f.model.fit(task.for_training(), 0)) for f in digits_families().families}
    assert next(iter(scores)) == "multi-layer perceptron"
    assert min(scores.values()) > 0.9
    assert scores["multi-layer perceptron"] >= task.target


@pytest.mark.slow
def test_the_letters_begin_at_a_small_gpt_that_solves_them_and_counting_pairs_does_too():
    task = NextLetter(characters=100_000).sample(0)
    space = letters_families()
    assert space.start.family == "GPT"
    for model in (space.model(space.start), KneserNey(order=2)):
        assert score_of(task, model.fit(task.for_training(), 0)) >= task.target
