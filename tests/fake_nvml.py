"""A fake of the driver's library, for tests: C functions with the signatures of nvml.h, so that a wrong call fails."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_char, c_int, c_uint, c_ulonglong, c_void_p

DRIVER_NOT_LOADED, NOT_SUPPORTED, UNINITIALIZED = 9, 3, 1  # nvmlReturn_t
WORDS = {DRIVER_NOT_LOADED: b"Driver Not Loaded", NOT_SUPPORTED: b"Not Supported", UNINITIALIZED: b"Uninitialized"}


class FakeNVML:
    """A driver whose cards have used ``millijoules``, a list that tests change; ``open`` counts who has it open."""

    def __init__(self, millijoules, init_error=0, energy_error=0):
        self.millijoules, self.open = millijoules, 0
        self.init_error, self.energy_error = init_error, energy_error
        self.nvmlInit_v2 = CFUNCTYPE(c_int)(self._init)
        self.nvmlShutdown = CFUNCTYPE(c_int)(self._shutdown)
        self.nvmlDeviceGetCount_v2 = CFUNCTYPE(c_int, POINTER(c_uint))(self._count)
        self.nvmlDeviceGetHandleByIndex_v2 = CFUNCTYPE(c_int, c_uint, POINTER(c_void_p))(self._handle)
        self.nvmlDeviceGetName = CFUNCTYPE(c_int, c_void_p, POINTER(c_char), c_uint)(self._name)
        self.nvmlDeviceGetTotalEnergyConsumption = CFUNCTYPE(c_int, c_void_p, POINTER(c_ulonglong))(self._energy)

    def nvmlErrorString(self, status):
        return WORDS[status]

    def _init(self):
        if not self.init_error:
            self.open += 1
        return self.init_error

    def _shutdown(self):
        self.open -= 1
        return 0

    def _count(self, cards):
        cards[0] = len(self.millijoules)
        return 0

    def _handle(self, index, handle):
        handle[0] = 4096 + index
        return 0

    def _name(self, handle, buffer, length):
        ctypes.memmove(buffer, b"Test Card\0", min(length, 10))
        return 0

    def _energy(self, handle, millijoules):
        if not self.open:
            return UNINITIALIZED
        millijoules[0] = self.millijoules[handle - 4096]
        return self.energy_error
