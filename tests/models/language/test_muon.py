import pytest
import torch

from sutrolib.models.language.fast_training import Muon, orthogonalize


def stack(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    given = stack(*shape)
    found = orthogonalize(given, 5)
    u, _, v = torch.linalg.svd(given, full_matrices=False)
    inner = u.transpose(1, 2) @ found @ v.transpose(1, 2)
    values = inner.diagonal(dim1=1, dim2=2)
    assert (values > 0.3).all()
    assert (values < 1.3).all()
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-4


def test_more_iterations_come_nearer():
    given = stack(1, 16, 16)
    embedding_std = [torch.linalg.svdvals(orthogonalize(given, n))[0].min().item() for n in (1, 3, 5)]
    assert embedding_std == sorted(embedding_std)
    assert embedding_std[0] < embedding_std[-1]


def test_half_precision_says_nearly_the_same():
    given = stack(2, 16, 32)
    assert (orthogonalize(given, 5) - orthogonalize(given, 5, torch.bfloat16)).abs().max() < 0.1


def test_each_matrix_of_a_stack_is_on_its_own():
    given = stack(3, 8, 12)
    one = orthogonalize(given[1:2] * 100, 5)  # and its scale does not matter
    assert torch.allclose(orthogonalize(given, 5)[1:2], one, atol=1e-5)


def test_a_step_goes_downhill_by_the_size_that_it_says():
    weights = torch.zeros(2, 16, 64)
    muon = Muon(weights, momentum=0.9, iterations=5, dtype=torch.float32)
    gradient = stack(2, 16, 64)
    muon.step(gradient, lr=0.01)
    assert (weights * gradient).sum() < 0
    # 0.2 sqrt(64) x an orthogonal matrix of 16 rows has elements of 0.2 in the root mean square, times the rate.
    assert weights.square().mean().sqrt().item() == pytest.approx(0.002, rel=0.3)


def test_momentum_remembers_the_gradients_before():
    with_memory, without = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    for weights, momentum in ((with_memory, 0.9), (without, 0.0)):
        muon = Muon(weights, momentum, 5, torch.float32)
        muon.step(stack(1, 8, 8, seed=1), 0.01)
        weights.zero_()
        muon.step(stack(1, 8, 8, seed=2), 0.01)
    assert torch.allclose(without, -0.01 * 0.2 * 8**0.5 * orthogonalize(stack(1, 8, 8, seed=2), 5), atol=1e-6)
    assert not torch.allclose(with_memory, without, atol=1e-3)
