import dataclasses

import numpy as np
import pytest
from searches import CHOICES, CRASHING, METER, PROBLEM, SPACE

from sutrolib.boards.loop_nest import LoopNest
from sutrolib.boards.task import BoardCost, BoardTask
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.samplers import GridSearch, HillClimbing, current_parent
from sutrolib.processes.search import ProposalRequest
from sutrolib.processes.space import Proposal, SearchSpace, space_of
from sutrolib.processes.study import Trial

NEST = LoopNest("matmul-4", steady=5, price_rounds=5)
PRODUCT = space_of(NEST, "inner_loops", "snake_inner", "tile_k", "block_i", "outer_loops")


def trials(*costs):
    """Finished trials of these costs; None for one that failed."""
    states = [TrialState.FAILED if cost is None else TrialState.SOLVED for cost in costs]
    return [
        Trial(number, Proposal("a", {"at": number}), state, "", cost=cost)
        for number, (state, cost) in enumerate(zip(states, costs, strict=True))
    ]


def asked(history, seed=0, attempt=0):
    """What a search is asked after ``history``."""
    number = len(history)
    rng = np.random.default_rng((seed, number, attempt))
    return ProposalRequest(None, PRODUCT, "cost", history, SearchBudget(trials=1000), number, rng, 0, attempt)


def climbed(cost, count, patience):
    """The trials of a climb on which a proposal costs what ``cost`` says; nothing is run."""
    history = []
    for number in range(count):
        proposal = HillClimbing(patience=patience).propose(asked(history))
        history.append(Trial(number, proposal, TrialState.SOLVED, "", cost=cost(proposal)))
    return history


def changed(one, other):
    return sum(value != other.settings[name] for name, value in one.settings.items())


def test_it_finds_the_cheapest_of_a_small_space():
    every = GridSearch().improve(PROBLEM, CHOICES, METER, SearchBudget(trials=100))
    study = HillClimbing(patience=3).improve(PROBLEM, CHOICES, METER, SearchBudget(trials=100))
    assert study.best.cost == every.best.cost
    assert "used up" in study.stopped
    assert len(study.trials) == 6


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_a_cheaper_nest_for_the_product_on_the_small_grid(seed):
    budget, task, meter = SearchBudget(trials=60), BoardTask("matmul-4"), BoardCost("matmul-4")
    study = HillClimbing(patience=30).improve(task, space_of(NEST), meter, budget, seed)
    assert study.best.cost < study.trials[0].cost - 10


def test_equal_seeds_give_equal_climbs_and_others_do_not():
    one, again, other = (
        HillClimbing(patience=3).improve(PROBLEM, SPACE, METER, SearchBudget(trials=8), seed) for seed in (0, 0, 1)
    )
    keys = [[trial.proposal.key for trial in study.trials] for study in (one, again, other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_climb_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path):
    whole = HillClimbing(patience=2).improve(PROBLEM, SPACE, METER, SearchBudget(trials=8))
    stored = dataclasses.replace(HillClimbing(patience=2), journal=tmp_path / "study")
    stored.improve(PROBLEM, SPACE, METER, SearchBudget(trials=5))
    resumed = stored.improve(PROBLEM, SPACE, METER, SearchBudget(trials=8))
    assert [t.proposal.key for t in resumed.trials] == [t.proposal.key for t in whole.trials]


def test_it_begins_where_the_space_begins_and_goes_on_from_the_best():
    history = climbed(lambda proposal: 1.0 if proposal.settings["tile_k"] == 16 else 2.0, 40, patience=100)
    assert history[0].proposal == PRODUCT.start
    best = PRODUCT.start
    few = 0
    for trial in history[1:]:
        few += changed(trial.proposal, best) == 1
        best = trial.proposal if trial.cost == 1.0 else best
    assert few > 15  # most changes are of one setting


def test_a_climb_that_is_stuck_is_left_for_a_draw():
    start = PRODUCT.start

    def cost(proposal):
        return 1.0 if proposal == start else 2.0  # nothing is as good as the start

    history = climbed(cost, 60, patience=10)
    far = [trial.number for trial in history if changed(trial.proposal, start) == len(start.settings)]
    before = [changed(trial.proposal, start) for trial in history[1:11]]
    assert np.mean(before) < 2.5
    assert current_parent(history[:11], 10) is None
    assert current_parent(history[:12], 10).number == 11  # a climb of its own, though the first one ended higher
    assert far


def test_the_parent_is_the_latest_of_the_best_since_the_climb_began():
    assert current_parent([], 3) is None
    assert current_parent(trials(5.0, 4.0, 6.0), 3).number == 1
    assert current_parent(trials(5.0, 4.0, 4.0, 6.0), 3).number == 2  # as good is good enough to move to
    assert current_parent(trials(5.0, 4.0, 4.0, 4.0), 3).number == 3
    assert current_parent(trials(5.0, 4.0, 4.0, 4.0, 4.0), 3) is None  # and no reason to go on for ever
    assert current_parent(trials(5.0, 6.0, 7.0, 8.0, 9.0), 3).number == 4


def test_what_fails_is_no_place_to_stand_on():
    assert current_parent(trials(None, None), 3) is None
    assert current_parent(trials(None, 5.0, None), 3).number == 1
    crashing = HillClimbing(patience=5).improve(PROBLEM, SearchSpace((CRASHING,)), METER, SearchBudget(trials=10))
    assert {trial.state for trial in crashing.trials} == {TrialState.FAILED, TrialState.SOLVED}


@pytest.mark.parametrize(("fields", "named"), [({"patience": 0}, "patience must be"), ({"pairs": 0}, "pairs must be")])
def test_wrong_fields_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        HillClimbing(**fields)
