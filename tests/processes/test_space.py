import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from searches import CRASHING, SPACE, START

from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.space import Proposal, SearchSpace, family_of, space_of

BOTH = SearchSpace((family_of(TwoLayerNetwork()), family_of(GF2Elimination()), family_of(Curriculum())))
seeds = st.integers(0, 10_000).map(np.random.default_rng)


def test_a_space_is_read_off_the_fields_of_a_model():
    dimensions = family_of(TwoLayerNetwork(), "hidden", "lr", "optimizer", "holdout").dimensions
    assert dimensions == {
        "hidden": Range(8, 1000, log=True, integer=True),
        "lr": Range(0.003, 3.0, log=True),
        "optimizer": Choice(("sgd", "signsgd")),
        "holdout": Range(0.0, 0.9),  # no range to search is known of it: all that the field accepts
    }


def test_without_names_it_holds_what_is_worth_searching_those_of_fields_of_fields_too():
    dimensions = family_of(Curriculum()).dimensions
    assert {"first_bits", "network.hidden", "network.lr"} <= set(dimensions)
    assert not {"second_bits", "network.max_epochs"} & set(dimensions)


def test_a_setting_of_a_field_of_a_field_reaches_it():
    space = space_of(Curriculum(), "first_bits", network__lr=Range(0.01, 1.0, log=True))
    model = space.model(Proposal(Curriculum.name, {"first_bits": 7, "network.lr": 0.5}))
    assert model == Curriculum(first_bits=7, network=TwoLayerNetwork(lr=0.5))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: space_of(TwoLayerNetwork(), "hiden"), "no field 'hiden'; the fields are hidden, lr"),
        (lambda: space_of(Curriculum(), "network.hiden"), "no field 'network.hiden'; the fields are first_bits"),
        (lambda: space_of(TwoLayerNetwork(), lr=Range(0.1, 1000.0)), "goes beyond the field.*got 1000.0"),
        (
            lambda: space_of(TwoLayerNetwork(), optimizer=Choice(("sgd", "adam"))),
            "sgd, signsgd .got 'adam'",
        ),
        (lambda: space_of(TwoLayerNetwork(), hidden=Choice((20, 50))), "hidden must be one of 20, 50 .got 200"),
        (lambda: SearchSpace(()), "one or more with different names .got none"),
        (
            lambda: SearchSpace((family_of(START), family_of(START))),
            "got two-layer network, two-layer network",
        ),
        (lambda: Range(2, 1), "low at most high .got low=2, high=1"),
        (lambda: Range(0, 1, log=True), "low must be above 0 .*got low=0"),
        (lambda: Range(0.5, 1, integer=True), "must be integers .got low=0.5"),
        (lambda: Choice(()), "values must not be empty"),
    ],
)
def test_what_is_wrong_with_a_space_is_said(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize(
    ("family", "settings", "told"),
    [
        ("net", {}, "unknown family 'net': choose one of 'two-layer network'"),
        (["two-layer network"], {}, "choose one of 'two-layer network'"),
        (START.name, {"hidden": 50}, "missing lr; the settings are hidden, lr"),
        (START.name, {"hidden": 50, "lr": 0.1, "seed": 0}, "unknown 'seed'"),
        (START.name, {"hidden": 50.5, "lr": 0.1}, "hidden must be an integer from 20 to 200 .got 50.5"),
        (START.name, {"hidden": True, "lr": 0.1}, "hidden must be an integer .*got True"),
        (START.name, {"hidden": 50, "lr": math.nan}, "lr must be a number from 0.03 to 1 .got nan"),
        (START.name, {"hidden": 50, "lr": "0.1"}, "lr must be a number .*got '0.1'"),
        (START.name, {"hidden": 10**400, "lr": 0.1}, "hidden must be an integer"),
        (START.name, [["hidden", 50]], "settings must map names to values"),
    ],
)
def test_a_proposal_from_anywhere_is_checked(family, settings, told):
    with pytest.raises(ValueError, match=told):
        SPACE.validate(family, settings)


@given(seeds)
def test_whatever_is_drawn_changed_or_crossed_is_a_proposal_of_the_space(rng):
    one, other = BOTH.sample(rng), BOTH.sample(rng)
    for proposal in (one, BOTH.mutate(one, rng), BOTH.crossover(one, other, rng)):
        checked = BOTH.validate(proposal.family, json.loads(json.dumps(dict(proposal.settings))))
        assert checked.key == proposal.key
        assert dataclasses.is_dataclass(BOTH.model(proposal))


@given(seeds)
@example(rng=np.random.default_rng(9519))  # a new draw that gives the value there was
def test_a_change_changes_something(rng):
    one = SPACE.sample(rng)
    assert SPACE.mutate(one, rng).key != one.key


def test_draws_cover_a_range_evenly_by_their_logarithm():
    rng = np.random.default_rng(0)
    drawn = [Range(1, 10_000, log=True).sample(rng) for _ in range(2000)]
    assert np.mean(np.array(drawn) < 100) == pytest.approx(0.5, abs=0.04)


def test_the_points_of_a_grid_reach_from_end_to_end_without_repeats():
    assert Range(1, 100, log=True).grid_points(3) == [1, pytest.approx(10), pytest.approx(100)]
    assert Range(1, 2, integer=True).grid_points(5) == [1, 2]


def test_the_size_of_a_space_counts_its_settings():
    dimensions = {"hidden": Range(20, 29, integer=True), "optimizer": Choice(("sgd", "signsgd"))}
    assert space_of(TwoLayerNetwork(hidden=20), **dimensions).size == 20
    assert SPACE.size == math.inf
    assert SearchSpace((CRASHING, family_of(GF2Elimination()))).size == 3 + 101


def test_the_same_proposal_has_the_same_key_in_any_order():
    assert Proposal("a", {"x": 1, "y": 2}).key == Proposal("a", {"y": 2, "x": 1}).key
    assert Proposal("a", {"x": 1}).key != Proposal("b", {"x": 1}).key


def test_a_choice_tells_true_from_one():
    with pytest.raises(ValueError, match="must be one of 1, 2"):
        Choice((1, 2)).validate(True)
