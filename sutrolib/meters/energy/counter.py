"""Energy counters that only count up, until they wrap; and their sum over a window, however often they wrap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from sutrolib.meters.base import NoReading

_MAX_WATTS = 1000.0  # an upper bound on the power of one counter: it says how soon a counter can wrap


@dataclass(frozen=True)
class EnergyCounter:
    """One energy counter; ``read`` gives joules since some moment in the past, and may raise NoReading."""

    label: str
    read: Callable[[], float]
    window_s: float  # the shortest window over which its update period does not matter
    wraps_at: float | None = None  # joules at which it starts again at 0; None if it never does in practice


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
        limits = [counter.wraps_at for counter in self._counters if counter.wraps_at is not None]
        self._thread: threading.Thread | None = None
        if limits:
            pause = min(limits) / _MAX_WATTS / 2
            self._thread = threading.Thread(target=self._watch, args=(pause,), name="energy counters", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._update()
        self._ended.set()
        if self._thread is not None:
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
            for index, counter in enumerate(self._counters):
                try:
                    now = counter.read()
                except Exception as error:  # raised in the thread it would be lost: read() raises it
                    self._fault = self._fault or error
                    return
                rise = now - self._last[index]
                if rise < 0 and counter.wraps_at is None:
                    self._fault = self._fault or NoReading(
                        f"{counter.label}: its counter fell by {-rise:.3g} J (was the driver reloaded?)"
                    )
                elif rise < 0:
                    rise += counter.wraps_at or 0.0
                self._joules[index] += rise
                self._last[index] = now
