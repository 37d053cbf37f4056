"""Wall-clock time, by the median of several runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from sutrolib.meters.base import Kind, Meter

T = TypeVar("T")


class WallTime(Meter):
    """Seconds of one run: the median of at least ``runs`` runs, and of as many as fit into ``window`` seconds.

    Without :meth:`repeat` it is the time of the block. The detail holds the number of runs and their spread.
    """

    name = "time"
    title = "wall-clock time"
    unit = "s"
    kind = Kind.MEASURED
    exclusive = True

    def __init__(self, runs: int = 3, window: float = 0.05) -> None:
        super().__init__()
        if runs < 1:
            raise ValueError(f"runs={runs!r}, accepted are 1 and above")
        self.runs, self.window = runs, window
        self._times: list[float] = []

    def __enter__(self) -> Self:
        self._reading = None
        self._times = []
        self._began = time.perf_counter()
        return self

    def repeat(self, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        while True:
            start = time.perf_counter()
            result = work()
            now = time.perf_counter()
            self._times.append(now - start)
            if len(self._times) >= self.runs and now - began >= self.window:
                return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            times = self._times or [time.perf_counter() - self._began]
            self._reading = self._make(
                statistics.median(times), {"runs": len(times), "fastest": min(times), "slowest": max(times)}
            )
