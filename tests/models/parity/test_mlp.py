import dataclasses

import pytest
import torch

from sutrolib.core.types import Budget
from sutrolib.measurement.measure import score_of
from sutrolib.models.parity.mlp import Diverged, TwoLayerNetwork
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum
from sutrolib.processes.space import family_of


def weights(parameters):
    return [getattr(parameters, f.name) for f in dataclasses.fields(parameters)]


@pytest.mark.parametrize("loss", ["hinge", "square"])
@pytest.mark.parametrize("batch", [1, 5, 32])
def test_fused_and_standard_order_give_bit_equal_weights(loss, batch):
    task = SparseParity(n=8, n_train=200).sample(1)
    trained = [
        TwoLayerNetwork(hidden=30, batch=batch, update=update, loss=loss, dtype="float64", lr=0.05, max_epochs=3).fit(
            task, 1
        )
        for update in ("standard", "fused")
    ]
    for one, other in zip(weights(trained[0].parameters), weights(trained[1].parameters), strict=True):
        assert torch.equal(one, other)
    assert trained[0].steps > 0


@pytest.mark.parametrize("loss", ["hinge", "square"])
@pytest.mark.parametrize("update", ["standard", "fused"])
def test_one_step_is_the_step_that_autograd_takes(loss, update):
    lr, decay = 0.1, 0.01
    model = TwoLayerNetwork(hidden=7, batch=4, update=update, loss=loss, lr=lr, weight_decay=decay, dtype="float64")
    task = SparseParity(n=6, n_train=4).sample(0)
    x, y = task.train.x.double(), task.train.y.double()
    by_hand, by_autograd = model.init_parameters(6, 3), model.init_parameters(6, 3)
    with torch.inference_mode():
        model.step(by_hand, x, y)
    leaves = [w.clone().requires_grad_() for w in weights(by_autograd)]
    W1, b1, W2, b2 = leaves
    out = torch.relu(x @ W1.T + b1) @ W2.T + b2
    value = (1 - y * out).clamp(min=0).mean() if loss == "hinge" else ((out - y) ** 2 / 2).mean()
    value.backward()
    for ours, leaf in zip(weights(by_hand), leaves, strict=True):
        expected = leaf.detach() * (1 - lr * decay) - lr * leaf.grad
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_the_standard_setting_solves_at_least_nine_of_ten_seeds():
    problem = SparseParity()
    scores = []
    for seed in range(10):
        task = problem.sample(seed)
        scores.append(score_of(task, TwoLayerNetwork().fit(task.for_training(), seed)))
    assert sum(score >= 0.99 for score in scores) >= 9


@pytest.mark.parametrize(
    ("problem", "model"),
    [
        (SparseAnd(), TwoLayerNetwork()),
        (SparseSum(), TwoLayerNetwork(loss="square")),
        (SparseParity(n=3, k=3, n_train=100), TwoLayerNetwork(hidden=1000, batch=1)),
    ],
)
def test_the_siblings_and_the_small_setting_are_solved(problem, model):
    task = problem.sample(0)
    assert score_of(task, model.fit(task.for_training(), 0)) >= task.target


def test_equal_seeds_give_equal_networks_and_others_do_not():
    task = SparseParity(n_train=100).sample(0)
    one, same, other = (TwoLayerNetwork(max_epochs=2).fit(task, seed).parameters.W1 for seed in (5, 5, 6))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_budget_of_steps_is_kept():
    task = SparseParity().sample(0)
    assert TwoLayerNetwork().fit(task, 0, Budget(steps=30)).steps == 30


def test_the_learning_curve_never_sees_the_test_split():
    task = SparseParity(n_train=200).sample(0)
    hidden = task.for_training()
    assert (
        TwoLayerNetwork(max_epochs=3).fit(task, 0).history == TwoLayerNetwork(max_epochs=3).fit(hidden, 0).history != ()
    )


def test_training_that_leaves_the_finite_numbers_says_at_which_step():
    with pytest.raises(Diverged, match=r"lr=10: .* step \d+"):
        TwoLayerNetwork(lr=10.0, weight_decay=0.0, batch=1).fit(SparseParity(n_train=400).sample(0), 0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hidden": 0}, "hidden must be 1 to"),
        ({"hidden": 2.5}, "hidden must be an integer .got 2.5"),
        ({"lr": 0.0}, "lr must be 1e-06 to 100"),
        ({"batch": 0}, "batch must be 1 to"),
        ({"weight_decay": 2.0}, "weight_decay must be 0 to 1"),
        ({"update": "later"}, "update must be one of standard, fused"),
        ({"loss": "log"}, "loss must be one of hinge, square .got 'log'"),
        ({"dtype": "int8"}, "dtype must be one of float32, float64"),
        ({"max_epochs": True}, "max_epochs must be .*got True"),
    ],
)
def test_wrong_fields_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        TwoLayerNetwork(**fields)


@pytest.mark.parametrize("limits", [{"steps": 0}, {"seconds": -1.0}])
def test_a_budget_that_is_not_positive_is_refused(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        Budget(**limits)


@pytest.mark.parametrize("optimizer", ["sgd", "signsgd"])
@pytest.mark.parametrize("update", ["standard", "fused"])
def test_random_features_stay_as_they_were_drawn_and_layer_2_takes_its_usual_step(optimizer, update):
    task = SparseParity(n=6, n_train=20).sample(0)
    x, y = task.train.x.double(), task.train.y.double()
    model = TwoLayerNetwork(hidden=7, optimizer=optimizer, update=update, features="random", dtype="float64")
    drawn, trained, learned = (model.init_parameters(6, 3) for _ in range(3))
    with torch.inference_mode():
        model.step(trained, x, y)
        dataclasses.replace(model, features="learned").step(learned, x, y)
    assert torch.equal(trained.W1, drawn.W1)
    assert torch.equal(trained.b1, drawn.b1)
    assert not torch.equal(learned.W1, drawn.W1)
    assert torch.equal(trained.W2, learned.W2)
    assert torch.equal(trained.b2, learned.b2)
    assert not torch.equal(trained.W2, drawn.W2)


def test_random_features_do_not_solve_what_learned_ones_solve():
    task = SparseParity().sample(0)
    learned, random = (
        score_of(task, TwoLayerNetwork(features=features).fit(task.for_training(), 0))
        for features in ("learned", "random")
    )
    assert learned >= task.target > random


def test_a_search_does_not_set_which_features_are_learned():
    assert "features" not in family_of(TwoLayerNetwork()).dimensions
    with pytest.raises(ValueError, match="features must be one of learned, random"):
        TwoLayerNetwork(features="none")
