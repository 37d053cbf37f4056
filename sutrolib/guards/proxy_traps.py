"""Known traps: pairs of programs on which a proxy metric is wrong, to test that an audit can say no.

Each trap holds two PyTorch programs that do the same job. The proxy prefers one, modelled energy the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch

from sutrolib.meters import TorchTrace
from sutrolib.meters.access.average_reuse_distance import BufferReuse, ReuseDistance, buffer_reuse
from sutrolib.meters.access.cache_energy import HOROWITZ_2014, CacheEnergy
from sutrolib.meters.access.reuse_distance import DataMovement
from sutrolib.meters.access.trace import TracedMeter
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity

_Program: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Trap:
    """Two programs for one job: ARD prefers ``proxy_preferred``; ``truly_cheaper`` costs less energy."""

    name: str
    because: str
    proxy_preferred: Callable[[], _Program]  # each makes a program; the preparations are not measured
    truly_cheaper: Callable[[], _Program]


@dataclass(frozen=True)
class TrapResult:
    """Three metrics, proxy-preferred over truly cheaper program: below 1 if the metric prefers the first."""

    trap: Trap
    ratios: Mapping[str, float]

    @property
    def fooled(self) -> tuple[str, ...]:
        """The metrics that prefer the program with the higher modelled energy."""
        dearer = self.ratios["cache-energy"] > 1
        return tuple(name for name, ratio in self.ratios.items() if dearer and ratio < 1)


def known_traps() -> tuple[Trap, ...]:
    """The traps that this group has met, as runnable programs."""
    return (
        Trap(
            "single samples instead of batches",
            "single samples have shorter distances but more accesses, and a mean ignores their number",
            lambda: _steps(batch=1, samples=64),
            lambda: _steps(batch=32, samples=64),
        ),
        Trap(
            "a narrower network that trains longer",
            "a quarter of the hidden units shorten each distance, and eight times the steps make more accesses",
            lambda: _steps(batch=32, samples=32 * 80, hidden=50),
            lambda: _steps(batch=32, samples=32 * 10, hidden=200),
        ),
        Trap(
            "many passes over little data instead of one over much",
            "a stream has a long distance at each of its few accesses",
            lambda: partial(_halve, elements=1000, count=2000),
            lambda: partial(_halve, elements=100_000, count=1),
        ),
    )


def run_trap(trap: Trap) -> TrapResult:
    """Run both programs of a trap under ARD, data movement distance and modelled energy at 45 nm."""
    meters: tuple[TracedMeter, ...] = (ReuseDistance(), DataMovement(), CacheEnergy(HOROWITZ_2014))
    values = []
    for prepare in (trap.proxy_preferred, trap.truly_cheaper):
        program = prepare()
        with torch.inference_mode(), TorchTrace() as trace:
            program()
        values.append({meter.name: meter.read(trace).value for meter in meters})
    return TrapResult(trap, {name: values[0][name] / values[1][name] for name in values[0]})


def _steps(batch: int, samples: int, hidden: int = 200) -> _Program:
    """SGD steps of the two-layer network over ``samples`` samples, repeating those of the task."""
    model = TwoLayerNetwork(hidden=hidden, batch=batch)
    train = SparseParity().sample(0).train
    parameters = model.init_parameters(train.x.shape[1], 0)

    def program() -> None:
        for start in range(0, samples, batch):
            rows = slice(start % len(train), start % len(train) + batch)
            model.step(parameters, train.x[rows], train.y[rows])

    return program


def _halve(elements: int, count: int) -> None:
    data = torch.ones(elements)
    for _ in range(count):
        data.mul_(0.5)


def gf2_reuse(rows: int = 21, bits: int = 20, seed: int = 0) -> tuple[BufferReuse, BufferReuse]:
    """GF(2) elimination of random equations under a coarse tracker, and with each row operation tracked.

    Coarse: the matrix is written, and read as a whole. Distances and sizes are in elements, as in technical sprint #1.
    """
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randint(2, (rows, bits), generator=generator, dtype=torch.int32)
    with torch.inference_mode(), TorchTrace() as coarse:
        matrix = matrix.clone()
        matrix.amax(0)  # one read stands for the whole elimination
    lines = [line.clone() for line in matrix]
    with torch.inference_mode(), TorchTrace() as fine:
        fine.load_inputs({f"row {index}": line for index, line in enumerate(lines)})
        _eliminate(lines, bits)
    return buffer_reuse(coarse.accesses), buffer_reuse(fine.accesses)


def _eliminate(lines: list[torch.Tensor], bits: int) -> None:
    done = 0
    for column in range(bits):
        pivot = next((r for r in range(done, len(lines)) if lines[r][column].item()), None)
        if pivot is None:
            continue
        lines[done], lines[pivot] = lines[pivot], lines[done]
        for index, line in enumerate(lines):
            if index != done and line[column].item():
                line.bitwise_xor_(lines[done])
        done += 1
