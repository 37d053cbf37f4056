"""Slow work in a process of its own: the interface stays free, and the work can be ended at any moment.

The process is spawned (a forked torch may hang on the locks of its threads), so its work is a function that can be
imported. Its first argument is a connection to the kernel: it sends events, which must be picklable, and once it can
``poll()``, it is asked to stop as soon as that loses nothing. Events come in order, and a thread passes them on in
batches; what was sent before a cancel is still passed on. The process prints nothing, and it ends when the kernel does,
however that ends. The locks that it holds are those of the operating system, so they end with it.
"""

import multiprocessing
import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import ipywidgets as widgets

from sutrolib.meters.lock import meter_lock
from sutrolib.notebook.widgets.layout import button, hbox, message_line, panel

_POLL_S = 0.25  # between two batches of events, so that a panel that redraws after each still has time for other things
PAUSE_S = _POLL_S + 0.05  # without a timing, in which a panel that waits for the meter lock can begin to draw
_KILL_TIMEOUT_S = 1.0  # from a cancel to the end of a process that does not react


@dataclass(frozen=True)
class WorkerExit:
    """How work ended: cancelled, in an error, or else as it should."""

    cancelled: bool = False
    error: str = ""


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

    def start(self, work: Callable[..., object], *arguments: object) -> None:
        """Run ``work(connection, *arguments)`` in a process of its own, unless some work is still running."""
        if self.running:
            return
        interruptible = threading.current_thread() is threading.main_thread()  # only there handlers can be set
        # Jupyter sends interrupts to all processes of a kernel; one that starts meanwhile ignores them.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if interruptible else None
        try:
            if b"__main__" in bytes(ForkingPickler.dumps((work, arguments))):
                what = "what is defined in this notebook cannot be imported by the worker process"
                raise ValueError(f"{what}: put it in a module (notebook 91 shows how)")
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            with theirs:
                process = context.Process(target=_main, args=(theirs, work, arguments), daemon=True)
                process.start()
        except Exception as error:  # what cannot be pickled, or no memory for another process
            self._on_exit(WorkerExit(error=error_text(error)))
            return
        finally:
            if interruptible:
                signal.signal(signal.SIGINT, handler)
        self._cancelled.clear()
        self._process = process
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()

    def request_stop(self) -> None:
        """Ask the work to stop where it loses nothing."""
        if self.running:
            with suppress(OSError):  # it has just ended
                self._connection.send(None)

    def cancel(self) -> None:
        """End the process now. It has a moment to clean up, for example to mark a trial that has to be repeated."""
        if process := self._process:
            self._cancelled.set()
            process.terminate()
            threading.Timer(_KILL_TIMEOUT_S, process.kill).start()

    def _listen(self, process: BaseProcess) -> None:
        """Pass on events, in batches, until the work ends."""
        end: WorkerExit | None = None
        while not end:
            try:
                *events, last = self._next_batch(process)
                end = last if isinstance(last, WorkerExit) else None
                self._on_events(events if end else [*events, last])
            except Exception as error:  # in a thread, a raised error would be lost
                end = WorkerExit(error=error_text(error))
            self._cancelled.wait(0 if end else _POLL_S)
        process.kill()  # it has nothing left to do
        process.join()
        self._connection.close()
        self._process = None
        self._on_exit(end)

    def _next_batch(self, process: BaseProcess) -> list[Any]:
        """Wait for an event; returns all there are, and at the end of the work its WorkerExit as the last."""
        found: list[Any] = []
        try:
            while not found or self._connection.poll():
                found.append(self._connection.recv())
        except (EOFError, OSError):  # the process ended, perhaps in the middle of a message
            if not (found and isinstance(found[-1], WorkerExit)):
                process.join()
                crash = f"the worker process crashed (exit code {process.exitcode})"
                found.append(WorkerExit(cancelled=True) if self._cancelled.is_set() else WorkerExit(error=crash))
        return found


class WorkerPanel(ABC):
    """The displays and buttons of a panel with a worker, and the flow of its events.

    ``inputs`` are the controls that are disabled while work is running.
    """

    def __init__(self, start: str, cancel: str, tooltip: str) -> None:
        self.worker = Worker(self._on_events, self._on_exit)
        self.stale = False  # whether something has come in that is not shown yet
        self.inputs: list[Any] = []
        self.bar = widgets.IntProgress(value=0, min=0, max=1, description="progress")
        self.doing, self.picture, self.text = (widgets.HTML() for _ in range(3))
        self.message, self.say = message_line()
        self.start = button(start, self.on_start, self.say)
        self.cancel = button(cancel, self.on_cancel, self.say, tooltip=tooltip, disabled=True)

    def column(
        self, heading: str, *controls: widgets.DOMWidget, settings: Sequence[widgets.DOMWidget] = ()
    ) -> widgets.VBox:
        """The whole panel, with settings that are seldom changed at its end."""
        outputs = (hbox(self.bar, self.doing), self.message, self.picture, self.text)
        return panel([widgets.HTML(heading), *controls, *outputs, *settings], heading, self.worker.cancel)

    @abstractmethod
    def on_start(self) -> None:
        """Start the work, or raise the ValueError of an input."""

    @abstractmethod
    def take(self, events: Sequence[Any]) -> None:
        """Keep what has come in; set ``stale`` if it has to be drawn."""

    @abstractmethod
    def show(self) -> None:
        """Draw everything."""

    @abstractmethod
    def exit_text(self, end: WorkerExit) -> str:
        """How the work ended, in words."""

    def enable(self, running: bool) -> None:
        """Enable the controls that make sense now."""
        for control in (self.start, *self.inputs):
            control.disabled = running
        self.cancel.disabled = not running

    def launch(self, work: Callable[..., object], *arguments: object) -> None:
        """Start the work."""
        self.stale = False
        self.doing.value = "The worker process is starting."
        self.say("")
        self.enable(running=True)
        self.worker.start(work, *arguments)

    def on_cancel(self) -> None:
        """End the process now."""
        self.cancel.disabled = True
        self.worker.cancel()

    def _on_events(self, events: Sequence[Any]) -> None:
        self.take(events)
        if self.stale:
            # Drawing would disturb a timing in another process; it is then left to the next events. Waiting for the
            # lock here would keep a cancel from being seen.
            with suppress(TimeoutError), meter_lock().acquire(timeout=0):
                self.show()
                self.stale = False

    def _on_exit(self, end: WorkerExit) -> None:
        text = self.exit_text(end)
        self.doing.value = ""
        if self.stale:
            self.show()
        self.enable(running=False)
        self.say(text)


def error_text(error: BaseException) -> str:
    """An error on one line, with its type unless its text is meant for the user."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class _Cancelled(BaseException):
    """Raised in the work by a cancel; no Exception, as code that tests candidates would take that for their error."""


def _main(connection: Connection, work: Callable[..., object], arguments: Sequence[Any]) -> None:  # pragma: no cover
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
        work(connection, *arguments)
        connection.send(WorkerExit())
    except _Cancelled:
        pass  # the end of the pipe says it
    except BaseException as error:
        connection.send(WorkerExit(error=error_text(error)))
    finally:
        os._exit(0)  # a regular exit with torch takes most of a second


def _end_with_kernel() -> None:  # pragma: no cover - in another process
    kernel = multiprocessing.parent_process()
    assert kernel is not None
    kernel.join()
    os._exit(1)
