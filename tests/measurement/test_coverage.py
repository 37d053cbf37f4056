"""Studies have positions on the cube as measurements have."""

import pytest

from sutrolib.core.cube import BESIDE, Position
from sutrolib.core.types import describe
from sutrolib.measurement.coverage import PROCESS_RUNGS, count_studies
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.matmul import MatrixProduct
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextLetter, WindowedText
from sutrolib.processes.external_agent import ExternalAgent
from sutrolib.processes.manual import ManualTuning
from sutrolib.processes.model_families import comparison_tasks
from sutrolib.processes.search import Search


def study(process="TPE", metric="dmd", problem=None, **more):
    return {"process": process, "metric": metric, "problem": describe(problem or SparseParity()), **more}


def subclasses(kind):
    return {kind, *(one for below in kind.__subclasses__() for one in subclasses(below))}


def test_every_process_of_the_library_has_its_rung():
    # A search on a public board has no position on the cube.
    kinds = (kind for kind in subclasses(Search) - {Search} if kind.__module__.startswith("sutrolib.processes"))
    found = {kind.name: kind.rung for kind in kinds}
    known = {name: rung for name, rung in found.items() if rung not in BESIDE}
    assert known | {ManualTuning.name: ManualTuning.rung} == {n: PROCESS_RUNGS[n] for n in [*known, ManualTuning.name]}
    assert ExternalAgent.rung in BESIDE
    for task in comparison_tasks().values():
        for name, config in task.configs.items():
            assert PROCESS_RUNGS[name.partition(",")[0]] == config.process.rung


@pytest.mark.parametrize(
    ("problem", "rung"),
    [
        (SparseParity(), "parity"),
        (SparseParity(noise=0.1), "parity-hard"),
        (search_holdout(Digits()), "digits"),
        (NextLetter(characters=90_000), "letters"),
        (WindowedText(), "shakespeare"),
        (search_holdout(WindowedText()), "shakespeare"),
    ],
)
def test_a_study_stands_where_its_process_searched(problem, rung):
    assert count_studies([study(problem=problem)]) == {Position("model-based", "dmd", rung): 1}


def test_a_comparison_counts_once_for_each_search():
    found = count_studies([study("comparison of searches", results={"by hand": {}, "TPE, all algorithms": {}})])
    assert found == {Position("by-hand", "dmd", "parity"): 1, Position("model-based", "dmd", "parity"): 1}


@pytest.mark.parametrize(
    "beside",
    [
        study("external agent"),
        study("compass search"),
        study(metric="operations"),
        study(problem=WindowedText(characters=20_000)),
        study(problem=MatrixProduct(4)),
        {},
    ],
)
def test_what_has_no_rung_is_left_out(beside):
    assert count_studies([beside, study()]) == {Position("model-based", "dmd", "parity"): 1}
