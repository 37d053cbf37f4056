"""CodeCarbon: an estimate of the joules of a window, offline and silent.

CodeCarbon (github.com/mlco2/codecarbon) multiplies the seconds of a window by a power model for processor, memory and
graphics card. Where the machine has power counters it reads them; where it has none, the memory counts as a constant
and the processor as a share of its rated power by load. Either way the kind says ``estimated``, and the detail says
which model stood behind it.
"""

from __future__ import annotations

import importlib.metadata
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sutrolib.meters.base import Availability, Kind, NoReading, Reading, WindowMeter

T = TypeVar("T")

JOULES_PER_KWH = 3.6e6


class CodeCarbon(WindowMeter):
    """Estimated joules of one run of the work given to :meth:`repeat`.

    The work is repeated until the window spans four samples of the power model; the detail says how often.
    A block that runs its work without ``repeat`` and ends before that has no reading (NoReading).
    ``country`` is an ISO 3166 code of three letters, for kgCO2e only; nothing is sent or saved anywhere.
    """

    name = "codecarbon"
    title = "CodeCarbon energy"
    unit = "J"
    kind = Kind.ESTIMATED

    def __init__(self, sampling: float = 0.25, country: str = "USA") -> None:
        super().__init__()
        if not 0.1 <= sampling <= 60:
            raise ValueError(f"sampling={sampling!r} s, accepted are 0.1 to 60")
        self.sampling, self.country = sampling, country
        self._tracker: Any = None

    @classmethod
    def available(cls) -> Availability:
        try:
            version = importlib.metadata.version("codecarbon")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "codecarbon is not installed: pip install -r requirements.txt")
        return Availability(True, f"codecarbon {version}: an estimate, offline")

    @property
    def window(self) -> float:
        """The shortest window, in seconds, that gives a reading."""
        return 4 * self.sampling

    def _open(self) -> None:
        self._runs = 0
        with _silence():
            from codecarbon import OfflineEmissionsTracker

            self._tracker = OfflineEmissionsTracker(
                country_iso_code=self.country,
                measure_power_secs=self.sampling,
                tracking_mode="machine",
                log_level="critical",
                allow_multiple_runs=True,
                output_methods=[],  # nothing is saved or sent
            )
            self._tracker.start()
        self._began = time.perf_counter()

    def repeat(self, work: Callable[[], T]) -> T:
        while True:
            result = work()
            self._runs += 1
            if time.perf_counter() - self._began >= self.window:
                return result

    def _close(self) -> Callable[[], Reading]:
        seconds = time.perf_counter() - self._began
        tracker, self._tracker = self._tracker, None
        with _silence():
            tracker.stop()
        return lambda: self._read(tracker, seconds)

    def _read(self, tracker: Any, seconds: float) -> Reading:
        if seconds < self.window:
            raise NoReading(
                f"codecarbon: a window of {seconds:.3g} s is too short for its sampling of {self.sampling:g} s; "
                f"give the work to repeat(), or let the block last {self.window:g} s"
            )
        data, runs = tracker.final_emissions_data, max(self._runs, 1)
        joules = {part: getattr(data, f"{part}_energy") * JOULES_PER_KWH / runs for part in ("cpu", "ram", "gpu")}
        return self._make(
            data.energy_consumed * JOULES_PER_KWH / runs,
            {
                "runs": runs,
                "window_s": data.duration,
                "joules_by_part": joules,
                "power_model": _power_model(tracker, data),
                "kg_co2e": data.emissions / runs,
                "country": self.country,
                "codecarbon": data.codecarbon_version,
            },
        )


def _power_model(tracker: Any, data: Any) -> dict[str, Any]:
    """What stands behind each part: CodeCarbon's name for its source, and the watts that it took."""
    return {
        # No public attribute of CodeCarbon names the sources; _conf is what it logs at its start.
        "sources": [str(part) for part in tracker._conf["hardware"]],
        "watts": {"cpu": data.cpu_power, "ram": data.ram_power, "gpu": data.gpu_power},
    }


@contextmanager
def _silence() -> Iterator[None]:
    """CodeCarbon logs before it has read the level that it was given."""
    logger = logging.getLogger("codecarbon")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
