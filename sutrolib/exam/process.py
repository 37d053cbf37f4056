"""Fresh processes for the exam's trainings and judgements, from which only bytes come back.

A helper process imports torch and this library, trains a tiny network of its own, so that no run pays for loading
libraries, and from then on forks: each run has a process with empty memory, in milliseconds. In it HOME, the temporary
folder and all caches are a new folder, the only one that it can write to (Landlock; docs.kernel.org, userspace-api).
When the run has ended, its process and whatever that has left behind are killed, and the folder is removed.

Where the system has no fork that is safe with threads (macOS, Windows), the helper itself is the process of one run and
a new one is started for the next. Without Landlock, files of the checkout are listed before and after a run, and one
that has changed fails it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn, Self

from sutrolib.core.io import temporary_folder
from sutrolib.core.paths import ROOT
from sutrolib.core.types import FailedRun
from sutrolib.exam.isolation import (
    ADOPT_ORPHANS,
    END_WITH_PARENT,
    LINUX,
    files_of_checkout,
    isolate,
    landlock_version,
    set_process_option,
)
from sutrolib.models.saved import from_bytes, to_bytes

_END = b"end"
_MAX_BYTES = 1 << 36  # of a message


class FreshProcess:
    """The process of the current run; :meth:`start` ends it and starts the next one.

    ``threads`` are those of torch.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._helper: subprocess.Popen[bytes] | None = None
        self._files: dict[str, tuple[int, int, int]] = {}
        self._folder = temporary_folder("exam")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._folder.cleanup()

    def _kill(self) -> None:
        if self._helper is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._helper.pid, signal.SIGKILL) if LINUX else self._helper.kill()
            self._helper.communicate()
            self._helper = None

    def start(self, run: Any, text: str) -> None:
        """A fresh process for ``run``, a dataclass that can be saved as a model can, on a problem with this text."""
        parts = [part for part in (run, *vars(run).values()) if dataclasses.is_dataclass(part)]
        modules = sorted({type(part).__module__ for part in parts})
        self._files = {} if landlock_version() else files_of_checkout()
        if self._helper is None or not LINUX:
            self._kill()
            code = "import sutrolib.exam.evaluate; from sutrolib.exam.process import serve; serve()"
            path = os.pathsep.join(str(Path(part).absolute()) for part in [str(ROOT), *sys.path])
            environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": self._folder.name}
            environment |= {"PYTHONDONTWRITEBYTECODE": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
            pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
            self._helper = subprocess.Popen([sys.executable, "-P", "-c", code], env=environment, **pipes)
        self._ask(json.dumps([text, self._threads, modules]).encode())
        self._ask(to_bytes(run, modules))

    def end(self) -> None:
        """End the process of this run. Raises FailedRun if it has changed the checkout, where nothing prevents that."""
        if LINUX:
            self._ask(_END)
        else:
            self._kill()
        after = files_of_checkout() if self._files else {}
        if changed := [name for name in {**self._files, **after} if self._files.get(name) != after.get(name)]:
            raise FailedRun(f"files of the checkout were changed during the run: {', '.join(sorted(changed)[:5])}")

    def call(self, method: str) -> bytes:
        """What a method of the run returns. Raises FailedRun or ValueError as it does, else RuntimeError."""
        return self._ask(method.encode())

    def _ask(self, message: bytes) -> bytes:
        assert self._helper and self._helper.stdin and self._helper.stdout  # noqa: PT018
        try:
            _send(self._helper.stdin, message)
            answer = _receive(self._helper.stdout)
        except (EOFError, OSError) as error:
            raise FailedRun("the helper process of the exam has ended") from error
        if answer[:1] == b"+":
            return answer[1:]
        kind, why = json.loads(answer[1:])
        raise {"FailedRun": FailedRun, "ValueError": ValueError}.get(kind, RuntimeError)(why)


def _send(file: IO[bytes], data: bytes) -> None:
    file.write(len(data).to_bytes(8, "little") + data)
    file.flush()


def _receive(file: IO[bytes]) -> bytes:
    size = int.from_bytes(header := file.read(8), "little")
    if len(header) < 8 or size > _MAX_BYTES or len(data := file.read(size)) < size:
        raise EOFError
    return data


def serve() -> NoReturn:
    """The helper process: obeys :class:`FreshProcess` through its standard input and output."""
    commands, answers = open(os.dup(0), "rb"), open(os.dup(1), "wb")  # noqa: SIM115, PTH123
    os.dup2(2, 1)  # what a model prints is no answer
    set_process_option(END_WITH_PARENT, signal.SIGKILL)
    set_process_option(ADOPT_ORPHANS, 1)  # what a run leaves behind becomes a child of this process
    child: _Child | None = None
    with suppress(EOFError, BrokenPipeError):
        while True:
            command = _receive(commands)
            if command != _END and not command.startswith(b"["):
                assert child is not None, "a start comes first"
                _send(answers, child.ask(command))
                continue
            if child is not None:
                child.end()
                child = None
            if command != _END:
                text, threads, modules = json.loads(command)
                _warm_up(text)
                if not LINUX:
                    _send(answers, b"+")
                    _obey(commands, answers, threads, modules)
                child = _Child(threads, modules)
            _send(answers, b"+")
    if child is not None:
        child.end()
    os._exit(0)


@functools.cache
def _warm_up(text: str) -> None:
    """Load the text, the libraries that a training needs and the meters, which compile code that is cached on disk.

    On one thread, as threads would not survive a fork.
    """
    import torch

    from sutrolib.measurement.passes import trace_of
    from sutrolib.meters import CacheEnergy, OperationCount, PeakMemory
    from sutrolib.models.language.distilled_gpt import DistilledGPT
    from sutrolib.models.language.gpt import GPT
    from sutrolib.problems.text import WindowedText, load_text

    load_text(text)
    torch.set_num_threads(1)
    task = WindowedText(text, characters=1000, context=8, min_context=4).sample(0).for_training()
    DistilledGPT(1, 2, 8, 8, max_steps=1).fit(task, 0)
    trace = trace_of(lambda: GPT(1, 2, 8, 8, max_steps=1).fit(task, 0))
    for meter in (CacheEnergy(), OperationCount(), PeakMemory()):
        meter.read_complete(trace)


class _Child:
    """A fork of the helper that obeys commands in a new folder."""

    def __init__(self, threads: int, modules: list[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, ours = os.pipe()
        answers, answering = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            try:
                os.dup2(theirs, 0)
                kept = os.dup(answering)
                os.closerange(3, kept)  # also what leads to the helper and to the exam
                os.closerange(kept + 1, 4096)
                with suppress(EOFError, BrokenPipeError):
                    _obey(open(0, "rb"), open(kept, "wb"), threads, modules, self._folder.name)  # noqa: SIM115, PTH123
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)  # no exit handler of the model runs
        os.close(theirs)
        os.close(answering)
        self._commands, self._answers = open(ours, "wb"), open(answers, "rb")  # noqa: SIM115, PTH123

    def ask(self, command: bytes) -> bytes:
        """The answer to a command, or that there will be none, as the process has ended."""
        try:
            _send(self._commands, command)
            while not select.select([self._answers], [], [], 0.5)[0]:
                if os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    raise EOFError
            return _receive(self._answers)
        except (EOFError, OSError):
            return _failure("FailedRun", "the process of the run ended without a result (killed, or out of memory?)")

    def end(self) -> None:
        """Kill the process and whatever it has left behind, and remove the folder."""
        with suppress(ChildProcessError):
            while True:
                for pid in _children():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os.waitpid(-1, 0)  # the children of what is killed come to this process
        for file in (self._commands, self._answers):
            with suppress(OSError):
                file.close()
        self._folder.cleanup()


def _children() -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                yield int(path.parent.name)


def _failure(kind: str, why: str) -> bytes:
    return b"-" + json.dumps([kind, why]).encode()


def _obey(commands: IO[bytes], answers: IO[bytes], threads: int, modules: list[str], folder: str = "") -> None:
    """Load a run, and answer with what its methods return, until the commands end."""
    import torch

    set_process_option(END_WITH_PARENT, signal.SIGKILL)
    isolate(Path(folder or tempfile.mkdtemp()))
    torch.set_num_threads(threads)
    run: Any = None
    while True:
        message = _receive(commands)
        try:
            if run is None:
                run, answer = from_bytes(message, modules), b"+"
            else:
                answer = b"+" + getattr(run, message.decode())()
        except (FailedRun, ValueError) as error:
            answer = _failure("FailedRun" if isinstance(error, FailedRun) else "ValueError", str(error))
        except BaseException as error:
            traceback.print_exc()
            answer = _failure("", f"{type(error).__name__}: {error}")
        _send(answers, answer)
