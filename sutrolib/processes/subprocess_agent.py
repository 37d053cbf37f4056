"""One run of an untrusted command: a line on its standard input, and its standard output as the answer.

No shell. The run has limits of time and output, a new empty folder to work in, and a minimal environment. Everything
that it started is killed when it ends, when it is late or writes too much, and when this process is interrupted. When
this process itself is killed outright, the command goes on.
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
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import psutil

from sutrolib.core.io import temporary_folder

_MAX_STDERR_BYTES = 2000  # kept of the end of standard error
_POLL_S = 0.01
_FOLDER_VARIABLE = "SUTRO_AGENT_FOLDER"  # in the environment of everything that a run starts, unique for each run


class AgentFailed(Exception):
    """The command was late, wrote too much, or ended with an error; the message says which."""


def run_agent(command: Sequence[str], line: bytes, timeout: float, max_bytes: int, variables: Sequence[str]) -> bytes:
    """What ``command`` writes to its standard output for ``line`` on its standard input.

    It gets PATH, HOME (its folder), LANG, and the environment variables named in ``variables``. Raises AgentFailed
    unless it ends without an error and in time, ValueError for a command that cannot be started.
    """
    deadline = time.monotonic() + timeout
    # A file as standard input: a command that never reads it blocks nothing, however long the line is.
    with (
        temporary_folder("agent") as folder,
        tempfile.TemporaryFile() as stdin,
    ):
        stdin.write(line)
        stdin.seek(0)
        process = _start(command, stdin, folder, variables)
        try:
            answer, errors = _PipeReader(process.stdout, max_bytes), _PipeReader(process.stderr, None)
            in_time = _ended(process.pid, deadline, answer.overflow)
        finally:
            code = _kill_all(process, folder)
        answer.join(1.0)
        errors.join(1.0)
    if answer.overflow.is_set():
        raise AgentFailed(f"more than {max_bytes} bytes of output")
    if not in_time:
        raise AgentFailed(f"late: it had not ended after {timeout:g} s")
    if code:
        last_line = (bytes(errors.content).decode(errors="replace").strip().splitlines() or [""])[-1]
        raise AgentFailed(f"exit code {code}; last line of its errors: {last_line!r}")
    if answer.is_alive():
        raise AgentFailed("a program that it started, and that cannot be killed, holds its output")
    return bytes(answer.content)


class _PipeReader(threading.Thread):
    """Reads a pipe to its end: up to ``max_bytes``, beyond which it sets ``overflow``; or keeps only the end (None)."""

    def __init__(self, pipe: IO[bytes] | None, max_bytes: int | None) -> None:
        assert pipe is not None
        super().__init__(daemon=True)
        self.pipe, self.max_bytes = pipe, max_bytes
        self.content, self.overflow = bytearray(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.pipe:
            while chunk := self.pipe.read(65536):
                self.content += chunk
                if self.max_bytes is None:
                    del self.content[:-_MAX_STDERR_BYTES]
                elif len(self.content) > self.max_bytes:
                    self.overflow.set()
                    return


def _start(command: Sequence[str], stdin: IO[bytes], folder: str, variables: Sequence[str]) -> subprocess.Popen[bytes]:
    program = Path(shutil.which(command[0]) or command[0]).absolute()  # relative to this process's folder
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "LANG": "C.UTF-8"}
    environment |= {name: os.environ[name] for name in ("SYSTEMROOT", *variables) if name in os.environ}
    environment[_FOLDER_VARIABLE] = folder
    try:
        options: dict[str, Any] = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0}
        options |= {"start_new_session": True, "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        arguments = [str(program), *command[1:]]
        process: subprocess.Popen[bytes] = subprocess.Popen(arguments, cwd=folder, env=environment, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"command {command[0]!r} cannot be started: {error}") from None
    return process


def _ended(pid: int, deadline: float, overflow: threading.Event) -> bool:
    """Wait for the process to end; False where the deadline passes or the output overflows before that.

    It is not reaped, so that its number, which is also that of its group, cannot go to another process yet.
    """
    while not overflow.wait(_POLL_S):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:  # Windows keeps nothing of a process that has ended
            return True
        if time.monotonic() >= deadline:
            return False
    return False


def _kill_all(process: subprocess.Popen[bytes], folder: str) -> int | None:
    """Kill the agent, its group, and what has left its group but has its folder variable; returns its exit code."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: not permitted on what has ended
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for _ in range(100):  # by then, what was about to start another process has done so
        left = [other for other in psutil.process_iter() if _belongs(other, folder)]
        if not left:
            break
        for other in left:
            with contextlib.suppress(psutil.Error):
                other.kill()
        time.sleep(_POLL_S)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    return process.returncode


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        return bool(process.environ().get(_FOLDER_VARIABLE) == folder)
    except (psutil.Error, OSError):
        return False
