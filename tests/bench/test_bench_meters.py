"""Speed of the meters, as ratios within one run. Nothing here asserts a time."""

import resource
import time

import numpy as np
from gpt import training_step
from stacks import plain_fenwick
from timing import alternate, quartiles

from sutrolib.meters import CodeCarbon, TorchTrace, WallTime
from sutrolib.meters.access.lru_stack import LRUStack
from sutrolib.meters.access.reuse_distance import trace_histograms
from sutrolib.meters.energy.counter import rapl_counters
from sutrolib.meters.energy.joules import EnergyAccumulator

LINES = 1_000_000
ACCESSES = 4_000_000


def test_the_histogram_kernel_against_a_plain_fenwick_tree():
    streams = {
        "random": np.random.default_rng(0).integers(LINES, size=ACCESSES),
        "streaming": np.arange(ACCESSES) % LINES,
    }
    for name, units in streams.items():
        assert (LRUStack(len(units)).access(units)[0] == plain_fenwick(units, LINES)).all()
        times = alternate(
            {
                "kernel": lambda units=units: LRUStack(len(units)).access(units),
                "plain": lambda units=units: plain_fenwick(units, LINES),
            },
            5,
        )
        print(f"\n{name}, {ACCESSES:,} accesses of {LINES:,} lines, one core: million accesses a second")
        for which, values in times.items():
            print(f"  {which:7} {quartiles([ACCESSES / t / 1e6 for t in values])}")
        print(f"  ratio   {quartiles([p / k for p, k in zip(times['plain'], times['kernel'], strict=True)])}")


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def test_a_traced_nanogpt_step_against_an_untraced_one():
    step = training_step()

    def traced():
        with TorchTrace() as trace:
            step()
        return trace

    def with_histogram():
        return trace_histograms(traced(), 64)

    step()
    untraced_peak = peak_gib()
    with_histogram()
    traced_peak = peak_gib()
    times = alternate({"untraced": step, "traced": traced, "traced, histogram": with_histogram}, 10)
    accesses = traced().accesses
    print(f"\nnanoGPT step, 4 layers, 128 wide, batch 12, context 64: {len(accesses):,} accesses of whole operands,")
    print(
        f"  {accesses.nbytes.sum() / 1e9:.2f} GB touched; this process held at most {untraced_peak:.2f} GiB untraced,"
    )
    print(f"  {traced_peak:.2f} GiB traced with its histogram (run this test alone, as a peak is that of the process)")
    for name, values in times.items():
        ratio = [value / base for value, base in zip(values, times["untraced"], strict=True)]
        print(f"  {name:18} {quartiles(values)} s   {quartiles(ratio)} times untraced")


def test_what_the_meters_of_a_timed_pass_cost(tmp_path):
    """The processor time that a meter takes while its block sleeps: its share of one core during a timed pass."""
    print("\nprocessor time of this process while a metered block sleeps, % of one core")

    def share():
        began, used = time.perf_counter(), time.process_time()
        time.sleep(2)
        return 100 * (time.process_time() - used) / (time.perf_counter() - began)

    def under(meter):
        with meter:
            return share()

    zone = tmp_path / "intel-rapl:0"  # a counter as Linux shows it, of a processor that stands still
    zone.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "0"), ("max_energy_range_uj", "262143328850")):
        (zone / name).write_text(text)
    counters = rapl_counters(tmp_path)
    found = {"no meter": [], "WallTime": [], "CodeCarbon": [], "RAPL": []}
    for _ in range(5):
        found["no meter"].append(share())
        found["WallTime"].append(under(WallTime()))
        found["CodeCarbon"].append(under(CodeCarbon()))
        found["RAPL"].append(under(EnergyAccumulator(counters)))
    for name, values in found.items():
        print(f"  {name:10} {quartiles(values)}")
