"""NVML: the energy counter of NVIDIA graphics cards, in millijoules since the driver was loaded.

``nvmlDeviceGetTotalEnergyConsumption`` (docs.nvidia.com/deploy/nvml-api) reads the whole board, memory included; cards
before Volta have no such counter. It moves every 20 to 100 ms, so that a window takes some seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sutrolib.meters.base import NoReading
from sutrolib.meters.counter import Counter

WINDOW_S = 2.0  # at least twenty updates of the counter


@contextmanager
def nvml_counters() -> Iterator[list[Counter]]:
    """The counters of every card of this machine, while the block lasts. Raises NoReading that says what is missing."""
    try:
        import pynvml
    except ImportError:
        raise NoReading("NVML: nvidia-ml-py is not installed: pip install -r requirements.txt") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoReading(f"NVML: no NVIDIA driver answers ({error})") from None
    try:
        yield _counters(pynvml)
    finally:
        pynvml.nvmlShutdown()


def _counters(pynvml: Any) -> list[Counter]:
    found, refused = [], []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            label = f"gpu {index} ({_decoded(pynvml.nvmlDeviceGetName(handle))})"
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            refused.append(f"gpu {index}: {error}")
            continue
        found.append(Counter(label, _reader(pynvml, handle), WINDOW_S))
    if refused:  # the energy of some of the cards would pass for that of all
        raise NoReading(f"NVML: no energy counter (cards before Volta have none): {'; '.join(refused)}")
    if not found:
        raise NoReading("NVML: the driver lists no card")
    return found


def _reader(pynvml: Any, handle: Any) -> Any:
    def read() -> float:
        try:
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except pynvml.NVMLError as error:
            raise NoReading(f"NVML: the counter can no longer be read: {error}") from None

    return read


def _decoded(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
