import dataclasses
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from searches import CRASHING

from sutrolib.measurement.measure import measure
from sutrolib.meters import CacheEnergy, OperationCount
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, WalshFourier
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import ResourceUse, SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.evolution import Evolution, rename_settings, survivors, switch_family
from sutrolib.processes.model_families import parity_families
from sutrolib.processes.search import ProposalRequest
from sutrolib.processes.space import Proposal, SearchSpace, family_of, space_of
from sutrolib.processes.study import Trial

SMALL = SparseParity(n=10, n_train=400)
SPACE = parity_families(network=TwoLayerNetwork())
BUDGET = SearchBudget(trials=25)
SLATE = Evolution(pairs=2, trace_updates=50)


def imagined(outcome, trials, search=SLATE, space=SPACE, seed=0):
    """The trials of a search whose candidates do as ``outcome(proposal)``, a cost or None, says; nothing is trained."""
    history = []
    for number in range(trials):
        for attempt in range(50):
            rng = np.random.default_rng((seed, number, attempt))
            question = ProposalRequest(None, space, "cost", list(history), BUDGET, number, rng, 0, attempt)
            proposal = search.propose(question)
            if proposal.key not in {trial.proposal.key for trial in history}:
                break
        cost = outcome(proposal)
        state = TrialState.FAILED if cost is None else TrialState.SOLVED
        history.append(Trial(number, proposal, state, "", cost=cost, score=None if cost is None else 1.0))
    return history


@pytest.mark.parametrize("meter", [OperationCount(), CacheEnergy()], ids=lambda meter: meter.name)
@pytest.mark.parametrize("seed", [0, pytest.param(100, marks=pytest.mark.slow)])
def test_on_a_parity_something_else_than_the_network_turns_out_to_be_far_cheaper(meter, seed):
    study = SLATE.improve(SMALL, SPACE, meter, BUDGET, seed)
    assert len(study.trials) == 25
    start = study.trials[0]
    assert start.proposal == SPACE.start
    assert start.state is TrialState.SOLVED
    assert study.best.proposal.family != "two-layer network"
    assert study.best.cost <= start.cost / 10
    assert study.best.prior_knowledge == study.model.prior_knowledge != "samples only"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (100, 200))])
def test_with_noise_what_is_found_solves_seeds_that_it_was_not_chosen_by(seed):
    noisy = dataclasses.replace(SMALL, noise=0.1)
    study = SLATE.improve(noisy, SPACE, OperationCount(), BUDGET, seed)
    fresh = [measure(noisy, study.model, [], s, timed=False) for s in range(5000, 5010)]
    assert sum(run.solved for run in fresh) >= 9
    assert study.best.proposal.family not in ("GF(2) elimination", "constraint search", "two-layer network")
    exact = [trial for trial in study.trials if trial.proposal.family == "GF(2) elimination"]
    assert exact
    assert all(trial.cost is None for trial in exact)


def test_equal_seeds_give_equal_searches_and_others_do_not():
    quick, budget = dataclasses.replace(SLATE, pairs=1, population_size=8), SearchBudget(trials=14)
    one, again, other = (quick.improve(SMALL, SPACE, OperationCount(), budget, seed) for seed in (0, 0, 100))
    keys = [[(trial.proposal.key, trial.cost) for trial in study.trials] for study in (one, again, other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path):
    quick = dataclasses.replace(SLATE, pairs=1, population_size=8)
    whole = quick.improve(SMALL, SPACE, OperationCount(), SearchBudget(trials=14))
    stored = dataclasses.replace(quick, journal=tmp_path / "study")
    stored.improve(SMALL, SPACE, OperationCount(), SearchBudget(trials=9))
    resumed = stored.improve(SMALL, SPACE, OperationCount(), SearchBudget(trials=14))
    assert [t.proposal.key for t in resumed.trials] == [t.proposal.key for t in whole.trials]
    assert resumed.best.proposal == whole.best.proposal


def test_every_family_gets_its_turn_before_any_is_preferred():
    history = imagined(lambda proposal: 1.0, len(SPACE.families))
    assert Counter(trial.proposal.family for trial in history) == dict.fromkeys((f.name for f in SPACE.families), 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_family_is_not_closed_by_settings_that_fail(seed):
    tries = []

    def outcome(proposal):
        if proposal.family != "Walsh-Fourier search":
            return 10.0
        tries.append(proposal)
        return 1.0 if len(tries) > 3 else None

    history = imagined(outcome, 120, seed=seed)
    walsh = [trial for trial in history if trial.proposal.family == "Walsh-Fourier search"]
    assert [trial.cost for trial in walsh[:4]] == [None, None, None, 1.0]
    assert len(walsh) > 15  # it was the best from then on


def test_after_the_turns_most_trials_go_on_from_what_is_best():
    history = imagined(lambda p: 1.0 if p.family == "Hebbian rule" else 1000.0, 100)
    late = Counter(trial.proposal.family for trial in history[50:])
    assert late["Hebbian rule"] > 25


def test_without_any_success_the_families_take_turns():
    count = Counter(trial.proposal.family for trial in imagined(lambda proposal: None, 60))
    assert count.pop("constraint search") == 4  # it has no more settings than that
    assert max(count.values()) - min(count.values()) <= 1


def test_a_space_that_is_used_up_ends_the_search():
    space = space_of(ConstraintSearch())
    study = Evolution(population_size=2).improve(SMALL, space, OperationCount(), SearchBudget(trials=30))
    assert sorted(trial.proposal.settings["k"] for trial in study.trials) == [2, 3, 4, 5]
    assert "used up" in study.stopped
    assert study.best.proposal.settings == {"k": 3}


def test_candidates_that_crash_do_not_end_the_search():
    space = SearchSpace((family_of(GF2Elimination()), CRASHING))
    study = Evolution(population_size=4).improve(SMALL, space, OperationCount(), SearchBudget(trials=12))
    crashed = [trial for trial in study.trials if trial.state is TrialState.FAILED]
    assert {trial.proposal.family for trial in crashed} == {"crashing"}
    assert study.best.proposal.family == "GF(2) elimination"


@dataclass(frozen=True)
class Lucky:
    """Knows the answer for seeds below 2, and guesses for the others."""

    guess: int = field(default=0, metadata={"low": 0, "high": 9, "search": (0, 9)})

    name: ClassVar[str] = "lucky"
    prior_knowledge: ClassVar[str] = "more than it says"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def fit(self, task, seed, budget=None):
        torch.ones(1).add(1)  # costs next to nothing
        return FittedParity(SMALL.secret(seed) if seed < 2 else (self.guess,), 0)


def test_what_was_lucky_on_the_seeds_it_was_chosen_by_is_not_the_result():
    space = SearchSpace((family_of(WalshFourier(k=3), "samples"), family_of(Lucky())))
    search = Evolution(pairs=2, population_size=4)
    naive = dataclasses.replace(search, n_confirm=0, check_best=False).improve(
        SMALL, space, OperationCount(), SearchBudget(trials=12)
    )
    study = search.improve(SMALL, space, OperationCount(), SearchBudget(trials=12))
    assert naive.best.proposal.family == "lucky"
    assert study.best.proposal.family == "Walsh-Fourier search"
    lucky = [trial for trial in study.trials if trial.proposal.family == "lucky"]
    assert all(t.state is TrialState.MISSED and t.cost is None and "on fresh seeds: accuracy" in t.why for t in lucky)
    assert "solved on 5 of 5" in study.best.why
    assert study.best.cost == next(t.cost for t in naive.trials if t.number == study.best.number)
    assert study.total_cost > naive.total_cost  # looking twice is charged
    assert study.spent.trials == naive.spent.trials == 12


def test_where_only_luck_was_found_nothing_was_found():
    study = Evolution(pairs=2).improve(SMALL, space_of(Lucky()), OperationCount(), SearchBudget(trials=3))
    assert study.best is None
    assert all(trial.state is TrialState.MISSED for trial in study.trials)


def test_the_living_are_the_best_and_the_best_of_each_family():
    def trial(number, family, cost=None, score=None, state=TrialState.SOLVED):
        return Trial(number, Proposal(family), state, "", cost=cost, score=score, spent=ResourceUse(1))

    history = [
        trial(0, "a", 3.0),
        trial(1, "a", 1.0),
        trial(2, "a", 2.0),
        trial(3, "b", None, 0.6, TrialState.MISSED),
        trial(4, "b", None, 0.9, TrialState.MISSED),
        trial(5, "c", state=TrialState.FAILED),
        Trial(6, None, TrialState.REFUSED, "no proposal"),
    ]
    assert [t.number for t in survivors(history, 2)] == [1, 2, 4]
    assert [t.number for t in survivors(history, 9)] == [1, 2, 0, 4, 3]
    assert math.isinf(history[5].objective)


def test_a_leap_takes_settings_along_under_the_names_that_they_have_there():
    parent = SPACE.start
    there = rename_settings(parent, SPACE.family("feature selection, then network"))
    assert there.settings["network.lr"] == parent.settings["lr"]
    assert "network.lr" not in rename_settings(there, SPACE.family("two-layer network")).settings
    assert rename_settings(there, SPACE.family("two-layer network")).settings == parent.settings
    space = SearchSpace((SPACE.families[0], SPACE.family("feature selection, then network")))
    leaps = [switch_family(space, parent, np.random.default_rng(seed)) for seed in range(40)]
    assert {leap.family for leap in leaps} == {"feature selection, then network"}
    taken = sum(leap.settings["network.lr"] == parent.settings["lr"] for leap in leaps)
    assert 8 <= taken <= 32


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"population_size": 0}, "population_size must be at least 1"),
        ({"tournament_size": 0}, "tournament_size must be at least 1"),
        ({"n_confirm": -1}, "n_confirm must be at least 0"),
        ({"pairs": 0}, "pairs must be at least 1"),
        ({"random_rate": 0.8, "family_switch_rate": 0.3}, "sum to at most 1"),
        ({"crossover_rate": -0.1}, "must be at least 0"),
    ],
)
def test_wrong_fields_are_named(fields, named):
    with pytest.raises(ValueError, match=named):
        Evolution(**fields)
