"""What every meter has in common: a reading with its kind, availability, and the context-manager protocol."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, Self, TypeVar

from sutrolib.core.io import as_float
from sutrolib.core.types import FailedRun
from sutrolib.meters.load import MAX_LOAD, load_since, sample_cpu
from sutrolib.meters.lock import meter_lock

_T = TypeVar("_T")


class Kind(StrEnum):
    """How a number was obtained. It is shown with the number in every table and figure."""

    COUNTED = "counted"  # operations, accesses: exact, the same on every machine
    MODELLED = "modelled"  # computed from counts by a stated model
    ESTIMATED = "estimated"  # a power model times measured seconds
    MEASURED = "measured"  # a clock, a hardware counter, a thermometer


class InvalidReading(FailedRun, ValueError):
    """A number that is no cost of a run, because it is not finite or not above 0. The run is recorded as failed."""


class NoReading(RuntimeError):
    """The meter has no number; the message says why. It is never replaced by 0 or a guess."""


@dataclass(frozen=True)
class Reading:
    """One number with its unit and kind. InvalidReading unless the value is finite and above 0.

    No measured run costs nothing: a meter that reads 0 has seen nothing.
    """

    name: str
    value: float
    unit: str
    kind: Kind
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not ((value := as_float(self.value)) and value > 0):
            raise InvalidReading(f"reading {self.name} must be finite and above 0 (got {self.value!r} {self.unit})")
        object.__setattr__(self, "kind", Kind(self.kind))

    @property
    def load(self) -> float | None:
        """Share of the machine that other processes used in the window, 0 to 1; None if unknown or without a window."""
        return self.detail.get("load")


def too_high_load(readings: Iterable[Reading]) -> float:
    """The highest load of these readings if it is above MAX_LOAD, so that nothing follows from them; else 0."""
    highest = max((reading.load for reading in readings if reading.load is not None), default=0.0)
    return highest if highest > MAX_LOAD else 0.0


@dataclass(frozen=True)
class Availability:
    """Whether a meter can work on this machine, and why (not)."""

    ok: bool
    why: str


class Meter(ABC):
    """A context manager; after a clean exit its ``reading`` has the meter's ``name``, ``unit`` and ``kind``."""

    name: ClassVar[str]
    title: ClassVar[str]
    unit: ClassVar[str]
    kind: ClassVar[Kind]

    def __init__(self) -> None:
        self._reading: Reading | None = None
        self._entered = False

    @classmethod
    def available(cls) -> Availability:
        """Whether this meter works here. Meters that need a device or a counter say what is missing."""
        return Availability(True, "always")

    def __enter__(self) -> Self:
        """Start to measure. Raises RuntimeError if the meter measures already."""
        if self._entered:
            raise RuntimeError(f"{self.name}: this meter was entered twice; make a second one for the inner block")
        self._reading = None
        self._begin()
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._entered = False
        self._end(failed=kind is not None)

    @abstractmethod
    def _begin(self) -> None:
        """Start to measure. If it raises, nothing stays open."""

    @abstractmethod
    def _end(self, failed: bool) -> None:
        """Stop, and make the reading unless the block failed."""

    def repeat(self, work: Callable[[], _T]) -> _T:
        """Run ``work`` as often as this meter's window needs, and return the last result."""
        return work()

    @property
    def reading(self) -> Reading:
        """The number read. Raises NoReading before a clean exit, and after one that saw nothing."""
        if self._reading is None:
            raise NoReading(f"{self.name}: no reading, because the measured block has not ended or ended in an error")
        return self._reading

    def _make(self, value: float, detail: Mapping[str, Any]) -> Reading:
        return Reading(self.name, value, self.unit, self.kind, detail)


class ProgramMeter(Meter):
    """A meter that runs programs itself and adds up their costs, for programs that a PyTorch trace cannot see.

    Every call of :meth:`run` in the ``with`` block adds to the cost; outside of it programs just run.
    NoReading for a block in which no program ran, or that read nothing.
    """

    def _begin(self) -> None:
        self._cost: float = 0
        self._detail: dict[str, Any] = {}

    def _end(self, failed: bool) -> None:
        if not failed and self._detail:
            if not self._cost:
                raise NoReading(f"{self.name}: the program reads none of its arguments")
            self._reading = self._make(self._cost, self._detail)

    def _add(self, cost: float, detail: Mapping[str, Any]) -> None:
        """Add the cost of one run, and its entries of the detail."""
        self._cost += cost
        self._detail = {key: self._detail.get(key, 0) + value for key, value in detail.items()}

    @abstractmethod
    def run(self, program: Any, arguments: Sequence[Any]) -> Any:
        """The result of ``program`` for these arguments. Each meter defines what a program is."""


class WindowMeter(Meter):
    """A meter that reads this machine (seconds, joules) over a window of time: runs repeat until ``window`` s are full.

    It holds the machine-wide lock from entry to exit, so two windows never overlap on one host. The lock is re-entrant
    within a process: one window may lie inside another. The load of the machine is sampled before and after the window.
    """

    window: float

    def _begin(self) -> None:
        self._run_seconds: list[float] = []
        with ExitStack() as stack:
            stack.enter_context(meter_lock())
            self._before = sample_cpu()
            self._open()
            self._lock = stack.pop_all()
        self._began = time.perf_counter()

    def _end(self, failed: bool) -> None:
        with self._lock:
            try:
                finish_queued_work()
            finally:  # even if a device fails, the window's threads and drivers are closed
                reading = self._close()
            load = None if failed else load_since(self._before)
        if not failed:
            found = reading()
            self._reading = replace(found, detail={**found.detail, "load": load})

    def repeat(self, work: Callable[[], _T]) -> _T:
        return repeat_until_full(work, [self])

    @property
    def seconds(self) -> float:
        """Seconds since the window was opened."""
        return time.perf_counter() - self._began

    @property
    def is_full(self) -> bool:
        """Whether the window is long enough."""
        return self.seconds >= self.window

    @abstractmethod
    def _open(self) -> None:
        """Start the window."""

    @abstractmethod
    def _close(self) -> Callable[[], Reading]:
        """End the window, and return the function that makes the reading."""


def repeat_until_full(work: Callable[[], _T], meters: Sequence[WindowMeter]) -> _T:
    """Run ``work`` until the windows of all ``meters`` are full, and return the last result."""
    while True:
        start = time.perf_counter()
        result = work()
        finish_queued_work()
        seconds = time.perf_counter() - start
        for meter in meters:
            meter._run_seconds.append(seconds)
        if all(meter.is_full for meter in meters):
            return result


class JouleMeter(WindowMeter):
    """A window of joules: work that is shorter than ``window`` seconds is repeated until the window is full."""

    unit = "J"

    @property
    def _runs(self) -> int:
        return max(1, len(self._run_seconds))

    def _check_window(self, seconds: float) -> None:
        if seconds < self.window:
            raise NoReading(
                f"{self.name}: the window of {seconds:.3g} s is too short (minimum {self.window:g} s); "
                "pass the work to repeat(), or make the block longer"
            )


def finish_queued_work() -> None:
    """Wait for the work that torch has queued on a graphics card: it belongs to this window."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    if torch is not None and torch.mps.is_available():
        torch.mps.synchronize()
