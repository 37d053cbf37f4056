"""One run of a command that nobody vouches for: a line on its standard input, and its standard output as the answer.

No shell. The run has a limit of time and of output, a new empty folder to work in, and an environment that holds only
what it needs. Whatever it started is killed when it ends, when it is late or floods its output, and when this process
is interrupted. Where this process itself is killed outright, nobody is left to do that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import psutil

ERRORS = 2000  # bytes that are kept of the end of standard error
POLL = 0.01  # seconds
MARK = "SUTRO_AGENT_FOLDER"  # an environment variable of all that a run starts, with a value of that run's own


class NoAnswer(Exception):
    """The command was late, wrote too much, or ended badly; the message says which."""


def answer_of(command: Sequence[str], line: bytes, timeout: float, max_bytes: int, variables: Sequence[str]) -> bytes:
    """What ``command`` writes to its standard output when it is handed ``line``.

    It is given PATH, HOME (its folder), LANG, and the environment variables that are named in ``variables``. Raises
    NoAnswer unless it ends well and in time, ValueError for a command that cannot be started.
    """
    answer, errors, full = bytearray(), bytearray(), threading.Event()
    deadline = time.monotonic() + timeout
    # A file as standard input: a command that never reads it blocks nobody, however long the line is.
    with (
        tempfile.TemporaryDirectory(prefix="agent-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as handed,
    ):
        handed.write(line)
        handed.seek(0)
        process = _started(command, handed, folder, variables)
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            readers = [
                _reader(_first, process.stdout, max_bytes, answer, full),
                _reader(_last, process.stderr, ERRORS, errors),
            ]
            late = not _ended(process.pid, deadline, full)
        finally:
            code = _end_all(process, folder)
        for reader in readers:
            reader.join(1.0)
    if full.is_set():
        raise NoAnswer(f"more than {max_bytes} bytes of output")
    if late:
        raise NoAnswer(f"late: it had not ended after {timeout:g} s")
    if code:
        raise NoAnswer(f"it ended with exit code {code}; its last words: {_last_line(errors)!r}")
    if readers[0].is_alive():
        raise NoAnswer("a program that it has started, and that cannot be ended, holds its output")
    return bytes(answer)


def _started(
    command: Sequence[str], handed: IO[bytes], folder: str, variables: Sequence[str]
) -> subprocess.Popen[bytes]:
    program = Path(shutil.which(command[0]) or command[0]).absolute()  # a relative path is one from here
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": folder,
        "LANG": "C.UTF-8",
        **{name: os.environ[name] for name in ("SYSTEMROOT", *variables) if name in os.environ},
        MARK: folder,
    }
    try:
        return subprocess.Popen(
            [str(program), *command[1:]],
            stdin=handed,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=folder,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"command {command[0]!r} cannot be started: {error}") from None


def _last_line(errors: bytearray) -> str:
    lines = bytes(errors).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _reader(work: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _first(pipe: IO[bytes], most: int, into: bytearray, full: threading.Event) -> None:
    """Read ``pipe`` to its end; where there is more than ``most``, say so and stop."""
    with pipe:
        while chunk := pipe.read(65536):
            into += chunk
            if len(into) > most:
                full.set()
                return


def _last(pipe: IO[bytes], most: int, into: bytearray) -> None:
    """Read ``pipe`` to its end and keep the last ``most`` bytes."""
    with pipe:
        while chunk := pipe.read(65536):
            into += chunk
            del into[:-most]


def _ended(pid: int, deadline: float, full: threading.Event) -> bool:
    """Wait for the process to end; False where the deadline passes or the output is full before that.

    It is not reaped, so that its number, which is that of its group as well, cannot go to another process yet.
    """
    while not full.wait(POLL):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:  # Windows keeps nothing of a process that has ended
            return True
        if time.monotonic() >= deadline:
            return False
    return False


def _end_all(process: subprocess.Popen[bytes], mark: str) -> int | None:
    """Kill the agent, its group, and what has left its group but still has the mark; returns its exit code."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on what has ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for _ in range(100):  # what was about to start another process has done so by then
        left = [other for other in psutil.process_iter() if _has_mark(other, mark)]
        if not left:
            break
        for other in left:
            with contextlib.suppress(psutil.Error):
                other.kill()
        time.sleep(POLL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    return process.returncode


def _has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):
        return False
