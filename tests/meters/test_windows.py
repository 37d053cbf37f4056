"""Meters that read the machine: time, CodeCarbon, and the lock that keeps their windows apart."""

import subprocess
import sys
import textwrap

import pytest

from sutrolib.meters import CodeCarbon, NoReading, WallTime
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


@pytest.mark.parametrize("meter", [WallTime(), CodeCarbon(sampling=0.1)])
def test_an_error_inside_leaves_no_reading(meter):
    with pytest.raises(ZeroDivisionError), meter:
        meter.repeat(lambda: 1 / 0)
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
    assert reading.detail["power_model"]["sources"]
    watts = sum(reading.detail["power_model"]["watts"].values())
    assert 0.3 < reading.value * reading.detail["runs"] / reading.detail["window_s"] / watts < 3


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
            "PYTHONPATH": str(__import__("sutrolib.places").places.ROOT),
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(("make", "named"), [(lambda: CodeCarbon(0), "sampling=0"), (lambda: WallTime(0), "runs=0")])
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
