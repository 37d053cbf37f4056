"""What every meter has in common: a reading with its kind, availability, and the context-manager protocol."""

from __future__ import annotations

import math
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

from sutrolib.meters.lock import meter_lock

T = TypeVar("T")


class Kind(StrEnum):
    """How a number came about. It travels with the number into every table and figure."""

    COUNTED = "counted"  # operations, accesses: exact, the same on every machine
    MODELLED = "modelled"  # computed from counts by a stated model
    ESTIMATED = "estimated"  # a power model times measured seconds
    MEASURED = "measured"  # a clock, a hardware counter, a thermometer


class NoReading(RuntimeError):
    """The meter has no number to give; the message says why. Never replaced by 0 or a guess."""


@dataclass(frozen=True)
class Reading:
    """One number with its unit and kind. ValueError unless the value is finite and above 0.

    No run that was really metered costs nothing, so a 0 is a meter that saw nothing.
    """

    name: str
    value: float
    unit: str
    kind: Kind
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"reading {self.name}={self.value!r} {self.unit}, accepted are finite numbers above 0")
        object.__setattr__(self, "kind", Kind(self.kind))


@dataclass(frozen=True)
class Availability:
    """Whether a meter can work on this machine, and why (not)."""

    ok: bool
    why: str


class Meter(ABC):
    """A context manager with a ``reading`` after a clean exit; its ``name``, ``unit`` and ``kind`` are the meter's."""

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    kind: ClassVar[Kind]

    def __init__(self) -> None:
        self._reading: Reading | None = None

    @classmethod
    def available(cls) -> Availability:
        """Whether this meter works here. Meters that need a device or a counter say what is missing."""
        return Availability(True, "always")

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def repeat(self, work: Callable[[], T]) -> T:
        """Run ``work`` as often as this meter's window needs, and return the last result."""
        return work()

    @property
    def reading(self) -> Reading:
        """The number read. Raises NoReading before a clean exit, and after one that saw nothing."""
        if self._reading is None:
            raise NoReading(f"{self.name}: no reading, as the metered block has not ended or ended in an error")
        return self._reading

    def _make(self, value: float, detail: Mapping[str, Any]) -> Reading:
        return Reading(self.name, value, self.unit, self.kind, detail)


class ProgramMeter(Meter):
    """A meter that runs programs itself and prices their reads, for programs that no trace of PyTorch could see.

    Within the ``with`` block every call of :meth:`run` is priced; outside of it programs are run and nothing is priced.
    A block in which no program ran has no reading (NoReading).
    """

    @abstractmethod
    def run(self, program: Any, arguments: Sequence[Any]) -> Any:
        """The result of ``program`` for these arguments. What a program is, is the meter's to say."""


class WindowMeter(Meter):
    """A meter that reads this machine (seconds, joules) over a window of time.

    The machine-wide lock is held from entry to exit: two such windows never overlap on one host. Within one process
    the lock is re-entrant, so that one window may lie inside another.
    """

    def __enter__(self) -> Self:
        self._reading = None
        self._lock = meter_lock()
        self._lock.acquire()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            try:
                finish_queued_work()
            finally:  # whatever a device says, the window's threads and drivers are closed
                reading = self._close()
        finally:
            self._lock.release()
        if kind is None:
            self._reading = reading()

    @abstractmethod
    def _open(self) -> None:
        """Start the window."""

    @abstractmethod
    def _close(self) -> Callable[[], Reading]:
        """End the window, and return what makes a reading of it."""


class JouleMeter(WindowMeter):
    """A window of joules: work that is shorter than ``window`` seconds is repeated until the window is full."""

    unit = "J"
    window: float

    def __enter__(self) -> Self:
        super().__enter__()
        self._runs = 0
        self._began = time.perf_counter()
        return self

    def repeat(self, work: Callable[[], T]) -> T:
        while True:
            result = work()
            self.ran()
            if self.full:
                return result

    def ran(self) -> None:
        """Count one run of the work as done, for whoever repeats it under several meters at once."""
        finish_queued_work()
        self._runs += 1

    @property
    def full(self) -> bool:
        """Whether the window is long enough."""
        return self.seconds >= self.window

    @property
    def seconds(self) -> float:
        """Seconds since the window was opened."""
        return time.perf_counter() - self._began

    def _check_window(self, seconds: float) -> None:
        if seconds < self.window:
            raise NoReading(
                f"{self.name}: a window of {seconds:.3g} s is too short, as {self.window:g} s are needed; "
                "give the work to repeat(), or let the block last longer"
            )


def finish_queued_work() -> None:
    """Wait for what torch has queued on a graphics card: work that is still to be done belongs to this window."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
