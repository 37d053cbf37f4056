"""What a search adds to the trainings that it runs, and what a second worker gains."""

import statistics
import time

import pytest

from sutrolib.meters import CacheEnergy
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.dimension import Range
from sutrolib.processes.evaluator import Evaluator
from sutrolib.processes.parallel import improve_parallel
from sutrolib.processes.samplers import RandomSearch, TPESearch
from sutrolib.processes.search import Search
from sutrolib.processes.space import space_of

PROBLEM = SparseParity()
SPACE = space_of(TwoLayerNetwork(hidden=50, lr=0.5), "hidden", "lr", "batch", "patience")


@pytest.mark.parametrize(("kept", "limit"), [("in memory", 0.020), ("in a journal", 0.060)])
@pytest.mark.parametrize("search", [RandomSearch(), TPESearch()], ids=lambda s: s.name)
def test_overhead_of_a_trial(monkeypatch, tmp_path, search, kept, limit):
    """Seconds of a trial that are not spent in the judge, the median over a study."""
    judging = []
    evaluate = Evaluator.evaluate

    def timed(self, *arguments):
        began = time.perf_counter()
        try:
            return evaluate(self, *arguments)
        finally:
            judging.append(time.perf_counter() - began)

    monkeypatch.setattr(Evaluator, "evaluate", timed)
    ends = []
    options = {"trace_updates": 20, "on_trial": lambda _: ends.append(time.perf_counter())}
    journal = tmp_path / "study.log" if kept == "in a journal" else None
    made: Search = type(search)(journal=journal, **options)
    began = time.perf_counter()
    made.improve(PROBLEM, SPACE, CacheEnergy(), SearchBudget(trials=40))
    trials = [after - before for before, after in zip([began, *ends], ends, strict=False)]
    over = statistics.median(trial - inside for trial, inside in zip(trials, judging, strict=True))
    print(f"\n{search.name}, {kept}: {1000 * over:.1f} ms a trial beside the training (asked {1000 * limit:.0f})")


def test_a_second_worker(tmp_path):
    """Two workers over one, on trials that are counted; the start of the processes is left out of both."""
    space = space_of(TwoLayerNetwork(hidden=50, max_epochs=5, patience=5), hidden=Range(40, 80, integer=True))
    seconds = {1: [], 2: []}
    for turn in range(3):
        for workers in (1, 2):
            ends = []
            journal = tmp_path / f"{turn}-{workers}.log"
            search = RandomSearch(journal=journal, on_trial=lambda _, ends=ends: ends.append(time.perf_counter()))
            improve_parallel(search, PROBLEM, space, CacheEnergy(), SearchBudget(trials=40), workers=workers)
            seconds[workers].append((ends[-1] - ends[3]) / (len(ends) - 4))
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(f"\ntwo workers over one: {statistics.median(ratios):.2f} times the trials a second, {sorted(ratios)}")
