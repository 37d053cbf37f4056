"""The last step, from estimated to measured joules: refused without a counter, and taken with one (faked here)."""

import dataclasses
import subprocess
import threading
import time

import pytest
from walks import record

from sutrolib.__main__ import main
from sutrolib.core.cube import B, path_to_b
from sutrolib.core.types import describe
from sutrolib.measurement.walk_records import Sign, read_records
from sutrolib.meters import Joules
from sutrolib.meters.energy import counter
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.parity import SparseParity
from sutrolib.walk import step
from sutrolib.walk.plan import plan_path
from sutrolib.walk.spaces import grounds

LAST = len(path_to_b())
PLAN = """
moves = "metric: codecarbon -> joules"
trials = 5
searches = 1
pairs = 1
[expectation]
quantity = "correlation"
value = 0.8
low = 0.4
high = 1.0
because = "the fake counter draws a constant power"
[rule]
quantity = "solved"
at_least = 0.8
remedy = "the other metric"
"""
WATTS = 20


@pytest.fixture
def before_b(tmp_path, monkeypatch):
    """A walk that lacks only its last step, with a committed plan, on a parity of 8 bits in place of nanoGPT."""
    monkeypatch.setenv("SUTRO_WALK", str(tmp_path / "walk"))
    problem = SparseParity(n=8, k=2, n_train=200, n_test=100)
    ground = dataclasses.replace(grounds()["parity"], problem=problem, searched=problem)
    monkeypatch.setattr(step, "grounds", lambda: {"shakespeare": ground})
    monkeypatch.setattr(step, "DATA", tmp_path)
    for number in range(1, LAST):
        record(number, Sign.GO, number, champion=describe(GF2Elimination())).save()
    plan_path(LAST).parent.mkdir()
    plan_path(LAST).write_text(PLAN)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "a plan"]):
        subprocess.run([*git, *command], cwd=tmp_path / "walk", check=True)


@pytest.fixture
def power_counter(tmp_path, monkeypatch):
    """A fake RAPL zone of one package that draws a constant power."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    began, ended = time.perf_counter(), threading.Event()

    def show():
        later = zone / "next"
        later.write_text(f"{round(1e6 * WATTS * (time.perf_counter() - began))}\n")
        later.replace(zone / "energy_uj")

    def draw():
        while not ended.wait(0.01):  # seldom enough that the process counts as idle
            show()

    show()
    real = counter.rapl_counters
    monkeypatch.setattr(counter, "rapl_counters", lambda root: real(zone.parent))
    thread = threading.Thread(target=draw)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_without_a_counter_the_last_step_is_refused_with_the_reason(before_b, monkeypatch, capsys):
    monkeypatch.setattr(counter, "rapl_counters", lambda root: _no_counter())
    assert main(["walk", "--to", "B"]) == 2
    assert "joules cannot be read here: " in capsys.readouterr().err
    assert len(read_records()) == LAST - 1


def _no_counter():
    raise counter.NoReading("RAPL: no package or psys")


@pytest.mark.slow
def test_with_a_counter_the_walk_ends_at_b(before_b, power_counter, capsys):
    assert Joules.available().ok
    assert main(["walk", "--to", "B"]) == 0
    assert "the walk is at B" in capsys.readouterr().out
    last = read_records()[-1]
    assert (last.position, last.sign, last.quantities["solved"]) == (B, Sign.GO, 1)
    (study,) = last.studies
    assert (study["metric"], study["kind"]) == ("joules", "measured")
    assert last.found("ratio") is not None, last.verdict
    assert last.found("ratio").value > 0


def test_a_step_is_a_number_or_b(capsys):
    with pytest.raises(SystemExit):
        main(["walk", "--to", "C"])
    assert "a step is a number, or B (got 'C')" in capsys.readouterr().err
