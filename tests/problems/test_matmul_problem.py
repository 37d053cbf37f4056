import pytest
import torch

from sutrolib.problems.matmul import LARGEST, MatrixProduct, exact_rows


def test_labels_are_the_products_of_the_two_matrices_of_a_row():
    task = MatrixProduct(n=3).sample(0)
    for split in (task.train, task.test):
        assert split.x.shape[1:] == (18,)
        assert split.y.shape[1:] == (9,)
        for row, label in zip(split.x.tolist(), split.y.tolist(), strict=True):
            a, b = row[:9], row[9:]
            assert label == [sum(a[3 * i + k] * b[3 * k + j] for k in range(3)) for i in range(3) for j in range(3)]


def test_elements_are_whole_numbers_that_use_their_whole_range():
    x = MatrixProduct(n=16).sample(1).test.x
    assert x.dtype == torch.int64
    assert (x.min().item(), x.max().item()) == (-LARGEST, LARGEST)


def test_equal_seeds_draw_equal_matrices_and_train_and_test_differ():
    one, same, other = (MatrixProduct().sample(seed) for seed in (0, 0, 1))
    assert torch.equal(one.test.x, same.test.x)
    assert not torch.equal(one.test.x, other.test.x)
    assert not torch.equal(one.train.x, one.test.x[: len(one.train)])


def test_the_score_is_the_share_of_rows_without_any_wrong_element():
    task = MatrixProduct().sample(2)
    wrong = task.test.y.clone()
    wrong[0, 0] += 1
    wrong[1, 5] += 1
    wrong[1, 6] -= 1
    assert task.score(task.test.y, task.test.y) == task.target == 1.0
    assert task.score(wrong, task.test.y) == exact_rows(wrong, task.test.y) == 1 - 2 / len(task.test)


@pytest.mark.parametrize("n", [0, 65, 4.0, True, "4"])
def test_other_sizes_are_refused(n):
    with pytest.raises(ValueError, match="MatrixProduct: n must be"):
        MatrixProduct(n=n)
