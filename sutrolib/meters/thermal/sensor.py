"""The heat check with a temperature sensor of the machine: find the sensor, and run ``protocol`` on it.

The machine-wide lock is held from the first rest to the last reading, rests included: the work of another meter in a
rest would warm the device. A rest ends when all readings of a window lie within a tolerance. If the window is as long
as the time constant of the device, what is then left of a rise is below tolerance / (e - 1).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

from sutrolib.core.types import check_fields
from sutrolib.meters.base import Availability, NoReading
from sutrolib.meters.lock import meter_lock
from sutrolib.meters.thermal.protocol import MAX_CELSIUS, MIN_CELSIUS, Arm, HeatObservation, Plan

_MAX_OVERRUN = 0.05  # the share of a run by which its last call may end too late; rises compare over equal times only

# Chips and labels as in psutil.sensors_temperatures(), the whole processor before the rest of the machine.
_PREFERRED_SENSORS = (
    ("coretemp", "Package id 0"),  # Intel
    ("k10temp", "Tdie"),  # AMD; Tctl may hold an offset, which cancels in a rise
    ("zenpower", "Tdie"),
    ("k10temp", "Tctl"),
    ("cpu_thermal", ""),  # single-board computers
    ("soc_thermal", ""),
    ("acpitz", ""),  # the board's thermal zone
)


class Clock(NamedTuple):
    """The time in seconds, and how to wait: tests and panels bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


_REAL_TIME = Clock()


@dataclass(frozen=True)
class Sensor:
    """One temperature sensor of this machine, as psutil names it."""

    chip: str
    label: str

    def __str__(self) -> str:
        return f"{self.chip} {self.label}".strip()

    def read(self) -> float:
        """Degrees Celsius now. Raises NoReading if the sensor is gone or its value is impossible."""
        value = _temperatures().get((self.chip, self.label))
        if value is None:
            raise NoReading(f"heat: sensor {self} is gone")
        if not MIN_CELSIUS <= value <= MAX_CELSIUS:
            raise NoReading(
                f"heat: sensor {self} reads {value:g} deg C, which is outside {MIN_CELSIUS:g} to {MAX_CELSIUS:g}"
            )
        return value


def find_sensor(preferred: Sequence[tuple[str, str]] = _PREFERRED_SENSORS) -> Sensor:
    """The first of the ``preferred`` (chip, label) that this machine has and whose value is possible.

    Raises NoReading that lists the sensors there are.
    """
    found = _temperatures()
    for key in preferred:
        if MIN_CELSIUS <= found.get(key, MAX_CELSIUS + 1) <= MAX_CELSIUS:
            return Sensor(*key)
    there = ", ".join(f"{Sensor(*key)} ({value:g} deg C)" for key, value in found.items())
    raise NoReading(f"heat: no temperature sensor of a processor or its board; this machine has {there or 'none'}")


def sensor_available() -> Availability:
    """Whether a sensor of this machine can be read, and which; else why not."""
    try:
        return Availability(True, f"sensor {find_sensor()}")
    except NoReading as error:
        return Availability(False, str(error))


@dataclass(frozen=True)
class LoadResult:
    """How one run went: its calls, the seconds that they took, and the seconds that were planned."""

    calls: int
    seconds: float
    planned_s: float

    @property
    def fault(self) -> str:
        """Why this run does not compare with the others; empty if it does."""
        if self.seconds <= self.planned_s * (1 + _MAX_OVERRUN):
            return ""
        return f"ended {self.seconds - self.planned_s:.3g} s too late for a run of {self.planned_s:.3g} s"


def run_load(
    work: Callable[[], object], run_s: float, period_s: float | None = None, clock: Clock = _REAL_TIME
) -> LoadResult:
    """Call ``work`` for ``run_s`` seconds under the machine-wide lock: again and again, or once every ``period_s``.

    With a period the number of calls is fixed, and the time is that of whole periods. A run that is late by more than
    5 % is stopped, and its ``fault`` says so. ValueError for a period that is not above 0 and up to run_s.
    """
    if period_s is not None and not 0 < period_s <= run_s:
        raise ValueError(f"period_s must be above 0 and up to run_s={run_s:g} s (got {period_s!r})")
    limit = round(run_s / period_s) if period_s else None
    planned = limit * period_s if limit and period_s else run_s
    calls = 0
    with meter_lock():
        began = clock.now()
        while calls < limit if limit else clock.now() - began < planned:
            work()
            calls += 1
            if clock.now() - began > planned * (1 + _MAX_OVERRUN):
                break
            if period_s is not None:
                clock.sleep(max(0.0, began + calls * period_s - clock.now()))
        return LoadResult(calls, clock.now() - began, planned)


@dataclass(frozen=True)
class SettlingCriterion:
    """When a rest is over: all readings of ``window_s`` seconds, one every ``poll_s``, lie within ``tolerance``.

    The window has no default, as it must be about as long as the time constant of the device: the last part of cooling
    is so slow that a device looks stable in a shorter window while it is still warm.
    """

    window_s: float  # s, 0.002 to 100 thousand
    tolerance: float = 0.5  # K, 0 to 10
    poll_s: float = 1.0  # s, 0.001 to half of window_s

    def __post_init__(self) -> None:
        check_fields(self, {"tolerance": (0, 10), "window_s": (2e-3, 1e5)})
        check_fields(self, {"poll_s": (1e-3, self.window_s / 2)})


@dataclass(frozen=True)
class ProtocolRun:
    """One run of the protocol: what was read, how the load went, how long the rest before it was and how it ended."""

    observation: HeatObservation
    load: LoadResult
    rest_s: float
    settled: bool  # False if the rest ended by its time, with the temperature still moving


def run_protocol(
    plan: Plan,
    works: Mapping[Arm, Callable[[], object]],
    read: Callable[[], float],
    runs: list[ProtocolRun],
    settling: SettlingCriterion,
    *,
    period_s: float | None = None,
    clock: Clock = _REAL_TIME,
) -> None:
    """Rest, read, run and read again for each run of ``plan``, and append each to ``runs`` as soon as it is over.

    ``read`` returns deg C. A period should be far shorter than the device's time constant, as the temperature is read
    at the end of one. Errors of a work or a read are raised, with the lock freed; a second call with the same ``runs``
    continues from there, and repeats the runs with a fault. ValueError unless ``works`` holds A and B.
    """
    if sorted(works) != sorted(get_args(Arm)):
        raise ValueError(f"works must hold one work each for A and B (got {sorted(works)!r})")
    done = {(o.round, o.slot) for o in valid_observations(runs)}
    with meter_lock():
        for (number, slot), arm in plan.reveal().items():
            if (number, slot) in done:
                continue
            before, rest_s, settled = _rest(read, plan.rest_s, settling, clock)
            load = run_load(works[arm], plan.run_s, period_s, clock)
            runs.append(ProtocolRun(HeatObservation(number, slot, before, read()), load, rest_s, settled))


def valid_observations(runs: Iterable[ProtocolRun]) -> list[HeatObservation]:
    """The observations of the runs without a fault."""
    return [run.observation for run in runs if not run.load.fault]


def _rest(
    read: Callable[[], float], rest_s: float, settling: SettlingCriterion, clock: Clock
) -> tuple[float, float, bool]:
    """Wait until the temperature is stable or ``rest_s`` is over: the last reading, the seconds, whether it was."""
    began = clock.now()
    recent: deque[tuple[float, float]] = deque()
    while True:
        now = clock.now()
        recent.append((now, read()))
        while now - recent[0][0] > settling.window_s:
            recent.popleft()
        values = [value for _, value in recent]
        full = len(values) > 1 and now - recent[0][0] >= settling.window_s - settling.poll_s
        settled = full and max(values) - min(values) <= settling.tolerance
        left = rest_s - (now - began)
        if settled or left <= 0:
            return values[-1], now - began, settled
        clock.sleep(min(settling.poll_s, left))


def _temperatures() -> dict[tuple[str, str], float]:
    """Deg C by (chip, label). Raises NoReading if psutil is missing or has no sensors on this system."""
    try:
        import psutil
    except ImportError:
        raise NoReading("heat: psutil is not installed: pip install -r requirements.txt") from None
    if not hasattr(psutil, "sensors_temperatures"):  # macOS and Windows
        raise NoReading("heat: psutil reads no temperature sensors on this operating system")
    found = psutil.sensors_temperatures()
    # If several sensors have one label, as on a board of two processors, the first is used.
    named = ((chip, entry) for chip, entries in found.items() for entry in reversed(entries))
    return {(chip, entry.label): float(entry.current) for chip, entry in named}
