import dataclasses
import math
from typing import ClassVar

import pytest
import torch

from sutrolib.core.provenance import commit, machine, versions
from sutrolib.core.types import Budget, Diverged
from sutrolib.measurement.comparison import compare
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import measure, score_of
from sutrolib.meters import CodeCarbon, DataMovement, NoReading, OperationCount, PeakMemory, ReuseDistance, WallTime
from sutrolib.meters.base import Availability, Kind, Meter, Reading
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.guided_network import FeatureSelectThenTrain
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity

SMALL = SparseParity(n=6, k=2, n_train=200, n_test=200)
LEARNABLE = SparseParity(n=6, k=2, n_train=1000, n_test=200)


def test_a_measurement_holds_score_readings_and_provenance():
    found = measure(SMALL, GF2Elimination(), [OperationCount(), ReuseDistance(), PeakMemory()], seed=4)
    assert found.score == 1.0
    assert found.solved
    assert [r.name for r in found.readings] == ["time", "operations", "ard", "peak_memory"]
    assert found.problem == {"name": "sparse parity", "n": 6, "k": 2, "noise": 0.0, "n_train": 200, "n_test": 200}
    assert found.model == {"name": "GF(2) elimination", "extra_samples": 10}
    assert found.prior_knowledge == "that it is a parity without noise"
    assert found.rungs == {"process": "by-hand", "problem": "parity"}
    assert found.machine == machine()
    assert found.versions == versions()
    assert found.commit == commit()
    assert found.when.endswith("+00:00")


def test_counts_are_the_same_every_time():
    one, other = (measure(SMALL, TwoLayerNetwork(max_epochs=2), [OperationCount(), ReuseDistance()], 1) for _ in "ab")
    for name in ("operations", "ard"):
        assert one.reading(name) == other.reading(name)


@dataclasses.dataclass(frozen=True)
class Peeking:
    """Looks for the test split wherever a model could."""

    name: ClassVar[str] = "peeking"
    prior_knowledge: ClassVar[str] = "nothing"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def fit(self, task, seed, budget=None):
        assert task.test is None
        self.seen.append(task)
        torch.ones(3) * 2
        return GF2Elimination().fit(task, seed)

    seen: ClassVar[list] = []


def test_a_model_is_never_given_the_test_split():
    Peeking.seen.clear()
    measure(SMALL, Peeking(), [OperationCount()], 0)
    assert len(Peeking.seen) >= 2
    with pytest.raises(ValueError, match="no test split"):
        score_of(Peeking.seen[0], None)


def test_the_clock_never_runs_while_the_trace_does():
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    modes = []

    class Watching(Peeking):
        def fit(self, task, seed, budget=None):
            modes.append(len(_get_current_dispatch_mode_stack()))
            return super().fit(task, seed)

    measure(SMALL, Watching(), [OperationCount(), WallTime(runs=3, window=0)], 0)
    assert modes == [0, 0, 0, 1]


class Absent(CodeCarbon):
    @classmethod
    def available(cls):
        return Availability(False, "not on this machine")


def test_a_meter_that_cannot_work_leaves_its_reason_and_no_number():
    found = measure(SMALL, GF2Elimination(), [Absent()], 0)
    assert found.missing == {"codecarbon": "not on this machine"}
    with pytest.raises(KeyError, match="not on this machine"):
        found.reading("codecarbon")


def test_a_run_that_misses_the_target_can_be_left_unweighed():
    found = measure(SparseParity(), TwoLayerNetwork(max_epochs=1), [OperationCount()], 0, only_solved=True)
    assert not found.solved
    assert [r.name for r in found.readings] == ["time"]
    assert "misses the target" in found.missing["operations"]


def test_a_model_that_traces_nothing_leaves_its_reason():
    class Memorised(Peeking):
        def fit(self, task, seed, budget=None):
            return found_before

    found_before = GF2Elimination().fit(SMALL.sample(0), 0)
    found = measure(SMALL, Memorised(), [OperationCount()], 0)
    assert "no PyTorch arithmetic" in found.missing["operations"]


def test_what_training_raises_is_raised():
    class Broken(Peeking):
        def fit(self, task, seed, budget=None):
            raise NoReading("broken on purpose")

    with pytest.raises(NoReading, match="on purpose"):
        measure(SMALL, Broken(), [OperationCount()], 0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_reading_is_a_finite_number_above_zero(value):
    with pytest.raises(ValueError, match="reading x must be"):
        Reading("x", value, "J", Kind.MEASURED)


class Scripted(Meter):
    """A meter with the reading that a test gives it; None for a meter that saw nothing."""

    name, title, unit, kind = "scripted", "scripted", "J", Kind.MEASURED

    def __init__(self, value):
        super().__init__()
        self.value = value

    def _begin(self):
        pass

    def _end(self, failed):
        if self.value is None:
            raise NoReading("the counter stood still")
        self._reading = self._make(self.value, {})


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_a_reading_that_is_not_finite_is_a_failed_run_that_names_the_meter(value, tmp_path):
    run = measure(SMALL, Peeking(), [Scripted(value)], 0)
    Ledger(tmp_path).add(run)
    assert Ledger(tmp_path).measurements() == [run]
    assert run.failure == f"reading scripted must be finite and above 0 (got {value} J)"
    assert (run.score, run.scores, run.readings) == (None, {}, ())


def test_a_meter_that_sees_nothing_at_its_end_costs_no_other_reading():
    run = measure(SMALL, Peeking(), [Scripted(None)], 0)
    assert run.missing["scripted"] == "the counter stood still"
    assert (run.score is not None, [reading.name for reading in run.readings]) == (True, ["time"])


def test_a_training_that_fails_in_a_later_pass_is_recorded():
    class Second(Peeking):
        def fit(self, task, seed, budget=None):
            fits.append(1)
            if len(fits) > 1:
                raise Diverged("the loss was nan at step 7")
            return super().fit(task, seed, budget)

    fits = []
    run = measure(SMALL, Second(), [WallTime(runs=1, window=0), Scripted(1.0)], 0)
    assert (run.failure, run.score, run.readings) == ("the loss was nan at step 7", None, ())


def test_a_further_score_that_is_not_finite_is_a_failed_run():
    problem = SparseParity(n=6, k=2)
    also = {"loss": lambda predictions, labels: math.nan}
    object.__setattr__(problem, "sample", lambda seed: dataclasses.replace(SMALL.sample(seed), also=also))
    run = measure(problem, Peeking(), [], 0)
    assert (run.failure, run.score, run.scores, run.readings) == ("loss is nan", None, {}, ())


def test_a_whole_measurement_weighs_the_use_and_the_way_to_the_target():
    found = measure(LEARNABLE, TwoLayerNetwork(), [OperationCount(), PeakMemory()], 0, whole=True)
    names = [reading.name for reading in found.readings]
    assert names[:3] == ["time", "operations", "peak_memory"]
    assert {"inference-time", "inference-operations", "inference-peak_memory", "model-size", "time-to-target"} < set(
        names
    )
    # A thousand predictions of 6 inputs and 200 hidden units: two products, their biases, and a ReLU.
    assert found.reading("inference-operations").value == 1000 * (2 * 6 * 200 + 200 + 200 + 2 * 200 + 1)
    assert found.reading("model-size").value == 4 * (6 * 200 + 200 + 200 + 1)
    assert found.reading("time-to-target").detail["updates"] > 0


def test_the_way_to_the_target_ends_where_the_test_score_is_there():
    found = measure(LEARNABLE, TwoLayerNetwork(), [], 0, whole=True)
    updates = found.reading("time-to-target").detail["updates"]
    model, task = TwoLayerNetwork(), LEARNABLE.sample(0)
    assert score_of(task, model.fit(task.for_training(), 0, Budget(steps=updates))) >= task.target
    assert updates <= model.fit(task.for_training(), 0).steps


def test_a_target_that_is_never_reached_leaves_its_reason():
    found = measure(SMALL, TwoLayerNetwork(max_epochs=1, lr=1e-5), [], 0, whole=True)
    assert "never reached" in found.missing["time-to-target"]


def test_a_trace_of_few_updates_is_scaled_and_says_so():
    model = TwoLayerNetwork(patience=50, max_epochs=20)
    meters = [OperationCount(), DataMovement(), PeakMemory(), ReuseDistance()]
    whole = measure(SMALL, model, meters, 0)
    part = measure(SMALL, model, meters, 0, trace_updates=20)
    assert part.reading("operations").kind is Kind.MODELLED
    assert part.reading("operations").detail["traced_updates"] == 20
    for name in ("operations", "dmd"):
        assert part.reading(name).value == pytest.approx(whole.reading(name).value, rel=0.1)
    assert part.reading("peak_memory").kind is Kind.COUNTED
    assert part.reading("ard").value == pytest.approx(whole.reading("ard").value, rel=0.2)
    assert measure(SMALL, model, meters, 0, trace_updates=10_000).readings[1] == whole.readings[1]


def test_a_failed_run_is_recorded_and_kept(tmp_path):
    found = measure(SparseParity(noise=0.2), GF2Elimination(extra_samples=80), [OperationCount()], 0, whole=True)
    assert (found.score, found.solved, found.readings) == (None, False, ())
    assert "contradict each other" in found.failure
    ledger = Ledger(tmp_path)
    ledger.add(found)
    assert ledger.measurements() == [found]
    with pytest.raises(ValueError, match=r"GF\(2\) elimination failed"):
        compare(
            [dataclasses.replace(found, seed=s) for s in range(3)],
            [dataclasses.replace(found, seed=s) for s in range(3)],
            "time",
        )


def test_what_comes_before_the_first_update_is_counted_once_however_long_the_training_is():
    model = FeatureSelectThenTrain(
        selector="walsh-fourier", network=TwoLayerNetwork(max_epochs=12, stop_accuracy=1.0, patience=12)
    )
    whole = measure(SparseParity(), model, [OperationCount()], 0, timed=False).reading("operations")
    part = measure(SparseParity(), model, [OperationCount()], 0, timed=False, trace_updates=100).reading("operations")
    assert part.kind is Kind.MODELLED
    assert part.value == pytest.approx(whole.value, rel=0.05)


@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_a_score_that_is_not_finite_is_a_failed_run_without_readings(score):
    def unscored(seed):
        return dataclasses.replace(SparseParity(n=6, k=2).sample(seed), score=lambda predictions, labels: score)

    problem = SparseParity(n=6, k=2)
    object.__setattr__(problem, "sample", unscored)
    run = measure(problem, TwoLayerNetwork(max_epochs=1), [OperationCount()], 0, whole=True)
    assert run.failure == f"accuracy is {score}"
    assert (run.score, run.readings, run.solved) == (None, (), False)
