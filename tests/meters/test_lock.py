"""The lock of all meters is one for all users of a machine, and says who holds it."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import traceback
from pathlib import Path

import pytest

from sutrolib.core.paths import ROOT
from sutrolib.meters import lock as module
from sutrolib.meters.lock import meter_lock

USERS = 12001, 12002, 12003  # none of whom exists here
pytestmark = pytest.mark.skipif(os.name != "posix", reason="users of POSIX")


@pytest.fixture
def shared(monkeypatch):
    """A folder as /tmp is, in which the lock's folder is not there yet."""
    folder = Path(tempfile.mkdtemp(prefix="sutrolib-tests-", dir="/tmp"))
    folder.chmod(0o1777)
    monkeypatch.delenv(module.FOLDER, raising=False)
    monkeypatch.setattr(module, "_SHARED", folder)
    yield folder
    shutil.rmtree(folder)


def as_user(user, work):
    """Do the work in a child of this process that is this user's, with a mask that lets nobody else in."""
    if os.geteuid():
        pytest.skip("only root can be another user")
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.umask(0o077)
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def take():
    with meter_lock().acquire(timeout=5):
        pass


def refused():
    with pytest.raises(TimeoutError), meter_lock().acquire(timeout=0.2):
        pass


def test_each_user_can_take_the_lock_whoever_made_it_and_none_while_another_holds_it(shared):
    for user in (*USERS, USERS[0]):
        assert as_user(user, take) == 0
    with meter_lock():
        assert as_user(USERS[1], refused) == 0
    assert as_user(USERS[1], take) == 0
    assert [path.name for path in shared.iterdir()] == ["sutrolib"]


def test_the_lock_of_a_user_is_made_by_that_user_and_no_mode_of_anybody_elses_is_changed(shared):
    assert as_user(USERS[0], take) == 0
    folder, file = shared / "sutrolib", shared / "sutrolib" / "meter.lock"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, file)] == [0o777, 0o666]
    file.chmod(0o640)
    assert as_user(USERS[1], take) == 1  # and root, who may, has not made it everybody's
    take()
    assert (stat.S_IMODE(file.stat().st_mode), file.stat().st_uid) == (0o640, USERS[0])


def test_a_file_that_a_user_has_planted_is_neither_written_nor_followed(shared, tmp_path):
    kept = tmp_path / "kept"
    kept.write_text("of root")
    assert as_user(USERS[0], take) == 0
    holder = shared / "sutrolib" / "meter.holder"
    for plant in (lambda: holder.symlink_to(kept), lambda: os.link(kept, holder), holder.mkdir):
        holder.unlink(missing_ok=True)
        plant()
        take()
        assert kept.read_text() == "of root"


def test_a_lock_that_is_one_users_alone_is_told_with_what_to_do(shared):
    (shared / "sutrolib").mkdir(mode=0o700)

    def told():
        with pytest.raises(PermissionError, match=r"one user alone may use the lock .* by SUTRO_METER_LOCK"):
            take()

    assert as_user(USERS[0], told) == 0


def test_the_place_does_not_depend_on_the_temporary_folder(monkeypatch, tmp_path):
    code = "from sutrolib.meters.lock import meter_lock; print(meter_lock().lock_file)"
    places = set()
    for temporary in ("/tmp", str(tmp_path)):
        environment = {name: value for name, value in os.environ.items() if name != module.FOLDER}
        environment |= {"TMPDIR": temporary, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        places.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert places == {"/tmp/sutrolib/meter.lock\n"}


HOLD = """
    import sys
    from pathlib import Path
    from sutrolib.meters import lock
    lock._SHARED = Path(sys.argv[1])
    with lock.meter_lock():
        print("held", flush=True)
        sys.stdin.read()
"""


def test_who_waits_says_for_whom_once(shared, monkeypatch, capsys):
    monkeypatch.setattr(module, "_SAY_AFTER_S", 0.1)
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(shared), "\x1b[2Jcleared"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {name: value for name, value in os.environ.items() if name != module.FOLDER}
    with subprocess.Popen(command, env=environment | {"PYTHONPATH": str(ROOT)}, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        refused()
        with pytest.raises(TimeoutError), meter_lock().acquire(timeout=0.5):
            pass
        process.communicate()
    told = capsys.readouterr().err
    assert told.count(f"sutrolib: waiting for process {process.pid} ({Path(sys.executable)}") == 2
    assert told.count("\n") == 2
    assert ", since " in told
    assert "\x1b" not in told


def test_a_holder_who_has_left_no_name_is_another_process(shared):
    take()
    holder = shared / "sutrolib" / "meter.holder"
    for left in (None, "not a number", "\x1b[2J", str(2**22 + 1)):
        holder.unlink(missing_ok=True)
        if left:
            holder.symlink_to(left)
        said = meter_lock().holder()
        assert said == "another process" or "its command is unknown, since" in said
