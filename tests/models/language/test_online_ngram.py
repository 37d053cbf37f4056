import dataclasses

import pytest
import torch
from texts import text_task

from sutrolib.models.language.extended_ngram import OnlineNGram
from sutrolib.models.language.kneser_ney import FittedNGram
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram

BEFORE = LeaveOneOutNGram(3, 100, 50, 3)
MODEL = OnlineNGram(BEFORE, min_order=2, max_order=4, prior_weight=0.5)
TEXT = "abcd dcba abba acca " * 10


def read(fitted, text):
    """The log-probabilities after each character of ``text``, read as one stream."""
    decoder = fitted.decoder(1)
    ids = torch.tensor([fitted.alphabet.index(c) for c in text])
    return torch.cat([decoder.step(i[None]) for i in ids])


def test_at_first_it_says_what_was_counted_before():
    task = text_task(TEXT)
    assert torch.equal(read(MODEL.fit(task, 0), "a"), read(BEFORE.fit(task, 0), "a"))


def test_what_was_read_again_and_again_becomes_likely():
    fitted = MODEL.fit(text_task(TEXT), 0)
    d = fitted.alphabet.index("d")
    found = read(fitted, "bdbdbdbdbdb")[:, d].exp()
    assert found[0] < 0.2
    assert found[-1] > 0.8


def test_counts_are_added_to_what_was_trained_by_the_definition():
    task = text_task(TEXT)
    fitted = dataclasses.replace(MODEL, max_order=2, prior_weight=3.0).fit(task, 0)
    text = "acaba"  # after a: c once, b once
    found, below = read(fitted, text)[-1].exp(), read(FittedNGram(fitted.alphabet, fitted.orders), text)[-1].exp()
    expected = 3 * below / 5
    for character in "cb":
        expected[fitted.alphabet.index(character)] += 1 / 5
    assert torch.allclose(found, expected, atol=1e-6)


def test_every_distribution_sums_to_one():
    fitted = MODEL.fit(text_task(TEXT), 0)
    found = read(fitted, "abcabcddd cab")
    assert torch.allclose(found.exp().sum(1), torch.ones(len(found)), atol=1e-5)


def test_streams_learn_from_themselves_alone():
    fitted = MODEL.fit(text_task(TEXT), 0)
    a, b, d = (fitted.alphabet.index(c) for c in "abd")
    together = fitted.decoder(2)
    for first in (b, d, b, d, b, d, b):
        found = together.step(torch.tensor([first, a]))
    assert torch.allclose(found[0], read(fitted, "bdbdbdb")[-1])
    assert torch.allclose(found[1], read(fitted, "aaaaaaa")[-1])


def test_one_reader_leaves_nothing_to_the_next():
    fitted = MODEL.fit(text_task(TEXT), 0)
    assert torch.equal(read(fitted, "bdbd"), read(fitted, "bdbd"))


def test_strings_that_end_before_they_begin_are_refused():
    with pytest.raises(ValueError, match="max_order must be at least min_order=4"):
        OnlineNGram(min_order=4, max_order=3)
