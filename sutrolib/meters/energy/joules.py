"""Joules from hardware counters: RAPL for processor and memory, NVML for graphics cards.

These are the only joules here of the kind ``measured``. The counters cover the whole machine: they include the energy
of everything else that runs in the window, and idle power, which is measured before and reported separately.

The powercap files are read directly. The zeus library (ml.energy/zeus) reads the same counters, and more (Apple
silicon, Jetson). But it takes seconds to import, starts a process for each counter to watch for wraps, and installs
AMD's library, which makes CodeCarbon look for an AMD card that is not there. If zeus is installed, the tests compare
the two.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from sutrolib.meters.base import Availability, JouleMeter, Kind, NoReading, Reading
from sutrolib.meters.energy.counter import POWERCAP, EnergyCounter, energy_counters
from sutrolib.meters.lock import meter_lock

_MAX_WATTS = 1000.0  # an upper bound on the power of one counter: it says how soon a counter can wrap


class EnergyAccumulator:
    """Joules of each counter from entry to exit. A thread reads counters that wrap at least twice before they can."""

    def __init__(self, counters: Sequence[EnergyCounter]) -> None:
        self._counters = tuple(counters)
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._fault: Exception | None = None

    def __enter__(self) -> Self:
        self._last = [counter.read() for counter in self._counters]
        self._joules = [0.0] * len(self._counters)
        pause = min(counter.wraps_at for counter in self._counters) / _MAX_WATTS / 2
        self._thread = threading.Thread(target=self._watch, args=(pause,), name="energy counters", daemon=True)
        if pause < math.inf:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._update()
        self._ended.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join()

    def read(self) -> dict[str, float]:
        """Joules by label, so far or up to the exit.

        Raises NoReading if a counter could not be read, or went back without a wrap.
        """
        if not self._ended.is_set():
            self._update()
        if self._fault is not None:
            raise NoReading(f"{self._fault}") from self._fault
        return {counter.label: joules for counter, joules in zip(self._counters, self._joules, strict=True)}

    def _watch(self, pause: float) -> None:
        while not self._ended.wait(pause):
            self._update()

    def _update(self) -> None:
        with self._guard:
            try:
                for index, counter in enumerate(self._counters):
                    now = counter.read()
                    rise = now - self._last[index]
                    if rise < 0 and counter.wraps_at == math.inf:
                        raise NoReading(f"{counter.label}: its counter fell by {-rise:.3g} J (driver reloaded?)")
                    self._joules[index] += rise if rise >= 0 else rise + counter.wraps_at
                    self._last[index] = now
            except Exception as error:  # raised in the thread it would be lost: read() raises it
                self._fault = self._fault or error


@functools.cache
def measured_idle_watts(seconds: float, root: Path = POWERCAP) -> dict[str, float]:
    """Watts by counter while this process sleeps, once per process; everything else that runs here is included.

    Raises NoReading if there is no counter.
    """
    with meter_lock(), energy_counters(root) as (counters, _), EnergyAccumulator(counters) as accumulator:
        began = time.perf_counter()
        time.sleep(max([seconds, *(counter.window_s for counter in counters)]))
        joules, elapsed = accumulator.read(), time.perf_counter() - began
    return {label: value / elapsed for label, value in joules.items()}


class Joules(JouleMeter):
    """Measured joules of one run of the work given to :meth:`repeat`, over every energy counter of this machine.

    The work is repeated until the window is long enough for the slowest counter. The detail holds the number of runs,
    joules and idle watts by counter, and the parts of the machine that no counter covers. The first use in a process
    sleeps ``idle_s`` seconds to measure idle power, which is never subtracted; 0 skips this.
    """

    name = "joules"
    title = "measured energy"
    kind = Kind.MEASURED

    def __init__(self, idle_s: float = 1.0, root: Path = POWERCAP) -> None:
        super().__init__()
        if not 0 <= idle_s <= 600:
            raise ValueError(f"idle_s must be 0 to 600 seconds (got {idle_s!r})")
        self.idle_s, self.root = idle_s, root

    @classmethod
    def available(cls) -> Availability:
        try:
            with energy_counters() as (counters, missing):
                covered = ", ".join(counter.label for counter in counters)
                return Availability(True, "; ".join([f"counters of {covered}", *missing.values()]))
        except NoReading as error:
            return Availability(False, str(error))

    def _open(self) -> None:
        self._idle = measured_idle_watts(self.idle_s, self.root) if self.idle_s else None
        with ExitStack() as stack:
            counters, self._missing = stack.enter_context(energy_counters(self.root))
            self.window = max(counter.window_s for counter in counters)
            self._accumulator = stack.enter_context(EnergyAccumulator(counters))
            self._counters = stack.pop_all()  # closed with the window, or here if any of it failed

    def _close(self) -> Callable[[], Reading]:
        with self._counters:
            seconds = self.seconds
        return lambda: self._read(self._accumulator.read(), seconds)

    def _read(self, joules: dict[str, float], seconds: float) -> Reading:
        self._check_window(seconds)
        still = [label for label, value in joules.items() if value == 0]
        if still:
            raise NoReading(f"joules: the counter of {', '.join(still)} did not move in {seconds:.3g} s")
        detail = {
            "runs": self._runs,
            "window_s": seconds,
            "joules_by_part": {label: value / self._runs for label, value in joules.items()},
            "source_by_part": {label: "NVML" if label.startswith("gpu") else "RAPL" for label in joules},
            "idle_watts": self._idle,
            "not_covered": self._missing,
        }
        return self._make(sum(joules.values()) / self._runs, detail)
