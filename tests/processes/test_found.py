"""What a study keeps of what it found: a program is kept as text that can be scored without the code that built it."""

import json

import numpy as np
import pytest

from sutrolib.boards.loop_nest import LoopNest
from sutrolib.boards.scoring import score
from sutrolib.boards.task import BoardCost, BoardTask
from sutrolib.meters import WriteStackMovement
from sutrolib.models.parity.programs import ParityProgram
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.space import space_of


def kept(problem, model, meter, *fields, trials=8):
    """The record of a short search, as it comes back from the ledger, and the study itself."""
    study = Evolution(pairs=1).improve(problem, space_of(model, *fields), meter, SearchBudget(trials=trials), 0)
    return json.loads(json.dumps(study.to_dict(), allow_nan=False)), study


PRODUCT = BoardTask("matmul-4"), LoopNest("matmul-4", steady=5, price_rounds=5), BoardCost("matmul-4")


def test_a_grid_program_is_kept_and_scored_from_its_text_alone():
    record, study = kept(*PRODUCT)
    found = record["found"]
    assert found["model"] == json.loads(json.dumps({"name": "loop nest"} | vars(study.model)))
    again = score(found["program"], "matmul-4")
    assert again.valid
    assert again.cost == found["cost"] == study.best.cost
    assert found["score"] == 1.0


PROBLEM = SparseParity(n=10, k=3, n_train=60)


@pytest.mark.parametrize("family", ["gf2 bits", "gf2 rows", "fourier", "match", "eliminate"])
@pytest.mark.parametrize("layout", ["inputs, labels", "labels, inputs", "samples"])
def test_a_parity_program_is_kept_and_scored_from_its_text_alone(family, layout):
    start = ParityProgram(family=family, samples=30, layout=layout)
    record, study = kept(PROBLEM, start, WriteStackMovement(), "sample_order", "in_place", trials=3)
    found = record["found"]
    assert "import sutrolib" not in found["program"]
    assert "from sutrolib" not in found["program"]
    namespace = {}
    exec(compile(found["program"], "kept", "exec"), namespace)
    task = PROBLEM.sample(study.best.runs[0].seed)
    inputs, labels = task.train.x.int().tolist(), task.train.y[:, 0].int().tolist()
    arguments = {
        "inputs, labels": [inputs, labels],
        "labels, inputs": [labels, inputs],
        "samples": [[[*row, label] for row, label in zip(inputs, labels, strict=True)]],
    }[layout]
    with WriteStackMovement() as meter:
        subsets, _ = meter.run(namespace["program"], arguments)
    reading = study.best.runs[0].reading("write-dmd")
    assert meter.reading.value == reading.value
    assert meter.reading.detail == reading.detail
    expected = np.prod([task.train.x[:, bit].numpy() for bit in subsets[0]], axis=0)
    assert (expected == task.train.y[:, 0].numpy()).all()


def test_a_search_that_found_nothing_keeps_nothing():
    record, _ = kept(*PRODUCT, trials=1)
    assert record["found"] is not None
    record, _ = kept(PROBLEM, ParityProgram(family="match", k=2), WriteStackMovement(0.0), "in_place", trials=2)
    assert record["best"] is None
    assert record["found"] is None
