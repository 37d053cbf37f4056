"""Ways to lower a reading without lowering the work, each planted as a model, and the check that catches it.

What a trace is blind to is asserted first: a check against what cannot happen would be worth nothing.
"""

import _thread
import concurrent.futures
import copy
import cProfile
import ctypes
import gc
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import _disable_current_modes

from sutrolib.core.types import Budget
from sutrolib.guards.planted_cheats import CachesAnswers, Cheat, UsesNumPy
from sutrolib.measurement.checks import TraceCost, traced_fit
from sutrolib.measurement.measure import measure
from sutrolib.measurement.metric_gaming import (
    external_tensors,
    extrapolated_counts,
    gaming_checks,
    repeated_cost,
    untraced_work,
)
from sutrolib.measurement.passes import TO_TARGET
from sutrolib.measurement.trace_guard import UntracedWork, trace_guard
from sutrolib.meters.access.trace import OperationCount, PeakMemory, TorchTrace
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.models.images.classifier import MixtureOfExperts, MLPClassifier, NearestNeighbours
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import FittedParity, GF2Elimination, RobustGF2, pack_signs
from sutrolib.models.parity.guided_network import Curriculum, FeatureSelectThenTrain
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.mlp import FittedNetwork, TwoLayerNetwork
from sutrolib.models.parity.subset_search import ConstraintSearch, InfluenceEstimation, WalshFourier
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter

PARITY, TEXT = SparseParity(), NextCharacter(characters=5000)
HONEST = [
    (PARITY, GF2Elimination()),
    (SparseParity(n=100), GF2Elimination()),
    (PARITY, ConstraintSearch()),
    (PARITY, WalshFourier()),
    (PARITY, RobustGF2()),
    (SparseParity(noise=0.1), RobustGF2()),
    (PARITY, InfluenceEstimation()),
    (PARITY, Hebbian(hidden=50, epochs=3)),
    (PARITY, TwoLayerNetwork(hidden=50, max_epochs=4)),
    (SparseParity(n=30), Curriculum(network=TwoLayerNetwork(max_epochs=2))),
    (PARITY, FeatureSelectThenTrain(selector="walsh-fourier", network=TwoLayerNetwork(max_epochs=2))),
    (Digits(), NearestNeighbours()),
    (Digits(), MLPClassifier(max_epochs=2)),
    (Digits(), MixtureOfExperts(max_epochs=1)),
    pytest.param(TEXT, KneserNey(order=3), marks=pytest.mark.slow),
    (TEXT, GPT(layers=1, width=16, heads=2, block_size=16, max_steps=20)),
]


class Does(Cheat):
    """Solves the parity honestly, and does something beside it with the training samples."""

    def __init__(self, work):
        self.work = work

    def fit(self, task, seed, budget=None):
        self.work(task.train.x)
        return GF2Elimination().fit(task, seed)


def cost(model, problem=PARITY, seed=0):
    return TraceCost.of(traced_fit(model, problem.sample(seed).for_training(model.required_oracles), seed)[1])


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "model"), HONEST, ids=lambda part: type(part).__name__)
def test_honest_models_pass(problem, model):
    found = gaming_checks(problem, model, 77)
    assert [check.title for check in found if check.passed is False and not check.limit] == []
    assert found[0].passed
    assert "Python instructions for" in found[0].evidence


def in_a_thread(x):
    thread = threading.Thread(target=lambda: x.t() @ x)
    thread.start()
    thread.join()


def with_dispatch_off(x):
    with torch._C._DisableTorchDispatch():
        return x.t() @ x


def with_modes_off(x):
    with _disable_current_modes():
        return x.t() @ x


def with_everything_off(x):
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        return x.t() @ x


def by_address(x):
    return np.ctypeslib.as_array(ctypes.cast(x.data_ptr(), ctypes.POINTER(ctypes.c_float)), (x.numel(),)).sum()


class Worker(threading.Thread):
    """Runs before any seal is there, and waits to be told what to do."""

    def __init__(self):
        super().__init__(daemon=True)
        self.go, self.done, self.x = threading.Event(), threading.Event(), None

    def run(self):
        while True:
            self.go.wait()
            self.go.clear()
            self.x = self.x.t() @ self.x
            self.done.set()

    def __call__(self, x):
        self.x = x
        self.done.clear()
        self.go.set()
        self.done.wait()


WORKER = Worker()
WORKER.start()
POOL = concurrent.futures.ThreadPoolExecutor(1)
POOL.submit(int).result()  # its thread runs already

INVISIBLE = [  # the door as it is named, and the work behind it
    ("Tensor.numpy", lambda x: x.numpy() @ x.numpy().T),
    ("Tensor.__array__", lambda x: x.__array__().sum()),
    ("Tensor.__dlpack__", lambda x: x.__dlpack__()),
    ("Tensor.data_ptr", by_address),
    ("Tensor.untyped_storage", lambda x: x.untyped_storage().data_ptr()),
    ("numpy", lambda x: np.from_dlpack(x).sum()),
    ("numpy", lambda x: np.array([[1.0, 2.0]]) @ np.array([[3.0], [4.0]])),
    ("pickle", pickle.dumps),
    ("start_new_thread", lambda x: _thread.start_new_thread(lambda: x.t() @ x, ())),
    ("threading", WORKER),
    ("concurrent.futures", lambda x: POOL.submit(lambda: x.t() @ x).result()),
    ("subprocess", lambda x: subprocess.run([sys.executable, "-c", ""], check=True)),
    ("torch._C._DisableTorchDispatch", with_dispatch_off),
    ("_disable_current_modes", with_modes_off),
    ("torch._C.DisableTorchFunction", with_everything_off),
]


@pytest.mark.parametrize(("door", "work"), INVISIBLE, ids=[door for door, _ in INVISIBLE])
def test_work_outside_of_the_trace_is_invisible_to_it_and_refused_by_name(door, work):
    assert cost(Does(work)) == cost(GF2Elimination())
    found = untraced_work(PARITY, Does(work), 5)
    assert not found.passed
    assert door in found.evidence


def test_work_in_a_thread_of_the_fit_is_traced_and_refused_all_the_same():
    assert cost(Does(in_a_thread)).operations == 800_000 + cost(GF2Elimination()).operations
    found = untraced_work(PARITY, Does(in_a_thread), 5)
    assert not found.passed
    assert "threading" in found.evidence


def test_a_switch_that_was_taken_before_the_seal_is_noticed_by_what_the_dispatcher_does_not_hear():
    switch = torch._C._DisableTorchDispatch

    def work(x):
        with switch():
            return x.t() @ x

    found = untraced_work(PARITY, Does(work), 5)
    assert not found.passed
    assert "with PyTorch's dispatch mode switched off" in found.evidence


@pytest.mark.parametrize("way", [lambda x: x.tolist(), lambda x: list(map(torch._C.TensorBase.tolist, x))])
def test_all_samples_as_plain_numbers_are_too_many(way):
    assert cost(Does(way)).operations == cost(GF2Elimination()).operations
    found = untraced_work(PARITY, Does(way), 5)
    assert not found.passed
    assert "20,000 by Tensor.tolist (1,280 allowed)" in found.evidence


class EliminatesInPython(Cheat):
    """Thirty-odd packed words leave, fewer numbers than an honest program needs; all the work is done on Python's."""

    def fit(self, task, seed, budget=None):
        n = task.train.x.shape[1]
        rows = pack_signs(torch.cat([task.train.x[: n + 12], task.train.y[: n + 12]], 1))[:, 0].tolist()
        pivots = {}
        for i, row in enumerate(rows):
            row = rows[i] & ((1 << n) - 1)
            if row:
                column = (row & -row).bit_length() - 1
                pivots[column] = i
                rows = [r ^ rows[i] if j != i and r >> column & 1 else r for j, r in enumerate(rows)]
        return FittedParity(tuple(sorted(c for c, i in pivots.items() if rows[i] >> n & 1)), n + 12)


class SearchesInPython(Cheat):
    """Twenty-one packed columns leave."""

    def fit(self, task, seed, budget=None):
        *columns, label = pack_signs(torch.cat([task.train.x[:60], task.train.y[:60]], 1).t())[:, 0].tolist()
        for i, j, k in combinations(range(len(columns)), 3):
            if columns[i] ^ columns[j] ^ columns[k] == label:
                return FittedParity((i, j, k), 60)
        raise AssertionError("a parity without noise has a secret")


@pytest.mark.parametrize("cheat", [EliminatesInPython(), SearchesInPython()])
def test_a_solver_in_plain_python_needs_few_numbers_and_is_caught_by_its_instructions(cheat):
    assert measure(PARITY, cheat, [], 0, timed=False).solved
    found = untraced_work(PARITY, cheat, 5)
    assert not found.passed
    assert "elements read as plain numbers: 32 by" in found.evidence or "21 by Tensor.tolist" in found.evidence


def test_a_file_is_a_door(tmp_path):
    note = tmp_path / "note"
    note.write_text("7")
    found = untraced_work(PARITY, Does(lambda x: open(note).read()), 5)  # noqa: PTH123, SIM115
    assert not found.passed
    assert "open" in found.evidence


def test_an_error_at_the_door_cannot_be_swallowed():
    def swallows(x):
        try:
            x.numpy()
        except UntracedWork:
            return

    found = untraced_work(PARITY, Does(swallows), 5)
    assert not found.passed
    assert "Tensor.numpy" in found.evidence
    assert "swallowed" in found.evidence


def test_a_seal_leaves_nothing_behind():
    before = sys.gettrace(), sys.getprofile(), torch._C._DisableTorchDispatch
    with pytest.raises(UntracedWork, match=r"Tensor\.numpy: no trace sees"), trace_guard():
        torch.ones(2).numpy()
    with trace_guard() as guard:
        assert torch.equal(torch.ones(2), torch.ones(2))
        assert torch.ones(3)[0] > 0
    assert dict(guard.elements) == {"equal": 1, "Tensor.__bool__": 1}
    assert (sys.gettrace(), sys.getprofile(), torch._C._DisableTorchDispatch) == before
    assert torch.ones(2).numpy().sum() == 2


def test_a_profile_that_the_user_takes_goes_on_after_a_seal():
    profile = cProfile.Profile()
    profile.enable()
    try:
        with trace_guard():
            torch.ones(2)
        assert sys.getprofile() is profile
    finally:
        profile.disable()


def test_what_others_have_asked_the_garbage_collector_to_do_is_no_work_of_the_program():
    called = []

    def tidies(phase, info):  # as that of IPython's kernel, which looks at all threads
        called.append(threading.enumerate())

    gc.callbacks.append(tidies)
    try:
        found = untraced_work(PARITY, Does(lambda x: gc.collect(0)), 5)
        assert found.passed
        assert gc.callbacks[-1] is tidies
        before = len(called)
        gc.collect()
        assert len(called) > before
    finally:
        gc.callbacks.remove(tidies)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx, gradient):
        a, b = ctx.saved_tensors
        return gradient @ b.t(), a.t() @ gradient


@torch.jit.script
def scripted(a, b):
    return a @ b


@pytest.mark.parametrize(
    ("products", "program"),
    [
        (3, lambda a, b: Product.apply(a.requires_grad_(), b.requires_grad_()).sum().backward()),
        (1, scripted),
        (1, torch.compile(lambda a, b: a @ b, backend="eager")),
        (1, lambda a, b: torch.func.vmap(lambda row: row @ b)(a)),
        (1, lambda a, b: torch.jit.wait(torch.jit.fork(lambda x, y: x @ y, a, b))),
        (1, lambda a, b: copy.deepcopy(a) @ b),
    ],
    ids=["autograd function", "script", "compile", "vmap", "fork", "deepcopy"],
)
@pytest.mark.filterwarnings("ignore")
def test_other_ways_through_pytorch_are_priced(products, program):
    a, b = torch.ones(30, 30), torch.ones(30, 30)
    with TorchTrace() as trace:
        program(a, b)
    assert sum(trace.operations.values()) >= products * 2 * 30**3


def test_an_operator_that_nobody_has_costed_is_refused_by_name():
    cheat = Does(lambda x: torch.linalg.matrix_exp(x[:5, :5]))
    found = repeated_cost(PARITY, cheat, 11)
    assert not found.passed
    assert "cannot count the operations of aten::linalg_matrix_exp" in found.evidence
    run = measure(PARITY, cheat, [OperationCount(), PeakMemory()], 0, timed=False)
    assert "aten::linalg_matrix_exp" in run.missing["operations"]
    assert run.reading("peak_memory").value > 0


def test_a_cache_between_trials_makes_the_second_fit_cheaper_and_is_caught():
    cheat = CachesAnswers()
    first, second = (cost(cheat, seed=9) for _ in range(2))
    assert first.operations > 500_000
    assert second.operations < 100
    # measure() trains for the clock first, so that what it traces afterwards is the cached fit.
    timed = measure(PARITY, cheat, [WallTime(runs=1, window=0), OperationCount()], 10)
    assert timed.solved
    assert timed.reading("operations").value < 100
    found = repeated_cost(PARITY, cheat, 11)
    assert not found.passed
    assert "fits: " in found.evidence


def test_work_in_numpy_beside_the_samples_is_not_in_the_trace_and_is_caught():
    assert cost(UsesNumPy()).operations < 100
    assert measure(PARITY, UsesNumPy(), [], 0, timed=False).solved
    found = untraced_work(PARITY, UsesNumPy(), 5)
    assert not found.passed
    assert "Tensor.numpy" in found.evidence


class LeavesANote(Cheat):
    """Writes what it found into the training samples, where its next fit finds it."""

    def fit(self, task, seed, budget=None):
        x = task.train.x
        if x[0, 0].item() == 7:
            return FittedParity(tuple(int(i) for i in x[0, 1:4].tolist()), 0)
        fitted = WalshFourier().fit(task, seed)
        x[0, :4] = torch.tensor([7.0, *fitted.subset])
        return fitted


def test_a_note_in_the_training_samples_is_caught_and_helps_no_later_pass_of_a_measurement():
    assert not repeated_cost(PARITY, LeavesANote(), 5).passed
    meters = [WallTime(runs=1, window=0), OperationCount()]
    noted, honest = (
        measure(PARITY, model, meters, 5).reading("operations") for model in (LeavesANote(), WalshFourier())
    )
    assert noted.value >= honest.value


class Lazy(Cheat):
    """Trains when it is first asked for a prediction, ``keeps`` what it finds, or trains again each time."""

    def __init__(self, keeps):
        self.keeps = keeps

    def fit(self, task, seed, budget=None):
        return FittedLazily(task, seed, self.keeps)


class FittedLazily:
    history, steps, nbytes = (), 0, 8

    def __init__(self, task, seed, keeps):
        self.task, self.seed, self.keeps, self.found = task, seed, keeps, None

    def predict(self, x):
        found = self.found or WalshFourier().fit(self.task, self.seed)
        self.found = found if self.keeps else None
        return found.predict(x)


def test_training_that_is_put_off_until_the_first_prediction_is_caught():
    assert cost(Lazy(keeps=True)).operations == 0
    found = repeated_cost(PARITY, Lazy(keeps=True), 5)
    assert not found.passed
    assert "fits: " in found.evidence
    assert "accesses" in found.evidence.split("then")[-1]


def test_training_that_is_put_off_is_in_the_cost_of_inference_though_its_score_came_first():
    trained = cost(WalshFourier()).operations
    found = measure(PARITY, Lazy(keeps=True), [WallTime(runs=1, window=0), OperationCount()], 0, whole=True)
    assert found.reading("inference-operations").value > trained


def test_training_moved_into_every_prediction_is_in_the_cost_of_inference():
    trained = cost(WalshFourier()).operations
    found = measure(PARITY, Lazy(keeps=False), [WallTime(runs=1, window=0), OperationCount()], 0, whole=True)
    assert "operations" not in {reading.name for reading in found.readings}  # a fit that does nothing has no reading
    assert found.reading("inference-operations").value > trained
    assert repeated_cost(PARITY, Lazy(keeps=False), 5).passed  # nothing is hidden


class BringsWeights(Cheat):
    """Trained before anybody looked: the weights lie on the class."""

    weights = TwoLayerNetwork().init_parameters(20, 0)

    def fit(self, task, seed, budget=None):
        p = copy.copy(self.weights)
        p.W1 = p.W1 * 1.0
        return FittedNetwork(p)


def test_an_answer_that_was_made_before_the_fit_is_counted_where_it_comes_in():
    found = external_tensors(PARITY, BringsWeights(), 5)
    assert not found.passed
    assert found.evidence == "4,000 elements entered, 1,280 allowed"


@dataclass(frozen=True)
class SaysLess(TwoLayerNetwork):
    """Makes five updates for each one that it says it made; it stops where it is told to."""

    def fit(self, task, seed, budget=None, start=None):
        fitted = super().fit(task, seed, budget, start)
        return FittedNetwork(fitted.parameters, history=fitted.history, steps=max(1, fitted.steps // 5))


@dataclass(frozen=True)
class DoesNotStop(TwoLayerNetwork):
    """Takes a budget of updates for ten times as many."""

    def fit(self, task, seed, budget=None, start=None):
        more = Budget(steps=10 * budget.steps) if budget and budget.steps else budget
        return super().fit(task, seed, more, start)


NETWORK = {"hidden": 20, "max_epochs": 8}


def test_updates_that_are_not_owned_up_to_make_a_scaled_reading_smaller_and_are_caught():
    meters = [WallTime(runs=1, window=0), OperationCount()]
    honest, cheat = (
        measure(PARITY, model, meters, 0, trace_updates=5).reading("operations").value
        for model in (TwoLayerNetwork(**NETWORK), SaysLess(**NETWORK))
    )
    assert cheat < 0.3 * honest
    found = extrapolated_counts(PARITY, SaysLess(**NETWORK), 5)
    assert not found.passed
    assert extrapolated_counts(PARITY, TwoLayerNetwork(**NETWORK), 5).passed
    *_, last = gaming_checks(PARITY, SaysLess(**NETWORK), 5, trace_updates=5)
    assert last.status == "failed"


def test_a_model_that_does_not_stop_where_it_is_told_to_is_caught():
    assert not extrapolated_counts(PARITY, DoesNotStop(**NETWORK), 5).passed


def test_what_is_done_once_before_the_updates_is_no_obstacle_to_a_scaled_reading():
    network = TwoLayerNetwork(max_epochs=8, stop_accuracy=1.0, patience=8)
    assert extrapolated_counts(PARITY, FeatureSelectThenTrain(selector="walsh-fourier", network=network), 5).passed


def test_lessons_of_unequal_cost_must_not_be_weighed_by_the_first_one():
    problem, model = SparseParity(n=100), Curriculum(network=TwoLayerNetwork(max_epochs=4))
    assert not extrapolated_counts(problem, model, 5).passed
    *_, last = gaming_checks(problem, model, 5)
    assert last.status == "a limit"


@dataclass(frozen=True)
class Boasts(TwoLayerNetwork):
    """Its learning curve says that it was done after one update."""

    def fit(self, task, seed, budget=None, start=None):
        fitted = super().fit(task, seed, budget, start)
        return FittedNetwork(fitted.parameters, history=((1, 1.0), *fitted.history), steps=fitted.steps)


class SkipsItsEvaluation(Cheat):
    """Never scores itself, and claims to be perfect."""

    score, target = 1.0, 0.0

    def fit(self, task, seed, budget=None):
        object.__setattr__(task, "target", 0.0)
        object.__setattr__(task, "score", lambda predictions, labels: 1.0)
        fitted = FittedLazily(task, seed, keeps=False)
        fitted.predict = lambda x: torch.ones(len(x), 1)
        fitted.score, fitted.history = 1.0, ((1, 1.0),)
        return fitted


def test_an_evaluation_cannot_be_skipped_as_the_model_does_not_make_it():
    found = measure(PARITY, SkipsItsEvaluation(), [], 0, timed=False)
    assert (found.target, found.solved) == (0.99, False)
    assert 0.4 < found.score < 0.6


def test_a_learning_curve_that_boasts_gains_no_time_to_target():
    found = measure(PARITY, Boasts(), [WallTime(runs=1, window=0)], 0, whole=True)
    assert found.solved
    assert found.reading(TO_TARGET).detail["updates"] > 100
