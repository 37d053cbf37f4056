"""Joules by hardware counters: RAPL for processor and memory, NVML for graphics cards.

These are the only joules here of the kind ``measured``. The counters are those of the whole machine: the energy of
whatever else runs in the window is in them, and so is idle power, which is measured before and reported beside.

The powercap files and NVML's counter are read directly. The zeus library (ml.energy/zeus) reads the same two, and
more (Apple silicon, Jetson); it takes seconds to import, starts a process a counter to watch for wraps, and installs
AMD's library, at whose presence CodeCarbon looks for an AMD card that is not there. Where zeus is installed, the tests
compare the two.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sutrolib.meters.base import Availability, JouleMeter, Kind, NoReading, Reading
from sutrolib.meters.energy.counter import EnergyAccumulator, EnergyCounter
from sutrolib.meters.energy.nvml import nvml_counters
from sutrolib.meters.energy.rapl import POWERCAP, rapl_counters
from sutrolib.meters.lock import meter_lock


@contextmanager
def energy_counters(root: Path = POWERCAP) -> Iterator[tuple[list[EnergyCounter], dict[str, str]]]:
    """Every power counter of this machine while the block lasts, and why what is not covered has none.

    Raises NoReading where there is no counter at all.
    """
    found: list[EnergyCounter] = []
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        for part, counters in (
            ("processor", lambda: rapl_counters(root)),
            ("gpu", lambda: stack.enter_context(nvml_counters())),
        ):
            try:
                found += counters()
            except NoReading as error:
                missing[part] = str(error)
        if not found:
            raise NoReading(f"no power counter: {'; '.join(missing.values())}")
        yield found, missing


@functools.cache
def measured_idle_watts(seconds: float, root: Path = POWERCAP) -> dict[str, float]:
    """Measured watts by counter while this process sleeps, once a process: what else runs here is in it.

    Raises NoReading where there is no counter.
    """
    with meter_lock(), energy_counters(root) as (counters, _), EnergyAccumulator(counters) as tally:
        began = time.perf_counter()
        time.sleep(max([seconds, *(counter.window_s for counter in counters)]))
        joules, taken = tally.read(), time.perf_counter() - began
    return {label: value / taken for label, value in joules.items()}


class Joules(JouleMeter):
    """Measured joules of one run of the work given to :meth:`repeat`, over every power counter of this machine.

    The work is repeated until the window is long enough for the slowest counter to have moved often; the detail says
    how often, the joules and idle watts by counter, and which part of the machine no counter covers. The first use in
    a process sleeps ``idle_s`` seconds to measure idle power, which is never subtracted; 0 leaves it out.
    """

    name = "joules"
    title = "measured energy"
    kind = Kind.MEASURED

    def __init__(self, idle_s: float = 1.0, root: Path = POWERCAP) -> None:
        super().__init__()
        if not 0 <= idle_s <= 600:
            raise ValueError(f"idle_s={idle_s!r} s, accepted are 0 to 600")
        self.idle_s, self.root = idle_s, root

    @classmethod
    def available(cls) -> Availability:
        try:
            with energy_counters() as (counters, missing):
                covered = ", ".join(counter.label for counter in counters)
        except NoReading as error:
            return Availability(False, str(error))
        return Availability(True, "; ".join([f"counters of {covered}", *missing.values()]))

    def _open(self) -> None:
        self._idle = measured_idle_watts(self.idle_s, self.root) if self.idle_s else None
        with ExitStack() as stack:
            counters, self._missing = stack.enter_context(energy_counters(self.root))
            self.window = max(counter.window_s for counter in counters)
            self._tally = stack.enter_context(EnergyAccumulator(counters))
            self._stack = stack.pop_all()  # closed with the window; here already, had any of it failed

    def _close(self) -> Callable[[], Reading]:
        with self._stack:
            seconds = self.seconds
            try:
                joules = self._tally.read()
            except NoReading as error:
                return functools.partial(_refuse, error)
        return lambda: self._read(joules, seconds)

    def _read(self, joules: dict[str, float], seconds: float) -> Reading:
        self._check_window(seconds)
        still = [label for label, value in joules.items() if value == 0]
        if still:
            raise NoReading(f"joules: the counter of {', '.join(still)} did not move in {seconds:.3g} s")
        runs = max(self._runs, 1)
        detail = {
            "runs": runs,
            "window_s": seconds,
            "joules_by_part": {label: value / runs for label, value in joules.items()},
            "source_by_part": {label: "NVML" if label.startswith("gpu") else "RAPL" for label in joules},
            "idle_watts": self._idle,
            "not_covered": self._missing,
        }
        return self._make(sum(joules.values()) / runs, detail)


def _refuse(why: NoReading) -> Reading:
    raise why
