import dataclasses
from typing import ClassVar

import pytest
import torch

from sutrolib.measure import measure, score_of
from sutrolib.meters import CodeCarbon, NoReading, OperationCount, PeakMemory, ReuseDistance, WallTime
from sutrolib.meters.base import Availability, Kind, Reading
from sutrolib.models.algebra import GF2Elimination
from sutrolib.models.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.provenance import commit, machine, versions

SMALL = SparseParity(n=6, k=2, n_train=200, n_test=200)


def test_a_measurement_holds_score_readings_and_provenance():
    found = measure(SMALL, GF2Elimination(), [OperationCount(), ReuseDistance(), PeakMemory()], seed=4)
    assert found.score == 1.0
    assert found.solved
    assert [r.name for r in found.readings] == ["time", "operations", "ard", "peak_memory"]
    assert found.problem == {"name": "sparse parity", "n": 6, "k": 2, "noise": 0.0, "n_train": 200, "n_test": 200}
    assert found.model == {"name": "GF(2) elimination", "extra": 10}
    assert found.told == "that it is a parity without noise"
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
    told: ClassVar[str] = "nothing"
    asks: ClassVar[tuple[str, ...]] = ()

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
    with pytest.raises(ValueError, match="reading x="):
        Reading("x", value, "J", Kind.MEASURED)
