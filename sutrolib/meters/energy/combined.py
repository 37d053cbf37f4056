"""One run of some work under a clock and every joule meter at once, for work that takes minutes.

Each meter by itself would need a run of its own. The windows lie within each other, the clock's innermost, so that
what opening and closing one meter costs falls into the windows outside of it: that of CodeCarbon, which takes longest
to start, is to be the outermost. A window of joules therefore holds a little more than the work, never less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from sutrolib.meters.base import JouleMeter, NoReading, Reading, finish_queued_work
from sutrolib.meters.energy.wall_time import WallTime

T = TypeVar("T")


class LapClock(WallTime):
    """A :class:`WallTime` whose runs are given to it one by one, by whoever repeats them."""

    def lap(self, work: Callable[[], T]) -> T:
        """Run and time ``work`` once."""
        start = time.perf_counter()
        result = work()
        finish_queued_work()
        self._times.append(time.perf_counter() - start)
        return result

    @property
    def full(self) -> bool:
        """Whether there are enough runs, and the window is long enough."""
        return len(self._times) >= self.runs and time.perf_counter() - self._began >= self.window


class CombinedMeter:
    """A clock and several joule meters whose windows are open at once.

    ``meters`` are those of the given ones that work here; ``missing`` says of the others, and of what had no reading in
    the last window, why; ``readings`` are those of the last window, the time of a run first.
    """

    def __init__(self, meters: Sequence[JouleMeter], clock: LapClock | None = None) -> None:
        """The clock asks for one run and 50 ms unless another one is given."""
        self.clock = clock or LapClock(runs=1)
        found = {meter.name: meter.available() for meter in meters}
        self.meters = [meter for meter in meters if found[meter.name].ok]
        self._absent = {name: availability.why for name, availability in found.items() if not availability.ok}
        self._ready = False
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}

    def measure(self, work: Callable[[], T]) -> T:
        """Run ``work`` until all windows are full, keep the readings of one run, and return the last result."""
        self._prepare()
        self.readings, self.missing = [], dict(self._absent)
        with ExitStack() as stack:
            for meter in self.meters:
                stack.enter_context(_noted(meter, self.missing))
            stack.enter_context(self.clock)
            result = self._repeat(work)
        self.readings = [m.reading for m in (self.clock, *self.meters) if m.name not in self.missing]
        return result

    def _repeat(self, work: Callable[[], T]) -> T:
        while True:
            result = self.clock.lap(work)
            for meter in self.meters:
                meter.ran()
            if self.clock.full and all(meter.full for meter in self.meters):
                return result

    def _prepare(self) -> None:
        """Open every window once by itself: the first one looks for hardware, and sleeps to measure idle power."""
        if self._ready:
            return
        for meter in tuple(self.meters):
            try:
                with meter:
                    raise _Opened
            except _Opened:
                pass
            except NoReading as error:
                self.meters.remove(meter)
                self._absent[meter.name] = str(error)
        self._ready = True


class _Opened(Exception):
    """Ends a window without a reading."""


@contextmanager
def _noted(meter: JouleMeter, missing: dict[str, str]) -> Iterator[None]:
    """The window of ``meter``; why it had no reading goes into ``missing``, and does not end the windows around it."""
    try:
        with meter:
            yield
    except NoReading as error:
        missing[meter.name] = str(error)
