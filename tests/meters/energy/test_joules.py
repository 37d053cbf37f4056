"""Hardware counters, against a fake sysfs tree and a fake NVML; against zeus and a real card where they are at hand."""

import inspect
import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_nvml import DRIVER_NOT_LOADED, NOT_SUPPORTED, UNINITIALIZED, FakeNVML, show_to_torch

from sutrolib.cli import doctor
from sutrolib.core import provenance
from sutrolib.core.paths import ROOT
from sutrolib.measurement.measure import measure
from sutrolib.meters import Availability, Joules, NoReading, WallTime
from sutrolib.meters.energy import counter as counter_module
from sutrolib.meters.energy import joules as joules_module
from sutrolib.meters.energy.counter import EnergyCounter, energy_counters, nvml_counters, rapl_counters
from sutrolib.meters.energy.joules import EnergyAccumulator, calibrate, multiply_ones
from sutrolib.meters.lock import meter_lock
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.parity import SparseParity

RANGE_UJ = 262_143_328_850  # as machines have it


class Zone:
    """One zone of a fake powercap tree, as in kernel.org/doc/html/latest/power/powercap/powercap.html."""

    def __init__(self, root, folder, name, energy_uj=0, range_uj=RANGE_UJ):
        self.path = root / folder
        self.path.mkdir(parents=True)
        self.energy, self.range = energy_uj, range_uj
        (self.path / "name").write_text(f"{name}\n")
        (self.path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        self.add(0)

    def add(self, microjoules):
        self.energy = (self.energy + microjoules) % self.range
        scratch = self.path / "next"
        scratch.write_text(f"{self.energy}\n")  # replaced whole, as a file of sysfs is: no reader sees half of it
        scratch.replace(self.path / "energy_uj")


@pytest.fixture
def no_card(monkeypatch):
    fake_nvml(monkeypatch, [], init_error="NVML Shared Library Not Found")


@pytest.fixture
def root(tmp_path, no_card):
    return tmp_path / "powercap"


def fake_nvml(monkeypatch, millijoules, visible=None, **options):
    driver = FakeNVML(millijoules, **options)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    show_to_torch(monkeypatch, list(range(len(millijoules))) if visible is None else visible, driver.name)
    return driver


def test_packages_and_their_memory_are_counted_once(root):
    Zone(root, "intel-rapl:0", "package-0", 5)
    Zone(root, "intel-rapl:0:0", "core", 5)
    Zone(root, "intel-rapl:0:1", "dram", 5)
    Zone(root, "intel-rapl:1", "package-1", 5)
    Zone(root, "intel-rapl:2", "psys", 5)
    Zone(root, "intel-rapl-mmio:0", "package-0", 5)
    (root / "intel-rapl").mkdir()  # the control type itself, which has no counter
    assert [counter.label for counter in rapl_counters(root)] == ["package-0", "dram of package-0", "package-1"]


def test_the_platform_stands_in_where_there_is_no_package(root):
    Zone(root, "intel-rapl:0", "psys", 1_500_000, 10**9)
    (counter,) = rapl_counters(root)
    assert (counter.label, counter.read(), counter.wraps_at) == ("psys", 1.5, 1000.0)


def test_two_zones_of_one_name_are_both_counted(root):
    one, other = (Zone(root, f"intel-rapl:{number}", "psys", range_uj=10**9) for number in range(2))
    with EnergyAccumulator(rapl_counters(root)) as accumulator:
        one.add(100_000)
        other.add(200_000)
        expected = {"psys (intel-rapl:0)": 0.1, "psys (intel-rapl:1)": 0.2}
        assert accumulator.read() == pytest.approx(expected)


def test_a_reading_is_the_joules_of_one_run_by_part(root):
    package, memory = Zone(root, "intel-rapl:0", "package-0"), Zone(root, "intel-rapl:0:0", "dram")

    def work():
        time.sleep(0.03)
        package.add(3000)
        memory.add(1000)

    with Joules(idle_s=0, root=root) as meter:
        meter.repeat(work)
    reading = meter.reading
    assert (reading.value, reading.unit, reading.kind) == (pytest.approx(0.004), "J", "measured")
    assert reading.detail["joules_by_part"] == pytest.approx({"package-0": 0.003, "dram of package-0": 0.001})
    assert reading.detail["source_by_part"] == {"package-0": "RAPL", "dram of package-0": "RAPL"}
    assert reading.detail["runs"] > 1
    assert reading.detail["window_s"] >= 0.1
    assert list(reading.detail["not_covered"]) == ["gpu"]


def test_wraps_are_counted_however_many_there_are():
    now = [0.0]
    counter = EnergyCounter("c", lambda: now[0] % 10, 1.0, wraps_at=10.0, max_watts=20.0)  # read every 0.25 s
    with EnergyAccumulator([counter]) as accumulator:
        for _ in range(35):
            now[0] += 0.5
            time.sleep(0.03)
        assert accumulator.read() == {"c": pytest.approx(17.5)}


def test_one_wrap_needs_no_thread_in_time(root):
    zone = Zone(root, "intel-rapl:0", "package-0", RANGE_UJ - 1)
    with EnergyAccumulator(rapl_counters(root)) as accumulator:
        zone.add(200_000)
        assert accumulator.read()["package-0"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("before", "after", "wraps_at"),
    [
        (200_000, 5, 262_143.328850),  # started again: as a wrap it would be 62,148 J
        (200_000, 199_999.9, 262_143.328850),  # fell
        (200_000, 230_000, 262_143.328850),  # jumped
        (200_000, 230_000, math.inf),
        (5, 3, math.inf),
        (0, 10, 100),  # 1,000 W for 0.15 s may have been more than one wrap
    ],
)
def test_what_no_power_explains_is_refused_with_what_was_seen(before, after, wraps_at):
    counter = EnergyCounter("package-0", lambda: 0.0, 0.1, wraps_at=wraps_at)
    seen = f"package-0: its counter went from {before:.10g} to {after:.10g} J in 0.15 s. At most 1000 W"
    with pytest.raises(NoReading, match=re.escape(seen)):
        counter.rise(before, after, 0.15)


def test_what_power_explains_is_read():
    counter = EnergyCounter("package-0", lambda: 0.0, 0.1, wraps_at=262_143.328850)
    assert counter.rise(200_000, 200_149, 0.15) == 149
    assert counter.rise(262_143, 1, 0.15) == pytest.approx(1.328850)


def measured(meter, work, monkeypatch):
    """What ``measure`` makes of a training that does ``work``."""

    class Working(GF2Elimination):
        def fit(self, *arguments):
            work()
            return super().fit(*arguments)

    monkeypatch.setattr(Joules, "available", lambda *_: Availability(True, "faked"))
    return measure(SparseParity(6, 2), Working(), [WallTime(runs=1, window=0), meter], 0)


def test_a_measurement_in_which_the_counter_starts_again_has_no_joules(root, monkeypatch):
    zone = Zone(root, "intel-rapl:0", "package-0", 200_000_000_000)

    def work():
        zone.add(1000)
        time.sleep(0.03)

    assert measured(Joules(0, root), work, monkeypatch).reading("joules").value == pytest.approx(0.001)

    runs = []

    def restart():
        runs.append(1)
        zone.energy = 200_000_000_000 if len(runs) == 1 else 5_000_000  # the first run is that of the clock
        work()

    found = measured(Joules(0, root), restart, monkeypatch)
    assert re.match(r"package-0: its counter went from 200000\.\d+ to 5\.\d+ J in 0", found.missing["joules"])
    with pytest.raises(KeyError):
        found.reading("joules")
    assert found.score == 1


def test_a_zone_that_never_moves_can_be_left_out_by_name(root):
    package = Zone(root, "intel-rapl:0", "package-0")
    Zone(root, "intel-rapl:0:0", "dram")

    def work():
        package.add(1000)
        time.sleep(0.03)

    still = r"the counter of dram of package-0 did not move.*leave_out=\['dram of package-0'\]"
    with pytest.raises(NoReading, match=still), Joules(0, root) as meter:
        meter.repeat(work)
    with Joules(0, root, leave_out=["dram of package-0"]) as meter:
        meter.repeat(work)
    assert (meter.reading.value, list(meter.reading.detail["joules_by_part"])) == (pytest.approx(0.001), ["package-0"])
    assert meter.reading.detail["not_covered"]["dram of package-0"] == "dram of package-0 is left out by name"
    for names, error, why in (
        (["dram"], ValueError, r"package-0, dram of package-0 \(got 'dram'\)"),
        (["package-0", "dram of package-0"], NoReading, "package-0 is left out by name"),
    ):
        with pytest.raises(error, match=why), Joules(0, root, leave_out=names):
            pass
    assert_nothing_is_left()


def test_a_counter_that_stands_still_gives_no_reading(root):
    Zone(root, "intel-rapl:0", "package-0")
    with pytest.raises(NoReading, match="package-0 did not move"), Joules(idle_s=0, root=root):
        time.sleep(0.11)


def test_a_window_that_is_too_short_gives_no_reading(root):
    zone = Zone(root, "intel-rapl:0", "package-0")
    with pytest.raises(NoReading, match="too short"), Joules(idle_s=0, root=root):
        zone.add(1000)


def test_a_counter_that_disappears_gives_no_reading_and_frees_everything(root):
    zone = Zone(root, "intel-rapl:0", "package-0")
    meter = Joules(idle_s=0, root=root)

    def work():
        time.sleep(0.11)
        (zone.path / "energy_uj").unlink()

    with pytest.raises(NoReading, match="cannot be read"), meter:
        meter.repeat(work)
    with pytest.raises(NoReading, match="no reading"):
        _ = meter.reading
    assert_nothing_is_left()


def test_an_error_inside_leaves_no_reading_lock_thread_or_open_driver(root, monkeypatch):
    zone = Zone(root, "intel-rapl:0", "package-0")
    state = fake_nvml(monkeypatch, [1000])
    monkeypatch.setattr(joules_module, "calibrate", lambda *_: ({}, {}))
    meter = Joules(idle_s=0, root=root)

    def work():
        zone.add(1000)
        assert [t.name for t in threading.enumerate() if t.name == "energy counters"]
        assert state.open == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), meter:
        meter.repeat(work)
    with pytest.raises(NoReading, match="no reading"):
        _ = meter.reading
    assert state.open == 0
    assert_nothing_is_left()


def test_a_device_that_fails_at_the_end_leaves_nothing_behind(root, monkeypatch):
    Zone(root, "intel-rapl:0", "package-0")

    def fail():
        raise RuntimeError("device error")

    meter = Joules(idle_s=0, root=root)
    monkeypatch.setattr("sutrolib.meters.base.finish_queued_work", fail)
    with pytest.raises(RuntimeError, match="device error"), meter:
        pass
    with pytest.raises(NoReading, match="no reading"):
        _ = meter.reading
    assert_nothing_is_left()


def assert_nothing_is_left():
    assert not [t.name for t in threading.enumerate() if t.name == "energy counters"]
    free = "import filelock, sys; filelock.FileLock(sys.argv[1]).acquire(timeout=5)"  # by another process
    subprocess.run([sys.executable, "-c", free, meter_lock().lock_file], check=True, timeout=60)


def test_idle_power_is_measured_before_and_reported_beside(root):
    zone = Zone(root, "intel-rapl:0", "package-0")
    ended = threading.Event()

    def one_watt():
        began = last = time.perf_counter()
        while not ended.wait(0.02):  # rarely: the process has to sleep for most of the time, on a busy machine too
            now = time.perf_counter()
            zone.add(round((now - last) * 1e6))
            last = now
        assert began < last

    thread = threading.Thread(target=one_watt)
    thread.start()
    try:
        with Joules(idle_s=1.0, root=root) as meter:
            time.sleep(0.5)
    finally:
        ended.set()
        thread.join()
        calibrate.cache_clear()
    assert meter.reading.detail["joules_above_idle"] == pytest.approx(0, abs=0.3 * meter.reading.value)
    assert meter.reading.detail["idle_watts"] == {"package-0": pytest.approx(1, rel=0.3)}
    assert meter.reading.value / meter.reading.detail["window_s"] == pytest.approx(1, rel=0.3)  # idle is not taken off


def test_files_without_permission_are_named_with_the_command_that_grants_it(no_card):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        zone = Zone(Path(folder), "intel-rapl:0", "package-0")
        file = zone.path / "energy_uj"
        file.chmod(0)  # as the kernel has it since 5.10: for the superuser only
        Path(folder).chmod(0o755)
        superuser = os.geteuid() == 0
        if superuser:
            os.seteuid(65534)
        try:
            with pytest.raises(NoReading, match="no permission") as refused:
                rapl_counters(Path(folder))
        finally:
            if superuser:
                os.seteuid(0)
    assert f"sudo chmod o+r {file}" in str(refused.value)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda zone: (zone.path / "energy_uj").write_text("many\n"), "'many'"),
        (lambda zone: (zone.path / "max_energy_range_uj").write_text("0\n"), "holds 0"),
        (lambda zone: (zone.path / "max_energy_range_uj").unlink(), "max_energy_range_uj cannot be read"),
        (lambda zone: (zone.path / "name").write_text("core\n"), "no package or psys"),
    ],
)
def test_a_spoiled_tree_is_refused(root, spoil, why):
    zone = Zone(root, "intel-rapl:0", "package-0")
    spoil(zone)
    with pytest.raises(NoReading, match=why):
        rapl_counters(root)[0].read()


def test_a_machine_without_counters_says_what_is_missing(root):
    with pytest.raises(NoReading, match=r"RAPL: no package.*NVML: no NVIDIA driver answers"), energy_counters(root):
        pass
    meter = Joules(root=root)
    with pytest.raises(NoReading, match="no energy counter"):
        meter.__enter__()
    assert_nothing_is_left()


def test_cards_are_read_in_joules_and_closed_again(monkeypatch, tmp_path):
    used = [1_000, 50_000]
    state = fake_nvml(monkeypatch, used)
    with energy_counters(tmp_path) as (counters, missing), EnergyAccumulator(counters) as accumulator:
        used[0] += 250
        used[1] += 50
        assert accumulator.read() == pytest.approx({"gpu 0 (Test Card)": 0.25, "gpu 1 (Test Card)": 0.05})
        assert [counter.window_s for counter in counters] == [20.0, 20.0]
        assert list(missing) == ["processor"]
    assert state.open == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"millijoules": [], "init_error": DRIVER_NOT_LOADED}, "no NVIDIA driver answers .Driver Not Loaded"),
        ({"millijoules": [1], "visible": []}, "torch finds no card.*torch for CUDA"),
        ({"millijoules": [1], "energy_error": NOT_SUPPORTED}, "before Volta.*Not Supported"),
    ],
)
def test_cards_that_cannot_be_read_are_refused_by_reason(monkeypatch, options, why):
    state = fake_nvml(monkeypatch, **options)
    with pytest.raises(NoReading, match=why), nvml_counters():
        pass
    assert state.open == 0


def test_a_card_that_falls_silent_gives_no_reading(monkeypatch):
    driver = fake_nvml(monkeypatch, [1000])
    with nvml_counters() as (counter,):
        assert counter.read() == 1.0
        driver.energy_error = UNINITIALIZED
        with pytest.raises(NoReading, match="can no longer be read: Uninitialized"):
            counter.read()


def test_a_machine_without_the_bindings_says_how_to_install_them(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoReading, match="pip install nvidia-ml-py"), nvml_counters():
        pass


def test_the_fake_has_the_functions_of_the_real_bindings():
    pynvml = pytest.importorskip("pynvml")
    names = [name for name in dir(FakeNVML) if name.startswith("nvml")]
    assert len(names) == 5
    for name in names:
        fake, real = (inspect.signature(getattr(module, name)) for module in (FakeNVML([]), pynvml))
        assert list(fake.parameters) == list(real.parameters), name
    assert issubclass(pynvml.NVMLError, Exception)


WINDOW_S = 0.06  # of the faked cards and Macs, in place of 20 s
TFLOP = 0.185  # of the known product: 0.01 s of an A100


@pytest.fixture
def card(monkeypatch):
    """Makes a fake card that draws 6 W at rest, and takes so many J/TFLOP above it for the known product."""

    def make(joules_per_tflop, name="NVIDIA A100-SXM4-80GB"):
        class Card(FakeNVML):
            def nvmlDeviceGetTotalEnergyConsumption(self, handle):
                return super().nvmlDeviceGetTotalEnergyConsumption(handle) + time.perf_counter() * 6e3

        def multiply(cards):
            time.sleep(0.01)
            driver.millijoules[0] += 1e3 * joules_per_tflop * TFLOP
            return TFLOP

        driver = Card([1000.0], name=name)
        monkeypatch.setitem(sys.modules, "pynvml", driver)
        show_to_torch(monkeypatch, [0], name)
        monkeypatch.setattr(joules_module, "multiply_ones", multiply)
        return driver

    monkeypatch.setattr(counter_module, "NVML_WINDOW_S", WINDOW_S)
    monkeypatch.setattr(joules_module, "_SETTLE_S", 0.0)
    calibrate.cache_clear()
    yield make
    calibrate.cache_clear()


def test_a_card_is_read_at_the_edges_of_a_window_and_its_joules_are_given_in_all_and_above_idle(
    card, tmp_path, monkeypatch
):
    driver = card(8.5)

    def work():
        driver.events.append("work")
        driver.millijoules[0] += 1000
        time.sleep(0.01)

    label = "gpu 0 (NVIDIA A100-SXM4-80GB)"
    reading = measured(Joules(0, tmp_path), work, monkeypatch).reading("joules")
    detail = reading.detail
    assert detail["window_s"] >= WINDOW_S
    assert detail["joules_above_idle"] == pytest.approx(1, rel=0.05)
    assert reading.value == pytest.approx(1 + 6 * detail["window_s"] / detail["runs"], rel=0.05)
    assert detail["idle_watts"] == {label: pytest.approx(6, rel=0.3)}
    assert detail["joules_per_tflop"] == {label: pytest.approx(8.5, rel=0.05)}
    assert detail["source_by_part"] == {label: "NVML"}
    assert driver.events[-detail["runs"] - 2 :] == ["read", *["work"] * detail["runs"], "read"]
    assert driver.open == 0


@pytest.mark.parametrize(
    ("name", "joules_per_tflop", "band"),
    [
        ("NVIDIA A100-SXM4-80GB", 0.07, "6 to 11"),  # the broken sensor that the group met
        ("NVIDIA A100-SXM4-80GB", 5.0, "6 to 11"),
        ("NVIDIA A100 80GB PCIe", 13.0, "6 to 11"),
        ("NVIDIA H200", 0.07, "0.5 to 40"),
        ("NVIDIA H200", 80.0, "0.5 to 40"),
        ("NVIDIA H200", 5.0, None),
    ],
)
def test_a_card_whose_known_product_is_not_plausible_is_refused(card, tmp_path, name, joules_per_tflop, band):
    driver = card(joules_per_tflop, name)
    meter = Joules(1e-3, tmp_path)
    if band is None:
        with meter:
            time.sleep(WINDOW_S)
        assert meter.reading.detail["joules_per_tflop"][f"gpu 0 ({name})"] == pytest.approx(joules_per_tflop, rel=0.05)
    else:
        spent = set()
        for _ in range(2):
            with pytest.raises(NoReading, match=rf"gpu 0 \({name}\) is not plausible.* J/TFLOP.*not {band}"), meter:
                pass
            spent.add(driver.millijoules[0])
        assert len(spent) == 1  # the product is not computed again
    assert driver.open == 0
    assert_nothing_is_left()


def test_idle_power_is_refused_while_another_thread_of_this_process_computes(root, monkeypatch):
    zone, sleep = Zone(root, "intel-rapl:0", "package-0"), time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: zone.add(1000) or sleep(seconds))
    monkeypatch.setattr(time, "process_time", lambda: 0.5 * time.perf_counter())
    with pytest.raises(NoReading, match=r"no idle power, as this process computed for 0.05\d* s"), Joules(0.1, root):
        pass
    assert_nothing_is_left()


def test_only_the_cards_that_torch_sees_are_read(monkeypatch):
    fake_nvml(monkeypatch, [1000, 2000, 3000], visible=[2, 0])
    with nvml_counters() as counters:
        assert [(c.label, c.card, c.read()) for c in counters] == [
            ("gpu 0 (Test Card)", "cuda:0", 3.0),
            ("gpu 1 (Test Card)", "cuda:1", 1.0),
        ]


def test_the_known_product_is_computed_in_float32_and_checked(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(joules_module, "PRODUCT_SIDE", 8)
    settings, seen, real = torch.backends.cuda.matmul, [], torch.ones

    def ones(*sizes, device):
        seen.append((settings.fp32_precision, device))
        return real(*sizes, device=device)

    monkeypatch.setattr(torch, "ones", ones)
    before = settings.fp32_precision
    assert multiply_ones(["cpu"]) == pytest.approx(20 * 2 * 8**3 / 1e12)
    assert (seen, settings.fp32_precision) == ([("ieee", "cpu")], before)
    monkeypatch.setattr(torch, "ones", lambda *sizes, device: real(*sizes) * 2)
    with pytest.raises(NoReading, match="wrong matrix product on cpu"):
        multiply_ones(["cpu"])


class FakeMac:
    """The module zeus_apple_silicon 1.1.0: millijoules by field since some moment; None if the chip has no counter."""

    def __init__(self, **millijoules):
        names = ("cpu_total_mj", "gpu_mj", "dram_mj", "ane_mj")
        self.fields = dict.fromkeys(names, 0) | millijoules
        self.AppleEnergyMonitor = lambda: self

    def get_cumulative_energy(self):
        return SimpleNamespace(**self.fields)


@pytest.fixture
def mac(monkeypatch):
    def machine(module, processor="arm64"):
        monkeypatch.setattr("platform.system", lambda: "Darwin")
        monkeypatch.setattr("platform.machine", lambda: processor)
        monkeypatch.setattr("torch.mps.is_available", lambda: processor == "arm64")
        monkeypatch.setattr("torch.mps.synchronize", lambda: None)
        monkeypatch.setattr(counter_module, "_APPLE_WINDOW_S", WINDOW_S)
        monkeypatch.setitem(sys.modules, "zeus_apple_silicon", module)
        provenance.machine.cache_clear()
        return module

    yield machine
    provenance.machine.cache_clear()


def doctor_lines():
    """What the doctor says of measured joules and of the graphics card."""
    found = [check for check in doctor.examine() if check.topic == "gpu" or "measured energy" in check.what]
    return [(check.ok, check.what) for check in found]


def test_a_mac_reads_its_cpu_gpu_dram_and_neural_engine(mac, monkeypatch):
    chip = mac(FakeMac(cpu_total_mj=7_000_000, gpu_mj=1_000))

    def work():
        time.sleep(0.01)
        for name, spent in (("cpu_total_mj", 30), ("gpu_mj", 50), ("dram_mj", 20)):
            chip.fields[name] += spent

    (ok, what), gpu = doctor_lines()
    assert ok
    assert "counters of cpu, gpu, dram, ane, in windows of at least" in what
    assert gpu == (True, "Apple (mps)")
    reading = measured(Joules(0), work, monkeypatch).reading("joules")
    assert (reading.value, reading.kind) == (pytest.approx(0.1), "measured")
    assert reading.detail["joules_by_part"] == pytest.approx({"cpu": 0.03, "gpu": 0.05, "dram": 0.02, "ane": 0})
    assert set(reading.detail["source_by_part"].values()) == {"IOReport"}
    assert reading.detail["window_s"] >= WINDOW_S


def test_a_mac_whose_counter_stands_still_says_what_to_do(mac, monkeypatch):
    chip = mac(FakeMac(dram_mj=None))

    def work():
        time.sleep(0.01)
        chip.fields["gpu_mj"] += 50

    found = measured(Joules(0), work, monkeypatch)
    assert "cpu did not move" in found.missing["joules"]
    assert "sudo powermetrics" in found.missing["joules"]
    found = measured(Joules(0, leave_out=["cpu"]), work, monkeypatch)
    assert found.reading("joules").detail["joules_by_part"] == pytest.approx({"gpu": 0.05, "ane": 0})


@pytest.mark.parametrize(
    ("module", "processor", "why"),
    [
        (None, "arm64", "pip install zeus-apple-silicon"),
        (FakeMac(), "x86_64", "only Apple silicon"),
        (FakeMac(cpu_total_mj=None), "arm64", "no counter of this chip's CPU or GPU"),
    ],
)
def test_the_doctor_says_how_a_mac_gets_its_counters(mac, module, processor, why):
    mac(module, processor)
    ok, what = doctor_lines()[0]
    assert not ok
    assert why in what
    assert "RAPL" not in what


def test_the_doctor_says_how_a_pc_gets_its_counters_and_names_all_cards(monkeypatch):
    fake_nvml(monkeypatch, [1000, 1000])
    provenance.machine.cache_clear()
    (ok, what), gpu = doctor_lines()
    provenance.machine.cache_clear()
    assert ok
    assert "counters of gpu 0 (Test Card), gpu 1 (Test Card), in windows of at least 20 s" in what
    if not Path("/sys/class/powercap/intel-rapl:0").exists():
        assert "sudo modprobe intel_rapl_msr" in what
    assert gpu == (True, "Test Card, Test Card")


@pytest.mark.parametrize("idle", [-1, 601, float("nan")])
def test_wrong_idle_seconds_are_named(idle):
    with pytest.raises(ValueError, match=rf"idle_s must be 0 to 600 seconds \(got {idle}\)"):
        Joules(idle_s=idle)


METERED = """
    import json, sys, time
    from pathlib import Path
    sys.modules["pynvml"] = None
    from sutrolib.meters import Joules
    root = Path(sys.argv[1])
    for run in range(3):
        with Joules(idle_s=0, root=root) as meter:
            began = time.monotonic()  # one clock for all processes of a machine
            time.sleep(0.15)
            (root / "next").write_text(str(1000 * (run + 1)))
            (root / "next").replace(root / "intel-rapl:0" / "energy_uj")
            ended = time.monotonic()
        print(json.dumps([began, ended, meter.reading.value]), flush=True)
"""


@pytest.mark.slow
def test_joule_windows_of_two_processes_never_overlap(tmp_path):
    roots = [tmp_path / name for name in ("one", "two")]
    for root in roots:
        Zone(root, "intel-rapl:0", "package-0")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(METERED), str(root)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for root in roots
    ]
    lines = [line for process in both for line in process.communicate(timeout=120)[0].splitlines()]
    assert [process.returncode for process in both] == [0, 0]
    windows = sorted(json.loads(line) for line in lines)
    assert len(windows) == 6
    assert all(joules > 0 for _, _, joules in windows)
    for (_, ended, _), (began, _, _) in itertools.pairwise(windows):
        assert ended <= began


def test_the_same_counters_as_zeus(tmp_path):
    rapl = pytest.importorskip("zeus.device.cpu.rapl", reason="zeus is not installed; nothing here needs it")
    package = Zone(tmp_path, "intel-rapl:0", "package-0", 1_234_567, 10**9)
    Zone(tmp_path, "intel-rapl:0/intel-rapl:0:0", "dram", 7_654_321, 10**9)  # where zeus looks for it
    (tmp_path / "intel-rapl:0:0").symlink_to(package.path / "intel-rapl:0:0")
    theirs = rapl.RAPLCPU(0, str(tmp_path)).get_total_energy_consumption()
    ours = {counter.label: counter.read() for counter in rapl_counters(tmp_path)}
    assert ours == pytest.approx({"package-0": theirs.cpu_mj / 1e3, "dram of package-0": theirs.dram_mj / 1e3})


def test_a_real_card_draws_more_when_it_computes_than_when_it_sleeps():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no graphics card")
    try:
        with nvml_counters() as counters:
            labels = [counter.label for counter in counters]
    except NoReading as error:
        pytest.skip(str(error))
    matrix = torch.randn(4096, 4096, device="cuda")
    watts = {}
    for name, work in (("sleep", lambda: time.sleep(0.1)), ("compute", lambda: [matrix @ matrix for _ in range(20)])):
        with Joules(idle_s=0) as meter:
            meter.repeat(work)
        reading = meter.reading
        watts[name] = sum(reading.detail["joules_by_part"][label] for label in labels)
        watts[name] *= reading.detail["runs"] / reading.detail["window_s"]
    assert watts["compute"] > 1.5 * watts["sleep"]


def test_the_lock_is_re_entrant_within_a_process(root):
    zone = Zone(root, "intel-rapl:0", "package-0")
    with meter_lock(), Joules(idle_s=0, root=root) as meter:
        zone.add(1000)
        time.sleep(0.11)
    assert meter.reading.value == pytest.approx(0.001)
    assert_nothing_is_left()


def test_the_lock_is_held_to_its_last_release_and_by_one_thread():
    refused = []

    def elsewhere():
        try:
            with meter_lock().acquire(timeout=0):
                pass
        except TimeoutError:
            refused.append(True)
        else:
            refused.append(False)

    def ask():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    with meter_lock():
        with meter_lock():
            pass
        ask()
    ask()
    ask()  # the one before has released what it had
    assert refused == [True, False, False]
