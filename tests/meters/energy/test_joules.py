"""Hardware counters, against a fake sysfs tree and a fake NVML; against zeus and a real card where they are at hand."""

import inspect
import itertools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
from fake_nvml import DRIVER_NOT_LOADED, NOT_SUPPORTED, UNINITIALIZED, FakeNVML

from sutrolib.core.paths import ROOT
from sutrolib.meters import Joules, NoReading
from sutrolib.meters.energy.counter import EnergyCounter, energy_counters, nvml_counters, rapl_counters
from sutrolib.meters.energy.joules import EnergyAccumulator, measured_idle_watts
from sutrolib.meters.lock import meter_lock

RANGE_UJ = 1_000_000


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


def fake_nvml(monkeypatch, millijoules, **errors):
    driver = FakeNVML(millijoules, **errors)
    monkeypatch.setitem(sys.modules, "pynvml", driver)
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
        one.add(1_000_000)
        other.add(2_000_000)
        assert accumulator.read() == {"psys (intel-rapl:0)": 1.0, "psys (intel-rapl:1)": 2.0}


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
    counter = EnergyCounter("c", lambda: now[0] % 10, 0.1, wraps_at=10.0)  # the thread reads every 5 ms
    with EnergyAccumulator([counter]) as accumulator:
        for _ in range(35):
            now[0] += 1
            time.sleep(0.015)
        assert accumulator.read() == {"c": pytest.approx(35)}


def test_one_wrap_needs_no_thread_in_time(root):
    zone = Zone(root, "intel-rapl:0", "package-0", 262_143_328_849, 262_143_328_850)  # a range as machines have it
    with EnergyAccumulator(rapl_counters(root)) as accumulator:
        zone.add(2_000_000)
        assert accumulator.read()["package-0"] == pytest.approx(2.0)


def test_a_counter_that_falls_and_never_wraps_gives_no_reading():
    values = iter([5.0, 3.0])
    with (
        EnergyAccumulator([EnergyCounter("gpu 0", lambda: next(values), 0.1)]) as accumulator,
        pytest.raises(NoReading, match=r"fell by 2 J"),
    ):
        accumulator.read()


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
    free = "from sutrolib.meters.lock import meter_lock; meter_lock().acquire(timeout=5)"
    subprocess.run([sys.executable, "-c", free], check=True, cwd=ROOT, timeout=60)  # by another process


def test_idle_power_is_measured_before_and_reported_beside(root):
    zone = Zone(root, "intel-rapl:0", "package-0")
    ended = threading.Event()

    def one_watt():
        began = last = time.perf_counter()
        while not ended.wait(0.005):
            now = time.perf_counter()
            zone.add(round((now - last) * 1e6))
            last = now
        assert began < last

    thread = threading.Thread(target=one_watt)
    thread.start()
    try:
        with Joules(idle_s=0.3, root=root) as meter:
            time.sleep(0.2)
    finally:
        ended.set()
        thread.join()
        measured_idle_watts.cache_clear()
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
        used[0] += 2_500
        used[1] += 500
        assert accumulator.read() == {"gpu 0 (Test Card)": 2.5, "gpu 1 (Test Card)": 0.5}
        assert [counter.window_s for counter in counters] == [2.0, 2.0]
        assert list(missing) == ["processor"]
    assert state.open == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"millijoules": [], "init_error": DRIVER_NOT_LOADED}, "no NVIDIA driver answers .Driver Not Loaded"),
        ({"millijoules": []}, "lists no card"),
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
    assert len(names) == 6
    for name in names:
        fake, real = (inspect.signature(getattr(module, name)) for module in (FakeNVML([]), pynvml))
        assert list(fake.parameters) == list(real.parameters), name
    assert issubclass(pynvml.NVMLError, Exception)


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


def test_the_next_user_can_take_the_lock_too():
    with meter_lock() as lock:
        assert Path(lock.lock_file).stat().st_mode & 0o777 == 0o666
