"""The kernel of a batch's notebooks: IPython's, which ends with the process that started it.

IPython's own watch only notices when process 1 becomes its parent, and then ends the kernel alone. In a container or
under a service manager another process adopts orphans, so this one compares with the parent that started it. It kills
what the notebook started along with itself. It also ends when the file of its attempt is removed: so a command ends a
run on another machine.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

ATTEMPT_FILE = "SUTRO_ATTEMPT"  # the environment variable with the path of the attempt's file
_POLL_S = 0.5


def _watch(parent: int, attempt_file: str | None) -> None:
    import psutil

    while os.getppid() == parent and not (attempt_file and has_ended(Path(attempt_file))):
        time.sleep(_POLL_S)
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):  # also those in a session of their own
            with contextlib.suppress(psutil.Error):
                process.kill()
    if os.getpgrp() == os.getpid():  # what the notebook started is in this group, even if its parent has ended
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def has_ended(attempt_file: Path) -> bool:
    """Whether the attempt has ended: its file is gone, or says that another attempt has taken its place."""
    try:
        return attempt_file.stat().st_size > 0
    except FileNotFoundError:
        return True
    except OSError:  # a shared disk that does not answer for a moment
        return False


if __name__ == "__main__":
    if os.name == "posix":  # on Windows IPython waits for its parent's handle
        parent = int(os.environ.get("JPY_PARENT_PID") or os.getppid())
        threading.Thread(target=_watch, args=(parent, os.environ.get(ATTEMPT_FILE)), daemon=True).start()
    from ipykernel.kernelapp import launch_new_instance

    # Without IPython's own watch: where that one is faster, what the notebook started goes on.
    options: dict[str, Any] = {"parent_handle": 0} if os.name == "posix" else {}
    launch_new_instance(**options)
