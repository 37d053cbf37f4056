"""Slow work in a process of its own: the interface stays free, and the work can be ended at any moment.

The process is spawned (a forked torch may hang on the locks of its threads), so what it runs is a function that can be
imported. Events come back through a pipe, in order, and a thread of the kernel hands them on in batches. Whatever was
told before a cancel is still handed on; the locks that a process held are those of the operating system, and end with
it. It prints nothing, and ends when the kernel does, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FunctionType
from typing import Any, Concatenate, ParamSpec

P = ParamSpec("P")

REST = 0.25  # seconds between two batches of events: whoever draws anew after each does nothing else otherwise
BREATH = REST + 0.05  # seconds without a timing in which whoever waits for that can begin to draw
GRACE = 1.0  # seconds from a cancel to the end of a process that is deep in other code
FAREWELL = 5.0  # seconds that a process has to end after its last word


class ExitStatus(StrEnum):
    """How work ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkerExit:
    """How work ended, and for a failure why, in a sentence."""

    how: ExitStatus
    why: str = ""


class Channel:
    """What a piece of work has of the kernel: it tells events, which can be pickled, and may be asked to stop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, event: object) -> None:
        """Hand ``event`` to the kernel."""
        self._connection.send((None, event))

    def try_send(self, event: object) -> None:
        """Hand ``event`` to the kernel where it listens, and drop it where it does not.

        For words in passing, which may come while the machine's lock is held: nobody is to wait for the kernel then.
        """
        if _has_room(self._connection):
            self.tell(event)

    @property
    def stop_requested(self) -> bool:
        """Whether the work is to stop where it can without losing anything."""
        return self._connection.poll()


@dataclass
class _Job:
    process: BaseProcess
    connection: Connection
    cancelled: threading.Event


class Worker:
    """One piece of work at a time.

    ``on_events`` is called with all events that came in since the last time, and ``on_end`` once after the last of
    them, both in a thread. An error in ``on_events`` ends the work: it would go on unseen.
    """

    def __init__(self, on_events: Callable[[Sequence[Any]], object], on_end: Callable[[WorkerExit], object]) -> None:
        self._on_events, self._on_end = on_events, on_end
        self._job: _Job | None = None

    @property
    def running(self) -> bool:
        """Whether there is work that has not ended."""
        return self._job is not None

    def start(self, work: Callable[Concatenate[Channel, P], object], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Run ``work(line, ...)`` in a process of its own; False, and nothing runs, while other work has not ended."""
        if self.running:
            return False
        if name := notebook_definition(work, args, kwargs):
            why = f"{name} is defined in this notebook; put it in a module (README, 'A model'), as a process of its own"
            self._on_end(WorkerExit(ExitStatus.FAILED, f"{why} has to import it"))
            return False
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_main, args=(theirs, work, args, kwargs), daemon=True)
        self._job = job = _Job(process, ours, threading.Event())
        try:
            with _uninterrupted():
                process.start()
        except Exception as error:  # what cannot be pickled, or no memory for another process
            self._job = None
            self._on_end(WorkerExit(ExitStatus.FAILED, sentence(error)))
            return False
        finally:
            theirs.close()  # or the end of the process would not be seen
        threading.Thread(target=self._listen, args=(job,), daemon=True).start()
        return True

    def ask_to_stop(self) -> None:
        """Ask the work to stop where it loses nothing; it ends when it looks (:attr:`Line.stop_asked`)."""
        if job := self._job:
            with suppress(OSError):  # it has just ended
                job.connection.send(None)

    def cancel(self) -> None:
        """End the process, at whatever it is. What it had told until then is still handed on.

        It is first given a moment to put away what it holds, such as a trial that somebody is to try again.
        """
        if job := self._job:
            job.cancelled.set()
            job.process.terminate()
            last = threading.Timer(GRACE, job.process.kill)
            last.daemon = True
            last.start()

    def _listen(self, job: _Job) -> None:
        try:
            ended = self._hand_on(job)
        except Exception as error:  # raised in a thread, nobody would see it
            job.process.kill()
            ended = WorkerExit(ExitStatus.FAILED, sentence(error))
        job.process.join(FAREWELL)
        job.process.kill()
        job.process.join()
        job.connection.close()
        self._job = None
        self._on_end(ended)

    def _hand_on(self, job: _Job) -> WorkerExit:
        while True:
            events, ended = _received(job)
            if events:
                self._on_events(events)
            if ended:
                return ended
            job.cancelled.wait(REST)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that is started in here is deaf to interrupts: they are meant for a cell.

    Jupyter interrupts the whole group of processes, and one that is still importing would end by that.
    """
    if threading.current_thread() is not threading.main_thread():  # no other one may say what a signal does
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def notebook_definition(*things: object) -> str:
    """The name of what a notebook's cell defines among ``things`` and what they hold; empty where there is none."""
    left, seen = list(things), dict[int, object]()
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        named: Any = thing if isinstance(thing, type | FunctionType) else type(thing)
        if getattr(named, "__module__", "") == "__main__":
            return str(getattr(named, "__name__", named))
        if isinstance(thing, Mapping):
            left += [*thing, *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            left += thing
        elif named is type(thing):
            left += getattr(thing, "__dict__", {}).values()
    return ""


def _has_room(connection: Connection) -> bool:
    """Whether a few words can be sent without waiting: there is room for many where the system lets one write."""
    if os.name == "nt":  # where one cannot ask
        return True
    return bool(select.select([], [connection], [], 0)[1])


def sentence(error: BaseException) -> str:
    """An error as a sentence, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError) and text:
        return text  # written for whoever reads it
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _received(job: _Job) -> tuple[list[Any], WorkerExit | None]:
    """All events that are there, after waiting for the first; and how the work ended, where it has."""
    events: list[Any] = []
    try:
        while not events or job.connection.poll():
            ended, event = job.connection.recv()
            if ended:
                return events, ended
            events.append(event)
    except (EOFError, OSError):  # it has ended, perhaps in the middle of a word
        if job.cancelled.is_set():
            return events, WorkerExit(ExitStatus.CANCELLED)
        job.process.join(FAREWELL)
        return events, WorkerExit(ExitStatus.FAILED, f"its process ended without a word (exit code {job.process.exitcode})")
    return events, None


def _main(
    connection: Connection, work: Callable[..., object], args: Sequence[Any], kwargs: dict[str, Any]
) -> None:  # pragma: no cover - in another process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _cancelled)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # a kernel shows what is written there under whatever cell runs
        os.dup2(nowhere, stream)
    threading.Thread(target=_end_with_the_kernel, daemon=True).start()
    try:
        work(Channel(connection), *args, **kwargs)
    except _Cancelled:
        pass  # the end of the pipe says it
    except BaseException as error:
        connection.send((WorkerExit(ExitStatus.FAILED, sentence(error)), None))
    else:
        connection.send((WorkerExit(ExitStatus.DONE), None))
    finally:
        os._exit(0)  # taking a torch apart takes most of a second, and all that was to be told has been


class _Cancelled(BaseException):
    """Raised in the work by a cancel: no Exception, which whoever judges candidates takes for theirs."""


def _cancelled(_signal: int, _frame: object) -> None:  # pragma: no cover - in another process
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another one would cut off what the work puts away now
    raise _Cancelled


def _end_with_the_kernel() -> None:  # pragma: no cover - in another process
    """A kernel that is killed ends nobody else: its end shows here."""
    kernel = multiprocessing.parent_process()
    assert kernel is not None
    wait([kernel.sentinel])
    os._exit(1)
