"""CodeCarbon: an estimate of the joules of a window, offline and silent.

CodeCarbon (github.com/mlco2/codecarbon) multiplies the seconds of a window by a power model for processor, memory and
graphics card. It reads power counters if the machine has them. Otherwise memory counts as a constant, and the processor
as a share of its rated power by load. In both cases the kind is ``estimated``, and the detail names the source of each
part. A user's own settings of CodeCarbon (``.codecarbon.config``, ``CODECARBON_`` variables) are not read: they change
the watts, and can send the result elsewhere.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from unittest.mock import patch

from sutrolib.meters.base import Availability, JouleMeter, Kind, NoReading, Reading
from sutrolib.meters.lock import meter_lock

_JOULES_PER_KWH = 3.6e6
_COMPONENTS = ("cpu", "ram", "gpu")
_MIN_SAMPLES = 4  # samples of the power model in a window
_ONE_WINDOW = threading.Lock()  # locked while a window is open


class CodeCarbon(JouleMeter):
    """Estimated joules of one run of the work given to :meth:`repeat`.

    The work is repeated until the window spans four samples of the power model; the detail holds the number of runs. A
    shorter block without ``repeat`` has no reading (NoReading). Idle power is estimated once per process while it
    sleeps; it is reported in the detail and never subtracted.
    ``country`` is a three-letter ISO 3166 code, and is used for kgCO2e only. Opening a window raises ValueError for a
    country that CodeCarbon has no data of, for which it would use a world average. Nothing is sent or saved anywhere.
    A window inside another one raises RuntimeError: the outer one would charge its work for the inner one's samples.
    """

    name = "codecarbon"
    title = "CodeCarbon energy"
    kind = Kind.ESTIMATED

    def __init__(self, sampling: float = 0.25, country: str = "USA") -> None:
        super().__init__()
        if not 0.1 <= sampling <= 60:
            raise ValueError(f"sampling must be 0.1 to 60 seconds (got {sampling!r})")
        self.sampling, self.country = sampling, country
        self.window = _MIN_SAMPLES * sampling
        self._tracker: Any = None

    @classmethod
    def available(cls) -> Availability:
        try:
            version = importlib.metadata.version("codecarbon")
        except importlib.metadata.PackageNotFoundError:
            return Availability(False, "codecarbon is not installed: pip install -r requirements.txt")
        return Availability(True, f"codecarbon {version}: an estimate, offline")

    def _open(self) -> None:
        _check_country(self.country)
        if _ONE_WINDOW.locked():
            raise RuntimeError("codecarbon: another CodeCarbon window is open; end it before you open this one")
        self._idle = estimated_idle_watts(self.sampling)
        self._tracker = _start(self.sampling, self.country)
        _ONE_WINDOW.acquire()

    def _close(self) -> Callable[[], Reading]:
        seconds = self.seconds
        _ONE_WINDOW.release()
        tracker, self._tracker = self._tracker, None
        data = _stop(tracker)
        return lambda: self._read(tracker, data, seconds)

    def _read(self, tracker: Any, data: Any, seconds: float) -> Reading:
        self._check_window(seconds)
        joules, runs = data.energy_consumed * _JOULES_PER_KWH, self._runs
        return self._make(
            joules / runs,
            {
                "runs": runs,
                "window_s": data.duration,
                "joules_by_part": {part: value / runs for part, value in _joules(data).items()},
                "source_by_part": power_sources(tracker),
                "watts": joules / data.duration,
                "watts_by_part": {part: getattr(data, f"{part}_power") for part in _COMPONENTS},
                "idle_watts": self._idle,
                # A difference of two estimates: negative if the work drew no more than sleep.
                "joules_above_idle": (joules - sum(self._idle.values()) * data.duration) / runs,
                "kg_co2e": data.emissions / runs,
                "country": self.country,
                "codecarbon": data.codecarbon_version,
            },
        )


class CumulativeJoules:
    """The estimated joules of this machine since the block was entered, for a budget that is checked during the work.

    It holds the machine-wide lock: the work of another meter would be counted here too. Work that is shorter than
    CodeCarbon's shortest sample (50 ms) is counted with the work after it.
    """

    def __init__(self, sampling: float = 1.0) -> None:
        self.sampling = sampling
        self._last = 0.0
        self._window: ExitStack | None = None

    def __enter__(self) -> Self:
        if self._window:
            raise RuntimeError("these cumulative joules are being counted already; use a second CumulativeJoules")
        with ExitStack() as stack:
            stack.enter_context(meter_lock())
            self._tracker = _start(self.sampling, "USA")
            stack.callback(_stop, self._tracker)
            self._window = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        window, self._window = self._window, None
        if window:
            window.close()

    @property
    def joules(self) -> float:
        """Joules so far; never less than before."""
        with _silence():
            self._tracker.flush()
        self._last = max(self._last, float(self._tracker._total_energy.kWh) * _JOULES_PER_KWH)
        return self._last


@functools.cache
def estimated_idle_watts(sampling: float = 0.25) -> Mapping[str, float]:
    """Estimated watts by part while this process sleeps, once per process; other work of the machine is included."""
    with meter_lock():
        _stop(_start(sampling, "USA"))  # the first tracker of a process spends time looking for hardware
        tracker = _start(sampling, "USA")  # the country does not change the watts
        try:
            time.sleep(2 * _MIN_SAMPLES * sampling)
        finally:
            data = _stop(tracker)
    return {part: joules / data.duration for part, joules in _joules(data).items()}


def _check_country(code: str) -> None:
    from codecarbon.input import DataSource

    known = DataSource().get_global_energy_mix_data()
    if code not in known:
        raise ValueError(f"country must be one of {len(known)} ISO 3166 codes such as USA, FRA or IND (got {code!r})")


def _start(sampling: float, country: str) -> Any:
    """A running tracker. CodeCarbon hides its errors: NoReading if it has not started."""
    with _silence(), patch("codecarbon.emissions_tracker.get_hierarchical_config", dict):  # none of the user's settings
        from codecarbon import OfflineEmissionsTracker

        tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            measure_power_secs=sampling,
            tracking_mode="machine",
            log_level="critical",
            allow_multiple_runs=True,
            output_methods=[],  # nothing is saved or sent
            output_dir=tempfile.gettempdir(),  # must exist all the same
        )
        tracker.start()
    if tracker._start_time is None:
        raise NoReading("codecarbon: the tracker did not start; try `codecarbon detect`, which shows its error")
    return tracker


def _stop(tracker: Any) -> Any:
    samplers = tracker._scheduler, tracker._scheduler_monitor_power
    with _silence():
        tracker.stop()
        for sampler in samplers:
            stop_scheduler(sampler)
    return tracker.final_emissions_data


def stop_scheduler(sampler: Any) -> None:
    """Stop a PeriodicScheduler of CodeCarbon for good.

    A timer that fires during stop() starts a successor, which would then sample for ever.
    """
    ended = None
    while sampler._timer is not ended:
        ended = sampler._timer
        sampler.stop()
        ended.cancel()
        ended.join()


def _joules(data: Any) -> dict[str, float]:
    return {part: getattr(data, f"{part}_energy") * _JOULES_PER_KWH for part in _COMPONENTS}


def power_sources(tracker: Any) -> dict[str, str]:
    """The source of each part. CodeCarbon has no public attribute for it; _hardware is what it reads."""
    from codecarbon.external.hardware import CPU, GPU
    from codecarbon.external.ram import RAM

    processor = {"cpu_load": "load x TDP", "constant": "constant", "intel_rapl": "RAPL"}
    found = dict.fromkeys(_COMPONENTS, "none")
    for part in tracker._hardware:
        match part:
            case CPU():
                found["cpu"] = processor.get(part._mode, part._mode)
            case RAM():
                found["ram"] = "constant"
            case GPU():
                makers = {"AMD SMI" if "AMD" in type(d).__name__ else "NVML" for d in part.devices.devices}
                found["gpu"] = ", ".join(sorted(makers)) or "none"
            case _:  # Apple silicon and Raspberry Pi have their own meter, one object for each part
                found[part.chip_part.lower()] = type(part).__name__
    return found


@contextmanager
def _silence() -> Iterator[None]:
    """Disable CodeCarbon's logger: it logs before it has read the given level."""
    logger = logging.getLogger("codecarbon")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
