"""Several meters over one run of the work."""

import contextlib

import pytest

from sutrolib.meters import Joules, WallTime
from sutrolib.meters.base import Availability, JouleMeter, Kind, NoReading
from sutrolib.meters.energy import joules as joules_module
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.counter import EnergyCounter
from sutrolib.meters.lock import meter_lock


class AccountMeter(JouleMeter):
    """Reads off what the work itself says that it spent."""

    name, title, kind = "spent", "what was spent", Kind.COUNTED

    def __init__(self, account, least_runs=1, name="spent"):
        super().__init__()
        self.account, self.least_runs, self.name, self.opened = account, least_runs, name, 0

    def _open(self):
        self.opened += 1
        self.before = sum(self.account)

    @property
    def is_full(self):
        return self._runs >= self.least_runs

    def _close(self):
        spent, runs = sum(self.account) - self.before, self._runs

        def read():
            if not spent:
                raise NoReading("nothing was spent")
            return self._make(spent / runs, {"runs": runs})

        return read


def test_one_set_of_runs_fills_all_windows_and_each_reading_is_of_one_run():
    account = []
    one, other = AccountMeter(account), AccountMeter(account, least_runs=4, name="other")
    combined = CombinedMeter([one, other], WallTime(runs=2, window=0))
    assert combined.measure(lambda: account.append(3.0) or "result") == "result"
    assert account == [3.0] * 4
    time, *joules = combined.readings
    assert [r.value for r in joules] == [3.0, 3.0]
    assert [r.detail["runs"] for r in combined.readings] == [4, 4, 4]
    assert (time.name, time.kind) == ("time", "measured")
    assert time.detail["fastest"] <= time.value <= time.detail["slowest"]
    assert (combined.missing, one.opened) == ({}, 2)
    combined.measure(lambda: account.append(1.0))
    assert one.opened == 3  # what the first window of a process does is done before the first one that counts


def test_a_meter_that_saw_nothing_or_does_not_work_here_does_not_take_the_others_readings():
    class Elsewhere(AccountMeter):
        @classmethod
        def available(cls):
            return Availability(False, "only elsewhere")

    class Broken(AccountMeter):
        def _open(self):
            raise NoReading("its counter is gone")

    account = []
    meters = [
        AccountMeter([], name="still"),
        AccountMeter(account),
        Elsewhere([], name="elsewhere"),
        Broken([], name="broken"),
    ]
    combined = CombinedMeter(meters)
    combined.measure(lambda: account.append(2.0))
    assert [r.name for r in combined.readings] == ["time", "spent"]
    why = {"still": "nothing was spent", "elsewhere": "only elsewhere", "broken": "its counter is gone"}
    assert combined.missing == why
    with meter_lock().acquire(timeout=1):
        pass


def test_a_counter_that_is_lost_between_two_windows_is_missing_and_the_others_go_on():
    class Lost(AccountMeter):
        windows = 0

        def _open(self):
            Lost.windows += 1
            if Lost.windows > 1:
                raise NoReading("its counter is gone")
            super()._open()

    account = []
    combined = CombinedMeter([AccountMeter(account), Lost([], name="lost")])
    assert combined.measure(lambda: account.append(2.0)) is None
    assert [r.name for r in combined.readings] == ["time", "spent"]
    assert combined.missing == {"lost": "its counter is gone"}


def test_an_error_of_the_work_is_raised_and_frees_the_lock():
    combined = CombinedMeter([AccountMeter([])])

    def work():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        combined.measure(work)
    assert combined.readings == []
    with meter_lock().acquire(timeout=1):
        pass


def test_counters_are_read_over_the_runs_and_nothing_else(monkeypatch):
    joules = [0.0]

    @contextlib.contextmanager
    def fake(*_):
        counter = EnergyCounter("gpu 0 (fake)", lambda: joules[0], window_s=0.01, max_watts=1e12)
        yield [counter], {"processor": "no counter"}

    def work():
        joules[0] += 5

    monkeypatch.setattr(joules_module, "energy_counters", fake)
    combined = CombinedMeter([Joules(idle_s=0)])
    combined.measure(work)
    _, reading = combined.readings
    assert (reading.name, reading.kind, reading.value) == ("joules", "measured", 5)
    assert reading.detail["not_covered"] == {"processor": "no counter"}
