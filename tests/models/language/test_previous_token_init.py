import pytest
import torch

from sutrolib.models.language.fast_training import previous_token_init
from sutrolib.models.language.transformer import Transformer


def attention(network, ids):
    """The weights (heads, positions, positions) of the first block."""
    block = network.block_list()[0]
    q, k, _ = block.split_heads(network.embed(ids))
    scores = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5)[0]
    return scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -torch.inf).softmax(2)


@pytest.mark.parametrize(("heads", "width"), [(4, 128), (2, 32), (6, 96)])
def test_each_head_attends_to_its_own_place_before(heads, width):
    network = Transformer(11, 40, 2, heads, width, 0.0, 0)
    previous_token_init(network, 0, embedding_std=0.1, attention_logit=12.0, value_gain=0.2)
    ids = torch.randint(11, (1, 40), generator=torch.Generator().manual_seed(0))
    found = attention(network, ids)
    for head in range(heads):
        at_its_place = found[head].diagonal(-(head + 1))
        assert (at_its_place > 0.5).all()
        assert torch.equal(found[head, head + 1 :].argmax(1), torch.arange(40 - head - 1))


def test_what_a_head_hands_on_is_the_character_and_not_its_position():
    network = Transformer(11, 40, 2, 4, 128, 0.0, 0)
    previous_token_init(network, 0, embedding_std=0.1, attention_logit=12.0, value_gain=0.2)
    values = network.block_list()[0].split_heads(network.embed(torch.full((1, 40), 3)))[2][0]
    assert values.std(1).max() < 0.1 * values.abs().max()  # of one character, the same at every position


def test_a_seed_gives_equal_weights_and_another_one_others():
    networks = [Transformer(11, 16, 1, 4, 32, 0.0, 0) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        previous_token_init(network, seed, 0.1, 8.0, 0.2)
    first, second, third = (network.block_list()[0].attended.weight for network in networks)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize(("heads", "width", "named"), [(1, 32, "heads=1"), (4, 36, "width 9")])
def test_heads_without_room_for_positions_are_refused(heads, width, named):
    with pytest.raises(ValueError, match=named):
        previous_token_init(Transformer(11, 16, 1, heads, width, 0.0, 0), 0, 0.1, 8.0, 0.2)
