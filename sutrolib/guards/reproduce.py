"""Every published figure that this project claims to reproduce, computed again; here those about metrics."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sutrolib.guards.claims import Claim, Reproduction, problem_claims
from sutrolib.guards.proxy_traps import gf2_reuse
from sutrolib.measurement.measure import trace_one_step
from sutrolib.meters.access.average_reuse_distance import buffer_reuse
from sutrolib.meters.access.reuse_distance import sequence_histograms
from sutrolib.meters.programs.bytedmd import bytedmd, traced_eval
from sutrolib.meters.programs.grid_cost import GridProgram, naive_matmul
from sutrolib.models.kernels.matmul import matrix_product, product_reads, rows_times_vector, vector_times_columns
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity

_SPRINT_1 = "Sutro group, technical sprint #1 (cybertronai.github.io/SutroYaro/google-docs/yaroslav-technical-sprint-1)"
_SUTRO_YARO = "Sutro group, DISCOVERIES.md and experiments of 2026-03-22 (github.com/cybertronai/SutroYaro)"
_BYTE_DMD = "ByteDMD (github.com/cybertronai/ByteDMD), its description and tests"
_BEYOND_TIME = "Smith, Goldfarb, Ding, Beyond Time Complexity, ICS 2022 (arXiv 2203.02536)"
_GRID = "Sutro group, simplified Dally model: the example and the naive matrix product"
_SPRINT_1_RULE = "computed for this project by the rule of technical sprint #1"


@dataclass(frozen=True)
class StepReuse:
    """The reuse figures of one SGD step of the sprint's network, in floats."""

    per_read: float
    per_float: float
    floats_read: int
    working_set: int
    by_buffer: dict[str, list[int]]  # the distances of a buffer's reads, in order


@functools.cache
def sprint_step(update: str) -> StepReuse:
    """One traced SGD step on 3-bit parity with 1000 hidden units and batch 1, in ``standard`` or ``fused`` order.

    Buffers that the step makes are named after the operator that first writes them: linear_grad[0] is dW2,
    linear_grad[1] is db2.
    """
    model = TwoLayerNetwork(hidden=1000, batch=1, update=update)  # type: ignore[arg-type]
    trace = trace_one_step(SparseParity(n=3, k=3), model)
    found = buffer_reuse(trace.accesses)
    by_buffer: dict[str, list[int]] = {}
    for buffer, distance in zip(found.buffer, found.distance, strict=True):
        by_buffer.setdefault(trace.buffers[buffer].label, []).append(int(distance))
    sizes = {int(b): int(e) for b, e in zip(trace.accesses.buffer, trace.accesses.elements, strict=True)}
    return StepReuse(found.per_read, found.per_float, int(found.floats.sum()), sum(sizes.values()), by_buffer)


def claims(slow: bool = False) -> Iterator[Claim]:
    """All claims, in the order in which they are printed; slow ones only if ``slow``."""
    yield from _sprint_claims()
    yield from _byte_dmd_claims()
    yield from _data_movement_claims()
    yield from (claim for claim in problem_claims() if slow or not claim.slow)


def reproduce_claims(slow: bool = False) -> list[Reproduction]:
    """Compute every claim."""
    return [claim.reproduce() for claim in claims(slow)]


def _sprint_claims() -> Iterator[Claim]:
    quantities: dict[str, Callable[[StepReuse], float]] = {
        "ARD per read": lambda step: step.per_read,
        "ARD per float": lambda step: step.per_float,
        "floats read": lambda step: step.floats_read,
        "working set in floats": lambda step: step.working_set,
        "dW2 distance": lambda step: step.by_buffer["linear_grad[0]"][0],
        "db2 distance": lambda step: step.by_buffer["linear_grad[1]"][0],
        "W1 distance, first read": lambda step: step.by_buffer["W1"][0],
        "W1 distance, second read": lambda step: step.by_buffer["W1"][1],
    }
    published = {
        "standard": (9716, 10640, 19013, 10008, 16005, 18005),
        "fused": (8174, 10219, 19013, 10008, 3002, 5002, 5008, 25022),
    }
    for update, values in published.items():
        for value, (quantity, read) in zip(values, quantities.items(), strict=False):
            source = _SPRINT_1_RULE if (quantity, update) == ("ARD per float", "standard") else _SPRINT_1
            compute = functools.partial(lambda read, update: read(sprint_step(update)), read, update)
            yield Claim(f"{quantity}, {update} step", source, value, compute, 0.5 if "ARD" in quantity else 0)

    def saved() -> float:
        return 100 * (1 - sprint_step("fused").per_read / sprint_step("standard").per_read)

    yield Claim("ARD saved by the fused order, %", _SPRINT_1, 16, saved)


def _byte_dmd_claims() -> Iterator[Claim]:
    def claim(quantity: str, published: int, compute: Callable[..., int], *arguments: object) -> Claim:
        return Claim(quantity, _BYTE_DMD, published, functools.partial(compute, *arguments), 0)

    def digits(program: Callable[..., object], arguments: tuple[object, ...]) -> int:
        return int("".join(map(str, traced_eval(program, arguments)[0])))

    def divided(a: int, b: int) -> int:
        q, r = divmod(a, b)
        return q + r + a

    def zipped(a: list[int], b: list[int]) -> int:
        return sum(x * y for x, y in zip(a, b, strict=True))

    vectors = [1, 2], [3, 4]
    programs: tuple[tuple[str, Callable[..., object], tuple[object, ...], int, int], ...] = (
        ("(a + b) + c", lambda a, b, c: (a + b) + c, (1, 2, 3), 1212, 6),
        ("a + a", lambda a: a + a, (1,), 11, 0),
        ("(b + c) > (a + d)", lambda a, b, c, d: (b + c) > (a + d), (1, 2, 3, 4), 232321, 11),
        ("a[0] b[0] + a[1] b[1]", lambda a, b: a[0] * b[0] + a[1] * b[1], vectors, 242321, 11),
        ("the same by sum and zip", zipped, vectors, 0, 12),
        ("a > 0, then a * 2", lambda a: a * 2 if a > 0 else a, (3,), 111, 0),
        ("q, r = divmod(a, b); q + r + a", divided, (7, 3), 122112, 0),
    )
    for what, program, arguments, depths, cost in programs:  # 0 where nothing is published
        if depths:
            yield claim(f"depths of the reads of {what}, as digits", depths, digits, program, arguments)
        if cost:
            yield claim(f"ByteDMD of {what}", cost, bytedmd, program, arguments)
    what, program, arguments, *_ = programs[0]
    yield claim(f"ByteDMD of {what} at two bytes a value", 14, bytedmd, program, arguments, 2)
    for what, program, costs in (
        ("A x, row by row", rows_times_vector, (26, 75, 157, 270, 422, 615, 896)),
        ("x^T A", vector_times_columns, (25, 72, 150, 258, 397, 572, 832)),
    ):
        for n, cost in enumerate(costs, start=2):
            yield claim(f"ByteDMD of {what}, N={n}", cost, bytedmd, program, (np.ones((n, n)), np.ones(n)))
    for n, cost in ((2, 57), (4, 720), (8, 8867), (16, 109_783)):
        factors = np.ones((n, n)), np.ones((n, n))
        yield claim(f"ByteDMD of the naive product, N={n}", cost, bytedmd, matrix_product, factors)


def _data_movement_claims() -> Iterator[Claim]:
    def undercount() -> float:
        return statistics.mean(fine.dmc / coarse.dmc for coarse, fine in (gf2_reuse(seed=s) for s in range(10)))

    second_a = sequence_histograms("abbbca").stack.distance
    yield Claim("distance of the second a in abbbca", _BEYOND_TIME, 3, lambda: float(second_a.max()), 0)
    product = "naive product, data movement over closed form, n=128"
    yield Claim(product, _BEYOND_TIME, 1, lambda: naive_ratio(128), 0.01)
    example = GridProgram.parse("1,2,3,4,5;mul 1,1,2;mul 2,3,4;add 1,1,2;add 1,1,5;1")
    yield Claim("cost of a*b + c*d + e on the grid", _GRID, 15, lambda: example.cost, 0)
    for n, cost in ((1, 5), (4, 1316), (16, 340_704)):
        naive = functools.partial(getattr, naive_matmul(n), "cost")
        yield Claim(f"cost of the naive product on the grid, n={n}", _GRID, cost, naive, 0)
    yield Claim("ARD of GF(2), coarse", _SUTRO_YARO, 420, lambda: gf2_reuse()[0].per_read, 0)
    yield Claim("total (floats x sqrt(distance)) of GF(2), coarse", _SUTRO_YARO, 8607, lambda: gf2_reuse()[0].dmc)
    why = "published for an elimination whose code was not available, so ours may read other elements"
    factor = "times that coarse tracking undercounts GF(2)"
    yield Claim(factor, _SUTRO_YARO, 22, undercount, known_difference=why)


def naive_ratio(n: int) -> float:
    """Data movement distance of the naive matrix product over the closed form of its section 5.1."""
    near = n**3 * math.sqrt(2 * n) + (n**3 - 2 * n**2 + n) * math.sqrt(n * n + 2 * n)
    far = sum(2 * n * math.sqrt(n * n + n + i) for i in range(1, n)) + n * math.sqrt(n * n + n)
    return sequence_histograms(product_reads(n)).stack.dmd / (near + far)
