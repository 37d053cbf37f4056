import dataclasses

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from sutrolib.core.types import Budget, Diverged
from sutrolib.measurement.measure import measure
from sutrolib.meters import OperationCount
from sutrolib.models.images.classifier import (
    Mixture,
    MixtureOfExperts,
    MLPClassifier,
    NearestNeighbours,
    SoftmaxRegression,
)
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseParity

TASK = Digits().sample(0)
TRAINED = (SoftmaxRegression(), MLPClassifier(), MixtureOfExperts())


@pytest.mark.parametrize(
    "model",
    [
        SoftmaxRegression(),
        pytest.param(MLPClassifier(), marks=pytest.mark.slow),
        pytest.param(MixtureOfExperts(), marks=pytest.mark.slow),
        NearestNeighbours(),
    ],
    ids=lambda m: m.name,
)
def test_every_classifier_reads_digits(model):
    assert all(measure(Digits(), model, [], seed).solved for seed in range(2))


@pytest.mark.parametrize("model", TRAINED, ids=lambda m: m.name)
def test_equal_seeds_give_equal_networks_and_a_budget_ends_them(model):
    one, same = (model.fit(TASK.for_training(), 0, Budget(steps=20)) for _ in "ab")
    assert torch.equal(one.predict(TASK.test.x), same.predict(TASK.test.x))
    assert one.steps == 20


def test_neighbours_are_those_of_scikit_learn():
    fitted = NearestNeighbours(k=1).fit(TASK.for_training(), 0)
    theirs = KNeighborsClassifier(1).fit(TASK.train.x, TASK.train.y[:, 0])
    assert fitted.predict(TASK.test.x).argmax(1).tolist() == theirs.predict(TASK.test.x).tolist()


def test_neighbours_train_for_nothing_and_pay_at_every_prediction():
    neighbours, perceptron = (
        measure(Digits(), m, [OperationCount()], 0, whole=True) for m in (NearestNeighbours(), MLPClassifier())
    )
    assert neighbours.reading("operations").value < perceptron.reading("operations").value / 100
    used = neighbours.reading("inference-operations").value
    assert used > 5 * perceptron.reading("inference-operations").value
    assert used == pytest.approx(1000 * 2 * 64 * 1347, rel=0.05)  # a product with every sample


def test_a_sample_goes_through_one_expert_and_is_weighted_by_its_gate():
    mixture = Mixture(64, 10, experts=4, hidden=8, seed=0)
    x = TASK.test.x[:50]
    gates = mixture.gate(x).softmax(1)
    expected = torch.stack([g.max() * mixture.experts[int(g.argmax())](row) for g, row in zip(gates, x, strict=True)])
    assert torch.allclose(mixture(x), expected, atol=1e-5)


def test_experts_that_are_used_alike_have_no_imbalance():
    mixture = Mixture(2, 2, experts=2, hidden=4, seed=0)
    with torch.no_grad():
        mixture.gate.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    mixture(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert mixture.imbalance.item() == pytest.approx(1.0)
    mixture(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))
    assert mixture.imbalance.item() == pytest.approx(2.0, abs=1e-3)


def test_a_mixture_does_less_arithmetic_a_prediction_than_the_dense_network_of_its_size():
    dense, mixed = (
        measure(Digits(), m, [OperationCount()], 0, whole=True)
        for m in (MLPClassifier(hidden=128, max_epochs=1), MixtureOfExperts(max_epochs=1))
    )
    assert mixed.reading("inference-operations").value < dense.reading("inference-operations").value / 2
    assert mixed.reading("model-size").value == pytest.approx(dense.reading("model-size").value, rel=0.1)


def test_a_loss_that_is_no_number_is_an_error_with_its_step():
    x = TASK.train.x.clone()
    x[:, 0] = torch.nan
    broken = dataclasses.replace(TASK.for_training(), train=dataclasses.replace(TASK.train, x=x))
    with pytest.raises(Diverged, match=r"lr=0\.1: the loss was nan at step 1"):
        MLPClassifier().fit(broken, 0)


@pytest.mark.parametrize("model", [SoftmaxRegression(), NearestNeighbours()], ids=lambda m: m.name)
def test_labels_that_are_not_classes_are_refused(model):
    with pytest.raises(ValueError, match="labels must be class numbers"):
        model.fit(SparseParity().sample(0), 0)


def test_more_neighbours_than_samples_are_refused():
    with pytest.raises(ValueError, match=r"needs at least k=2000 samples \(got 1347\)"):
        NearestNeighbours(k=2000).fit(TASK, 0)
