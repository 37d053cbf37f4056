"""The reuse histogram: exact against a naive list-based stack, for units of every size, and what is summed over it."""

import math

import numpy as np
import pytest
import torch
from gpt import training_step
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import naive_stack, plain_fenwick, recursive_product

from sutrolib.guards.reproduce import naive_ratio
from sutrolib.meters import DataMovement, NoReading, TorchTrace
from sutrolib.meters.access.lru_stack import LRUStack
from sutrolib.meters.access.reuse_distance import histograms, sequence_histograms
from sutrolib.models.kernels.matmul import product_reads


@given(st.lists(st.integers(0, 40), max_size=300), st.integers(1, 299))
def test_distances_are_those_of_a_list_searched_from_the_top(sequence, cut):
    stack = LRUStack(len(sequence))
    pieces = [stack.access(np.array(part, np.int64)) for part in (sequence[:cut], sequence[cut:])]
    found = np.concatenate([distances for distances, _ in pieces]).tolist()
    assert found == [-1 if distance is None else distance for distance in naive_stack(sequence)]
    passed = np.concatenate([times for _, times in pieces]).tolist()
    last = {}
    for now, item in enumerate(sequence):
        assert passed[now] == (now - last[item] if item in last else -1)
        last[item] = now


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 700, 3000]))
def test_long_streams_across_many_blocks_are_exact_too(seed, units):
    sequence = np.random.default_rng(seed).integers(units, size=4000)
    found, _ = LRUStack(len(sequence)).access(sequence)
    assert found.tolist() == [-1 if d is None else d for d in naive_stack(sequence.tolist())]


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_runs_of_any_length_are_as_far_as_their_units_one_by_one(seed):
    rng = np.random.default_rng(seed)
    parts = [np.arange(first := rng.integers(9000), first + rng.integers(1, 2000)) for _ in range(280)]
    parts += [np.full(rng.integers(1, 300), rng.integers(9000)) for _ in range(20)]
    sequence = np.concatenate([parts[part] for part in rng.permutation(len(parts))])  # its tree has three levels
    found, _ = LRUStack(len(sequence)).access(sequence)
    assert (found == plain_fenwick(sequence, int(sequence.max()) + 1)).all()


def test_the_second_a_of_abbbca_has_a_distance_of_3_and_a_time_of_5():
    stack, time = sequence_histograms("abbbca")
    assert dict(zip(stack.distance.tolist(), stack.reads.tolist(), strict=True)) == {1: 2, 3: 1}
    assert dict(zip(time.distance.tolist(), time.reads.tolist(), strict=True)) == {1: 2, 5: 1}
    assert stack.cold_reads == 3
    assert stack.dmd == pytest.approx(2 + math.sqrt(3))
    assert stack.byte_dmd == 1 + 1 + 2


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200))
def test_the_miss_ratio_curve_is_that_of_a_least_recently_used_cache_of_every_size(sequence):
    histogram = sequence_histograms(sequence).stack
    capacities, ratios = histogram.miss_ratio_curve()
    for capacity in range(23):
        cache, misses = [], 0
        for item in sequence:
            misses += item not in cache
            cache = [item, *(other for other in cache if other != item)][:capacity]
        assert histogram.misses(capacity) == misses
        assert ratios[np.searchsorted(capacities, capacity, side="right") - 1] == pytest.approx(misses / len(sequence))


# Accesses of PyTorch programs against the definition: every unit of every element, one by one.


def by_the_definition(trace, unit):
    accesses = trace.accesses
    sequence, writes = [], []
    for index in range(len(accesses)):
        ranges = slice(
            accesses.set_offsets[accesses.range_set[index]], accesses.set_offsets[accesses.range_set[index] + 1]
        )
        touched = []
        for start, length in zip(accesses.range_start[ranges], accesses.range_nbytes[ranges], strict=True):
            touched += [
                line for line in range(start // unit, (start + length - 1) // unit + 1) if [line] != touched[-1:]
            ]
        sequence += [(int(accesses.buffer[index]), int(line)) for line in touched]
        writes += [int(accesses.write[index])] * len(touched)
    return naive_stack(sequence), writes


def program_views():
    a = torch.ones(20, 30)
    b = a[3:17:2, 5:29:3] * 2
    a.t()[:7].add_(1)
    b.sum()
    torch.empty(0, 4) * 2


def program_types():
    a = torch.ones(33, dtype=torch.bfloat16)
    b = torch.ones(17, dtype=torch.complex64)
    (a * 2).float().sum()
    (b * b).abs()


def program_selects():
    table = torch.arange(400.0).view(40, 10)
    rows = torch.tensor([3, 39, 3, 0])
    table[rows] * 2
    torch.nn.functional.embedding(rows, table)
    table.gather(0, rows[:, None])
    table.index_add_(0, rows, torch.ones(4, 10))
    table[rows, 2] = 5


def program_optimizer(**options):
    p = [torch.nn.Parameter(torch.ones(n)) for n in (5, 70)]
    adam = torch.optim.AdamW(p, **options)
    for tensor in p:
        tensor.grad = torch.ones_like(tensor)
    adam.step()


PROGRAMS = [
    program_views,
    program_types,
    program_selects,
    lambda: program_optimizer(foreach=True),
    lambda: program_optimizer(fused=True),
]


@pytest.mark.parametrize("unit", [1, 4, 64])
@pytest.mark.parametrize("program", PROGRAMS, ids=["views", "types", "selects", "foreach", "fused"])
def test_the_histogram_of_a_program_is_exact(program, unit):
    trace = TorchTrace()
    with trace:
        program()
    distances, writes = by_the_definition(trace, unit)
    found = histograms(trace.accesses, unit).stack
    expected = {}
    for distance, write in zip(distances, writes, strict=True):
        expected[distance, write] = expected.get((distance, write), 0) + 1
    assert (found.cold_reads, found.cold_writes) == (expected.pop((None, 0), 0), expected.pop((None, 1), 0))
    table = zip(found.distance.tolist(), found.reads.tolist(), found.writes.tolist(), strict=True)
    got = {(d // unit, write): n for d, *both in table for write, n in enumerate(both) if n}
    assert got == expected


def test_what_was_freed_and_is_used_again_is_new_and_still_takes_its_place_on_the_stack():
    trace = TorchTrace()
    with trace:
        keep = torch.ones(16)
        for _ in range(30):
            torch.ones(16)
        keep * 2
    found = histograms(trace.accesses, 64).stack
    assert found.distance.tolist() == [31 * 64]


@pytest.mark.parametrize("unit", [0, -64, 1.5, True, "line"])
def test_another_unit_is_refused(unit):
    with TorchTrace() as trace:
        torch.ones(3)
    with pytest.raises(ValueError, match="unit must be"):
        histograms(trace.accesses, unit)


def test_an_empty_stream_has_no_histogram_and_a_stream_without_reuse_no_mean():
    with pytest.raises(NoReading, match="nothing was accessed"), DataMovement():
        pass
    with pytest.raises(NoReading, match="nothing is accessed twice"):
        _ = sequence_histograms("abc").stack.mean


def test_the_meter_reads_the_sum_of_the_roots():
    with DataMovement() as meter:
        a = torch.ones(16)
        a * a
    assert meter.reading.value == pytest.approx(1 + 1)
    assert (meter.reading.kind, meter.reading.unit) == ("modelled", "sqrt(lines)")
    assert meter.reading.detail["bytes_accessed"] == 4 * 64


def test_a_whole_nanogpt_step_gives_the_same_histogram_twice():
    step = training_step(batch=2, context=16)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        with TorchTrace() as trace:
            step()
        found.append(histograms(trace.accesses, 64).stack)
    assert found[0].accesses == found[1].accesses > 100_000
    assert found[0].dmd == found[1].dmd


# Data movement distance of matrix products: arXiv 2203.02536 (Smith, Goldfarb, Ding), section 5 and its theorems.


def dmd(accesses):
    return sequence_histograms(accesses).stack.dmd


def test_the_naive_product_approaches_the_closed_form():
    ratios = [naive_ratio(n) for n in (4, 8, 16, 32, 64)]
    # The paper counts first accesses as reuses too: a share of 1/n.
    assert [1 - ratio for ratio in ratios] == pytest.approx([1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64], rel=0.25)
    assert ratios == sorted(ratios)
    assert abs(1 - ratios[-1]) < 0.02


def test_the_naive_product_grows_towards_the_fourth_power():
    growth = [math.log2(dmd(product_reads(2 * n)) / dmd(product_reads(n))) for n in (8, 16, 32, 64)]
    assert growth[-1] == pytest.approx(4, abs=0.1)


def test_tiles_move_less_and_best_near_the_root_of_n_as_theorem_3_says():
    found = {tile: dmd(product_reads(64, tile)) for tile in (1, 2, 4, 8, 16, 32, 64)}
    assert min(found, key=found.get) == 8
    assert found[1] == pytest.approx(found[64])
    assert found[1] > found[2] > found[4] > found[8] < found[16] < found[32] < found[64]
    growth = math.log2(dmd(product_reads(64, 8)) / dmd(product_reads(16, 4))) / 2
    assert growth == pytest.approx(3.5, abs=0.2)


def test_the_recursive_product_grows_slower_than_the_naive_one_as_theorem_4_says():
    recursive = [dmd(recursive_product(n)) for n in (8, 16, 32, 64)]
    naive = [dmd(product_reads(n, 1)) for n in (8, 16, 32, 64)]
    assert math.log2(recursive[-1] / recursive[-2]) == pytest.approx(3.5, abs=0.1)
    assert math.log2(naive[-1] / naive[-2]) > 3.8
    ratios = [one / other for one, other in zip(recursive, naive, strict=True)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 1 < ratios[0]
