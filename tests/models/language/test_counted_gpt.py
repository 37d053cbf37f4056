import pytest
import torch
import torch.nn.functional as F
from texts import text_task

from sutrolib.models.language.counted_gpt import CountedGPT, write_ngram
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.maximum_entropy import MaximumEntropy
from sutrolib.models.language.transformer import Transformer

TASK = text_task(
    "to be or not to be, that is the question: whether it is nobler in the mind to suffer, or to be. " * 30,
    "whether to be is the question, or not to be in the mind. " * 3,
)
IDS, CHARACTERS = torch.cat([TASK.train.x[:1], TASK.train.y[:, 0]]), len(TASK.alphabet)
ORDER, BLOCK_SIZE = 4, 16


def network(seed=0, order=ORDER, task=TASK, **shape):
    shape = {"block_size": BLOCK_SIZE, "layers": 2, "heads": 4, "width": 64, **shape}
    made = Transformer(len(task.alphabet), **shape, dropout=0.0, seed=seed).eval()
    write_ngram(made, task.for_training(), seed, order)
    return made


def windows(order=ORDER):
    """Test ids (windows, positions), and as keys the contexts of all positions that have a whole one."""
    ids = TASK.test.x.unfold(0, BLOCK_SIZE, 1)
    return ids, (ids.unfold(1, order - 1, 1) * CHARACTERS ** torch.arange(order - 2, -1, -1)).sum(2)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_the_network_predicts_what_the_maximum_entropy_model_predicts(order):
    made, (ids, contexts) = network(order=order), windows(order)
    hidden = sum(block.up.out_features for block in made.block_list())
    model = MaximumEntropy(IDS, CHARACTERS, order, hidden - 2 * CHARACTERS)
    with torch.no_grad():
        found = made(ids)[:, order - 2 :].log_softmax(2)
    wanted = model.logits(contexts.flatten()).log_softmax(1).view_as(found)
    assert (found - wanted).abs().mean() < 0.02
    assert (found.exp() - wanted.exp()).abs().max() < 0.02


def test_terms_expect_what_was_counted():
    model = MaximumEntropy(IDS, CHARACTERS, ORDER, 10)
    assert sum(len(terms.keys) for terms in model.longer) == 10
    expected = model.logits(model.contexts).softmax(1) * model.counts[:, None]
    for terms in (*model.last, *model.longer):
        place, there = terms.places(model.contexts)
        found = torch.zeros_like(terms.wanted).index_add_(0, place[there], expected[there])
        assert torch.allclose(found.sum(1), terms.wanted.sum(1), rtol=1e-3, atol=1e-2)
        assert (found - terms.wanted).abs().mean() < 0.1 * terms.wanted.mean()
    again = MaximumEntropy(IDS, CHARACTERS, 2, 10)  # nothing but A0: a bigram, but for what was added to the counts
    counts = torch.zeros(CHARACTERS, CHARACTERS).index_put_((IDS[:-1], IDS[1:]), torch.tensor(1.0), accumulate=True)
    assert torch.equal(again.last[0].wanted, counts)


def test_without_a_gradient_it_predicts_a_text_better_than_a_bigram():
    made, (ids, _) = network(), windows()
    bigram = KneserNey(2).fit(TASK.for_training(), 0).predict(ids[:, :-1].flatten()[:, None])
    places = slice(ORDER - 2, -1)  # the first ones of a window see no whole context
    with torch.no_grad():
        found = made(ids)[:, places]
    labels = ids[:, ORDER - 1 :]
    loss = F.cross_entropy(found.flatten(0, 1), labels.flatten())
    bigram = bigram.view(len(ids), BLOCK_SIZE - 1, CHARACTERS)[:, ORDER - 2 :]
    assert loss < F.nll_loss(bigram.flatten(0, 1), labels.flatten()) - 0.3


def test_a_position_sees_nothing_after_it():
    made, (ids, _) = network(), windows()
    changed = ids.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % CHARACTERS
    with torch.no_grad():
        before, after = made(ids), made(changed)
    assert torch.allclose(before[:, :8], after[:, :8], atol=1e-4)
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-4)


def test_equal_seeds_give_equal_weights_whatever_the_network_was():
    one, same, other = network(0), network(0), network(1)
    for (name, a), b in zip(one.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(one.positions.weight, other.positions.weight)


def test_a_network_that_is_too_small_is_refused_with_the_numbers():
    for shape, message in (
        ({"heads": 1}, r"order=4 over 21 characters does not fit into 2 blocks of 1 heads.* blocks of 2 heads"),
        ({"width": 32, "heads": 2}, r"width 32 and 128 hidden units.* at least 8 dimensions \(there are 1\)"),
        ({"layers": 1}, "into 1 blocks of 4 heads, .*: it needs 2 blocks"),
    ):
        with pytest.raises(ValueError, match=message):
            network(**shape)
    with pytest.raises(ValueError, match="at least 20 characters"):
        network(task=text_task("to be"), layers=2)


def test_the_model_is_that_network_after_no_update():
    fitted = CountedGPT(layers=2, heads=4, width=64, block_size=BLOCK_SIZE, order=ORDER).fit(TASK.for_training(), 0)
    assert torch.equal(fitted.network.blocks[1].up.weight, network().blocks[1].up.weight)
    assert fitted.steps == 0


def test_dropout_changes_nothing_of_what_is_written():
    made = Transformer(CHARACTERS, BLOCK_SIZE, 2, 4, 64, dropout=0.5, seed=0)
    write_ngram(made, TASK.for_training(), 0, ORDER)
    for (name, a), b in zip(made.named_parameters(), network().parameters(), strict=True):
        assert torch.equal(a, b), name
