import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from texts import text_task

from sutrolib.measurement.measure import score_of
from sutrolib.meters import OperationCount
from sutrolib.models.language.kneser_ney import MIN_DISCOUNT, KneserNey
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter, NextLetter, best_bigram_loss


def plain_kneser_ney(text, alphabet, order):
    """The definition, with dictionaries: a function from a context and a character to a probability."""
    counts = [Counter() for _ in range(order + 1)]
    for i in range(len(text) - order + 1):
        counts[order][text[i : i + order]] += 1
    for length in range(order - 1, 0, -1):
        for longer in counts[length + 1]:
            counts[length][longer[1:]] += 1
    discounts = []
    for table in counts:
        n = Counter(table.values())
        if not (n[1] and n[2] and n[3]):
            discounts.append({1: 0.5, 2: 0.5, 3: 0.5})
            continue
        y = n[1] / (n[1] + 2 * n[2])
        found = {c: c - (c + 1) * y * n[c + 1] / n[c] for c in (1, 2, 3)}
        discounts.append({c: min(max(d, MIN_DISCOUNT), c) for c, d in found.items()})

    followers = [defaultdict(dict) for _ in counts]
    for length, table in enumerate(counts):
        for string, count in table.items():
            followers[length][string[:-1]][string[-1]] = count

    def probability(context, character):
        found = 1 / len(alphabet)
        for length in range(1, order + 1):
            if length - 1 > len(context):
                break
            after = followers[length].get(context[len(context) - length + 1 :] if length > 1 else "")
            if not after:
                continue
            total, taken = sum(after.values()), {c: discounts[length][min(n, 3)] for c, n in after.items()}
            found = (
                max(after.get(character, 0) - taken.get(character, 0), 0) / total + sum(taken.values()) / total * found
            )
        return found

    return probability


@settings(max_examples=30)
@given(st.text("abcd ", min_size=30, max_size=200), st.text("abcd ", min_size=1, max_size=6), st.integers(1, 5))
def test_it_is_the_definition(text, context, order):
    task = text_task(text + "abcd ")
    fitted = KneserNey(order).fit(task, 0)
    plain = plain_kneser_ney(text + "abcd ", task.alphabet, order)
    ids = torch.tensor([[task.alphabet.index(c) for c in context]])
    expected = [plain(context, c) for c in task.alphabet]
    assert fitted.predict(ids)[0].exp().tolist() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30)
@given(st.text("ab\n.", min_size=10, max_size=300), st.integers(1, 9), st.integers(0, 10))
@example("aa.a.....a.", 3, 0)  # its counts of counts ask for a discount below 0
def test_every_distribution_sums_to_one(text, order, seed):
    task = text_task(text)
    ids = torch.randint(len(task.alphabet), (50, 12), generator=torch.Generator().manual_seed(seed))
    found = KneserNey(order).fit(task, 0).predict(ids)
    assert torch.allclose(found.exp().sum(1), torch.ones(50), atol=1e-5)
    assert (found > -math.inf).all()


@pytest.mark.parametrize(("order", "loss"), [(6, 1.54), pytest.param(7, 1.53, marks=pytest.mark.slow)])
def test_the_loss_on_shakespeare_is_as_low_as_it_should_be(order, loss):
    task = NextCharacter().sample(0)
    assert -score_of(task, KneserNey(order).fit(task.for_training(), 0)) <= loss


def test_on_letters_it_is_near_the_best_there_is_and_never_below():
    task = NextLetter().sample(0)
    found = -score_of(task, KneserNey(2).fit(task.for_training(), 0))
    assert best_bigram_loss(task) <= found <= -task.target


def test_its_size_is_that_of_its_tables():
    small, large = (KneserNey(order).fit(text_task("abracadabra" * 5), 0) for order in (1, 3))
    # Five characters: key and share of each, and one context with its gamma.
    assert small.nbytes == 5 * (8 + 4) + 8 + 4
    assert large.nbytes > small.nbytes


def test_its_counting_is_seen_by_the_meters():
    with OperationCount() as meter:
        KneserNey(4).fit(text_task("the quality of mercy is not strained " * 30), 0)
    assert meter.reading.value > 1000


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="order=12 with 65 characters does not fit into 63 bits"):
        KneserNey(12).fit(NextCharacter().sample(0), 0)
    with pytest.raises(ValueError, match=r"order=5: the training text must have at least 5 characters \(got 3\)"):
        KneserNey(5).fit(text_task("abc"), 0)
    with pytest.raises(ValueError, match="no alphabet"):
        KneserNey().fit(SparseParity().sample(0), 0)
    with pytest.raises(ValueError, match="order must be 1 to 16"):
        KneserNey(0)
    with pytest.raises(ValueError, match=r"ids must be 0 to 2, .*\(got 7 to 7\)"):
        KneserNey(2).fit(text_task("abcabc"), 0).decoder(1).step(torch.tensor([7]))
