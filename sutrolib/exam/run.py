"""The final exam: nanoGPT with less energy, sacrificing neither time nor accuracy.

Over at least five paired seeds, the baseline and every entry of a division are trained in turn in one process, each
weighed with all that it needs (:mod:`sutrolib.exam.evaluate`). Every finished sitting is kept in the ledger, as any
measurement, and in the exam's record (:mod:`sutrolib.exam.record`), from which an interrupted exam goes on where it
stopped, and a finished one is read rather than held again. :mod:`sutrolib.exam.verdict` says what follows from it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from sutrolib.core.types import Budget
from sutrolib.exam.entries import BASELINE, CLOSED, Entry, Scale
from sutrolib.exam.evaluate import sit
from sutrolib.exam.record import Record, opened
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import CodeCarbon, Joules
from sutrolib.meters.base import JouleMeter
from sutrolib.meters.energy.combined import CombinedMeter


@dataclasses.dataclass(frozen=True)
class Sat:
    """One sitting that has just ended: which one of how many, and the seconds that the others may take."""

    number: int
    total: int
    name: str
    seed: int
    run: Measurement
    left_s: float


def examine(
    scale: Scale,
    division: str,
    seeds: int = 5,
    *,
    again: bool = False,
    meters: Sequence[JouleMeter] | None = None,
    told: Callable[[Sat], None] = lambda sat: None,
) -> Record:
    """Hold the sittings that the record still lacks, and return it; ``told`` is told of each.

    ``meters`` are CodeCarbon and the counters unless given, of which those that work here are used.
    Raises ValueError for fewer than five seeds, an unknown division, and a record of another exam.
    """
    record = opened(scale, division, seeds, again)
    together = CombinedMeter([CodeCarbon(), Joules()] if meters is None else meters)
    left = record.left()
    if left:
        warm_up(scale)
    total, taken = len(record.contestants) * record.seeds, dict[str, float]()
    for number, (seed, name) in enumerate(left, start=1):
        began = time.perf_counter()
        run = _sitting(scale, division, name, seed, together)
        record.keep(name, run)
        Ledger().add(run)  # for the cube
        taken[name] = time.perf_counter() - began
        told(Sat(total - len(left) + number, total, name, seed, run, _seconds_left(left[number:], taken)))
    return record


def warm_up(scale: Scale) -> None:
    """Two updates of the baseline, uncharged: it sits first, and libraries load at their first use in a process."""
    scale.baseline.fit(scale.problem.sample(0).for_training(), 0, Budget(steps=2))


def _sitting(scale: Scale, division: str, name: str, seed: int, together: CombinedMeter) -> Measurement:
    entries = {entry.name: entry for entry in scale.division(division)}
    entry = entries.get(name) or Entry(BASELINE, scale.baseline, "as published")
    return sit(
        dataclasses.replace(scale.problem, in_order=entry.in_order),
        entry.model,
        seed,
        together,
        closed=scale.baseline if division == CLOSED else None,
        traced=seed == 0,  # what is counted and modelled hardly depends on the seed, and takes long
        trace_updates=scale.trace_updates if entry.trace_updates == 0 else entry.trace_updates,
        process=entry.process,
    )


def _seconds_left(left: Sequence[tuple[int, str]], taken: dict[str, float]) -> float:
    """As long as the last sitting of the same name took; of a name that has not sat, as long as the longest one."""
    longest = max(taken.values())
    return sum(taken.get(name, longest) for _, name in left)
