"""The machine-wide lock: two windows that read seconds or joules never overlap on one host.

It is an operating system lock on a file, so it is freed when its holder is killed. The file is in one place for all
users, whatever their TMPDIR. Beside it a link names the holder: a link is never written through, so nobody can have
another's file overwritten by planting one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from filelock import AcquireReturnProxy, FileLock

from sutrolib.core.format import plain

FOLDER = "SUTRO_METER_LOCK"  # the environment variable with another folder, for tests
_SHARED = Path("/tmp") if os.name == "posix" else Path(os.environ.get("PUBLIC") or tempfile.gettempdir())
_SAY_AFTER_S = 2
_MAX_COMMAND = 60  # characters


class MeterLock(FileLock):
    """The lock, which says for whom it waits once that takes more than two seconds."""

    def acquire(self, timeout: float | None = None, *arguments: Any, **options: Any) -> AcquireReturnProxy[Self]:
        """Raises TimeoutError after ``timeout`` seconds, and PermissionError if the file belongs to one user alone."""
        said, began = False, time.monotonic()

        def tell() -> bool:
            nonlocal said
            if not said and time.monotonic() - began > _SAY_AFTER_S:
                said = True
                print(f"sutrolib: waiting for {self.holder()}, which measures on this machine", file=sys.stderr)
            return False  # it goes on waiting

        try:
            return super().acquire(timeout, *arguments, cancel_check=tell, **options)
        except PermissionError as error:
            why = f"one user alone may use the lock of all meters: have it removed, or name another folder by {FOLDER}"
            raise PermissionError(f"{self.lock_file}: {why}") from error

    def holder(self) -> str:
        """The process that holds the lock, in words."""
        try:
            link = _folder() / "meter.holder"
            since, number = link.lstat().st_mtime, int(link.readlink().name)
            import psutil

            command = " ".join(plain(" ".join(psutil.Process(number).cmdline())).split())
        except (OSError, ValueError):
            return "another process"
        except Exception:  # psutil's own: the process has ended or is of another user; or psutil is not installed
            command = "its command is unknown"
        command = command if len(command) <= _MAX_COMMAND else f"{command[:_MAX_COMMAND]}..."
        return f"process {number} ({command}, since {datetime.fromtimestamp(since).astimezone():%H:%M:%S})"


def meter_lock() -> MeterLock:
    """The lock that a window of time or joules holds; re-entrant within a thread."""
    # Mode 0666: on a shared machine the next user must be able to take it too.
    return MeterLock(_folder() / "meter.lock", mode=0o666, is_singleton=True, on_acquired=_sign)


def _folder() -> Path:
    """The folder that all users of this machine may write to. It is made if it is missing; nobody's is changed."""
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    folder = _SHARED / "sutrolib"
    if not folder.exists():
        # Renamed when it is open to all, whatever the umask. Without the sticky bit of /tmp: there, a file is refused
        # to all but its owner (fs.protected_regular, and filelock's own check).
        made = Path(tempfile.mkdtemp(dir=_SHARED, prefix=".sutrolib-"))
        made.chmod(0o777)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            made.rmdir()
    return folder


def _sign(_: int) -> None:
    """Leave this process's number beside the lock, which it holds now."""
    link = _folder() / "meter.holder"
    with suppress(OSError):  # Windows allows links to administrators only
        link.unlink(missing_ok=True)
        link.symlink_to(str(os.getpid()))
