import copy

import torch
import torch.nn.functional as F

from sutrolib.models.language.fast_training import MATRICES, stack_weights, stacked_logits, write_weights
from sutrolib.models.language.transformer import Transformer


def network(seed=0):
    return Transformer(11, 16, 3, 4, 32, 0.0, seed)


def rows(seed=0):
    return torch.randint(11, (5, 16), generator=torch.Generator().manual_seed(seed))


def test_the_pass_is_that_of_the_network():
    plain = network()
    found = stacked_logits(stack_weights(plain), rows(), 4)
    assert torch.allclose(found, plain(rows()).flatten(0, 1), atol=1e-5)


def test_so_are_its_gradients():
    plain, labels = network(), rows(1).flatten()
    F.cross_entropy(plain(rows()).flatten(0, 1), labels).backward()
    copies = {name: weight.requires_grad_() for name, weight in stack_weights(plain).items()}
    F.cross_entropy(stacked_logits(copies, rows(), 4), labels).backward()
    found = {name: weight.grad for name, weight in copies.items()}
    for number, block in enumerate(plain.block_list()):
        for name in MATRICES:
            assert torch.allclose(found[name][number], getattr(block, name).weight.grad, atol=1e-6)
        assert torch.allclose(found["gains"][2 * number], block.norm_1.weight.grad, atol=1e-6)
        assert torch.allclose(found["gains"][2 * number + 1], block.norm_2.weight.grad, atol=1e-6)
    assert torch.allclose(found["gains"][-1], plain.norm.weight.grad, atol=1e-6)
    assert torch.allclose(found["characters"], plain.characters.weight.grad, atol=1e-6)
    assert torch.allclose(found["positions"], plain.positions.weight.grad, atol=1e-6)


def test_half_precision_says_nearly_the_same():
    plain = network()
    halves = {name: weight.bfloat16() for name, weight in stack_weights(plain).items()}
    found = stacked_logits(halves, rows(), 4)
    assert (found - plain(rows()).flatten(0, 1)).abs().max() < 0.05


def test_what_is_written_back_is_what_was_taken_and_changes_nothing_before():
    first, second = network(0), network(1)
    before = copy.deepcopy(first.state_dict())
    stacks = stack_weights(first)
    write_weights(stacks, second)
    assert all(torch.equal(second.state_dict()[name], weight) for name, weight in before.items())
    stacks["characters"].zero_()
    assert torch.equal(first.characters.weight, before["characters.weight"])
