"""The load of the machine while a window of time is open: what other processes take of its processors."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest

from sutrolib.meters import Kind, Reading, WallTime
from sutrolib.meters import load as load_module
from sutrolib.meters.base import too_high_load
from sutrolib.meters.load import MAX_LOAD, MIN_SPAN_S, CpuSample, load_since, sample_cpu

Times = namedtuple("Times", "user nice system idle iowait steal guest guest_nice")
Own = namedtuple("Own", "user system children_user children_system")


@pytest.fixture
def clock(monkeypatch):
    """Samples at chosen times of a machine of two cores, of which others use a share."""
    monkeypatch.setattr(load_module, "_earlier_samples", lambda pid, kept=[]: kept)
    machine = SimpleNamespace(now=0.0, others=0.0, slept=[])

    def go(seconds, share):
        machine.now, machine.others = machine.now + seconds, machine.others + 2 * seconds * share

    machine.go, machine.sample = go, lambda: CpuSample(machine.now, 2 * machine.now, machine.others)
    monkeypatch.setattr(load_module, "sample_cpu", machine.sample)
    # In the module only: a thread of another test may sleep at this moment.
    slow = SimpleNamespace(sleep=lambda s: (machine.slept.append(s), go(s, 0.9)), perf_counter=time.perf_counter)
    monkeypatch.setattr(load_module, "time", slow)
    return machine


def test_the_load_is_what_others_use_of_all_cores(clock):
    before = clock.sample()
    clock.go(1.0, 0.3)
    assert load_since(before) == pytest.approx(0.3)
    assert clock.slept == []


def test_a_short_window_has_the_load_since_a_window_shortly_before_and_does_not_sleep(clock):
    first = clock.sample()
    clock.go(1.0, 0.3)
    load_since(first)
    for _ in range(3):
        before = clock.sample()
        clock.go(0.0001, 0.3)
        assert load_since(before) == pytest.approx(0.3)
    assert clock.slept == []


def test_a_short_window_after_a_pause_sleeps_once_after_it(clock):
    load_since(clock.sample())
    clock.go(3600, 0.0)
    before = clock.sample()
    assert load_since(before) == pytest.approx(0.9)
    assert clock.slept == [MIN_SPAN_S] * 2  # for the first one of all, and for this one


def test_own_work_that_of_children_waiting_and_guests_are_no_load(monkeypatch):
    child = SimpleNamespace(cpu_times=lambda: Own(5.0, 1.0, 0.5, 0.0))
    this = SimpleNamespace(cpu_times=lambda: Own(10.0, 1.0, 2.0, 0.5), children=lambda recursive: [child])
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(30.0, 2.0, 4.0, 50.0, 7.0, 3.0, 20.0, 1.0))
    monkeypatch.setattr(psutil, "Process", lambda: this)
    found = sample_cpu()
    assert found.total == 30 + 2 + 4 + 50 + 7 + 3
    assert found.others == 30 + 2 + 4 + 3 - 13.5 - 6.5


@pytest.fixture
def real_load(monkeypatch):
    monkeypatch.setattr("sutrolib.meters.base.load_since", load_since)


def test_where_the_counters_cannot_be_read_the_load_is_unknown(monkeypatch, real_load):
    def refuse():
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "cpu_times", refuse)
    with WallTime(runs=1, window=0) as meter:
        meter.repeat(lambda: None)
    assert meter.reading.load is None


def test_a_timing_knows_that_other_programs_take_the_machine(real_load):
    spin = "\"$0\" -c 'while True: pass' > /dev/null 2>&1 & echo $!"  # no child of this process
    started = [int(subprocess.check_output(["sh", "-c", spin, sys.executable])) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(0.1)
        with WallTime(runs=1, window=0.5) as meter:
            meter.repeat(lambda: time.sleep(0.1))
    finally:
        for pid in started:
            os.kill(pid, signal.SIGKILL)
    assert MAX_LOAD < meter.reading.load <= 1


def test_only_a_load_above_the_bound_counts_and_old_readings_have_none():
    def reading(**detail):
        return Reading("time", 1.0, "s", Kind.MEASURED, detail)

    assert reading().load is None
    assert too_high_load([reading(), reading(load=MAX_LOAD)]) == 0
    assert too_high_load([reading(load=0.3), reading(load=0.5), reading()]) == 0.5
