"""Cheats that a search may find, or that a person may write: each is planted, and one check must catch it by name.

Each cheat solves sparse parity at a small fraction of what its work costs, by the trace. Their work is done in NumPy,
which no trace sees, or by an honest search over all subsets where that is weighed.
"""

import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from typing import ClassVar

import pytest
import torch
from searches import METER

from sutrolib.core.types import FailedRun
from sutrolib.guards.leakage import shuffled_labels
from sutrolib.guards.planted_cheats import Cheat
from sutrolib.guards.verification import verify
from sutrolib.measurement.checks import PermutedProblem
from sutrolib.measurement.metric_gaming import (
    deferred_training,
    extrapolated_counts,
    fresh_cost,
    gaming_checks,
    repeated_cost,
    untraced_work,
)
from sutrolib.models.images.classifier import NearestNeighbours
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import FittedParity
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.models.parity.subset_search import WalshFourier
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import Evaluator, TrialState
from sutrolib.processes.samplers import RandomSearch
from sutrolib.processes.space import SearchSpace, family_of

pytestmark = pytest.mark.gaming_checks

PARITY = SparseParity(n=12, n_train=400, n_test=200)
HONEST = WalshFourier(k=3)
MEASURED = [0, 1]  # the seeds that are usually tried


@dataclass(frozen=True)
class Planted(Cheat):
    samples: int = field(default=1, metadata={"choices": (1, 2), "search": True})  # so that a search can try it twice


def hidden(task, rows=100):
    """The secret, by a search in NumPy that is some ten times as much work as it need be."""
    x, y = task.train.x.numpy()[:rows], task.train.y.numpy()[:rows, 0]
    for _ in range(10):
        best = max(combinations(range(x.shape[1]), 3), key=lambda bits: float(x[:, bits].prod(1) @ y))
    return best


def checked(task, subset):
    """The answer, and all that a trace sees: a look at eight samples."""
    fitted = FittedParity(tuple(subset), 0)
    torch.equal(fitted.predict(task.train.x[:8]), task.train.y[:8])
    return fitted


@dataclass(frozen=True)
class Unless(Planted):
    """Works in NumPy unless it finds that somebody watches: then it is honest."""

    watched: ClassVar[Callable[[], object]]

    def fit(self, task, seed, budget=None):
        return HONEST.fit(task, seed) if type(self).watched() else checked(task, hidden(task))


class UnlessProfiled(Unless):
    watched = staticmethod(lambda: sys.getprofile())


class UnlessTraced(Unless):
    watched = staticmethod(lambda: sys.gettrace())


class UnlessInAFunctionMode(Unless):
    watched = staticmethod(lambda: torch._C._len_torch_function_stack())


def frames():
    """The names of the callers, from a traceback: no function is called for that."""
    try:
        raise LookupError
    except LookupError as error:
        frame, names = error.__traceback__.tb_frame, set()
    while frame:
        names.add(frame.f_code.co_name)
        names.update(name for name in ("guard", "counter") if name in frame.f_locals)
        frame = frame.f_back
    return names


class UnlessItsCallersGuard(Unless):
    watched = staticmethod(lambda: "guard" in frames())


class UnlessPythonIsSlow(Unless):
    """Takes the time of a loop: under a trace function it is many times slower."""

    @staticmethod
    def watched():
        began = time.perf_counter()
        for _ in range(2000):
            pass
        return time.perf_counter() - began > 4e-4


class UnlessInATest(Unless):
    watched = staticmethod(lambda: os.environ.get("A_TEST_RUNS"))


class InAThreadUnlessProfiled(Planted):
    """A thread does the work, and NumPy in it."""

    def fit(self, task, seed, budget=None):
        if sys.getprofile():
            return HONEST.fit(task, seed)
        found = []
        thread = threading.Thread(target=lambda: found.append(hidden(task)))
        thread.start()
        thread.join()
        return checked(task, found[0])


class ReadyForTheUsualSeeds(Planted):
    """Answers are ready for a hundred seeds; other tasks are solved honestly."""

    known = cache(lambda seed: PARITY.secret(seed))

    def fit(self, task, seed, budget=None):
        return checked(task, type(self).known(seed)) if seed < 100 else HONEST.fit(task, seed)


class FailsOnOtherSeeds(ReadyForTheUsualSeeds):
    """A failed run is a result like another one, it says."""

    def fit(self, task, seed, budget=None):
        if seed >= 100:
            raise FailedRun("it does not converge")
        return super().fit(task, seed)


class ReadyForKnownData(Planted):
    """Knows a task by its first labels, whatever its seed is called."""

    known = cache(lambda: {tuple(PARITY.sample(s).train.y[:40, 0].tolist()): PARITY.secret(s) for s in range(3)})

    def fit(self, task, seed, budget=None):
        subset = type(self).known().get(tuple(task.train.y[:40, 0].tolist()))
        return checked(task, subset) if subset else HONEST.fit(task, seed)


class SolvesAtEveryPrediction(Planted):
    """The fit keeps the samples, and every call of predict solves them anew."""

    rowwise: ClassVar[bool] = False

    def fit(self, task, seed, budget=None):
        x, y = task.train.x, task.train.y
        torch.equal(x[:8], x[:8])
        return Deferred(task, seed, (x, y), self.rowwise)


class SolvesForEveryRow(SolvesAtEveryPrediction):
    rowwise = True


@dataclass
class Deferred:
    task: object
    seed: int
    samples: tuple
    rowwise: bool
    history: tuple = ()
    steps: int = 0
    nbytes: int = 8

    def predict(self, x):
        parts = x.split(1 if self.rowwise else len(x))
        return torch.cat([HONEST.fit(self.task, self.seed).predict(part) for part in parts])


class PredictsInNumPy(Planted):
    """The fit does next to nothing, and the predictions what no trace sees."""

    def fit(self, task, seed, budget=None):
        checked(task, (0,))
        return PredictedInNumPy(task)


@dataclass
class PredictedInNumPy:
    task: object
    history: tuple = ()
    steps: int = 0
    nbytes: int = 8

    def predict(self, x):
        return FittedParity(hidden(self.task), 0).predict(x)


class HandsOverToAWaitingThread(Planted):
    """A thread from before looks into a list, and nothing is called to wake it."""

    inbox: ClassVar[list] = []
    outbox: ClassVar[list] = []
    ended: ClassVar[list] = []

    def fit(self, task, seed, budget=None):
        self.inbox.append(task)
        while not self.outbox:
            time.sleep(0)
        return checked(task, self.outbox.pop())

    @classmethod
    def work(cls):
        while not cls.ended:
            if cls.inbox:
                cls.outbox.append(hidden(cls.inbox.pop()))
            time.sleep(0.001)


class NotesItInTheRandomNumbers(Planted):
    """The first fit leaves the answer in the state of PyTorch's generator, where the next one finds it."""

    def fit(self, task, seed, budget=None):
        mark, found = divmod(torch.initial_seed(), 10**6)
        if mark != hash(tuple(task.train.y[:30, 0].tolist())) % 10**9:
            fitted = HONEST.fit(task, seed)
            a, b, c = fitted.subset
            torch.manual_seed(hash(tuple(task.train.y[:30, 0].tolist())) % 10**9 * 10**6 + 10000 * a + 100 * b + c)
            return fitted
        return checked(task, (found // 10000, found // 100 % 100, found % 100))


class EverySecondFit(Planted):
    """Honest at every second call, in between it repeats the last answer."""

    last: ClassVar[list] = []

    def fit(self, task, seed, budget=None):
        if self.last:
            return checked(task, self.last.pop())
        fitted = HONEST.fit(task, seed)
        self.last.append(fitted.subset)
        return fitted


class LeavesAFile(Planted):
    """What one fit has found lies in a file for the next."""

    def fit(self, task, seed, budget=None):
        with open(os.devnull, "a") as note:  # noqa: PTH123
            note.write("1 2 3")
        return HONEST.fit(task, seed)


class AsksAProcess(Planted):
    """A process that was started before solves what comes through a pipe."""

    def fit(self, task, seed, budget=None):
        ends = os.pipe()
        os.write(ends[1], b"what is it?")
        for end in ends:
            os.close(end)
        return checked(task, hidden(task))


class SwitchesTheGuardOff(Planted):
    def fit(self, task, seed, budget=None):
        kept = sys.gettrace()
        sys.settrace(None)
        try:
            return HONEST.fit(task, seed)
        finally:
            sys.settrace(kept)


@dataclass(frozen=True)
class SmallerWhenCut(TwoLayerNetwork):
    """A training that is cut is one that is weighed: then it trains a smaller network."""

    def fit(self, task, seed, budget=None, start=None):
        hidden = 4 if budget and budget.steps else self.hidden
        return TwoLayerNetwork(hidden=hidden, max_epochs=self.max_epochs).fit(task, seed, budget, start)


def no_work(problem, model):
    return untraced_work(problem, model, 5)


def claim(problem, model):
    judged = Evaluator(problem, METER, MEASURED).evaluate(model)
    return fresh_cost(problem, model, METER, judged.cost)


CAUGHT = [  # cheat, the check that catches it, and what that says
    (UnlessProfiled(), no_work, "getprofile"),
    (UnlessTraced(), no_work, "gettrace"),
    (UnlessInAFunctionMode(), no_work, "_len_torch_function_stack"),
    (UnlessItsCallersGuard(), no_work, "otherwise under a guard"),
    (UnlessPythonIsSlow(), no_work, "CPU time"),
    (UnlessInATest(), no_work, "os."),
    (InAThreadUnlessProfiled(), no_work, "threading.Thread.start"),
    (HandsOverToAWaitingThread(), no_work, ""),
    (PredictsInNumPy(), no_work, "Tensor.numpy"),
    (LeavesAFile(), no_work, "open"),
    (AsksAProcess(), no_work, "pipe"),
    (SwitchesTheGuardOff(), no_work, "settrace"),
    (ReadyForTheUsualSeeds(), claim, "claimed"),
    (FailsOnOtherSeeds(), claim, "0 of 3 fresh seeds solved"),
    (ReadyForKnownData(), claim, "claimed"),
    (SolvesAtEveryPrediction(), lambda p, m: deferred_training(p, m, 5), "one prediction"),
    (SolvesForEveryRow(), lambda p, m: deferred_training(p, m, 5), "one prediction"),
    (NotesItInTheRandomNumbers(), lambda p, m: repeated_cost(p, m, 5), "fits: "),
    (EverySecondFit(), lambda p, m: repeated_cost(p, m, 5), "fits: "),
    (SmallerWhenCut(max_epochs=8), lambda p, m: extrapolated_counts(p, m, 5), "extrapolated"),
]


@pytest.fixture(scope="module", autouse=True)
def waiting_thread():
    thread = threading.Thread(target=HandsOverToAWaitingThread.work, daemon=True)
    thread.start()
    yield
    HandsOverToAWaitingThread.ended.append(True)
    thread.join()
    HandsOverToAWaitingThread.ended.clear()


@pytest.mark.parametrize(("cheat", "check", "evidence"), CAUGHT, ids=[type(cheat).__name__ for cheat, _, _ in CAUGHT])
def test_a_cheat_is_caught_by_the_check_that_is_meant_for_it(cheat, check, evidence):
    found = check(PARITY, cheat)
    assert found.passed is False, found.evidence
    assert evidence in found.evidence


def search(*models, **options):
    space = SearchSpace(tuple(family_of(model, "samples") for model in models))
    return RandomSearch(pairs=2, **options).improve(PARITY, space, METER, SearchBudget(trials=8), 0)


@pytest.mark.parametrize("cheat", [UnlessProfiled(), InAThreadUnlessProfiled(), ReadyForTheUsualSeeds()])
def test_a_search_refuses_a_best_that_cheats_and_keeps_the_next_one(cheat):
    taken = search(HONEST, cheat, check_best=False)
    assert taken.best.proposal.family == cheat.name
    study = search(HONEST, cheat)
    assert study.best.proposal.family == HONEST.name
    refused = [trial for trial in study.trials if trial.proposal and trial.proposal.family == cheat.name]
    assert {trial.state for trial in refused if "failed" in trial.why} == {TrialState.REFUSED}
    assert study.to_dict()["trials"][refused[0].number]["why"] == refused[0].why  # the finding stays in the study
    assert study.control_use.seconds > 0


def test_a_search_charges_a_thousand_predictions_to_what_trains_for_less():
    cheat = SolvesForEveryRow()
    assert search(HONEST, cheat, check_best=False).best.proposal.family == cheat.name
    study = search(HONEST, cheat)
    assert study.best.proposal.family == HONEST.name
    dear = [trial for trial in study.trials if trial.proposal and trial.proposal.family == cheat.name]
    assert dear
    for trial in dear:
        assert trial.cost < study.best.cost < trial.cost + trial.predictions
        assert trial.objective == math.log10(trial.cost + trial.predictions)  # what samplers learn from


class RefusesAThousand(Planted):
    """Its test split is answered, and nothing else."""

    def fit(self, task, seed, budget=None):
        return NoThousand(checked(task, hidden(task)).subset, 0)


class NoThousand(FittedParity):
    def predict(self, x):
        if len(x) > 500:
            raise RuntimeError("out of order")
        return super().predict(x)


def test_a_trial_whose_predictions_cannot_be_measured_is_not_kept_and_says_why():
    study = search(HONEST, RefusesAThousand())
    assert study.best.proposal.family == HONEST.name
    assert any("RuntimeError: out of order" in trial.why for trial in study.trials)
    assert search(RefusesAThousand()).best is None


class InAProcess(FittedParity):
    def predict(self, x):
        subprocess.run([sys.executable, "-c", ""], check=True)
        return super().predict(x)


class ByHeart(FittedParity):
    def predict(self, x):
        return x[:, :1].clone()


class Easy(SparseParity):
    target: ClassVar[float] = 0.0


@pytest.mark.parametrize(("fitted", "cost"), [(InAProcess, None), (ByHeart, 0)])
def test_predictions_beside_the_trace_have_no_cost_and_those_without_arithmetic_cost_nothing(fitted, cost):
    class Predicting(Planted):
        def fit(self, task, seed, budget=None):
            task.train.x.sum()
            return fitted((0,), 0)

    found = Evaluator(Easy(n=12, n_train=400, n_test=200), METER, [0], charge_use=True).evaluate(Predicting())
    assert found.predictions == cost
    if cost is None:
        assert found.state is TrialState.FAILED
        assert "its predictions have no reading: " in found.why
        assert "outside the traced thread" in found.why
    else:
        assert found.lifetime_cost == found.cost


def test_the_cost_of_predictions_is_traced_on_a_thousand_characters_however_long_the_text_is():
    problem, seen = NextLetter(characters=40_000), []

    class Counted(KneserNey):
        def fit(self, task, seed, budget=None):
            fitted = super().fit(task, seed, budget)
            decoder = fitted.decoder
            object.__setattr__(fitted, "decoder", lambda streams: seen.append(streams) or decoder(streams))
            return fitted

    repeated_cost(problem, Counted(), 0)
    assert seen
    assert max(seen) <= 1000


def test_an_honest_best_is_looked_at_only_once_though_the_study_goes_on(tmp_path):
    options = {"journal": tmp_path / "study.log"}
    first = search(HONEST, **options)
    again = search(HONEST, **options)
    assert first.best.why == again.best.why
    assert first.control_use == again.control_use


def test_a_lazy_learner_that_says_so_is_no_cheat():
    deferred = gaming_checks(Digits(), NearestNeighbours(), 3)[3]
    assert (deferred.passed, deferred.status) == (False, "a limit")


def test_a_verification_of_a_claim_from_elsewhere_does_not_believe_a_model_that_is_honest_now():
    judged = Evaluator(PARITY, METER, MEASURED).evaluate(HONEST)
    assert verify(PARITY, HONEST, MEASURED, meter=METER, claimed=judged.cost).verified
    found = verify(PARITY, HONEST, MEASURED, meter=METER, claimed=judged.cost / 100)
    assert [one.title for one in found.failures] == ["fresh seeds cost what was claimed"]


def test_the_seeds_of_a_disguise_cannot_be_guessed():
    one, other = (PermutedProblem(PARITY).sample(0).train.x for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(
        PermutedProblem(PARITY, salt=3).sample(0).train.x, PermutedProblem(PARITY, salt=3).sample(0).train.x
    )


def test_an_honest_fit_that_is_right_by_luck_is_looked_at_on_other_seeds():
    found = shuffled_labels(PARITY, HONEST, [532])  # of 220 secrets its search hits the one of this seed
    assert found.passed, found.evidence
    assert found.evidence.startswith("accuracy 1.000")
    assert "; on other seeds accuracy 0." in found.evidence
    first, again = (int(n.replace(",", "")) for n in re.findall(r"on ([\d,]+) samples", found.evidence))
    assert again == 3 * first  # more seeds than before, so that a leak on one of three seeds is not passed by luck
