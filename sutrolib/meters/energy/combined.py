"""One run of some work under a clock and every joule meter at once, for work that takes minutes.

Each meter alone would need a run of its own. The windows are nested, with the clock innermost, so what it costs to
open and close one meter falls into the windows around it. CodeCarbon takes longest to start and should be the
outermost. A window of joules therefore holds a little more than the work, never less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from sutrolib.meters.base import JouleMeter, NoReading, Reading, repeat_until_full
from sutrolib.meters.energy.wall_time import WallTime

_T = TypeVar("_T")


class CombinedMeter:
    """A clock and several joule meters whose windows are open at once.

    From the first window on, ``meters`` are the given ones that work here. ``readings`` are those of the last window,
    the time of a run first; ``missing`` says why the other meters have none.
    """

    def __init__(self, meters: Sequence[JouleMeter], clock: WallTime | None = None) -> None:
        """The default clock needs one run and 50 ms."""
        self.clock = clock or WallTime(runs=1)
        self.meters = list(meters)
        self._unavailable: dict[str, str] = {}
        self._opened = False
        self.readings: list[Reading] = []
        self.missing: dict[str, str] = {}

    def measure(self, work: Callable[[], _T]) -> _T:
        """Run ``work`` until all windows are full, keep the readings of one run, and return the last result."""
        if not self._opened:
            self._open_once()
        self.readings, self.missing = [], dict(self._unavailable)
        with ExitStack() as stack:
            for meter in self.meters:
                stack.enter_context(_window(meter, self.missing))
            stack.enter_context(self.clock)
            result = repeat_until_full(work, [self.clock, *self.meters])
        self.readings = [m.reading for m in (self.clock, *self.meters) if m.name not in self.missing]
        return result

    def _open_once(self) -> None:
        """Open every window once: the first one of a process looks for hardware, and sleeps to measure idle power."""
        for meter in tuple(self.meters):
            try:
                if not (availability := meter.available()).ok:
                    raise NoReading(availability.why)
                with suppress(_Opened), meter:
                    raise _Opened
            except NoReading as error:
                self.meters.remove(meter)
                self._unavailable[meter.name] = str(error)
        self._opened = True


class _Opened(Exception):
    """Ends a window without a reading."""


@contextmanager
def _window(meter: JouleMeter, missing: dict[str, str]) -> Iterator[None]:
    """The window of ``meter``. If it has no reading, the reason goes into ``missing``, and the outer windows go on."""
    window = ExitStack()
    try:
        window.enter_context(meter)
    except NoReading as error:
        missing[meter.name] = str(error)
    try:
        with window:
            yield
    except NoReading as error:
        missing[meter.name] = str(error)
