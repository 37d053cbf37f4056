"""Joules from hardware counters: RAPL for processor and memory, NVML for graphics cards, IOReport on Apple silicon.

These are the only joules here of the kind ``measured``. The counters cover the whole machine: they include the energy
of everything else that runs in the window, and idle power, which is measured before, in a window of its own.

A graphics card is read only if it passes a check, once per process: FP32 products of matrices of ones, of which the
operations are known, must take a plausible energy above idle. On 21 healthy A100s the group found 7.2 to 9.2 J/TFLOP,
so 6 to 11 are accepted; a broken sensor read 0.07. For other cards no such numbers are known, and the band is wide: the
rated watts of cards since Volta, divided by their rated FP32 rate, are 2.4 (L4) to 26 J/TFLOP (GTX 1650). An A100 takes
a third to a half of its own ratio, and a small card may reach two thirds of its rate, so 0.5 to 40 are accepted.

The powercap files are read directly. The zeus library (ml.energy/zeus) reads the same counters. But it takes seconds to
import, starts a process for each counter to watch for wraps, and installs AMD's library, which makes CodeCarbon look
for an AMD card that is not there. If zeus is installed, the tests compare the two.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from sutrolib.meters.base import Availability, JouleMeter, Kind, NoReading, Reading
from sutrolib.meters.energy.counter import POWERCAP, EnergyCounter, energy_counters
from sutrolib.meters.lock import meter_lock

PRODUCT_SIDE = 4096  # rows and columns of the matrices of the known product
_PLAUSIBLE = {"A100": (6.0, 11.0)}  # J/TFLOP above idle, by a part of the card's name
_PLAUSIBLE_ELSEWHERE = 0.5, 40.0
_SETTLE_S = 3.0  # a card keeps its clocks up for a moment after its last work
_STILL = 0.1  # CPU seconds per second up to which this process counts as still


class EnergyAccumulator:
    """Joules of each counter from entry to exit. A thread reads counters that wrap at least twice before they can."""

    def __init__(self, counters: Sequence[EnergyCounter]) -> None:
        self._counters = tuple(counters)
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._fault: Exception | None = None

    def __enter__(self) -> Self:
        self._last = [(time.perf_counter(), counter.read()) for counter in self._counters]
        self._joules = [0.0] * len(self._counters)
        pause = min(threading.TIMEOUT_MAX, *(counter.wraps_at / counter.max_watts / 2 for counter in self._counters))
        self._thread = threading.Thread(target=self._watch, args=(pause,), name="energy counters", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._update()
        self._ended.set()
        self._thread.join()

    def read(self) -> dict[str, float]:
        """Joules by label, so far or up to the exit.

        Raises NoReading if a counter could not be read, or moved by more than its part can draw.
        """
        if not self._ended.is_set():
            self._update()
        if self._fault is not None:
            raise NoReading(f"{self._fault}") from self._fault
        return {counter.label: joules for counter, joules in zip(self._counters, self._joules, strict=True)}

    def _watch(self, pause: float) -> None:
        while not self._ended.wait(pause):
            self._update(only_wrapping=True)

    def _update(self, only_wrapping: bool = False) -> None:
        with self._guard:
            try:
                for index, counter in enumerate(self._counters):
                    if only_wrapping and counter.wraps_at == math.inf:
                        continue  # to read a graphics card costs power
                    began, (then, before) = time.perf_counter(), self._last[index]
                    now = counter.read()
                    self._joules[index] += counter.rise(before, now, time.perf_counter() - then)
                    self._last[index] = began, now
            except Exception as error:  # raised in the thread it would be lost: read() raises it
                self._fault = self._fault or error


@functools.cache
def calibrate(seconds: float, root: Path, leave_out: tuple[str, ...]) -> tuple[dict[str, float], dict[str, float]]:
    """Idle watts by counter, and J/TFLOP above idle of the known product by graphics card, once per process.

    Idle power is that of this machine while this process sleeps, with the contexts of the cards open, as during work.
    Raises NoReading if there is no counter, or if another thread of this process computes.
    """
    meter = Joules(0, root, leave_out)
    meter._calibrated = False
    with meter_lock(), energy_counters(root, leave_out) as (counters, _):
        if cards := {counter.label: counter.card for counter in counters if counter.card}:
            multiply_ones(cards.values())  # opens contexts and loads libraries
            time.sleep(_SETTLE_S)
        with meter:
            began = time.process_time()
            meter.repeat(lambda: time.sleep(max(seconds, meter.window)))
            used = time.process_time() - began
        if used > _STILL * max(seconds, meter.window):
            raise NoReading(f"joules: no idle power, as this process computed for {used:.2g} s instead of sleeping")
        idle = meter.watts
        if not cards:
            return idle, {}
        with meter:
            tflop = meter.repeat(lambda: multiply_ones(cards.values()))
    per_s = tflop * meter.reading.detail["runs"] / meter.reading.detail["window_s"]
    return idle, {label: (meter.watts[label] - idle[label]) / per_s for label in cards}


def multiply_ones(cards: Collection[str]) -> float:
    """Multiply FP32 matrices of ones 20 times on all cards at once; returns the 10^12 operations of each card."""
    import torch

    settings = torch.backends.cuda.matmul
    precision, settings.fp32_precision = settings.fp32_precision, "ieee"  # TF32 would take less energy
    try:
        operands = [torch.ones(PRODUCT_SIDE, PRODUCT_SIDE, device=card) for card in cards]
        for _ in range(20):
            products = [ones @ ones for ones in operands]
    finally:
        settings.fp32_precision = precision
    if any((product != PRODUCT_SIDE).any() for product in products):  # waits for the cards
        raise NoReading(f"joules: a wrong matrix product on {', '.join(cards)}")
    return 20 * 2e-12 * PRODUCT_SIDE**3


class Joules(JouleMeter):
    """Measured joules of one run of the work given to :meth:`repeat`, over every energy counter of this machine.

    The work is repeated until the window is long enough for the slowest counter: 0.1 s for processors, 20 s with
    graphics cards and on Macs. The detail holds the number of runs, joules and idle watts by counter, the joules above
    idle, and the parts of the machine that no counter covers. The value is the total: idle power is not subtracted.

    Args:
        idle_s: seconds, at least, of the window that measures idle power at the first use in a process; 0 for none,
            if no graphics card is read.
        root: the folder of the powercap files.
        leave_out: labels of counters to go without, as ``doctor`` shows them, such as one that never moves.
    """

    name = "joules"
    title = "measured energy"
    kind = Kind.MEASURED

    def __init__(self, idle_s: float = 1.0, root: Path = POWERCAP, leave_out: Sequence[str] = ()) -> None:
        super().__init__()
        if not 0 <= idle_s <= 600:
            raise ValueError(f"idle_s must be 0 to 600 seconds (got {idle_s!r})")
        self.idle_s, self.root, self.leave_out = idle_s, root, tuple(leave_out)
        self._idle: dict[str, float] | None = None
        self._per_tflop: dict[str, float] = {}
        self._calibrated = True

    @classmethod
    def available(cls) -> Availability:
        try:
            with energy_counters() as (counters, missing):
                covered = ", ".join(counter.label for counter in counters)
                window = f"windows of at least {max(counter.window_s for counter in counters):g} s"
                return Availability(True, "; ".join([f"counters of {covered}, in {window}", *missing.values()]))
        except NoReading as error:
            return Availability(False, str(error))

    @property
    def watts(self) -> dict[str, float]:
        """Mean watts of the last window by counter."""
        detail = self.reading.detail
        return {name: j * detail["runs"] / detail["window_s"] for name, j in detail["joules_by_part"].items()}

    def _open(self) -> None:
        with ExitStack() as stack:
            self._counters, self._missing = stack.enter_context(energy_counters(self.root, self.leave_out))
            self.window = max(counter.window_s for counter in self._counters)
            if self._calibrated and (self.idle_s or any(counter.card for counter in self._counters)):
                self._idle, self._per_tflop = calibrate(self.idle_s, self.root, self.leave_out)
            for label, value in self._per_tflop.items():
                low, high = next((band for name, band in _PLAUSIBLE.items() if name in label), _PLAUSIBLE_ELSEWHERE)
                if not low <= value <= high:
                    what = f"the known product takes {value:.3g} J/TFLOP above idle, not {low:g} to {high:g}"
                    raise NoReading(f"joules: {label} is not plausible: {what} (leave_out=[{label!r}] goes without it)")
            self._accumulator = stack.enter_context(EnergyAccumulator(self._counters))
            self._open_counters = stack.pop_all()  # closed with the window, or here if any of it failed

    def _close(self) -> Callable[[], Reading]:
        with self._open_counters:
            seconds = self.seconds
        return lambda: self._read(self._accumulator.read(), seconds)

    def _read(self, joules: dict[str, float], seconds: float) -> Reading:
        self._check_window(seconds)
        for counter in self._counters:
            if not joules[counter.label] and (counter.if_still or not any(joules.values())):
                what = f"the counter of {counter.label} did not move in {seconds:.3g} s"
                raise NoReading(f"joules: {what}; {counter.if_still} (leave_out=[{counter.label!r}])")
        total, idle = sum(joules.values()), self._idle
        detail = {
            "runs": self._runs,
            "window_s": seconds,
            "joules_by_part": {label: value / self._runs for label, value in joules.items()},
            "source_by_part": {counter.label: counter.source for counter in self._counters},
            "idle_watts": idle,
            # A difference of two readings: negative if the work drew no more than sleep.
            "joules_above_idle": None if idle is None else (total - sum(idle.values()) * seconds) / self._runs,
            "joules_per_tflop": self._per_tflop,  # of the known product, by graphics card
            "not_covered": self._missing,
        }
        return self._make(total / self._runs, detail)
