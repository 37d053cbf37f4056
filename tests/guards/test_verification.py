"""A verification is worth what it catches: cheats, planted as models or problems, and the check that must fail."""

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from sutrolib.core.types import Split
from sutrolib.guards.leakage import label_swap, reachability, shuffled_labels, unrelated_seed
from sutrolib.guards.planted_cheats import Cheat, MemorisesRows, RedrawsSecret, RepeatsFirstAnswer, planted_cheats
from sutrolib.guards.verification import Verification, fresh_seeds, independent_scoring, verify
from sutrolib.measurement.checks import SEED_OFFSET, CheckResult, PermutedProblem
from sutrolib.measurement.measure import measure, score_of
from sutrolib.meters import CacheEnergy
from sutrolib.models.images.classifier import NearestNeighbours
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, InfluenceEstimation
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseAnd, SparseParity, SparseSum
from sutrolib.problems.text import NextCharacter
from sutrolib.processes.evaluator import Evaluator

PARITY, AND = SparseParity(n_test=500), SparseAnd()
SEEDS = range(100, 110)


@dataclass(frozen=True)
class Says:
    """Predicts by a function, and claims whatever it is made with."""

    predict: object
    history: tuple = ()
    steps: int = 0
    nbytes: int = 8


class AlwaysSays(Cheat):
    def __init__(self, what):
        self.what = what

    def fit(self, task, seed, budget=None):
        return Says(lambda x: torch.full((len(x), 1), self.what))


class KnowsTheDigits(Cheat):
    """Looks the images up where they came from."""

    def fit(self, task, seed, budget=None):
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        known = {tuple(image): digit for image, digit in zip((images / 16).tolist(), digits.tolist(), strict=True)}
        return Says(lambda x: torch.eye(10)[[known[tuple(row)] for row in x.tolist()]])


class LooksBehindTheSamples(Cheat):
    """Takes whatever lies in the storage behind the training labels for the test labels."""

    def fit(self, task, seed, budget=None):
        y = task.train.y
        behind = torch.empty(0).set_(y.untyped_storage())[len(y) :]
        return Says(lambda x: behind[: len(x), None] if len(behind) >= len(x) else torch.ones(len(x), 1))


class AsksForTheAnswers(Cheat):
    """Has a teacher who hands over the test labels."""

    required_oracles: ClassVar[tuple[str, ...]] = ("answers",)

    def fit(self, task, seed, budget=None):
        answers = task.oracles["answers"]()
        return Says(lambda x: answers[: len(x)].clone())


@dataclass(frozen=True)
class Leaky:
    """Sparse parity as it must not be made: train and test are views of one storage, and a teacher tells the labels."""

    name: ClassVar[str] = "leaky parity"

    def sample(self, seed):
        task = PARITY.sample(seed)
        x, y = torch.cat([task.train.x, task.test.x]), torch.cat([task.train.y, task.test.y])
        cut = len(task.train)
        train, test = Split(x[:cut], y[:cut]), Split(x[cut:], y[cut:])
        return dataclasses.replace(task, train=train, test=test, oracles={"answers": lambda: test.y})


@dataclass(frozen=True)
class SecretInTheScore:
    """The score closes over the secret, and a model is given the score."""

    name: ClassVar[str] = "leaky score"
    as_tensor: bool = False

    def secret(self, seed):
        return PARITY.secret(seed)

    def sample(self, seed):
        secret = torch.tensor(PARITY.secret(seed)) if self.as_tensor else list(PARITY.secret(seed))

        def score(predictions, labels):
            return SparseParity.score(predictions, labels) if len(secret) else 0.0

        return dataclasses.replace(PARITY.sample(seed), score=score)


@dataclass(frozen=True)
class Generous(SparseParity):
    """Counts a prediction of either sign as right."""

    score: ClassVar = staticmethod(
        lambda predictions, labels: (predictions.abs() == labels.abs()).double().mean().item()
    )


def find(verification, title):
    return next(check for check in verification.checks if check.title.startswith(title))


def test_a_sound_winner_is_verified_and_its_limits_are_named():
    found = verify(
        PARITY,
        GF2Elimination(),
        [0],
        harder={"n=50": SparseParity(n=50), "k=5 of 30": SparseParity(n=30, k=5)},
        noisy={"20 % noise": SparseParity(noise=0.2)},
    )
    assert found.verified
    assert found.failures == ()
    assert found.summary.startswith("GF(2) elimination on sparse parity: verified, ")
    assert "limits: noise: 20 % noise" in found.summary
    assert find(found, "noise").status == "a limit"
    assert "Inconsistent" in find(found, "noise").evidence
    assert find(found, "harder: n=50").passed
    assert "10 of 10 solved, 1.00 [0.69, 1.00]" in find(found, "fresh seeds").evidence
    assert "which counts as chance" in find(found, "shuffled").evidence
    assert "without noise" in find(found, "prior knowledge").evidence
    header, rows = found.rows()
    assert len(header) == 4
    assert {len(row) for row in rows} == {4}


def test_a_sound_model_of_digits_is_verified():
    found = verify(Digits(), NearestNeighbours(), [0])
    assert found.verified
    assert find(found, "shuffled").passed
    assert find(found, "extrapolated").status == "not tested"


def test_text_is_verified_as_far_as_the_checks_apply():
    problem, model = NextCharacter(characters=3000), KneserNey(order=2)
    assert independent_scoring(problem, model, 0).passed
    assert reachability(problem, model, 0).passed
    assert shuffled_labels(problem, model, [0]).passed is None
    assert label_swap(problem, model, 0).passed is None
    assert not torch.equal(PermutedProblem(problem).sample(0).train.x[:50], problem.sample(0).train.x[:50])


@pytest.mark.parametrize("problem", [SparseSum(n_test=300), SparseAnd(n_test=300)])
def test_the_siblings_of_parity_are_scored_independently(problem):
    assert independent_scoring(problem, TwoLayerNetwork(max_epochs=2, loss="square", lr=0.01), 0).passed


def test_the_secret_drawn_again_from_the_seed_looks_perfect_and_is_caught():
    cheat = RedrawsSecret()
    assert measure(PARITY, cheat, [], 0, timed=False).solved
    found = verify(PARITY, cheat, [0])
    assert find(found, "fresh seeds").passed
    assert {check.title for check in found.failures} == CAUGHT[cheat.name]
    assert "10 of 10 seeds solved as they are, 0 permuted" in find(found, "solved with an unrelated seed").evidence
    assert "not verified" in found.summary


CLAIM = "fresh seeds cost what was claimed"
CAUGHT = {
    "secret from the seed": {
        "shuffled labels give chance accuracy",
        "solved with an unrelated seed and permuted answers",
        "no work outside the trace",  # the Python that makes a problem to draw from
        CLAIM,
    },
    "memorised rows": {"fresh seeds", "no work outside the trace"},
    "first answer repeated": {"fresh seeds", CLAIM},
    "answer cache": {"repeated runs cost the same", "no work outside the trace", CLAIM},
    "untraced NumPy": {"no work outside the trace"},
}


@pytest.mark.parametrize("cheat", planted_cheats(), ids=lambda cheat: cheat.name)
def test_every_planted_cheat_is_caught_by_the_check_that_is_meant_for_it(cheat):
    found = verify(PARITY, cheat, [0])
    assert not found.verified
    assert {check.title for check in found.failures} == CAUGHT[cheat.name]


def test_most_planted_cheats_would_win_a_search_that_nobody_verifies():
    judge = Evaluator(PARITY, CacheEnergy(), [0], trace_updates=100)
    honest = judge.evaluate(GF2Elimination()).cost
    cheaper = [cheat.name for cheat in planted_cheats() if (judge.evaluate(cheat).cost or math.inf) < honest / 3]
    assert cheaper == [name for name in CAUGHT if name != "memorised rows"]


def test_a_secret_drawn_again_solves_what_no_elimination_can():
    noisy, larger = SparseParity(noise=0.2), SparseParity(n=50)
    assert all(measure(problem, RedrawsSecret(), [], 7, timed=False).solved for problem in (noisy, larger))
    assert not measure(noisy, GF2Elimination(), [], 7, timed=False).solved


def test_the_words_of_a_verification_count_the_rungs_of_one_sort():
    found = verify(
        PARITY,
        GF2Elimination(),
        [0],
        harder={"n=50": SparseParity(n=50)},
        noisy={"10 %": SparseParity(noise=0.1), "20 %": SparseParity(noise=0.2)},
    )
    assert found.statuses["harder"] == "passed"
    assert found.statuses["noise"] == "0 of 2"
    assert found.statuses["shuffled labels give chance accuracy"] == "passed"
    assert found.statuses["prior knowledge"] == "stated"
    assert found.statuses["extrapolated counts match a full trace"] == "not tested"
    assert len(found.statuses) == len(found.checks) - 1


def test_rows_learned_by_heart_say_nothing_about_new_ones():
    found = fresh_seeds(PARITY, MemorisesRows(), SEEDS)
    assert not found.passed
    assert found.evidence.startswith("0 of 10 solved")
    assert independent_scoring(PARITY, MemorisesRows(), 0).passed  # its score is honest, and low


def test_a_first_answer_that_is_repeated_fails_on_fresh_seeds():
    cheat = RepeatsFirstAnswer()
    assert measure(PARITY, cheat, [], 0, timed=False).solved
    assert not fresh_seeds(PARITY, cheat, SEEDS).passed


@pytest.mark.parametrize(("problem", "what"), [(PARITY, 1.0), (AND, -1.0)])
def test_a_constant_solves_nothing(problem, what):
    assert not fresh_seeds(problem, AlwaysSays(what), SEEDS).passed
    assert shuffled_labels(problem, AlwaysSays(what), SEEDS[:3]).passed  # chance is the share of the commonest label


def test_digits_looked_up_at_their_source_are_caught_by_shuffled_labels_and_by_the_disguise():
    assert measure(Digits(), KnowsTheDigits(), [], 0, timed=False).score == 1.0
    found = shuffled_labels(Digits(), KnowsTheDigits(), [0])
    assert not found.passed
    assert found.evidence.startswith("accuracy 1.000")
    assert not unrelated_seed(Digits(), KnowsTheDigits(), SEEDS).passed


@pytest.mark.parametrize("problem", [PARITY, SparseParity(noise=0.1), AND, Digits(), NextCharacter(characters=3000)])
def test_no_problem_lets_a_model_reach_behind_its_samples(problem):
    task = problem.sample(0)
    behind = [part.untyped_storage().data_ptr() for part in (task.train.x, task.train.y)]
    assert not {part.untyped_storage().data_ptr() for part in (task.test.x, task.test.y)} & set(behind)
    assert reachability(problem, GF2Elimination(), 0).passed


@pytest.mark.parametrize("problem", [PARITY, Leaky()])
def test_a_peek_behind_the_samples_finds_nothing_even_where_the_problem_is_made_wrongly(problem):
    cheat = LooksBehindTheSamples()
    assert score_of(problem.sample(0), cheat.fit(problem.sample(0).for_training(), 0)) < 0.6
    assert reachability(problem, cheat, 0).passed
    assert label_swap(problem, cheat, 0).passed


def test_predictions_that_follow_the_test_labels_are_seen_when_these_are_swapped():
    found = label_swap(Leaky(), AsksForTheAnswers(), 0)
    assert not found.passed
    assert "the predictions changed" in found.evidence


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_secret_in_a_closure_is_found_with_its_path(as_tensor):
    found = reachability(SecretInTheScore(as_tensor), GF2Elimination(), 0)
    assert not found.passed
    assert "the secret at task.score.secret" in found.evidence


def test_help_that_is_asked_for_is_named_and_no_leak():
    found = reachability(PARITY, InfluenceEstimation(), 0)
    assert found.passed
    assert "it queries labels" in found.evidence
    assert shuffled_labels(PARITY, InfluenceEstimation(), [0]).passed is None


def test_a_score_that_is_too_generous_is_not_confirmed():
    found = independent_scoring(Generous(), AlwaysSays(1.0), 0)
    assert not found.passed
    assert found.evidence.startswith("accuracy 1 as measured, 0.")


def test_a_score_that_a_model_has_replaced_is_not_confirmed(monkeypatch):
    class Vandal(AlwaysSays):
        def fit(self, task, seed, budget=None):
            monkeypatch.setattr(SparseParity, "score", staticmethod(lambda predictions, labels: 1.0))
            return super().fit(task, seed, budget)

    Vandal(1.0).fit(PARITY.sample(0).for_training(), 0)
    assert measure(PARITY, Vandal(1.0), [], 0, timed=False).solved
    assert not independent_scoring(PARITY, Vandal(1.0), 0).passed


@pytest.mark.parametrize("problem", [PARITY, SparseParity(n=40, k=4), SparseSum(), AND])
def test_a_disguise_moves_the_secret_and_keeps_what_the_teacher_says_right(problem):
    task = PermutedProblem(problem).sample(3)
    assert torch.equal(task.oracles["labels"](task.test.x), task.test.y)
    lesson = task.oracles["lessons"](problem.k)
    assert torch.equal(type(problem).label(task.test.x[:, lesson]), task.test.y)
    assert lesson.tolist() != list(problem.secret(3))


def test_a_disguise_renames_digits_and_keeps_them_apart():
    plain, task = Digits().sample(0), PermutedProblem(Digits()).sample(0)
    pairs = set(zip(plain.test.y.flatten().tolist(), task.test.y.flatten().tolist(), strict=True))
    assert len(pairs) == 10
    assert any(one != other for one, other in pairs)


@pytest.mark.parametrize("model", [GF2Elimination(), ConstraintSearch(), InfluenceEstimation()])
def test_what_learns_from_samples_does_not_notice_the_disguise(model):
    assert unrelated_seed(PARITY, model, SEEDS).passed
    task = PermutedProblem(PARITY).sample(5)
    assert score_of(task, model.fit(task.for_training(model.required_oracles), 5 + SEED_OFFSET)) == 1.0


def test_the_curriculum_does_not_notice_the_disguise():
    task = PermutedProblem(SparseParity(n=30)).sample(0)
    assert score_of(task, Curriculum().fit(task.for_training(("lessons",)), 1)) > 0.99


def test_a_model_that_crashes_fails_its_checks_and_ends_nothing():
    class Crashes(Cheat):
        def fit(self, task, seed, budget=None):
            raise ZeroDivisionError("no")

    found = verify(PARITY, Crashes(), [0], harder={"n=50": SparseParity(n=50)})
    assert not found.verified
    assert "ZeroDivisionError: no" in find(found, "fresh seeds").evidence
    assert "it raised ZeroDivisionError: no" in find(found, "repeated runs").evidence


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="the seeds that the result was found on"):
        verify(PARITY, GF2Elimination(), [])
    with pytest.raises(ValueError, match=r"fresh must be at least 10 \(got 3\)"):
        verify(PARITY, GF2Elimination(), [0], fresh=3)


def test_nothing_is_verified_without_a_check_that_passed():
    assert not Verification("p", "m", ()).verified
    assert not Verification("p", "m", (CheckResult("knowledge", None, "stated", ""),)).verified


def test_a_model_that_solves_nothing_is_not_said_to_ignore_the_seed():
    found = unrelated_seed(PARITY, TwoLayerNetwork(max_epochs=1, lr=1e-6), range(3))
    assert (found.passed, found.status) == (None, "not tested")
    assert "none of 3 seeds is solved as it is" in found.evidence
