import pytest
import torch

from sutrolib.problems.digits import Digits, class_accuracy


def test_the_images_are_those_of_scikit_learn_and_the_split_is_fixed():
    task = Digits().sample(0)
    assert len(task.train) + len(task.test) == 1797
    assert task.train.x.shape == (1347, 64)
    assert (task.train.x.min(), task.train.x.max()) == (0, 1)
    assert torch.equal(task.test.x, Digits().sample(5).test.x)


def test_every_digit_has_the_same_share_in_both_parts():
    task = Digits().sample(0)
    train, test = (torch.bincount(part.y[:, 0]) / len(part) for part in (task.train, task.test))
    assert (train - test).abs().max() < 0.002


def test_accuracy_is_that_of_the_largest_entry():
    assert class_accuracy(torch.tensor([[0.1, 0.9], [2.0, -1.0]]), torch.tensor([[1], [1]])) == 0.5


def test_a_share_out_of_range_is_refused():
    with pytest.raises(ValueError, match="test_share must be"):
        Digits(test_share=1)
