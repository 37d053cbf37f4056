"""The models of the parity ladder: each on the rungs that it can climb, and refused or failing on those it cannot."""

import dataclasses

import pytest
import torch

from sutrolib.core.types import Budget, OracleUnavailable
from sutrolib.measurement.measure import measure, score_of
from sutrolib.models.parity.gf2 import GF2Elimination, Inconsistent, RobustGF2
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, InfluenceEstimation, WalshFourier
from sutrolib.problems.parity import HARDER, SparseParity, SparseSum

NOISY = {name: problem for name, problem in HARDER.items() if problem.noise}
CLEAN = {"n=20, k=3": SparseParity(), **{name: p for name, p in HARDER.items() if not p.noise}}


def subset(model, problem, seed):
    return model.fit(problem.sample(seed).for_training(model.required_oracles), seed).subset


@pytest.mark.parametrize("problem", CLEAN.values(), ids=CLEAN)
@pytest.mark.parametrize("seed", range(3))
def test_every_solver_finds_the_secret_of_a_clean_parity(problem, seed):
    solvers = (
        GF2Elimination(),
        RobustGF2(),
        WalshFourier(problem.k),
        InfluenceEstimation(),
        ConstraintSearch(problem.k),
    )
    assert {subset(model, problem, seed) for model in solvers} == {problem.secret(seed)}


@pytest.mark.parametrize("problem", NOISY.values(), ids=NOISY)
@pytest.mark.parametrize("seed", range(10))
def test_noise_up_to_a_fifth_is_overcome(problem, seed):
    for model in (RobustGF2(), WalshFourier(), InfluenceEstimation(queries_per_bit=96)):
        assert subset(model, problem, seed) == problem.secret(seed)


@pytest.mark.parametrize("model", [GF2Elimination(extra_samples=80), ConstraintSearch()])
def test_what_is_told_that_there_is_no_noise_fails_on_noise_and_says_so(model):
    with pytest.raises(Inconsistent):
        subset(model, HARDER["n=20, k=3, 20% noise"], 0)
    found = measure(HARDER["n=20, k=3, 20% noise"], model, [], 0)
    assert found.score is None
    assert found.failure


def test_labels_of_pure_noise_have_no_parity():
    x = torch.randint(0, 2, (1000, 20), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    y = torch.randint(0, 2, (1000, 1), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    task = SparseParity().sample(0).for_training()
    task = dataclasses.replace(task, train=dataclasses.replace(task.train, x=x, y=y))
    with pytest.raises(Inconsistent, match="no parity agrees with more than"):
        RobustGF2(max_subsets=2000).fit(task, 0)


def test_systems_over_more_than_one_word_are_solved():
    problem = SparseParity(n=130, k=4, noise=0.01, n_train=2000)
    assert subset(RobustGF2(), problem, 0) == problem.secret(0)


def test_a_subset_of_too_few_probes_can_be_wrong_under_noise():
    wrong = [subset(InfluenceEstimation(queries_per_bit=1), HARDER["n=20, k=3, 20% noise"], s) for s in range(5)]
    assert any(found != HARDER["n=20, k=3, 20% noise"].secret(s) for s, found in enumerate(wrong))


@pytest.mark.parametrize("seed", range(3))
def test_the_hebbian_rule_stays_at_chance(seed):
    assert 0.4 < measure(SparseParity(), Hebbian(epochs=10), [], seed).score < 0.6


def test_the_hebbian_rule_learns_what_single_bits_tell():
    assert measure(SparseParity(k=1), Hebbian(), [], 0).score > 0.95


def test_the_curriculum_solves_what_the_network_alone_does_not():
    problem = HARDER["n=50, k=3"]
    for seed in range(3):
        assert measure(problem, Curriculum(), [], seed).solved
    assert not measure(problem, TwoLayerNetwork(max_epochs=60), [], 0).solved


def test_what_was_learned_survives_widening():
    fitted = Curriculum().fit(HARDER["n=50, k=3"].sample(0).for_training(("lessons",)), 0)
    falls = [b for (_, a), (_, b) in zip(fitted.history, fitted.history[1:], strict=False) if a == 1.0 and b < 0.9]
    assert falls == []
    assert fitted.parameters.W1.shape == (200, 50)


@pytest.mark.parametrize("steps", [1, 25, 300, 420])
def test_a_curriculum_cut_short_still_predicts(steps):
    task = HARDER["n=50, k=3"].sample(0)
    fitted = Curriculum().fit(task.for_training(("lessons",)), 0, Budget(steps=steps))
    assert fitted.steps <= steps
    assert fitted.parameters.W1.shape == (200, 50)
    assert 0 <= score_of(task, fitted) <= 1


@pytest.mark.slow
def test_sign_sgd_learns_five_bits():
    model = TwoLayerNetwork(hidden=500, optimizer="signsgd", lr=0.01)
    assert measure(HARDER["n=20, k=5"], model, [], 0).solved


def test_sign_sgd_moves_every_weight_by_lr_whatever_its_gradient():
    model = TwoLayerNetwork(optimizer="signsgd", lr=0.01, weight_decay=0.0)
    task = SparseParity().sample(0)
    before, after = model.init_parameters(20, 0), model.init_parameters(20, 0)
    model.step(after, task.train.x[:32], task.train.y[:32])
    moved = (after.W1 - before.W1).abs()
    assert ((moved - 0.01).abs() < 1e-6).logical_or(moved == 0).all()
    assert (moved > 0).any()


def test_help_that_was_not_asked_for_is_not_there():
    task = SparseParity().sample(0)
    assert set(task.oracles) == {"labels", "lessons"}
    assert task.for_training().oracles == {}
    assert set(task.for_training(("labels",)).oracles) == {"labels"}
    with pytest.raises(OracleUnavailable, match=r"the problem has no oracle oracle \(it has labels, lessons\)"):
        task.for_training(("oracle",))


def test_the_teacher_answers_as_the_problem_labels_and_names_the_secret_bits():
    problem = SparseParity(n=50)
    task = problem.sample(3)
    assert torch.equal(task.oracles["labels"](task.train.x), task.train.y)
    lesson = task.oracles["lessons"](10).tolist()
    assert set(problem.secret(3)) <= set(lesson)
    assert lesson == sorted(set(lesson))
    assert len(lesson) == 10
    with pytest.raises(ValueError, match=r"a lesson must have k=3 to n=50 bits \(got 2\)"):
        task.oracles["lessons"](2)


def test_a_noisy_teacher_lies_as_often_as_the_samples_do():
    task = SparseParity(noise=0.2).sample(0)
    clean = SparseParity().sample(0).oracles["labels"]
    x = torch.randint(0, 2, (5000, 20)) * 2.0 - 1
    assert (task.oracles["labels"](x) != clean(x)).double().mean().item() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WalshFourier(k=0), "k must be 1 to 12 .got 0"),
        (lambda: ConstraintSearch(k=1), "k must be 2 to 12"),
        (lambda: InfluenceEstimation(queries_per_bit=0), "queries_per_bit must be 1 to"),
        (lambda: RobustGF2(extra_samples=-1), "extra_samples must be 0 to"),
        (lambda: Hebbian(lr=0), "lr must be 1e-06 to 10"),
        (lambda: Curriculum(first_bits=20, second_bits=10), "second_bits must be at least first_bits=20"),
        (lambda: TwoLayerNetwork(optimizer="signed"), "optimizer must be one of sgd, signsgd .got 'signed'"),
        (lambda: WalshFourier(k=12).fit(SparseParity(n=200).sample(0), 0), "must number 1 to 20,000,000"),
        (lambda: RobustGF2().fit(SparseSum().sample(0), 0), "labels must be -1 or"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
