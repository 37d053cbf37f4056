"""Fakes of the module pynvml (package nvidia-ml-py) and of torch.cuda, for tests on machines without a card."""

from types import SimpleNamespace

DRIVER_NOT_LOADED, NOT_SUPPORTED, UNINITIALIZED = "Driver Not Loaded", "Not Supported", "Uninitialized"


class FakeNVML:
    """Cards that have used ``millijoules``, a list that tests change; ``open`` counts how often the driver is open.

    Card number i has the UUID GPU-i. ``events`` lists the reads of the counters, and what tests add.
    """

    class NVMLError(Exception):
        pass

    def __init__(self, millijoules, init_error=None, energy_error=None, name="Test Card"):
        self.millijoules, self.open, self.name, self.events = millijoules, 0, name, []
        self.init_error, self.energy_error = init_error, energy_error

    def nvmlInit(self):
        self._fail(self.init_error)
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return 4096 + int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetName(self, handle):
        return self.name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        self._fail(self.energy_error if self.open else UNINITIALIZED)
        self.events.append("read")
        return self.millijoules[handle - 4096]

    def _fail(self, message):
        if message:
            raise self.NVMLError(message)


def show_to_torch(monkeypatch, uuids, name="Test Card"):
    """Let torch find these cards, in this order, as CUDA_VISIBLE_DEVICES would choose them."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: bool(uuids))
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(uuids))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: name)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
