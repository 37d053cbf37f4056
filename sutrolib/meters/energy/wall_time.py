"""Wall-clock time, as the median of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from sutrolib.meters.base import Kind, Reading, WindowMeter


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
            raise ValueError(f"runs must be at least 1 (got {runs!r})")
        self.runs, self.window = runs, window

    @property
    def is_full(self) -> bool:
        return len(self._run_seconds) >= self.runs and super().is_full

    def _open(self) -> None:
        pass

    def _close(self) -> Callable[[], Reading]:
        times = self._run_seconds or [self.seconds]
        detail = {"runs": len(times), "fastest": min(times), "slowest": max(times)}
        return lambda: self._make(statistics.median(times), detail)
