import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searches import CRASHING, SPACE, START

from sutrolib.models.parity.curriculum import Curriculum
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.space import Proposal, Space, family_of, space_of

BOTH = Space((family_of(TwoLayerNetwork()), family_of(GF2Elimination()), family_of(Curriculum())))
seeds = st.integers(0, 10_000).map(np.random.default_rng)


def test_a_space_is_read_off_the_fields_of_a_model():
    dimensions = family_of(TwoLayerNetwork(), "hidden", "lr", "rule", "holdout").dimensions
    assert dimensions == {
        "hidden": Range(8, 1000, log=True, whole=True),
        "lr": Range(0.003, 3.0, log=True),
        "rule": Choice(("sgd", "sign")),
        "holdout": Range(0.0, 0.9),  # no range to search is known of it: all that the field accepts
    }


def test_without_names_it_holds_what_is_worth_searching_those_of_fields_of_fields_too():
    dimensions = family_of(Curriculum()).dimensions
    assert {"first", "network.hidden", "network.lr"} <= set(dimensions)
    assert not {"second", "network.max_epochs"} & set(dimensions)


def test_a_setting_of_a_field_of_a_field_reaches_it():
    space = space_of(Curriculum(), "first", network__lr=Range(0.01, 1.0, log=True))
    model = space.model(Proposal(Curriculum.name, {"first": 7, "network.lr": 0.5}))
    assert model == Curriculum(first=7, network=TwoLayerNetwork(lr=0.5))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: space_of(TwoLayerNetwork(), "hiden"), "no field 'hiden'; the fields are hidden, lr"),
        (lambda: space_of(Curriculum(), "network.hiden"), "no field 'network.hiden'; the fields are first"),
        (lambda: space_of(TwoLayerNetwork(), lr=Range(0.1, 1000.0)), "goes beyond the field.*1000.0, accepted"),
        (lambda: space_of(TwoLayerNetwork(), rule=Choice(("sgd", "adam"))), "adam.*accepted are sgd, sign"),
        (lambda: space_of(TwoLayerNetwork(), hidden=Choice((20, 50))), "hidden=200, accepted are 20, 50"),
        (lambda: Space(()), "none, accepted are one and above"),
        (lambda: Space((family_of(START), family_of(START))), "of different names"),
        (lambda: Range(2, 1), "in this order"),
        (lambda: Range(0, 1, log=True), "has no logarithm"),
        (lambda: Range(0.5, 1, whole=True), "whole numbers"),
        (lambda: Choice(()), "one and above"),
    ],
)
def test_what_is_wrong_with_a_space_is_said(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize(
    ("family", "settings", "told"),
    [
        ("net", {}, "family 'net', accepted are 'two-layer network'"),
        (["two-layer network"], {}, "accepted are 'two-layer network'"),
        (START.name, {"hidden": 50}, "missing lr; accepted are hidden, lr"),
        (START.name, {"hidden": 50, "lr": 0.1, "seed": 0}, "unknown 'seed'"),
        (START.name, {"hidden": 50.5, "lr": 0.1}, "hidden=50.5, accepted are whole numbers from 20 to 200"),
        (START.name, {"hidden": True, "lr": 0.1}, "hidden=True, accepted"),
        (START.name, {"hidden": 50, "lr": math.nan}, "lr=nan, accepted are numbers from 0.03 to 1"),
        (START.name, {"hidden": 50, "lr": "0.1"}, "lr='0.1', accepted"),
        (START.name, {"hidden": 10**400, "lr": 0.1}, "accepted are whole numbers"),
        (START.name, [["hidden", 50]], "accepted is a mapping"),
    ],
)
def test_a_proposal_from_anywhere_is_checked(family, settings, told):
    with pytest.raises(ValueError, match=told):
        SPACE.check(family, settings)


@given(seeds)
def test_whatever_is_drawn_changed_or_crossed_is_a_proposal_of_the_space(rng):
    one, other = BOTH.sample(rng), BOTH.sample(rng)
    for proposal in (one, BOTH.mutated(one, rng), BOTH.crossed(one, other, rng)):
        checked = BOTH.check(proposal.family, json.loads(json.dumps(dict(proposal.settings))))
        assert checked.key == proposal.key
        assert dataclasses.is_dataclass(BOTH.model(proposal))


@given(seeds)
def test_a_change_changes_something(rng):
    one = SPACE.sample(rng)
    assert SPACE.mutated(one, rng).key != one.key


def test_draws_cover_a_range_evenly_by_their_logarithm():
    rng = np.random.default_rng(0)
    drawn = [Range(1, 10_000, log=True).draw(rng) for _ in range(2000)]
    assert np.mean(np.array(drawn) < 100) == pytest.approx(0.5, abs=0.04)


def test_the_points_of_a_grid_reach_from_end_to_end_without_repeats():
    assert Range(1, 100, log=True).points(3) == [1, pytest.approx(10), pytest.approx(100)]
    assert Range(1, 2, whole=True).points(5) == [1, 2]


def test_the_size_of_a_space_counts_its_settings():
    assert (
        space_of(TwoLayerNetwork(hidden=20), hidden=Range(20, 29, whole=True), rule=Choice(("sgd", "sign"))).size == 20
    )
    assert SPACE.size == math.inf
    assert Space((CRASHING, family_of(GF2Elimination()))).size == 3 + 101


def test_the_same_proposal_has_the_same_key_in_any_order():
    assert Proposal("a", {"x": 1, "y": 2}).key == Proposal("a", {"y": 2, "x": 1}).key
    assert Proposal("a", {"x": 1}).key != Proposal("b", {"x": 1}).key


def test_a_choice_tells_true_from_one():
    with pytest.raises(ValueError, match="accepted are 1, 2"):
        Choice((1, 2)).check(True)
