"""The machine-wide lock: two windows that read seconds or joules never overlap on one host."""

from __future__ import annotations

import tempfile
from pathlib import Path

from filelock import FileLock


def meter_lock() -> FileLock:
    """The lock that a window of time or joules holds; re-entrant within a thread.

    It is an operating system lock on a file in the temporary folder, so it is freed when its holder is killed.
    """
    # Mode 0666: on a shared machine the next user must be able to take it too.
    return FileLock(Path(tempfile.gettempdir()) / "sutrolib-meter.lock", mode=0o666, is_singleton=True)
