"""Plans are written and committed before their step is run, and decide what follows from it."""

import math
import subprocess

import pytest

from sutrolib.core import paths
from sutrolib.measurement.walk_records import Sign
from sutrolib.walk.plan import Expectation, Rule, plan_path, read_plan

PLAN = """
moves = "metric: ard -> dmd"
trials = 6
searches = 5
[expectation]
quantity = "ratio"
value = 0.8
low = 0.5
high = 1.0
because = "smaller batches reuse what is near"
[rule]
quantity = "correlation"
at_least = 0.5
stop = -0.5
remedy = "the other metric"
[[changes]]
title = "batch 64"
fields = {batch = 64}
expectation = "fewer updates"
"""


def git(*arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=paths.walk(), check=True)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_WALK", str(tmp_path))
    git("init", "-q")
    write(PLAN)
    return tmp_path


def write(text, number=1):
    plan_path(number).parent.mkdir(exist_ok=True)
    plan_path(number).write_text(text)


def commit():
    git("add", "-A")
    git("commit", "-q", "-m", "a plan")


def test_a_committed_plan_is_read_with_its_commit(folder):
    commit()
    plan = read_plan(1)
    assert (plan.trials, plan.searches, plan.changes[0].fields) == (6, 5, {"batch": 64})
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    assert plan.commit == head.stdout.strip()
    (folder / "later").write_text("")
    commit()
    assert read_plan(1).commit == plan.commit, "the commit is the one that last changed the plan"


def test_the_searches_of_a_narrower_space_can_have_a_budget_of_their_own():
    write(PLAN + "[divisions.closed]\nsearches = 3\nseconds = 240\n")
    plan = read_plan(1, committed=False)
    own = plan.of_division("closed")
    assert (own.searches, own.seconds, own.trials) == (3, 240, plan.trials)
    assert plan.of_division("open") == plan
    write(PLAN + "[divisions.closed]\nminutes = 4\n")
    with pytest.raises(ValueError, match=r"is no plan of step 1 .*minutes"):
        read_plan(1, committed=False)


def test_a_plan_that_is_not_committed_as_it_is_is_refused():
    with pytest.raises(ValueError, match="not committed as it is"):
        read_plan(1)
    commit()
    write(PLAN.replace("0.8", "0.9"))
    with pytest.raises(ValueError, match="not committed as it is"):
        read_plan(1)


def test_a_plan_that_git_does_not_know_is_refused(folder, tmp_path_factory, monkeypatch):
    outside = tmp_path_factory.mktemp("no repository")
    monkeypatch.setenv("SUTRO_WALK", str(outside))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(outside.parent))
    write(PLAN)
    with pytest.raises(ValueError, match="a plan must be committed"):
        read_plan(1)


def test_a_missing_plan_says_what_to_write():
    with pytest.raises(ValueError, match=r"step 2 has no plan .*02\.toml: write what you expect"):
        read_plan(2)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("metric: ard -> dmd", "metric: dmd -> ard", "it moves 'metric: dmd -> ard', and step 1 of the path is"),
        ("trials = 6", "trails = 6", "unexpected keyword argument 'trails'"),
        ('quantity = "ratio"', 'quantity = "luck"', "quantity must be one of ratio"),
        ("value = 0.8", "value = 8", "must satisfy low <= value <= high"),
        ('because = "smaller batches reuse what is near"', 'because = " "', "needs a reason"),
        ('remedy = "the other metric"', 'remedy = "prayer"', "more budget, the other metric, the next process"),
        ("at_least = 0.5", "", "either at_most or at_least"),
        ("trials = 6", "trials = ", "is no TOML"),
    ],
)
def test_a_damaged_plan_is_refused_with_what_is_wrong(old, new, why):
    write(PLAN.replace(old, new))
    commit()
    with pytest.raises(ValueError, match=why):
        read_plan(1)


def test_a_rule_needs_its_bound_to_be_reached():
    rule = Rule("correlation", "more budget", at_least=0.5, stop=-0.5)
    expected = {0.5: Sign.GO, 0.4: Sign.TURN_BACK, -0.5: Sign.TURN_BACK, -0.6: Sign.STOP}
    assert {value: rule.sign(value) for value in expected} == expected
    assert rule.sign(None) is rule.sign(math.nan) is Sign.TURN_BACK
    assert str(rule).startswith("go if the rank correlation (Kendall's tau) of old and new metric")
    at_most = Rule("ratio", "more budget", at_most=1.0)
    assert [at_most.sign(value) for value in (1.0, 1.01, math.inf)] == [Sign.GO, Sign.TURN_BACK, Sign.TURN_BACK]


def test_an_expectation_of_nothing_known_is_refused():
    with pytest.raises(ValueError, match="got 'joy'"):
        Expectation("joy", 1, 0, 2, "why not")
