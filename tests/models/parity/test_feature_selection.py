import dataclasses
import json
import pickle

import pytest
import torch

from sutrolib.core.types import Budget, Split, describe
from sutrolib.measurement.measure import measure, score_of
from sutrolib.meters import OperationCount
from sutrolib.models.parity.gf2 import Inconsistent
from sutrolib.models.parity.guided_network import SELECTORS, FeatureSelectThenTrain, NoFeatureSelected
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity, SparseSum

PROBLEM = SparseParity(n=12, n_train=400)
NOISY = dataclasses.replace(PROBLEM, noise=0.1)
TOLD = {
    "walsh-fourier": "that it is a parity, and k",
    "gf2": "that it is a parity without noise",
    "robust gf2": "that it is a parity",
    "constraint": "that it is a parity without noise, and k",
    "correlation": "samples only",
}


@pytest.mark.parametrize("selector", sorted(set(SELECTORS) - {"correlation"}))
def test_a_network_that_is_fed_the_secret_bits_solves_the_parity(selector):
    for seed in range(3):
        task = PROBLEM.sample(seed)
        fitted = FeatureSelectThenTrain(selector).fit(task.for_training(), seed)
        assert fitted.subset == PROBLEM.secret(seed)
        assert score_of(task, fitted) == 1
        assert fitted.history[-1][0] == fitted.steps > 0


@pytest.mark.parametrize("selector", ["walsh-fourier", "robust gf2"])
def test_finders_that_bear_noise_find_the_secret_in_it(selector):
    fitted = FeatureSelectThenTrain(selector).fit(NOISY.sample(0).for_training(), 0)
    assert fitted.subset == NOISY.secret(0)


@pytest.mark.parametrize("selector", ["gf2", "constraint"])
def test_finders_that_do_not_bear_noise_fail_on_it(selector):
    with pytest.raises(Inconsistent):
        FeatureSelectThenTrain(selector).fit(dataclasses.replace(PROBLEM, noise=0.3).sample(0).for_training(), 0)


def test_correlation_of_single_bits_finds_a_sum_and_no_parity():
    assert FeatureSelectThenTrain("correlation").fit(SparseSum(n=12).sample(1).for_training(), 1).subset == SparseSum(
        n=12
    ).secret(1)
    found = [
        FeatureSelectThenTrain("correlation", samples=400).fit(PROBLEM.sample(s).for_training(), s) for s in range(3)
    ]
    assert all(fitted.subset != PROBLEM.secret(seed) for seed, fitted in enumerate(found))
    assert all(score_of(PROBLEM.sample(seed), fitted) < 0.7 for seed, fitted in enumerate(found))


def test_feeding_costs_a_fraction_of_a_network_that_has_to_find_the_bits():
    network = TwoLayerNetwork()
    fed, alone = (
        measure(PROBLEM, model, [OperationCount()], 0, timed=False)
        for model in (FeatureSelectThenTrain(network=network), network)
    )
    assert fed.solved
    assert alone.solved
    assert fed.reading("operations").value < 0.5 * alone.reading("operations").value


def test_each_finder_says_what_it_is_told_and_a_measurement_keeps_that():
    assert {selector: FeatureSelectThenTrain(selector).prior_knowledge for selector in SELECTORS} == TOLD
    model = dataclasses.replace(FeatureSelectThenTrain("gf2"), selector="correlation")
    assert model.prior_knowledge == pickle.loads(pickle.dumps(model)).prior_knowledge == "samples only"
    assert measure(PROBLEM, FeatureSelectThenTrain("gf2"), [], 0, timed=False).prior_knowledge == TOLD["gf2"]
    assert FeatureSelectThenTrain("gf2") == FeatureSelectThenTrain("gf2")
    assert json.loads(json.dumps(describe(model)))["selector"] == "correlation"
    assert "prior_knowledge" not in describe(model)


def test_the_finder_looks_at_no_more_than_its_samples():
    task = PROBLEM.sample(0)
    lies = torch.cat([task.train.y[:100], -task.train.y[100:]])
    task = dataclasses.replace(task, train=Split(task.train.x, lies))
    short = FeatureSelectThenTrain("constraint", samples=100, network=TwoLayerNetwork(max_epochs=1))
    assert short.fit(task, 0).subset == PROBLEM.secret(0)
    with pytest.raises(Inconsistent):
        dataclasses.replace(short, samples=101).fit(task, 0)


def test_a_finder_that_names_no_bit_is_a_failed_run():
    task = PROBLEM.sample(0)
    same = dataclasses.replace(task, train=Split(task.train.x, torch.ones_like(task.train.y)))
    with pytest.raises(NoFeatureSelected, match="gf2 names no bit from 200 samples"):
        FeatureSelectThenTrain("gf2").fit(same, 0)


@pytest.mark.parametrize(("budget", "steps"), [(Budget(steps=7), 7), (Budget(seconds=1e-9), 1)])
def test_the_budget_is_that_of_finder_and_network_together(budget, steps):
    assert FeatureSelectThenTrain().fit(PROBLEM.sample(0).for_training(), 0, budget).steps == steps


def test_what_is_kept_are_the_network_and_the_indices():
    fitted = FeatureSelectThenTrain(network=TwoLayerNetwork(hidden=10, max_epochs=1)).fit(
        PROBLEM.sample(0).for_training(), 0
    )
    assert fitted.nbytes == 4 * (3 * 10 + 10 + 10 + 1) + 8 * 3


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"selector": "magic"}, "selector must be one of walsh-fourier, gf2.*got 'magic'"),
        ({"k": 1}, "k must be 2 to 12"),
        ({"samples": 0}, "samples must be 1 to"),
    ],
)
def test_wrong_fields_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        FeatureSelectThenTrain(**fields)
