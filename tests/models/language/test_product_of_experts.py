import dataclasses

import pytest
import torch
from texts import text_task

from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.extended_ngram import ProductOfExperts, log_product
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram

TEXT = "to be or not to be that is the question " * 10
SMALL = ProductOfExperts(
    LeaveOneOutNGram(3, 100, 50, 3),
    DistilledGPT(layers=1, heads=2, width=16, block_size=8, batch=4, max_steps=5, teacher_order=2),
)


def test_the_product_of_two_distributions_is_made_to_sum_to_one():
    first, second = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.1, 0.8, 0.1]])
    found = log_product(first.log(), second.log(), (1.0, 0.5)).exp()
    expected = first * second.sqrt()
    assert torch.allclose(found, expected / expected.sum())


def test_with_one_exponent_at_zero_it_is_the_other_one():
    fitted = SMALL.fit(text_task(TEXT), 0)
    ids = torch.arange(8)[None] % 5
    ngram, gpt = fitted.ngram.predict(ids), fitted.gpt.predict(ids)
    assert torch.allclose(dataclasses.replace(fitted, exponents=(1.0, 0.0)).predict(ids), ngram, atol=1e-5)
    assert torch.allclose(dataclasses.replace(fitted, exponents=(0.0, 1.0)).predict(ids), gpt, atol=1e-5)


def test_reading_says_what_predicting_says():
    fitted = SMALL.fit(text_task(TEXT), 0)
    ids = torch.randint(len(fitted.alphabet), (6, 8), generator=torch.Generator().manual_seed(0))
    decoder = fitted.decoder(6)
    for column in ids.unbind(1):
        found = decoder.step(column)
    assert torch.allclose(found, fitted.predict(ids), atol=1e-5)


def test_its_bytes_and_updates_are_those_of_its_parts():
    fitted = SMALL.fit(text_task(TEXT), 0)
    assert fitted.nbytes == fitted.ngram.nbytes + fitted.gpt.nbytes
    assert fitted.steps == 5
    assert fitted.history == ()


def test_exponents_out_of_range_are_refused():
    with pytest.raises(ValueError, match="ngram_exponent must be"):
        ProductOfExperts(ngram_exponent=-1)
