import os
import time

import psutil
import pytest

from sutrolib.meters import OperationCount
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.dimension import Range
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.external_agent import ExternalAgent
from sutrolib.processes.hostile_agent import ANSWERS, CHILD, CRASH, HOSTILE_AGENT, LATE, LONG
from sutrolib.processes.space import space_of

PROBLEM = SparseParity(n=6, k=2, n_train=400, n_test=200)
SPACE = space_of(TwoLayerNetwork(max_epochs=20), hidden=Range(20, 200, log=True, integer=True), lr=Range(0.03, 1.0))
TIMEOUT = 5  # seconds

REASONS = {
    "repeats itself": "tried before: two-layer network (hidden=200, lr=0.1)",
    "nothing": "nothing on standard output",
    "prose": "not valid JSON",
    "two answers": "more than one line",
    "NaN": "NaN is not a finite number",
    "beyond the range": "hidden must be an integer from 20 to 200 (got 1000000000.0)",
    "text for a number": "hidden must be an integer from 20 to 200 (got '200')",
    "a path": "hidden must be an integer from 20 to 200 (got '../../etc/passwd')",
    "code": "hidden must be an integer from 20 to 200 (got \"__import__('os').system('echo owned')\")",
    "an unknown setting": "unknown 'max_epochs'",
    "an unknown family": "unknown family 'gpt': choose one of 'two-layer network'",
    LONG: "more than 65536 bytes of output",
    CRASH: "exit code 1; last line of its errors: 'RuntimeError: no idea'",
    LATE: f"late: it had not ended after {TIMEOUT} s",
    CHILD: "nothing on standard output",
}


def named(token):
    """The processes that have this among their arguments."""
    return [process.pid for process in psutil.process_iter(["cmdline"]) if token in (process.info["cmdline"] or [])]


pytestmark = pytest.mark.xdist_group("trials")  # the tests of one worker share what is made once


@pytest.fixture(scope="module")
def trials():
    token = f"test-{os.getpid()}"
    search = ExternalAgent(command=[*HOSTILE_AGENT, token], timeout=TIMEOUT)
    study = search.improve(PROBLEM, SPACE, OperationCount(), SearchBudget(trials=len(ANSWERS)))
    assert named(token) == []
    return dict(zip(ANSWERS, study.trials, strict=True))


def test_its_first_answer_is_good(trials):
    first, *others = trials.values()
    assert first.state is TrialState.SOLVED
    assert {trial.state for trial in others} == {TrialState.REFUSED}
    assert set(REASONS) == {*list(ANSWERS)[1:]}


@pytest.mark.parametrize("title", REASONS)
def test_every_bad_answer_is_refused_by_name_and_charged(trials, title):
    assert REASONS[title] in trials[title].why
    assert (trials[title].proposal, trials[title].spent.trials) == (None, 1)


def test_a_program_that_is_left_behind_would_be_seen(tmp_path):
    token = f"left-{os.getpid()}"
    left = psutil.Popen([*HOSTILE_AGENT, "linger", token])
    try:
        for _ in range(200):  # a process that has just begun has no arguments for a moment
            if named(token):
                break
            time.sleep(0.05)
        assert named(token) == [left.pid]
    finally:
        left.kill()
        left.wait()
