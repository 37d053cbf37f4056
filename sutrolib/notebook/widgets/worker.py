"""Slow work in a process of its own: the interface stays free, and the work can be ended at any moment.

The process is spawned (a forked torch may hang on the locks of its threads), so its work is a function that can be
imported. Events come back through a pipe, in order, and a thread passes them on in batches; what was sent before a
cancel is still passed on. The process prints nothing, and it ends when the kernel does, however that ends. The locks
that it holds are those of the operating system, so they end with it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import FunctionType
from typing import Any

from sutrolib.meters.lock import meter_lock
from sutrolib.notebook.widgets.layout import replace_previous_panel, status

_POLL_S = 0.25  # between two batches of events, so that a panel that redraws after each still has time for other things
PAUSE_S = _POLL_S + 0.05  # without a timing, in which a panel that waits for the meter lock can begin to draw
_KILL_TIMEOUT_S = 1.0  # from a cancel to the end of a process that does not react
_EXIT_TIMEOUT_S = 5.0  # that a process has to end after its last message


class ExitStatus(StrEnum):
    """How work ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkerExit:
    """How work ended, and the error if it failed."""

    status: ExitStatus
    error: str = ""


class Channel:
    """The connection of some work to the kernel: it sends events, which must be picklable, and may be asked to stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, event: object) -> None:
        """Send an event to the kernel."""
        self._connection.send(event)

    def try_send(self, event: object) -> None:
        """Send an event if that needs no waiting, else drop it: for progress while the meter lock is held."""
        # Windows cannot tell whether there is room. Elsewhere, a writable pipe has room for a short message.
        if os.name == "nt" or select.select([], [self._connection], [], 0)[1]:
            self.send(event)

    @property
    def stop_requested(self) -> bool:
        """Whether the work should stop as soon as it loses nothing."""
        return self._connection.poll()


class Worker:
    """Runs one piece of work at a time.

    ``on_events`` is called with all events since its last call, and ``on_exit`` once after that, both in a thread. An
    error in ``on_events`` ends the work.
    """

    _process: BaseProcess | None = None
    _connection: Connection

    def __init__(self, on_events: Callable[[Sequence[Any]], object], on_exit: Callable[[WorkerExit], object]) -> None:
        self._on_events, self._on_exit = on_events, on_exit
        self._cancelled = threading.Event()

    @property
    def running(self) -> bool:
        """Whether some work has not ended yet."""
        return self._process is not None

    def start(self, work: Callable[..., object], *arguments: object) -> bool:
        """Run ``work(channel, *arguments)`` in a process of its own. False if it cannot start."""
        if self.running:
            return False
        try:
            _ImportCheck(io.BytesIO()).dump((work, arguments))
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            process = context.Process(target=_main, args=(theirs, work, arguments), daemon=True)
            with theirs, _interrupts_ignored():
                process.start()
        except Exception as error:  # what cannot be pickled, or no memory for another process
            self._on_exit(WorkerExit(ExitStatus.FAILED, error_text(error)))
            return False
        self._cancelled.clear()
        self._process = process
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        return True

    def request_stop(self) -> None:
        """Ask the work to stop where it loses nothing; it ends when it reads :attr:`Channel.stop_requested`."""
        if self.running:
            with suppress(OSError):  # it has just ended
                self._connection.send(None)

    def cancel(self) -> None:
        """End the process now. It has a moment to clean up, for example to mark a trial that has to be repeated."""
        if process := self._process:
            self._cancelled.set()
            process.terminate()
            timer = threading.Timer(_KILL_TIMEOUT_S, process.kill)
            timer.daemon = True
            timer.start()

    def _listen(self, process: BaseProcess) -> None:
        try:
            end = self._receive(process)
        except Exception as error:  # in a thread, a raised error would be lost
            process.kill()
            end = WorkerExit(ExitStatus.FAILED, error_text(error))
        process.join(_EXIT_TIMEOUT_S)
        process.kill()
        process.join()
        self._connection.close()
        self._process = None
        self._on_exit(end)

    def _receive(self, process: BaseProcess) -> WorkerExit:
        """Pass on events, in batches, until the work ends."""
        while True:
            events: list[Any] = []
            end: WorkerExit | None = None
            try:
                while end is None and (not events or self._connection.poll()):
                    message = self._connection.recv()
                    if isinstance(message, WorkerExit):
                        end = message
                    else:
                        events.append(message)
            except (EOFError, OSError):  # the process ended, perhaps in the middle of a message
                process.join(_EXIT_TIMEOUT_S)
                crash = WorkerExit(ExitStatus.FAILED, f"the worker process crashed (exit code {process.exitcode})")
                end = WorkerExit(ExitStatus.CANCELLED) if self._cancelled.is_set() else crash
            if events:
                self._on_events(events)
            if end:
                return end
            self._cancelled.wait(_POLL_S)


class WorkerPanel:
    """The displays of a panel with a worker, and the flow of its events.

    Subclasses take the events (:meth:`take`), draw (:meth:`show`), enable their controls (:meth:`enable`) and say how
    the work ended (:meth:`exit_text`).
    """

    def __init__(self, kind: str) -> None:
        import ipywidgets as widgets

        self.worker = Worker(self._on_events, self._on_exit)
        self.stale = False  # whether something has come in that is not shown yet
        self.bar = widgets.IntProgress(value=0, min=0, max=1, description="progress")
        self.doing, self.message, self.picture, self.text = (widgets.HTML() for _ in range(4))
        replace_previous_panel(kind, self.worker.cancel)

    def take(self, events: Sequence[Any]) -> None:
        """Keep what has come in; set ``stale`` if it has to be drawn."""
        raise NotImplementedError

    def show(self) -> None:
        """Draw everything."""
        raise NotImplementedError

    def enable(self, running: bool) -> None:
        """Enable the controls that make sense now."""
        raise NotImplementedError

    def exit_text(self, end: WorkerExit) -> str:
        """How the work ended, in words."""
        raise NotImplementedError

    def say(self, text: str) -> None:
        """Show a message, which screen readers read out."""
        self.message.value = status(text)

    def launch(self, work: Callable[..., object], *arguments: object) -> None:
        """Start the work."""
        self.stale = False
        self.doing.value = "The worker process is starting."
        self.say("")
        self.enable(running=True)
        self.worker.start(work, *arguments)

    def _on_events(self, events: Sequence[Any]) -> None:
        self.take(events)
        if self.stale:
            # Drawing would disturb a timing in another process; it is then left to the next events. Waiting for the
            # lock here would keep a cancel from being seen.
            with suppress(TimeoutError), meter_lock().acquire(timeout=0):
                self._draw()

    def _on_exit(self, end: WorkerExit) -> None:
        text = self.exit_text(end)
        self.doing.value = ""
        if self.stale:
            self._draw()
        self.enable(running=False)
        self.say(text)

    def _draw(self) -> None:
        self.stale = False
        self.show()


class _ImportCheck(ForkingPickler):
    """Refuses what a cell of the notebook defines: another process cannot import it."""

    def persistent_id(self, thing: Any) -> None:
        owner = thing if isinstance(thing, type | FunctionType) else type(thing)
        if getattr(owner, "__module__", "") == "__main__":
            raise ValueError(
                f"{owner.__name__} is defined in this notebook; put it in a module (README, 'A model'), so that the "
                "worker process can import it"
            )


def error_text(error: BaseException) -> str:
    """An error on one line, with its type unless its text is meant for the user."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process that starts in here ignores interrupts: Jupyter sends these to all processes of a kernel."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Cancelled(BaseException):
    """Raised in the work by a cancel; no Exception, as code that tests candidates would take that for their error."""


def _main(
    connection: Connection, work: Callable[..., object], arguments: Sequence[Any]
) -> None:  # pragma: no cover - in another process
    def cancel(_signal: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the clean-up
        raise _Cancelled

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, cancel)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the kernel would show their text under any cell that runs
        os.dup2(nowhere, stream)
    threading.Thread(target=_end_with_kernel, daemon=True).start()
    try:
        work(Channel(connection), *arguments)
        connection.send(WorkerExit(ExitStatus.DONE))
    except _Cancelled:
        pass  # the end of the pipe says it
    except BaseException as error:
        connection.send(WorkerExit(ExitStatus.FAILED, error_text(error)))
    finally:
        os._exit(0)  # a regular exit with torch takes most of a second


def _end_with_kernel() -> None:  # pragma: no cover - in another process
    kernel = multiprocessing.parent_process()
    assert kernel is not None
    wait([kernel.sentinel])
    os._exit(1)
