import dataclasses
import math

import pytest
import torch

from sutrolib.boards import submission
from sutrolib.boards.attention_teacher import AttentionTeacher
from sutrolib.boards.registry import BOARDS
from sutrolib.boards.scoring import score
from sutrolib.boards.submission import load_optimizer

SMALL = AttentionTeacher(updates=3, width=8, length=4, train=16, evaluation=8, batch=4)
ADAMW = """
import torch

class Submission(torch.optim.AdamW):
    def __init__(self, p):
        super().__init__(p, lr={})
"""


def test_a_training_is_that_of_torch_and_its_draws_are_those_of_its_seed():
    make = load_optimizer(ADAMW.format(0.01))
    assert SMALL.score(make) == SMALL.score(make)
    assert SMALL.score(make) != dataclasses.replace(SMALL, seed=1).score(make)
    assert SMALL.score(make) != SMALL.score(load_optimizer(ADAMW.format(0.1)))
    still = SMALL.score(lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    assert still == dataclasses.replace(SMALL, updates=1).score(lambda p: torch.optim.SGD(p, lr=0.0))
    assert still > SMALL.score(make) > 0


def test_more_updates_of_a_good_rate_are_closer_to_the_teacher():
    def error(updates):
        return dataclasses.replace(SMALL, updates=updates).score(load_optimizer(ADAMW.format(0.02)))

    assert error(200) < 0.5 * error(1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def Submission(", "line 1: "),
        ("import torch\nraise OSError('no')", "it cannot be loaded: OSError: no"),
        ("Submission = 3", "it defines no class Submission"),
        ("class Submission: pass", "it defines no class Submission"),
    ],
)
def test_what_is_no_optimizer_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        load_optimizer(text)
    with pytest.raises(ValueError, match=said):
        score(text, "caffeine")


def test_an_optimizer_that_fails_is_not_accepted():
    found = score(ADAMW.format("p['none']"), "caffeine")
    assert "the optimizer raises TypeError: " in found.why
    assert found.why.endswith("(line 6)")
    assert not found.valid
    assert math.isnan(found.cost)


def test_a_training_that_diverges_is_not_accepted(monkeypatch):
    monkeypatch.setattr(submission, "AttentionTeacher", lambda: dataclasses.replace(SMALL, updates=20))
    with pytest.raises(RuntimeError, match=r"the training diverges: its error is (nan|inf)"):
        submission._train(lambda parameters: torch.optim.SGD(parameters, lr=1e30))


def test_a_file_cannot_print_its_result_end_its_process_quietly_or_run_for_ever():
    printed = "print('{\"runs\": [[1, 1.0]]}', flush=True)\n"
    found = score(printed + "def solve(x, y, n, k):\n    return [0, 1, 2]", "parity-dmd")
    assert found.cost == 0
    assert not found.valid
    ended = score("def solve(x, y, n, k):\n    raise SystemExit('enough')", "parity-dmd")
    assert "its process ended with status 1, without a result: enough" in ended.why
    quick = dataclasses.replace(BOARDS["parity-dmd"], limit_s=0.01)
    assert "it takes more than 0.01 s" in score("def solve(x, y, n, k):\n    return [0, 1, 2]", quick).why
