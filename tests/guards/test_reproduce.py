import dataclasses
import math

import pytest

from sutrolib.guards.claims import Reproduction
from sutrolib.guards.reproduce import claims, reproduce_claims, sprint_step


def test_every_claim_passes_or_says_why_it_differs():
    found = reproduce_claims()
    assert [r.claim.quantity for r in found if r.result == "fail"] == []
    assert [r.claim.quantity for r in found if r.result == "differs"] == [
        "times that coarse tracking undercounts GF(2)"
    ]


def test_a_stated_difference_that_is_gone_fails():
    claim = next(iter(claims()))
    assert Reproduction(dataclasses.replace(claim, known_difference="for a reason"), claim.compute()).result == "fail"
    assert (
        Reproduction(dataclasses.replace(claim, known_difference="for a reason"), claim.compute() + 9).result
        == "differs"
    )


def test_a_claim_that_differs_fails():
    claim = next(iter(claims()))
    off = dataclasses.replace(claim, published=claim.published + 1)
    assert not Reproduction(off, off.compute()).passed


@pytest.mark.parametrize("claim", list(claims()), ids=lambda claim: claim.quantity)
def test_every_claim_would_fail_were_the_published_figure_another(claim):
    for published in (claim.compute() - claim.tolerance - 1, claim.compute() + claim.tolerance + 1):
        assert not Reproduction(dataclasses.replace(claim, published=published), claim.compute()).passed


def test_no_two_claims_say_the_same_and_each_names_its_source():
    said = [claim.quantity for claim in claims()]
    assert len(said) == len(set(said)) == 61
    assert all(claim.source for claim in claims(slow=True))
    assert len(list(claims(slow=True))) == 64


@pytest.mark.parametrize(("update", "per_read", "per_float"), [("standard", 9716, 10640), ("fused", 8174, 10219)])
def test_the_averages_are_those_of_technical_sprint_1(update, per_read, per_float):
    step = sprint_step(update)
    assert (round(step.per_read), round(step.per_float)) == (per_read, per_float)
    assert (step.floats_read, step.working_set) == (19013, 10008)


def test_the_distances_of_the_gradient_buffers_are_those_of_technical_sprint_1():
    standard, fused = sprint_step("standard").by_buffer, sprint_step("fused").by_buffer
    assert (standard["linear_grad[0]"], fused["linear_grad[0]"]) == ([16005], [3002])
    assert (standard["linear_grad[1]"], fused["linear_grad[1]"]) == ([18005], [5002])
    assert fused["W1"] == [5008, 25022]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_fails_and_is_no_known_difference(value):
    claim = dataclasses.replace(next(claims()), known_difference="for a reason")
    assert Reproduction(claim, value).result == "fail"
