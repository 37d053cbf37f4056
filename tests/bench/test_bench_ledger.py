"""A ledger of 100,000 measurements: its table, and notebook 00, which draws the cube from it."""

import os
import subprocess
import sys
import textwrap
import time

import pytest

from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger, LedgerLine, append

COUNT = 100_000
READS = """
    import resource, time
    from sutrolib.measurement.ledger import Ledger
    began = time.perf_counter()
    table = Ledger().frame()
    print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, *table.shape)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The published measurements over and over, each with a seed of its own."""
    folder = tmp_path_factory.mktemp("ledger")
    records, _ = Ledger(paths.published_ledger()).scan("measurement", lambda record, source, dirty: record)
    made = ({**records[number % len(records)], "seed": number} for number in range(COUNT))
    append(folder, (LedgerLine.of("measurement", record) for record in made))
    return folder


def run(command, folder):
    environment = os.environ | {"SUTRO_LEDGER": str(folder)}
    return subprocess.run(command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_table_of_a_large_ledger(large):
    seconds, gib, rows, columns = map(float, run([sys.executable, "-c", textwrap.dedent(READS)], large).split())
    print(f"\n  {COUNT:,} measurements to {rows:,.0f} x {columns:.0f} cells: {seconds:.1f} s, {gib:.2f} GiB")
    assert seconds < 10
    assert gib < 2


def test_notebook_00_on_a_large_ledger(large, tmp_path):
    began = time.perf_counter()
    run([sys.executable, "-m", "sutrolib", "run", "00", "-o", str(tmp_path / "run")], large)
    seconds = time.perf_counter() - began
    print(f"\n  notebook 00 with {COUNT:,} measurements: {seconds:.1f} s")
    assert seconds < 30


def test_what_it_costs_to_append_a_measurement(large, tmp_path):
    """A line is written under a lock and flushed to disk; the length of the file must not matter."""
    measurement = Ledger(paths.published_ledger()).measurements()[0]
    took = {}
    for name, folder in (("empty", tmp_path), ("large", large)):
        ledger = Ledger(folder)
        began = time.perf_counter()
        for _ in range(50):
            ledger.add(measurement)
        took[name] = (time.perf_counter() - began) / 50
    print(f"\n  ms to append: {1e3 * took['empty']:.2f} to an empty ledger, {1e3 * took['large']:.2f} to a large one")
    assert took["large"] < 3 * took["empty"]
