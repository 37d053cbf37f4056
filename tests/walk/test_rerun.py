"""Keeping an algorithm against running the process again: when which is better, and that one real search says so."""

import dataclasses

import pytest
from walks import record

from sutrolib.core.stats import Interval
from sutrolib.core.types import describe
from sutrolib.measurement.walk_records import NextTry
from sutrolib.meters import CacheEnergy
from sutrolib.meters.access.cache_energy import CORE_I7_950, HOROWITZ_2014
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.manual import ProposedChange
from sutrolib.walk import step, tables
from sutrolib.walk.plan import Expectation, Rule, StepPlan
from sutrolib.walk.rerun import Rerun, _runs, keep_or_rerun
from sutrolib.walk.spaces import grounds

HALF, DEARER = Interval(0.5, 0.4, 0.6), Interval(1.1, 0.9, 1.3)
CASE = Rerun(2, "a machine", "old", "new", 1.0, 1.0, 10.0, 8.0, 100.0, HALF)
NEEDED = "rerun: what is kept solves less than 80%"


@pytest.mark.parametrize(
    ("changes", "trainings", "better"),
    [
        ({}, 50, "rerun, from 50 trainings on"),
        ({"ratio": DEARER}, None, "keep"),
        ({"cost_found": 11.0}, None, "keep"),  # dearer on average, though cheaper by the mean of logarithms
        ({"kept_solved": 0.6}, 0, NEEDED),
        ({"kept_solved": 0.0, "cost_kept": None, "ratio": None}, 0, NEEDED),
        ({"kept_solved": 0.8, "ratio": None}, None, "keep"),  # one training failed
        ({"found_solved": 0.4}, None, "keep"),
        ({"kept_solved": 0.6, "found_solved": 0.4}, None, "neither solves enough"),
        ({"cost_found": None, "ratio": None}, None, "keep"),
    ],
)
def test_the_search_pays_for_itself_after_so_many_trainings_or_never(changes, trainings, better):
    case = dataclasses.replace(CASE, **changes)
    assert (case.break_even, case.verdict) == (trainings, better)
    _, ((*_, said),) = tables.rerun_table([case])
    assert said == better


@pytest.fixture
def small(monkeypatch):
    """Step 2 on a parity of 8 bits, so that its search takes seconds."""
    problem = SparseParity(n=8, k=2, n_train=200, n_test=100, noise=0.1)
    ground = dataclasses.replace(grounds()["parity-hard"], problem=problem, searched=problem)
    monkeypatch.setattr(step, "grounds", lambda: {"parity-hard": ground})
    rule = Rule("solved", "more budget", at_least=0.8)
    changes = (ProposedChange("25 hidden units", {"hidden": 25}, "half the weights"),)
    plan = StepPlan(2, 4, 2, Expectation("ratio", 0.5, 0, 1, "test"), rule, changes=changes)
    monkeypatch.setattr("sutrolib.walk.rerun.read_plan", lambda number, committed: plan)


@pytest.mark.slow
def test_one_search_by_the_energy_of_each_machine(small):
    before = [record(1, champion=describe(TwoLayerNetwork(hidden=50, lr=0.3)))]
    cases = [keep_or_rerun(2, machine, before, trials=3, seconds=60) for machine in (HOROWITZ_2014, CORE_I7_950)]
    assert [case.hardware for case in cases] == [HOROWITZ_2014.name, CORE_I7_950.name]
    for case in cases:
        assert case.kept == TwoLayerNetwork.name
        assert case.cost_search > case.cost_found > 0
    one, other = (case.cost_search for case in cases)
    assert one != other, "the hardware decides what a search costs"


@pytest.mark.slow
def test_what_does_not_solve_the_problem_cannot_be_kept(small):
    poor = record(1, champion=describe(TwoLayerNetwork(hidden=8, lr=0.05, max_epochs=10)))
    case = keep_or_rerun(2, HOROWITZ_2014, [poor], trials=3, seconds=60)
    assert case.kept_solved < 0.8
    assert case.found == TwoLayerNetwork.name
    assert case.verdict in (NEEDED, "neither solves enough")


def test_why_the_kept_algorithm_cannot_be_measured_is_said(tmp_path):
    run = step.StepRun(NextTry(5), None, [], tmp_path)
    runs, why = _runs(run, GF2Elimination(), CacheEnergy())
    assert (runs, why.partition(":")[0]) == ([], "ValueError")
    case = dataclasses.replace(CASE, kept_solved=0.0, cost_kept=None, ratio=None, failed=why)
    assert tables.rerun_table([case])[1][0][2] == f"old (0%; {why})"
