import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sutrolib.core.types import Split, Task
from sutrolib.models.parity.gf2 import GF2Elimination, Inconsistent
from sutrolib.problems.parity import SparseParity, SparseSum, sign_accuracy


def task_of(x, y):
    return Task(Split(x, y), None, sign_accuracy, "accuracy", 0.99)


@settings(max_examples=40)
@given(n=st.integers(1, 200), k=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_the_secret_is_found_from_a_few_more_samples_than_bits(n, k, seed):
    problem = SparseParity(n=n, k=min(k, n), n_train=n + 30, n_test=1)
    assert GF2Elimination(extra_samples=30).fit(problem.sample(seed).for_training(), seed).subset == problem.secret(
        seed
    )


def test_only_n_plus_extra_samples_are_read_when_they_suffice():
    fitted = GF2Elimination(extra_samples=10).fit(SparseParity(n_train=1000).sample(0), 0)
    assert fitted.samples == 30


def test_all_samples_are_read_when_the_first_ones_do_not_determine_the_answer():
    x = torch.ones(40, 3)
    x[20:] = torch.tensor([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1], [-1, -1, 1]]).repeat(5, 1)
    fitted = GF2Elimination(extra_samples=0).fit(task_of(x, x[:, [0, 2]].prod(1, keepdim=True)), 0)
    assert (fitted.subset, fitted.samples) == ((0, 2), 40)


def test_undetermined_bits_are_left_out():
    x = torch.tensor([[-1.0, 1, 1], [1, -1, 1]])
    assert GF2Elimination().fit(task_of(x, x[:, [0]]), 0).subset == (0,)


def test_the_columns_at_the_edge_of_a_word_are_found():
    for secret in ([61, 62], [62, 123, 124], [0, 61, 62, 123]):
        x = torch.randint(0, 2, (160, 125), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
        fitted = GF2Elimination(extra_samples=30).fit(task_of(x, x[:, secret].prod(1, keepdim=True)), 0)
        assert list(fitted.subset) == secret


def test_noisy_samples_are_refused():
    with pytest.raises(Inconsistent, match="contradict"):
        GF2Elimination(extra_samples=100).fit(SparseParity(noise=0.2).sample(0), 0)


def test_labels_that_are_not_signs_are_refused():
    with pytest.raises(ValueError, match="-1 or \\+1"):
        GF2Elimination().fit(SparseSum().sample(0), 0)


def test_a_negative_extra_is_refused():
    with pytest.raises(ValueError, match="extra_samples must be 0 to"):
        GF2Elimination(extra_samples=-1)
