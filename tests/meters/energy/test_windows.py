"""Meters that read the machine: time, CodeCarbon, and the lock that keeps their windows apart."""

import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest

from sutrolib.core.paths import ROOT
from sutrolib.meters import CodeCarbon, NoReading, WallTime
from sutrolib.meters.energy.codecarbon import CumulativeJoules, estimated_idle_watts, power_sources, stop_scheduler
from sutrolib.meters.lock import meter_lock


def run_python(source, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=120, **options
    )


def test_wall_time_is_the_median_of_the_runs_it_says():
    calls = []
    with WallTime(runs=4, window=0) as meter:
        assert meter.repeat(lambda: calls.append(1) or "result") == "result"
    assert meter.reading.detail["runs"] == len(calls) == 4
    assert meter.reading.detail["fastest"] <= meter.reading.value <= meter.reading.detail["slowest"]
    assert (meter.reading.unit, meter.reading.kind) == ("s", "measured")


@pytest.mark.slow
@pytest.mark.parametrize("meter", [WallTime(), CodeCarbon(sampling=0.1)])
def test_an_error_inside_leaves_no_reading_lock_or_thread(meter):
    def holds_the_lock(free):
        code = "from sutrolib.meters.lock import meter_lock; meter_lock().acquire(timeout=0.5)"
        return (run_python(code, cwd=ROOT).returncode == 0) == free

    def work():
        assert holds_the_lock(free=False)
        raise ZeroDivisionError

    with meter:  # the first window starts what a process keeps: libraries and their threads
        meter.repeat(lambda: None)
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), meter:
        meter.repeat(work)
    assert not set(threading.enumerate()) - before
    assert holds_the_lock(free=True)
    with pytest.raises(NoReading, match="no reading"):
        _ = meter.reading


def test_codecarbon_repeats_short_work_until_its_window_is_full_and_says_how_often():
    calls = []
    with CodeCarbon(sampling=0.1) as meter:
        meter.repeat(lambda: calls.append(sum(range(100_000))))
    reading = meter.reading
    assert (reading.unit, reading.kind) == ("J", "estimated")
    assert reading.detail["runs"] == len(calls) > 1
    assert reading.detail["window_s"] >= 0.4
    assert sum(reading.detail["joules_by_part"].values()) == pytest.approx(reading.value)
    assert reading.detail["source_by_part"]["ram"]
    assert set(reading.detail["source_by_part"]) == set(reading.detail["watts_by_part"]) == {"cpu", "ram", "gpu"}
    watts = sum(reading.detail["watts_by_part"].values())
    assert 0.3 < reading.value * reading.detail["runs"] / reading.detail["window_s"] / watts < 3


def test_codecarbon_reports_idle_power_beside_and_takes_nothing_off():
    with CodeCarbon(sampling=0.1) as meter:
        meter.repeat(lambda: time.sleep(0.05))
    detail = meter.reading.detail
    idle = sum(detail["idle_watts"].values())
    assert idle == sum(estimated_idle_watts(0.1).values()) > 0  # once a process
    window = meter.reading.value * detail["runs"]
    assert detail["joules_above_idle"] * detail["runs"] == pytest.approx(window - idle * detail["window_s"])
    assert window / detail["window_s"] == pytest.approx(idle, rel=0.5)  # sleep costs what sleep costs


@pytest.mark.parametrize(("mode", "source"), [("cpu_load", "load x TDP"), ("constant", "constant")])
def test_codecarbon_names_the_source_of_each_part(mode, source, tmp_path):
    from codecarbon.external.hardware import CPU
    from codecarbon.external.ram import RAM

    hardware = [CPU(output_dir=str(tmp_path), mode=mode, model="a processor", tdp=65), RAM()]
    found = power_sources(SimpleNamespace(_hardware=hardware))
    assert found == {"cpu": source, "ram": "constant", "gpu": "none"}


def test_a_timer_of_codecarbon_that_fires_while_it_is_stopped_is_ended_all_the_same():
    from codecarbon.external.scheduler import PeriodicScheduler

    before = set(threading.enumerate())
    sampler = PeriodicScheduler(0.5, lambda: None)  # s; long, or the first timer fires by itself on a busy machine
    sampler.start()
    sampler.stop()
    sampler.start(from_run=True)  # what a timer does that has fired already
    assert set(threading.enumerate()) - before
    stop_scheduler(sampler)
    assert not set(threading.enumerate()) - before
    time.sleep(0.7)
    assert not set(threading.enumerate()) - before


def test_codecarbon_takes_a_kg_of_co2_by_country():
    kg = {}
    for country in ("FRA", "POL"):  # nuclear power against coal
        with CodeCarbon(sampling=0.1, country=country) as meter:
            meter.repeat(lambda: time.sleep(0.1))
        kg[country] = meter.reading.detail["kg_co2e"] / meter.reading.value
        assert meter.reading.detail["country"] == country
    assert kg["POL"] > 5 * kg["FRA"] > 0


def test_a_country_without_numbers_is_named_and_leaves_the_lock_free():
    with (
        pytest.raises(ValueError, match="got 'XXX'"),
        CodeCarbon(sampling=0.1, country="XXX"),
    ):
        pass
    assert not meter_lock().is_locked


def test_codecarbon_gives_no_reading_for_a_window_that_is_too_short():
    with pytest.raises(NoReading, match="too short"), CodeCarbon(sampling=0.25):
        pass


def test_codecarbon_works_silently_with_sockets_blocked_and_saves_nothing(tmp_path):
    done = run_python(
        """
        import os, socket, sys
        attempts = []
        def blocked(*arguments, **options):
            attempts.append(arguments)
            raise OSError("the network is blocked")
        for name in ("connect", "connect_ex", "sendto"):
            setattr(socket.socket, name, blocked)
        socket.create_connection = socket.getaddrinfo = socket.gethostbyname = blocked
        from sutrolib.meters import CodeCarbon
        with CodeCarbon(sampling=0.1) as meter:
            meter.repeat(lambda: sum(range(100_000)))
        assert meter.reading.value > 0
        assert not attempts, attempts
        """,
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_users_settings_of_codecarbon_change_neither_the_watts_nor_where_the_result_goes(tmp_path, monkeypatch):
    settings = "force_cpu_power = 1000\nforce_ram_power = 1000\npue = 50\noutput_dir = /nowhere\nsave_to_file = true\n"
    (tmp_path / ".codecarbon.config").write_text(f"[codecarbon]\n{settings}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "1000")
    monkeypatch.setenv("CODECARBON_EMISSIONS_ENDPOINT", "http://localhost:9")
    with CodeCarbon(sampling=0.1) as meter, CumulativeJoules(0.1) as counted:
        meter.repeat(lambda: time.sleep(0.05))
        assert counted._tracker._external_conf == meter._tracker._external_conf == {}
    detail = meter.reading.detail
    assert detail["watts"] == pytest.approx(meter.reading.value * detail["runs"] / detail["window_s"])
    assert detail["watts"] < 20_000  # 50,000 by the settings
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]
    (tmp_path / ".codecarbon.config").write_text("not a setting")  # CodeCarbon cannot read it, and need not
    with CodeCarbon(sampling=0.1) as meter:
        meter.repeat(lambda: time.sleep(0.05))
    assert meter.reading.value > 0


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (same := CodeCarbon(sampling=0.1), same),
        (CodeCarbon(sampling=0.1), CodeCarbon(sampling=0.1)),
        (clock := WallTime(), clock),
        (counter := CumulativeJoules(0.1), counter),
    ],
    ids=["the same estimate", "another estimate", "the same clock", "the same counter"],
)
def test_a_window_opened_twice_is_refused_and_leaves_the_first_one_as_it_was(outer, inner):
    estimated_idle_watts(0.1)
    before, calls = set(threading.enumerate()), []
    with outer:
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"entered twice|counted already|another CodeCarbon"), inner:
                pass
        if not isinstance(outer, CumulativeJoules):
            outer.repeat(lambda: calls.append(time.sleep(0.01)))
    if calls:
        assert outer.reading.detail["runs"] == len(calls)
    assert not set(threading.enumerate()) - before
    assert not meter_lock().is_locked
    with outer:  # and it opens again
        getattr(outer, "repeat", lambda work: work())(lambda: None)


def test_a_tracker_that_does_not_start_has_no_reading_and_says_so(monkeypatch):
    estimated_idle_watts(0.1)
    before = set(threading.enumerate())
    monkeypatch.setattr("codecarbon.core.resource_tracker.ResourceTracker.set_CPU_GPU_ram_tracking", None)
    with pytest.raises(NoReading, match="did not start"), CodeCarbon(sampling=0.1):
        pass
    assert not set(threading.enumerate()) - before
    assert not meter_lock().is_locked
    monkeypatch.undo()
    with CodeCarbon(sampling=0.1) as meter:  # the next one works
        meter.repeat(lambda: time.sleep(0.05))
    assert meter.reading.value > 0


@pytest.mark.parametrize(
    ("make", "named"),
    [(lambda: CodeCarbon(0), "sampling must"), (lambda: WallTime(0), "runs must")],
)
def test_wrong_arguments_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


HOLDER = """
    import os, signal
    from sutrolib.meters import WallTime
    with WallTime():
        print("held", flush=True)
        signal.pause()
"""


def test_another_process_waits_for_the_window_and_a_killed_holder_frees_it():
    from filelock import Timeout

    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(HOLDER)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Timeout):
            meter_lock().acquire(timeout=0.3)  # the lock that every window takes
        holder.kill()
        holder.wait()
        with meter_lock().acquire(timeout=30):
            pass
