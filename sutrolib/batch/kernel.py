"""The kernel that a batch runs its notebooks in: IPython's, which ends with whoever started it.

IPython's own watch takes a parent for dead when process 1 becomes the new one, and so misses it in a container or under
a service manager, where another process adopts orphans. This one compares with the parent that it was started by; and
it ends all that the notebook had started along with itself, so that nothing is left at work beside the next run.
Where the variable ``SUTRO_RUN`` names a file, the kernel ends with that file too: so a batch calls back a run that is
on another machine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

RUN = "SUTRO_RUN"
POLL = 0.5  # seconds between two looks


def main() -> None:
    """Start the kernel, with IPython's arguments."""
    if os.name == "posix":  # elsewhere IPython is handed its parent, and waits for its end
        threading.Thread(target=_watch, args=(_parent(), os.environ.get(RUN)), daemon=True).start()
    if sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]  # -m put it there: a file beside the notebooks is not to stand in for a library
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def _parent() -> int:
    return int(os.environ.get("JPY_PARENT_PID") or os.getppid())


def _watch(parent: int, run: str | None) -> None:
    while os.getppid() == parent and not _called_back(run):
        time.sleep(POLL)
    _kill_offspring()
    if os.getpgrp() == os.getpid():  # what the notebook started is of this group
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _kill_offspring() -> None:
    """Kill what the notebook started in a session of its own, too: the signal to the group does not reach it."""
    try:
        import psutil
    except ImportError:
        return
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()


def _called_back(run: str | None) -> bool:
    if not run:
        return False
    try:
        Path(run).stat()
    except FileNotFoundError:
        return True
    except OSError:  # a shared disk that does not answer for a moment
        pass
    return False


if __name__ == "__main__":
    main()
