"""A fake of the module pynvml (package nvidia-ml-py), for tests on machines without a card."""

DRIVER_NOT_LOADED, NOT_SUPPORTED, UNINITIALIZED = "Driver Not Loaded", "Not Supported", "Uninitialized"


class FakeNVML:
    """Cards that have used ``millijoules``, a list that tests change; ``open`` counts how often the driver is open."""

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules, init_error=None, energy_error=None):
        self.millijoules, self.open = millijoules, 0
        self.init_error, self.energy_error = init_error, energy_error

    def nvmlInit(self):
        self._fail(self.init_error)
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetCount(self):
        return len(self.millijoules)

    def nvmlDeviceGetHandleByIndex(self, index):
        return 4096 + index

    def nvmlDeviceGetName(self, handle):
        return "Test Card"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._fail(self.energy_error if self.open else UNINITIALIZED)
        return self.millijoules[handle - 4096]

    def _fail(self, message):
        if message:
            raise self.NVMLError(message)
