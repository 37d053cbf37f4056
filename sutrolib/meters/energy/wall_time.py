"""Wall-clock time, by the median of several runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from sutrolib.meters.base import Kind, Reading, WindowMeter, finish_queued_work

T = TypeVar("T")


class WallTime(WindowMeter):
    """Seconds of one run: the median of at least ``runs`` runs, and of as many as fit into ``window`` seconds.

    Without :meth:`repeat` it is the time of the block. The detail holds the number of runs and their spread.
    """

    name = "time"
    title = "wall-clock time"
    unit = "s"
    kind = Kind.MEASURED

    def __init__(self, runs: int = 3, window: float = 0.05) -> None:
        super().__init__()
        if runs < 1:
            raise ValueError(f"runs={runs!r}, accepted are 1 and above")
        self.runs, self.window = runs, window
        self._times: list[float] = []

    def _open(self) -> None:
        self._times = []
        self._began = time.perf_counter()

    def repeat(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        while True:
            start = time.perf_counter()
            result = work()
            finish_queued_work()
            now = time.perf_counter()
            self._times.append(now - start)
            if len(self._times) >= self.runs and now - began >= self.window:
                return result

    def _close(self) -> Callable[[], Reading]:
        times = self._times or [time.perf_counter() - self._began]
        detail = {"runs": len(times), "fastest": min(times), "slowest": max(times)}
        return lambda: self._make(statistics.median(times), detail)
