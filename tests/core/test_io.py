"""Files are whole or not there, and what killed processes leave is removed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from sutrolib.core import io, paths
from sutrolib.core.io import sweep, temporary_folder, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from sutrolib.core import io
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
with io.temporary_folder("dask") as folder:
    Path(folder, "inner").mkdir()
    Path(folder, "inner", "file").touch()
    io.write_atomically(Path(sys.argv[1]), b"half")
"""


def age(folder, days):
    """Let the files be so old."""
    for path in folder.iterdir():
        when = path.stat().st_mtime - days * 24 * 3600
        os.utime(path, (when, when))


@pytest.fixture
def left(tmp_path, monkeypatch):
    """The folders with what a killed process left: a temporary one, and one with results."""
    temporary, results = tmp_path / "temporary", tmp_path / "results"
    temporary.mkdir()
    results.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(paths.ROOT)}
    command = [sys.executable, "-c", KILLED, str(results / "result.json")]
    assert subprocess.run(command, env=environment, check=False).returncode < 0
    assert [len(list(folder.iterdir())) for folder in (temporary, results)] == [1, 1]
    assert not (results / "result.json").exists()
    return temporary, results


def test_what_a_killed_process_left_is_removed_after_a_day(left):
    sweep([left[1]])
    assert [len(list(folder.iterdir())) for folder in left] == [1, 1]
    for folder in left:
        age(folder, 2)
    sweep([left[1]])
    assert [list(folder.iterdir()) for folder in left] == [[], []]


def test_what_is_in_use_or_of_others_stays(left, tmp_path, monkeypatch):
    with temporary_folder("kernel") as used:
        others = ["sutro-dask-abc", "sutro-99999999999-x.tmp", "my-sutro-dask-1-x", ".abc.tmp", "sutrolib"]
        for name in others:
            (left[1] / name).touch()
        (left[1] / "sutro-dask-999999999-link").symlink_to(tmp_path)
        for folder in left:
            age(folder, 2)
        monkeypatch.setattr(io, "_OLD_S", -1)
        sweep(left)
        assert Path(used).exists()
    assert sorted(path.name for path in left[1].iterdir()) == sorted(others)
    assert tmp_path.exists(), "a link is removed, and not what it leads to"


def test_another_users_files_stay(left, monkeypatch):
    for folder in left:
        age(folder, 2)
    monkeypatch.setattr(os, "geteuid", lambda: 12001)
    sweep(left)
    assert [len(list(folder.iterdir())) for folder in left] == [1, 1]


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "kept").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "kept", b"after")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("kept", b"before")]


def test_a_command_sweeps_before_it_begins(left, monkeypatch):
    from sutrolib.__main__ import main
    from sutrolib.cli import doctor

    for folder in left:
        age(folder, 2)
    monkeypatch.setenv("SUTRO_EXAM", str(left[1]))
    monkeypatch.setattr(doctor, "run", lambda options: 0)
    assert main(["doctor"]) == 0
    assert [list(folder.iterdir()) for folder in left] == [[], []]


def test_a_number_of_no_process_is_none():
    assert not psutil.pid_exists(999_999_999)
