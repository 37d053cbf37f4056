import itertools

import pytest
import torch

from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum, sign_accuracy

SIBLINGS = [SparseParity, SparseSum, SparseAnd]


@pytest.mark.parametrize("problem", SIBLINGS)
def test_equal_arguments_and_seed_give_equal_bytes(problem):
    one, other, another = problem(noise=0.1).sample(7), problem(noise=0.1).sample(7), problem(noise=0.1).sample(8)
    for first, second, third in zip(one.train.__dict__, one.test.__dict__, another.train.__dict__, strict=True):
        assert torch.equal(getattr(one.train, first), getattr(other.train, first))
        assert torch.equal(getattr(one.test, second), getattr(other.test, second))
        assert not torch.equal(getattr(one.train, third), getattr(another.train, third))


@pytest.mark.parametrize(
    ("problem", "rule"),
    [
        (SparseParity, lambda bits: bits.prod(1)),
        (SparseSum, lambda bits: bits.sum(1)),
        (SparseAnd, lambda bits: torch.where((bits == 1).all(1), 1.0, -1.0)),
    ],
)
def test_labels_follow_the_rule_of_the_secret(problem, rule):
    instance = problem(n=9, k=4)
    task, secret = instance.sample(3), list(instance.secret(3))
    assert len(set(secret)) == 4
    for split in (task.train, task.test):
        assert set(split.x.unique().tolist()) == {-1.0, 1.0}
        assert torch.equal(split.y[:, 0], rule(split.x[:, secret]))


def test_no_proper_subset_of_the_secret_correlates_with_a_parity():
    problem = SparseParity(n=6, k=3, n_train=20_000)
    task, secret = problem.sample(0), problem.secret(0)
    for size in (1, 2):
        for subset in itertools.combinations(secret, size):
            assert abs((task.train.x[:, subset].prod(1, keepdim=True) * task.train.y).mean()) < 0.03


def test_noise_corrupts_its_share_of_training_labels_and_no_test_label():
    noisy, clean = SparseParity(noise=0.2, n_train=20_000).sample(1), SparseParity(n_train=20_000).sample(1)
    assert (noisy.train.y != clean.train.y).double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(noisy.test.y, clean.test.y)


@pytest.mark.parametrize("problem", SIBLINGS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n": 3, "k": 4}, r"k must be 1 to 3 \(got 4\)"),
        ({"k": 0}, r"k must be .* \(got 0\)"),
        ({"n": 0}, r"n must be .* \(got 0\)"),
        ({"n": 2.5}, r"n must be an integer \(got 2\.5\)"),
        ({"n": True, "k": 1}, r"n must be an integer \(got True\)"),
        ({"noise": 0.5}, r"noise must be below 0\.5.* \(got 0\.5\)"),
        ({"noise": -0.1}, r"noise must be 0 to 0\.5 \(got -0\.1\)"),
        ({"noise": float("nan")}, r"noise must be .* \(got nan\)"),
        ({"n_train": 0}, r"n_train must be 1 to .* \(got 0\)"),
        ({"n_test": -1}, r"n_test must be 1 to .* \(got -1\)"),
    ],
)
def test_wrong_arguments_are_named(problem, arguments, named):
    with pytest.raises(ValueError, match=named):
        problem(**arguments)


def test_the_copy_for_training_has_no_test_split_and_leads_nowhere_to_it():
    task = SparseParity().sample(0)
    hidden = task.for_training()
    assert hidden.test is None
    # The training rows share no storage with the test rows: a model cannot reach past the end of its view.
    assert hidden.train.x.untyped_storage().nbytes() == hidden.train.x.numel() * hidden.train.x.element_size()
    assert hidden.train.y.untyped_storage().nbytes() == hidden.train.y.numel() * hidden.train.y.element_size()


def test_a_prediction_without_a_sign_is_wrong():
    labels = torch.tensor([[1.0], [-1.0], [1.0], [1.0]])
    assert sign_accuracy(torch.tensor([[2.0], [-0.1], [0.0], [float("nan")]]), labels) == 0.5


def test_rungs_tell_hard_instances_from_the_standard_one():
    assert [p.rung for p in (SparseParity(), SparseParity(n=3), SparseParity(n=50), SparseParity(noise=0.1))] == [
        "parity",
        "parity",
        "parity-hard",
        "parity-hard",
    ]
