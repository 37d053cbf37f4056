import dataclasses
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker is as a machine of its own: with its lock on what meters, and with threads that wait for no others.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="sutrolib-tests-")
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


def pytest_collection_modifyitems(config, items):
    if config.getoption("--bench"):
        return
    skip = pytest.mark.skip(reason="a benchmark: run with --bench -s")
    for item in items:
        if "bench" in item.path.parts:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    """No test writes into the checkout's ledger or figures."""
    monkeypatch.setenv("SUTRO_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setenv("SUTRO_FIGURES", str(tmp_path / "figures"))


@pytest.fixture(autouse=True)
def unknown_load(monkeypatch):
    """No verdict hangs on what else runs here; where no load is known, a timing is taken as it is."""
    monkeypatch.setattr("sutrolib.meters.base.load_since", lambda before: None)


@pytest.fixture
def steady_clock(monkeypatch):
    """Every run by hand takes one second, so that no decision hangs on how busy the machine is."""
    from sutrolib.measurement.measure import measure

    def timed(*arguments, **options):
        found = measure(*arguments, **options)
        readings = tuple(dataclasses.replace(r, value=1.0) if r.name == "time" else r for r in found.readings)
        return dataclasses.replace(found, readings=readings)

    monkeypatch.setattr("sutrolib.processes.manual.measure", timed)
