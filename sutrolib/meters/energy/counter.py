"""The energy counters of this machine: RAPL for processor and memory, NVML for NVIDIA graphics cards, IOReport on Macs.

RAPL: a zone under /sys/class/powercap holds ``name``, ``energy_uj`` (microjoules, updated about once a millisecond) and
``max_energy_range_uj``, at which ``energy_uj`` starts again at 0 (kernel.org/doc/html/latest/power/powercap). AMD
processors since Zen use the same names. The sum covers all packages, and the memory of each package that has its own
counter. It leaves out what would be counted twice: cores and uncore are parts of a package, and ``intel-rapl-mmio`` is
a second view of the same package. The whole platform (``psys``) is used only if there is no package.

NVML: ``nvmlDeviceGetTotalEnergyConsumption`` (docs.nvidia.com/deploy/nvml-api), in millijoules since the driver was
loaded, covers the whole board, memory included; cards before Volta have no such counter. On an A100 it moves every
100 ms: isolated bursts of 74 ms read 8 to 15 J for 16.5 J. A read takes 3 ms, and reading it all the time costs power
itself. So it is read only at the edges of windows of at least 20 s. The cards are those that torch can compute on, so
CUDA_VISIBLE_DEVICES chooses them. The Python bindings are NVIDIA's own, package nvidia-ml-py.

IOReport: the chip's own counters of CPU, GPU, DRAM and neural engine (ANE) on Apple silicon, in millijoules, read by
the package zeus-apple-silicon (github.com/ml-energy/zeus-apple-silicon) without sudo. Apple computes them in hardware
from activity, clock and voltage, and calls them estimates. They cover neither display nor power supply. They move every
0.3 s (M1 Ultra) to 2.2 s (M5 Max), so the edges of a window of 20 s are known to 2 to 11 %.
"""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.meters.base import NoReading

POWERCAP = Path("/sys/class/powercap")
NVML_WINDOW_S = 20.0  # two hundred updates of the counter
_RAPL_WINDOW_S = 0.1  # a hundred updates: the time between two updates is about 1 % of the window
_APPLE_WINDOW_S = 20.0
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")
_FROZEN = "macOS 27 stops it unless `sudo powermetrics --samplers cpu_power` runs beside; or leave it out by name"


@dataclass(frozen=True)
class EnergyCounter:
    """One energy counter; ``read`` gives joules since some moment in the past, and may raise NoReading."""

    label: str
    read: Callable[[], float]
    window_s: float  # the shortest window over which its update period, about a hundredth of it, does not matter
    wraps_at: float = math.inf  # joules at which it starts again at 0; infinity if it never does in practice
    source: str = "RAPL"
    max_watts: float = 1000.0  # more than this part can draw
    if_still: str = "if it never does, leave it out by name"  # "" if the part may use nothing
    card: str = ""  # torch's name of the graphics card, such as cuda:0: it is checked by a known product

    def rise(self, before: float, now: float, seconds: float) -> float:
        """Joules between two reads at most ``seconds`` apart. Raises NoReading if ``max_watts`` do not explain them."""
        most = self.max_watts * (seconds + self.window_s / 100)
        joules = now - before if now >= before else now - before + self.wraps_at
        if joules > most or most >= self.wraps_at:
            raise NoReading(
                f"{self.label}: its counter went from {before:.10g} to {now:.10g} J in {seconds:.3g} s. At most "
                f"{self.max_watts:g} W are possible: it has jumped, or started again (driver reloaded, machine slept)"
            )
        return joules


@contextmanager
def energy_counters(
    root: Path = POWERCAP, leave_out: Sequence[str] = ()
) -> Iterator[tuple[list[EnergyCounter], dict[str, str]]]:
    """Every energy counter of this machine while the block lasts, and why other parts have none.

    Raises NoReading if there is no counter at all, ValueError if none has a name that is to be left out.
    """
    found: list[EnergyCounter] = []
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        parts = {"processor": lambda: rapl_counters(root), "gpu": lambda: stack.enter_context(nvml_counters())}
        if platform.system() == "Darwin":
            parts = {"chip": apple_counters}
        for part, counters in parts.items():
            try:
                found += counters()
            except NoReading as error:
                missing[part] = str(error)
        there = [counter.label for counter in found]
        if unknown := [name for name in leave_out if name not in there]:
            raise ValueError(f"leave_out must name counters of this machine: {', '.join(there)} (got {unknown[0]!r})")
        missing |= {name: f"{name} is left out by name" for name in leave_out}
        found = [counter for counter in found if counter.label not in leave_out]
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
        how = "virtual machines have none; on a PC with Linux: sudo modprobe intel_rapl_msr, for AMD as well"
        raise NoReading(f"RAPL: no package or psys among {len(zones)} zones of {root} ({how})")
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
    """The counters of every card that torch can use, while the block lasts. Raises NoReading that says what is missing.

    One card without a counter is an error: the energy of some cards must not pass for that of all.
    """
    import torch

    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        raise NoReading("NVML: its Python bindings are not installed: pip install nvidia-ml-py") from None
    with _nvml_errors(pynvml, "no NVIDIA driver answers ({error})"):
        pynvml.nvmlInit()
    try:
        cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not cards:
            how = "its counter is used only where torch can check it: install torch for CUDA"
            raise NoReading(f"NVML: torch finds no card ({how}, and look at CUDA_VISIBLE_DEVICES)")
        yield [_nvml_counter(pynvml, index, torch.cuda.get_device_properties(index).uuid) for index in range(cards)]
    finally:
        pynvml.nvmlShutdown()


def _nvml_counter(nvml: Any, index: int, uuid: object) -> EnergyCounter:
    """The counter of card ``index`` of torch: NVML has another order, and lists cards that are hidden from torch."""

    def joules() -> float:
        with _nvml_errors(nvml, "the counter can no longer be read: {error}"):
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)

    with _nvml_errors(nvml, f"no energy counter (cards before Volta have none): gpu {index}: {{error}}"):
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        label = f"gpu {index} ({nvml.nvmlDeviceGetName(handle)})"
    return EnergyCounter(label, joules, NVML_WINDOW_S, source="NVML", max_watts=2000.0, card=f"cuda:{index}")


@contextmanager
def _nvml_errors(nvml: Any, message: str) -> Iterator[None]:
    """An error of NVML in the block means that there is no reading; ``{error}`` in the message stands for it."""
    try:
        yield
    except nvml.NVMLError as error:
        raise NoReading(f"NVML: {message.format(error=error)}") from None


def apple_counters() -> list[EnergyCounter]:
    """The counters of this Mac's chip; older chips have none of DRAM. Raises NoReading that says what is missing."""
    if platform.machine() != "arm64":
        raise NoReading("IOReport: only Apple silicon has its counters, and only a Python for arm64 reads them")
    try:
        from zeus_apple_silicon import AppleEnergyMonitor  # type: ignore[import-not-found]

        monitor = AppleEnergyMonitor()
        first = monitor.get_cumulative_energy()
    except (ImportError, RuntimeError) as error:
        raise NoReading(f"IOReport: cannot be read ({error}); to install: pip install zeus-apple-silicon") from None

    def counter(part: str, name: str) -> EnergyCounter:
        def joules() -> float:
            return float(getattr(monitor.get_cumulative_energy(), name) / 1e3)

        advice = _FROZEN if part in ("cpu", "dram") else ""
        return EnergyCounter(part, joules, _APPLE_WINDOW_S, source="IOReport", if_still=advice)

    if None in (first.cpu_total_mj, first.gpu_mj):
        raise NoReading("IOReport: zeus-apple-silicon finds no counter of this chip's CPU or GPU")
    names = {"cpu": "cpu_total_mj", "gpu": "gpu_mj", "dram": "dram_mj", "ane": "ane_mj"}
    return [counter(part, name) for part, name in names.items() if getattr(first, name) is not None]
