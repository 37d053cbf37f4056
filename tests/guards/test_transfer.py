import dataclasses

import pytest
import torch
from builders import measurement

from sutrolib.guards.hardware_map import HARDWARE_POINTS, HardwarePoint, Workload
from sutrolib.guards.transfer import Setting, TransferResult, evaluate_transfer
from sutrolib.meters import OperationCount
from sutrolib.meters.access.cache_energy import CacheEnergy
from sutrolib.meters.access.trace import TorchTrace
from sutrolib.meters.base import Kind, Reading
from sutrolib.models.parity.gf2 import GF2Elimination, RobustGF2
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, WalshFourier
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.dimension import Choice
from sutrolib.processes.evaluator import Evaluation, TrialState
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.space import Proposal, SearchSpace, family_of
from sutrolib.processes.study import Study, Trial

CLEAN = SparseParity(n=10, k=3, n_train=300, n_test=200)
NOISY = dataclasses.replace(CLEAN, noise=0.1)
WALSH = family_of(WalshFourier(k=3), samples=Choice((60, 200, 300)))
SPACE = SearchSpace((WALSH, family_of(GF2Elimination()), family_of(RobustGF2())))
SLATE = Evolution(pairs=2, population_size=4)
BUDGET = SearchBudget(trials=9)
FRESH = range(1000, 1005)
METER = OperationCount()
HERE, THERE = Setting("clean labels", CLEAN, SPACE, METER), Setting("10 % noise", NOISY, SPACE, METER)


def run_transfer(process, source, target, budget, fresh, trace_updates=None):
    studies = (process.improve(s.problem, s.space, s.meter, budget, 0) for s in (source, target))
    return evaluate_transfer(source, target, *studies, fresh, trace_updates)


pytestmark = pytest.mark.xdist_group("onto_noise")  # the tests of one worker share what is made once


@pytest.fixture(scope="module")
def onto_noise():
    return run_transfer(SLATE, HERE, THERE, BUDGET, FRESH)


def test_an_exact_solver_does_not_survive_noise_and_the_process_finds_one_that_does(onto_noise):
    assert onto_noise.source_study.best.proposal.family == "GF(2) elimination"
    assert onto_noise.transferred.state is TrialState.FAILED
    assert not onto_noise.still_wins
    assert onto_noise.compare(onto_noise.transferred, onto_noise.baseline) == (False, None)
    assert onto_noise.compare(onto_noise.rerun, onto_noise.transferred) == (True, None)
    assert onto_noise.rerun_wins
    assert onto_noise.new_winner
    assert onto_noise.rerun.cost < onto_noise.baseline.cost
    assert "GF(2) elimination, found on clean labels, does not solve 10 % noise (" in onto_noise.why
    winner = onto_noise.target_study.best.proposal.family
    assert winner in ("Walsh-Fourier search", "noise-robust GF(2)")
    assert (
        f"rerunning the search there finds {winner}, at {onto_noise.rerun.cost / onto_noise.baseline.cost:.3g} ["
        in (onto_noise.why)
    )


def test_what_is_weighed_there_is_weighed_on_the_fresh_seeds_of_the_problem_there(onto_noise):
    for judged in (onto_noise.rerun, onto_noise.baseline):
        assert [run.seed for run in judged.runs] == list(FRESH)
        assert {run.problem["noise"] for run in judged.runs} == {0.1}
    assert onto_noise.baseline.runs[0].model["name"] == "Walsh-Fourier search"


def test_on_the_same_spot_nothing_is_lost_and_nothing_is_gained():
    found = run_transfer(SLATE, HERE, HERE, BUDGET, FRESH)
    assert found.still_wins
    assert found.compare(found.transferred, found.baseline)[1].high < 0.1
    rerun_ratio = found.compare(found.rerun, found.transferred)[1]
    assert (rerun_ratio.low, rerun_ratio.high) == (1, 1)
    assert not found.rerun_wins
    assert not found.new_winner


def test_counted_and_modelled_readings_of_a_long_training_are_compared():
    space = SearchSpace((family_of(TwoLayerNetwork(max_epochs=30), "hidden"), family_of(GF2Elimination())))
    place = Setting("two bits", SparseParity(n=6, k=2, n_train=400, n_test=200), space, METER)
    search = Evolution(pairs=1, population_size=2, trace_updates=5)
    found = run_transfer(search, place, place, SearchBudget(trials=3), FRESH, trace_updates=5)
    assert {run.reading("operations").kind for run in found.baseline.runs} == {Kind.MODELLED}
    assert {run.reading("operations").kind for run in found.transferred.runs} == {Kind.COUNTED}
    assert found.compare(found.transferred, found.baseline)[1].high < 0.01


def test_where_nothing_is_source_study_there_is_nothing_to_carry_and_nothing_target_study_is_a_result():
    exact = SearchSpace((family_of(GF2Elimination()), family_of(ConstraintSearch())))
    lost = dataclasses.replace(THERE, space=exact)
    with pytest.raises(ValueError, match="evolution: none of 9 trials solved the problem"):
        run_transfer(SLATE, lost, HERE, BUDGET, FRESH)
    found = run_transfer(SLATE, HERE, lost, BUDGET, FRESH)
    assert found.rerun is None
    assert not found.rerun_wins
    assert found.why.endswith("rerunning the search there finds nothing that solves it")


@pytest.mark.parametrize("fresh", [(1000, 1001), (1000, 1001, 1001), (1, 1000, 1001)])
def test_too_few_seeds_repeated_ones_and_those_that_were_chosen_by_are_refused(onto_noise, fresh):
    with pytest.raises(ValueError, match=r"fresh must hold .* the searches did not use \(0, 1\)"):
        evaluate_transfer(HERE, THERE, onto_noise.source_study, onto_noise.target_study, fresh)


def judged(*costs):
    """As weighed at these costs, one a seed; missed where there are none."""
    if not costs:
        return Evaluation(TrialState.MISSED, "accuracy 0.5, asked 0.99")
    runs = [
        measurement(seed=seed, readings=(Reading("operations", cost, "operations", Kind.COUNTED),))
        for seed, cost in enumerate(costs)
    ]
    return Evaluation(TrialState.SOLVED, "", cost=1.0, runs=tuple(runs))


def study(family):
    found = Trial(0, Proposal(family), TrialState.SOLVED, "", cost=1.0)
    return Study("made up", {}, SPACE, "operations", "operations", "counted", BUDGET, 0, (found,), "")


def imagined(carried, rerun, start, there="old"):
    return TransferResult(HERE, THERE, study("old"), study(there), carried, rerun, start)


START, HALF, LOST = judged(10, 11, 12, 13, 14), judged(5, 5.5, 6, 6.5, 7), judged()
WITHIN = judged(9, 12, 11, 13.5, 14.5)  # its ratio to the start is not shown to be below 1


@pytest.mark.parametrize(
    ("found", "wins", "pays", "new", "words"),
    [
        (
            imagined(HALF, HALF, START),
            True,
            False,
            False,
            "still wins on 10 % noise, at 0.5 [0.5, 0.5] of the baseline",
        ),
        (imagined(HALF, HALF, START), True, False, False, "finds nothing cheaper (old, at 1 [1, 1] of its cost)"),
        (imagined(START, HALF, START), False, True, False, "finds other settings of it, at 0.5 [0.5, 0.5] of its cost"),
        (imagined(START, HALF, START, "new"), False, True, True, "finds new, at 0.5 [0.5, 0.5] of its cost"),
        (imagined(WITHIN, START, START), False, False, False, "does not win on 10 % noise, at "),
        (
            imagined(HALF, HALF, LOST),
            True,
            False,
            False,
            "which the baseline does not solve (accuracy 0.5, asked 0.99)",
        ),
        (imagined(LOST, HALF, START, "new"), False, True, True, "finds new, at 0.5 [0.5, 0.5] of the baseline's cost"),
        (imagined(LOST, HALF, LOST, "new"), False, True, True, "finds new, while the baseline fails as well"),
        (imagined(LOST, LOST, LOST), False, False, False, "does not solve 10 % noise (accuracy 0.5, asked 0.99)"),
        (imagined(HALF, LOST, START, "new"), True, False, False, "finds new, which fails on fresh seeds (accuracy 0.5"),
    ],
)
def test_the_sentence_says_what_the_numbers_say(found, wins, pays, new, words):
    assert (found.still_wins, found.rerun_wins, found.new_winner) == (wins, pays, new)
    assert words in found.why


@pytest.mark.parametrize("landmark", HARDWARE_POINTS, ids=lambda mark: mark.name)
def test_a_search_on_the_machine_of_a_landmark_is_judged_by_the_energy_of_the_map(landmark):
    task = CLEAN.sample(0).for_training()
    with torch.inference_mode(), TorchTrace() as trace:
        GF2Elimination().fit(task, 0)
    hardware = landmark.hardware()
    assert HardwarePoint.of(hardware) == landmark
    expected = Workload.of_trace("GF(2)", trace).energy(landmark.ratio, landmark.capacity)
    assert CacheEnergy(hardware).read(trace).value == pytest.approx(1e-12 * expected)


def test_a_baseline_that_crashed_is_not_beaten():
    found = imagined(HALF, HALF, Evaluation(TrialState.FAILED, "MemoryError: no memory"))
    assert not found.still_wins
    assert "cannot be compared on 10 % noise, which the baseline does not solve (MemoryError" in found.why
    run = measurement(score=None, failure="loss nan", readings=())
    assert imagined(HALF, HALF, Evaluation(TrialState.FAILED, "loss nan", runs=(run,))).still_wins
