from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import text_task

from sutrolib.measurement.measure import score_of
from sutrolib.models.language.kneser_ney import KneserNey, count_ngrams
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram, _left_out, stats_of
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter


def recounted(text, place, order):
    """By definition: (count, total, once, twice, more) of each order, the longest string at ``place`` taken away."""
    longest = Counter(text[i : i + order] for i in range(len(text) - order + 1))
    longest[text[place - order + 1 : place + 1]] -= 1
    tables = [+longest]
    while len(tables) < order:
        tables.append(Counter(string[1:] for string in tables[-1]))
    found = []
    for length, table in zip(range(order, 0, -1), tables, strict=True):
        string = text[place - length + 1 : place + 1]
        siblings = [n for other, n in table.items() if other[:-1] == string[:-1]]
        sorts = [sum(n == 1 for n in siblings), sum(n == 2 for n in siblings), sum(n >= 3 for n in siblings)]
        found.append([table[string], sum(siblings), *sorts])
    return found[::-1]


@settings(max_examples=40)
@given(st.text("ab ", min_size=8, max_size=60), st.integers(1, 4), st.integers(0, 1000))
def test_leaving_one_out_is_counting_again_without_it(text, order, number):
    task = text_task(text + "ab ")
    text += "ab "
    place = order - 1 + number % (len(text) - order + 1)
    characters = len(task.alphabet)
    counted = count_ngrams(task, order)
    stats = [stats_of(keys, counts, characters) for keys, counts in counted]
    ids = torch.tensor([task.alphabet.index(c) for c in text])
    seen = _left_out([keys for keys, _ in counted], stats, ids, torch.tensor([place]), characters)
    found = [[one.count[0].item(), one.total[0].item(), *one.classes[0].tolist()] for one in seen]
    assert found == recounted(text, place, order)


@settings(max_examples=30)
@given(st.text("ab\n.", min_size=12, max_size=300), st.integers(1, 9), st.integers(0, 10))
def test_every_distribution_sums_to_one_and_leaves_something_to_all(text, order, seed):
    task = text_task(text)
    ids = torch.randint(len(task.alphabet), (50, 12), generator=torch.Generator().manual_seed(seed))
    found = LeaveOneOutNGram(order, samples=50, batch=20, steps=3).fit(task, seed).predict(ids)
    assert torch.allclose(found.exp().sum(1), torch.ones(50), atol=1e-4)
    assert torch.isfinite(found).all()


@pytest.mark.slow
def test_learned_discounts_predict_shakespeare_better_than_those_of_kneser_and_ney():
    task = NextCharacter().sample(0)
    learned = score_of(task, LeaveOneOutNGram(order=7).fit(task.for_training(), 0))
    assert learned > score_of(task, KneserNey(order=7).fit(task.for_training(), 0)) + 0.01


def test_a_seed_gives_equal_tables_and_another_one_others():
    task = text_task("to be or not to be that is the question " * 5)
    first, again, other = (LeaveOneOutNGram(4, 50, 20, 5).fit(task, seed) for seed in (1, 1, 2))
    assert torch.equal(first.orders[2].share, again.orders[2].share)
    assert not torch.equal(first.orders[2].share, other.orders[2].share)


def test_what_it_cannot_count_is_refused():
    with pytest.raises(ValueError, match="must be text"):
        LeaveOneOutNGram().fit(SparseParity().sample(0).for_training(), 0)
    with pytest.raises(ValueError, match="order must be 1 to 10"):
        LeaveOneOutNGram(order=0)
