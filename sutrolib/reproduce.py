"""Every published figure that this project claims to reproduce, computed afresh and set beside what was published."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

SPRINT_1 = "Sutro group, technical sprint #1 (cybertronai.github.io/SutroYaro/google-docs/yaroslav-technical-sprint-1)"
RULE = "computed for this project by the rule of technical sprint #1"


@dataclass(frozen=True)
class Claim:
    """One published figure: what it is, who published it, its value and the tolerance within which ours must agree."""

    what: str
    source: str
    published: float
    ours: Callable[[], float]
    tolerance: float = 0.5  # half a unit in the last place of a figure published as a whole number


@dataclass(frozen=True)
class Reproduction:
    """A claim with our value beside it."""

    claim: Claim
    ours: float

    @property
    def difference(self) -> float:
        """Ours minus the published value."""
        return self.ours - self.claim.published

    @property
    def passed(self) -> bool:
        """Whether the two agree within the claim's tolerance."""
        return abs(self.difference) <= self.claim.tolerance


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
    from sutrolib.measure import trace_one_step
    from sutrolib.meters.ard import reuse
    from sutrolib.models.mlp import TwoLayerNetwork
    from sutrolib.problems.parity import SparseParity

    model = TwoLayerNetwork(hidden=1000, batch=1, update=update)  # type: ignore[arg-type]
    trace = trace_one_step(SparseParity(n=3, k=3), model)
    found = reuse(trace.accesses)
    by_buffer: dict[str, list[int]] = {}
    for buffer, distance in zip(found.buffer, found.distance, strict=True):
        by_buffer.setdefault(trace.buffers[buffer].label, []).append(int(distance))
    sizes = {int(b): int(e) for b, e in zip(trace.accesses.buffer, trace.accesses.elements, strict=True)}
    return StepReuse(found.per_read, found.per_float, int(found.floats.sum()), sum(sizes.values()), by_buffer)


def claims() -> Iterator[Claim]:
    """All claims, in the order in which they are printed."""
    for update, per_read, per_float, source in (
        ("standard", 9716, 10640, RULE),
        ("fused", 8174, 10219, SPRINT_1),
    ):
        step = functools.partial(sprint_step, update)
        yield Claim(f"ARD per read, {update} step", SPRINT_1, per_read, lambda step=step: step().per_read)  # type: ignore[misc]
        yield Claim(f"ARD per float, {update} step", source, per_float, lambda step=step: step().per_float)  # type: ignore[misc]
        yield Claim(f"floats read, {update} step", SPRINT_1, 19013, lambda step=step: step().floats_read, 0)  # type: ignore[misc]
        yield Claim(f"working set in floats, {update} step", SPRINT_1, 10008, lambda step=step: step().working_set, 0)  # type: ignore[misc]
    yield Claim(
        "ARD saved by the fused order, %",
        SPRINT_1,
        16,
        lambda: 100 * (1 - sprint_step("fused").per_read / sprint_step("standard").per_read),
    )
    for what, update, label, read, published in (
        ("dW2 distance", "standard", "linear_grad[0]", 0, 16005),
        ("dW2 distance", "fused", "linear_grad[0]", 0, 3002),
        ("db2 distance", "standard", "linear_grad[1]", 0, 18005),
        ("db2 distance", "fused", "linear_grad[1]", 0, 5002),
        ("W1 distance, first read", "fused", "W1", 0, 5008),
        ("W1 distance, second read", "fused", "W1", 1, 25022),
    ):
        yield Claim(
            f"{what}, {update} step",
            SPRINT_1,
            published,
            lambda update=update, label=label, read=read: sprint_step(update).by_buffer[label][read],  # type: ignore[misc]
            0,
        )


def reproduce() -> list[Reproduction]:
    """Compute every claim."""
    return [Reproduction(claim, claim.ours()) for claim in claims()]
