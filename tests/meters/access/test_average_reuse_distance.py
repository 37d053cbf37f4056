import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.meters import NoReading, PeakMemory, ReuseDistance
from sutrolib.meters.access.average_reuse_distance import buffer_reuse
from sutrolib.meters.access.trace import READ, WRITE, Accesses


def accesses(stream, sizes):
    write, buffer = (np.array(column, dtype=np.int64) for column in zip(*stream, strict=True))
    elements = np.array(sizes, dtype=np.int64)
    whole = np.arange(len(elements) + 1), np.zeros_like(elements), 4 * elements  # set of ranges b: all of buffer b
    return Accesses(write, buffer, buffer, elements[buffer], 4 * elements[buffer], *whole, 4 * elements)


def by_the_definition(stream, sizes):
    clock, written, distances = 0, {}, []
    for direction, buffer in stream:
        if direction == WRITE:
            written[buffer] = clock
        elif buffer in written:
            distances.append((clock - written[buffer], sizes[buffer]))
        clock += sizes[buffer]
    return distances


@given(
    sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=6),
    moves=st.lists(st.tuples(st.sampled_from([READ, WRITE]), st.integers(0, 5)), min_size=1, max_size=60),
)
def test_distances_are_those_of_the_definition(sizes, moves):
    stream = [(direction, buffer % len(sizes)) for direction, buffer in moves]
    expected = by_the_definition(stream, sizes)
    if not expected:
        with pytest.raises(NoReading):
            buffer_reuse(accesses(stream, sizes))
        return
    found = buffer_reuse(accesses(stream, sizes))
    assert list(zip(found.distance, found.floats, strict=True)) == expected
    assert found.per_read == pytest.approx(np.mean([d for d, _ in expected]))
    assert found.per_float == pytest.approx(np.average([d for d, _ in expected], weights=[f for _, f in expected]))


def test_a_read_of_what_was_never_written_is_cold():
    found = buffer_reuse(accesses([(READ, 0), (WRITE, 1), (READ, 1)], [7, 3]))
    assert (found.cold, found.distance.tolist()) == (7, [3])


def test_the_meter_reads_a_block_and_names_its_kind():
    with ReuseDistance() as meter:
        a = torch.ones(10)
        a * 2
    assert (meter.reading.value, meter.reading.unit, meter.reading.kind) == (10, "floats", "counted")


def test_a_block_without_torch_has_no_reading():
    for meter in (ReuseDistance(), PeakMemory()):
        with pytest.raises(NoReading), meter:
            sum(range(10))
        with pytest.raises(NoReading):
            _ = meter.reading
