"""Work that a traced block gives away: to a thread it starts, which is traced too, or to another process or a pool.

A dispatch mode of PyTorch sees one thread. So a thread that is started in a traced one enters its traces. What is given
to a process, or to a pool (of ``concurrent.futures`` or ``multiprocessing``: it may have threads from before the
block), is noted, and there is no reading. Threads of PyTorch itself need nothing: they work inside of an operator, or
inherit the modes (``torch.jit.fork``, ``backward``).

For this, functions of the standard library are replaced while a trace or a guard is open, and only then.

Not seen are threads that were started before the block and take their work from a queue, or by ``_thread``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import wraps
from multiprocessing.pool import Pool
from multiprocessing.process import BaseProcess
from typing import Any, Self

from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from sutrolib.meters.base import NoReading

THREAD_STARTED = "threading.Thread.start"  # an event for audit hooks


class ThreadedMode(TorchDispatchMode):
    """A mode that threads started in it enter too. It adds the threads that run operators to ``worked_in``."""

    def __init__(self) -> None:
        super().__init__()
        self.given_away: list[str] = []
        self.started: list[threading.Thread] = []
        self.worked_in: set[int] = set()

    def __enter__(self) -> Self:
        begin_watching(self)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        end_watching(self)

    def check_complete(self) -> None:
        """Raises NoReading if work went to a process or a pool, or to a thread that has not ended.

        A daemon that has run no operator may go on: it only watches, as that of a progress bar does.
        """
        alive = [t.name for t in self.started if t.is_alive() and not (t.daemon and t.ident not in self.worked_in)]
        for what in (*self.given_away, *(f"thread {name} has not ended" for name in alive)):
            raise NoReading(f"work ran outside the traced thread: {what}; do it in the block's own thread")


def begin_watching(who: object) -> None:
    """Replace the functions that give work away, until all who have begun have ended."""
    with _lock:
        if not _entered:
            _undo.extend(_watch())
        _entered.append(who)


def end_watching(who: object) -> None:
    """Put the functions back, unless others still watch."""
    with _lock:
        _entered.remove(who)
        while not _entered and _undo:
            _undo.pop()()


def _modes() -> list[ThreadedMode]:
    return [mode for mode in _get_current_dispatch_mode_stack() if isinstance(mode, ThreadedMode)]


def _follow(thread: threading.Thread) -> None:
    sys.audit(THREAD_STARTED)  # before Python 3.12, Python has no such event of its own
    modes, run = _modes(), thread.run

    def run_in_modes() -> None:
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            run()

    for mode in modes:
        mode.started.append(thread)
        thread.run = run_in_modes  # type: ignore[method-assign]


def _note(what: str) -> None:
    for mode in _modes():
        mode.given_away.append(what)


def _call_before(owner: Any, name: str, before: Callable[..., None]) -> Callable[[], None]:
    """Have ``before`` called with the first argument of each call of this function. What is returned undoes it."""
    function = getattr(owner, name)

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        before(*args[:1])
        return function(*args, **kwargs)

    def undo() -> None:
        if getattr(owner, name) is called:  # else others have wrapped it since, and keep theirs
            setattr(owner, name, function)

    setattr(owner, name, called)
    return undo


def _watch() -> list[Callable[[], None]]:
    return [
        _call_before(threading.Thread, "start", _follow),
        _call_before(BaseProcess, "start", lambda process: _note(f"process {process.name}")),
        _call_before(subprocess.Popen, "__init__", lambda _: _note("a subprocess")),
        _call_before(os, "system", lambda _: _note("a subprocess")),
        _call_before(Future, "__init__", lambda _: _note("a pool of concurrent.futures")),
        _call_before(Pool, "_check_running", lambda _: _note("a pool of multiprocessing")),
    ]


_lock = threading.Lock()
_entered: list[object] = []  # who watches, in all threads
_undo: list[Callable[[], None]] = []

if hasattr(os, "register_at_fork"):  # for good, and without effect outside of a mode
    os.register_at_fork(before=lambda: _note("a fork of this process"))
