"""The energy counters of this machine: RAPL for processor and memory, NVML for NVIDIA graphics cards.

RAPL: a zone under /sys/class/powercap holds ``name``, ``energy_uj`` (microjoules, updated about once a millisecond) and
``max_energy_range_uj``, at which ``energy_uj`` starts again at 0 (kernel.org/doc/html/latest/power/powercap). AMD
processors since Zen use the same names. The sum covers all packages, and the memory of each package that has its own
counter. It leaves out what would be counted twice: cores and uncore are parts of a package, and ``intel-rapl-mmio`` is
a second view of the same package. The whole platform (``psys``) is used only if there is no package.

NVML: ``nvmlDeviceGetTotalEnergyConsumption`` (docs.nvidia.com/deploy/nvml-api), in millijoules since the driver was
loaded, covers the whole board, memory included; cards before Volta have no such counter. It moves every 20 to 100 ms,
so a window takes some seconds. The Python bindings are NVIDIA's own, package nvidia-ml-py, which CodeCarbon installs
too.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.meters.base import NoReading

POWERCAP = Path("/sys/class/powercap")
NVML_WINDOW_S = 2.0  # at least twenty updates of the counter
_RAPL_WINDOW_S = 0.1  # a hundred updates: the time between two updates is about 1 % of the window
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")


@dataclass(frozen=True)
class EnergyCounter:
    """One energy counter; ``read`` gives joules since some moment in the past, and may raise NoReading."""

    label: str
    read: Callable[[], float]
    window_s: float  # the shortest window over which its update period does not matter
    wraps_at: float = math.inf  # joules at which it starts again at 0; infinity if it never does in practice


@contextmanager
def energy_counters(root: Path = POWERCAP) -> Iterator[tuple[list[EnergyCounter], dict[str, str]]]:
    """Every energy counter of this machine while the block lasts, and why other parts have none.

    Raises NoReading if there is no counter at all.
    """
    found: list[EnergyCounter] = []
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        try:
            found += rapl_counters(root)
        except NoReading as error:
            missing["processor"] = str(error)
        try:
            found += stack.enter_context(nvml_counters())
        except NoReading as error:
            missing["gpu"] = str(error)
        if not found:
            raise NoReading(f"no energy counter: {'; '.join(missing.values())}")
        yield found, missing


def rapl_counters(root: Path = POWERCAP) -> list[EnergyCounter]:
    """The counters of this machine's packages and memory. Raises NoReading that says what is missing.

    If a file may not be read, the message holds the command that allows it.
    """
    zones = {path: _text(path / "name") for path in sorted(root.glob("intel-rapl:*")) if _ZONE.fullmatch(path.name)}
    chosen = [path for path, name in zones.items() if name.startswith("package") or name == "dram"]
    if not any(zones[path].startswith("package") for path in chosen):
        chosen = [path for path, name in zones.items() if name == "psys"]
    if not chosen:
        raise NoReading(f"RAPL: no package or psys among {len(zones)} zones of {root} (virtual machines have none)")
    files = [path / "energy_uj" for path in chosen]
    closed = [str(file) for file in files if file.exists() and not os.access(file, os.R_OK, effective_ids=True)]
    if closed:
        raise NoReading(f"RAPL: no permission to read its counters; to allow it: sudo chmod o+r {' '.join(closed)}")
    return [_rapl_counter(path, _label(path, zones)) for path in chosen]


def _rapl_counter(path: Path, label: str) -> EnergyCounter:
    limit = _microjoules(path / "max_energy_range_uj")
    if limit <= 0:
        raise NoReading(f"RAPL: {path / 'max_energy_range_uj'} holds {limit}; it must be above 0")
    return EnergyCounter(label, lambda: _microjoules(path / "energy_uj") / 1e6, _RAPL_WINDOW_S, limit / 1e6)


def _label(path: Path, zones: dict[Path, str]) -> str:
    """The zone's name; for memory with its package, and for a name that occurs twice with its zone."""
    parent = path.with_name(path.name.rpartition(":")[0])
    if parent in zones:
        return f"{zones[path]} of {_label(parent, zones)}"
    twins = sum(name == zones[path] for name in zones.values())
    return f"{zones[path]} ({path.name})" if twins > 1 else zones[path]


def _microjoules(path: Path) -> int:
    text = _text(path)
    if not re.fullmatch(r"\d+", text):
        raise NoReading(f"RAPL: {path} holds {text!r}; it must be a whole number of microjoules")
    return int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoReading(f"RAPL: {path} cannot be read: {error}") from None


@contextmanager
def nvml_counters() -> Iterator[list[EnergyCounter]]:
    """The counters of every card of this machine, while the block lasts. Raises NoReading that says what is missing.

    One card without a counter is an error: the energy of some cards must not pass for that of all.
    """
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        raise NoReading("NVML: its Python bindings are not installed: pip install nvidia-ml-py") from None
    with _nvml_errors(pynvml, "no NVIDIA driver answers ({error})"):
        pynvml.nvmlInit()
    try:
        with _nvml_errors(pynvml, "the driver does not list its cards: {error}"):
            cards = pynvml.nvmlDeviceGetCount()
        if not cards:
            raise NoReading("NVML: the driver lists no card")
        yield [_nvml_counter(pynvml, index) for index in range(cards)]
    finally:
        pynvml.nvmlShutdown()


def _nvml_counter(nvml: Any, index: int) -> EnergyCounter:
    def joules() -> float:
        with _nvml_errors(nvml, "the counter can no longer be read: {error}"):
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)

    with _nvml_errors(nvml, f"no energy counter (cards before Volta have none): gpu {index}: {{error}}"):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return EnergyCounter(f"gpu {index} ({nvml.nvmlDeviceGetName(handle)})", joules, NVML_WINDOW_S)


@contextmanager
def _nvml_errors(nvml: Any, message: str) -> Iterator[None]:
    """An error of NVML in the block means that there is no reading; ``{error}`` in the message stands for it."""
    try:
        yield
    except nvml.NVMLError as error:
        raise NoReading(f"NVML: {message.format(error=error)}") from None
