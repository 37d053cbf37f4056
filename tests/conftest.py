import dataclasses
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

hypothesis.settings.register_profile("any machine", deadline=None)  # no test asserts wall-clock time
hypothesis.settings.load_profile("any machine")

SLOW = "slow: run with --slow, or name its file"

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker is as a machine of its own: with its lock on what meters, and with threads that wait for no others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="sutrolib-tests-")
    os.environ["SUTRO_METER_LOCK"] = tempfile.tempdir
    Path(tempfile.tempdir).chmod(0o1777)  # as a temporary folder is: some tests act as another user


def pytest_configure(config):
    """A job that a script's shell runs in the background ignores Ctrl-C, and so would all that the tests start."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config):
    """Leave no folder of a worker behind."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)


def pytest_addoption(parser):
    parser.addoption("--bench", action="store_true", help="run the benchmarks of tests/bench, which print ratios")
    parser.addoption("--slow", action="store_true", help="run the slow tests too, as .ci/run does")


def pytest_collection_modifyitems(config, items):
    """Skip benchmarks and slow tests that were not asked for; who names a file or a test wants all that is in it."""
    with_slow = config.getoption("--slow") or any(".py" in str(argument) for argument in config.args)
    for item in items:
        if "bench" in item.path.parts:
            if not config.getoption("--bench"):
                item.add_marker(pytest.mark.skip(reason="a benchmark: run with --bench -s"))
        elif not with_slow and any(item.get_closest_marker(name) for name in ("slow", "browser")):
            item.add_marker(pytest.mark.skip(reason=SLOW))


def pytest_terminal_summary(terminalreporter):
    """Say what a run without --slow has left out."""
    left_out = sum(SLOW in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if left_out:
        terminalreporter.write_line(f"{left_out} slow tests were left out: --slow runs them too, as .ci/run does")


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    """No test writes into the checkout's ledger or figures, or depends on its audit of proxies."""
    monkeypatch.setenv("SUTRO_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("SUTRO_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("SUTRO_WALK", str(tmp_path / "walk"))
    monkeypatch.setenv("SUTRO_AUDIT", str(tmp_path / "audit.json"))  # none: a re-check takes seconds


@pytest.fixture(autouse=True)
def unknown_load(monkeypatch):
    """No verdict hangs on what else runs here; where no load is known, a timing is taken as it is."""
    monkeypatch.setattr("sutrolib.meters.base.load_since", lambda before: None)


@pytest.fixture(autouse=True)
def drawn_seeds(request, monkeypatch):
    """The seeds that nobody can guess are the same each time: two of 1,140 secrets are equal now and then."""
    drawn = random.Random(request.node.nodeid)
    monkeypatch.setattr("sutrolib.measurement.checks.secrets", SimpleNamespace(randbits=drawn.getrandbits))


@pytest.fixture(autouse=True)
def unchecked_best(request, monkeypatch):
    """Searches do not check their best against metric gaming, as that is a dozen trainings; marked tests do."""
    if not request.node.get_closest_marker("gaming_checks"):
        for module in ("recheck", "manual"):
            monkeypatch.setattr(f"sutrolib.processes.{module}.gaming_finding", lambda *about: "")


@pytest.fixture
def steady_clock(monkeypatch):
    """Every run by hand takes one second, so that no decision hangs on how busy the machine is."""
    from sutrolib.measurement.measure import measure

    def timed(*arguments, **options):
        found = measure(*arguments, **options)
        readings = tuple(dataclasses.replace(r, value=1.0) if r.name == "time" else r for r in found.readings)
        return dataclasses.replace(found, readings=readings)

    monkeypatch.setattr("sutrolib.processes.manual.measure", timed)
