"""NVML: the energy counter of NVIDIA graphics cards, in millijoules since the driver was loaded.

``nvmlDeviceGetTotalEnergyConsumption`` (docs.nvidia.com/deploy/nvml-api) reads the whole board, memory included; cards
before Volta have no such counter. It moves every 20 to 100 ms, so that a window takes some seconds. The library is the
one that comes with the driver, called as its header nvml.h has it, so that nothing has to be installed for it.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sutrolib.meters.base import NoReading
from sutrolib.meters.energy.counter import EnergyCounter

WINDOW_S = 2.0  # at least twenty updates of the counter
NAME_BYTES = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE of nvml.h


@contextmanager
def nvml_counters() -> Iterator[list[EnergyCounter]]:
    """The counters of every card of this machine, while the block lasts. Raises NoReading that says what is missing."""
    try:
        library = _library()
        _call(library, "nvmlInit_v2")
    except OSError as error:
        raise NoReading(f"NVML: no NVIDIA driver answers ({error})") from None
    try:
        yield _counters(library)
    finally:
        library.nvmlShutdown()


def _library() -> Any:
    """The driver's library. Raises OSError where there is none."""
    library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    library.nvmlErrorString.restype = ctypes.c_char_p  # the one function that does not return a status
    return library


def _call(library: Any, function: str, *arguments: Any) -> None:
    """Raises OSError in the driver's words where the status that the function returns is not NVML_SUCCESS."""
    try:
        status = getattr(library, function)(*arguments)
    except AttributeError:
        raise OSError(f"{function} is missing, the driver is too old") from None
    if status:
        raise OSError(library.nvmlErrorString(status).decode())


def _counters(library: Any) -> list[EnergyCounter]:
    found, refused = [], []
    cards = ctypes.c_uint()
    try:
        _call(library, "nvmlDeviceGetCount_v2", ctypes.byref(cards))
    except OSError as error:
        raise NoReading(f"NVML: the cards cannot be counted: {error}") from None
    for index in range(cards.value):
        try:
            counter = _counter(library, index)
        except OSError as error:
            refused.append(f"gpu {index}: {error}")
            continue
        found.append(counter)
    if refused:  # the energy of some of the cards would pass for that of all
        raise NoReading(f"NVML: no energy counter (cards before Volta have none): {'; '.join(refused)}")
    if not found:
        raise NoReading("NVML: the driver lists no card")
    return found


def _counter(library: Any, index: int) -> EnergyCounter:
    handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(NAME_BYTES)
    _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
    _call(library, "nvmlDeviceGetName", handle, name, ctypes.c_uint(NAME_BYTES))
    _joules(library, handle)  # a card without a counter is refused here
    return EnergyCounter(f"gpu {index} ({name.value.decode()})", _reader(library, handle), WINDOW_S)


def _reader(library: Any, handle: ctypes.c_void_p) -> Callable[[], float]:
    def read() -> float:
        try:
            return _joules(library, handle)
        except OSError as error:
            raise NoReading(f"NVML: the counter can no longer be read: {error}") from None

    return read


def _joules(library: Any, handle: ctypes.c_void_p) -> float:
    millijoules = ctypes.c_ulonglong()
    _call(library, "nvmlDeviceGetTotalEnergyConsumption", handle, ctypes.byref(millijoules))
    return millijoules.value / 1e3
