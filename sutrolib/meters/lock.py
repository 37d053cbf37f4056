"""The machine-wide lock: two windows that read seconds or joules never overlap on one host."""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from filelock import FileLock

POLL_S = 0.05


def meter_lock() -> FileLock | Flock:
    """The lock that every exclusive meter's window is held under.

    It is an operating system lock on a file in the temporary folder, so it is freed when its holder is killed. Where
    filelock is not installed, :class:`Flock` takes the same lock on the same file.
    """
    path = Path(tempfile.gettempdir()) / "sutrolib-meter.lock"
    try:
        from filelock import FileLock
    except ImportError:
        return _flock(path)
    # Mode 0666: on a shared machine the next user must be able to take it too.
    return FileLock(path, mode=0o666, is_singleton=True)


class Flock(threading.local):
    """What is used of filelock's FileLock, by flock(2): re-entrant within a thread, and exclusive beyond it."""

    def __init__(self, path: Path) -> None:
        self.path, self.held, self.file = path, 0, -1

    def acquire(self, timeout: float = -1) -> AbstractContextManager[object]:
        """Wait for the lock, without end where ``timeout`` (seconds) is below 0. Raises TimeoutError.

        In a ``with`` statement, what is returned releases it.
        """
        if not self.held:
            self.file = _locked(self.path, timeout)
        self.held += 1
        held = ExitStack()
        held.callback(self.release)
        return held

    def release(self) -> None:
        """Undo one acquire; the last one frees the lock."""
        self.held = max(0, self.held - 1)
        if not self.held and self.file >= 0:
            os.close(self.file)  # which ends the flock
            self.file = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_flock = functools.cache(Flock)  # one for each file


def _locked(path: Path, timeout: float) -> int:
    """The open file, locked. It is closed again by an error or an interrupt."""
    import fcntl  # Unix alone has it; filelock knows other systems too

    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with suppress(PermissionError):  # it is another user's, who has done so
            os.fchmod(file, 0o666)  # whatever the umask is
        began = time.monotonic()
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            if 0 <= timeout <= time.monotonic() - began:
                raise TimeoutError(f"{path} is still held elsewhere after {timeout:g} s")
            time.sleep(POLL_S)
    except BaseException:
        os.close(file)
        raise
