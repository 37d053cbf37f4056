"""NVML: the energy counter of NVIDIA graphics cards, in millijoules since the driver was loaded.

``nvmlDeviceGetTotalEnergyConsumption`` (docs.nvidia.com/deploy/nvml-api) covers the whole board, memory included; cards
before Volta have no such counter. It moves every 20 to 100 ms, so a window takes some seconds. The Python bindings are
NVIDIA's own, package nvidia-ml-py, which CodeCarbon installs too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sutrolib.meters.base import NoReading
from sutrolib.meters.energy.counter import EnergyCounter

NVML_WINDOW_S = 2.0  # at least twenty updates of the counter


@contextmanager
def nvml_counters() -> Iterator[list[EnergyCounter]]:
    """The counters of every card of this machine, while the block lasts. Raises NoReading that says what is missing."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        raise NoReading("NVML: its Python bindings are not installed: pip install nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoReading(f"NVML: no NVIDIA driver answers ({error})") from None
    try:
        yield _counters(pynvml)
    finally:
        pynvml.nvmlShutdown()


def _counters(nvml: Any) -> list[EnergyCounter]:
    found, failed = [], []
    try:
        cards = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:
        raise NoReading(f"NVML: the driver does not list its cards: {error}") from None
    for index in range(cards):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # fails for a card without a counter
            label = f"gpu {index} ({nvml.nvmlDeviceGetName(handle)})"
        except nvml.NVMLError as error:
            failed.append(f"gpu {index}: {error}")
        else:
            found.append(EnergyCounter(label, _reader(nvml, handle), NVML_WINDOW_S))
    if failed:  # the energy of some cards must not pass for that of all
        raise NoReading(f"NVML: no energy counter (cards before Volta have none): {'; '.join(failed)}")
    if not found:
        raise NoReading("NVML: the driver lists no card")
    return found


def _reader(nvml: Any, handle: Any) -> Callable[[], float]:
    def joules() -> float:
        try:
            return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)
        except nvml.NVMLError as error:
            raise NoReading(f"NVML: the counter can no longer be read: {error}") from None

    return joules
