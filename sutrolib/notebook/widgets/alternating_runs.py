"""Two models weighed in turn, in a process of their own: the baseline and then the candidate, on each seed.

In turn, so that a machine that slows down slows both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sutrolib.core.types import Budget, Model, Problem
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters import Meter, WallTime
from sutrolib.meters.access.trace import TracedMeter
from sutrolib.notebook.widgets.worker import BREATH, Channel

TRACED_TEXT = 100  # updates: a training on text is long, and what adds up is carried on from these
EVERY = 0.2  # seconds between two words on the same training: within a timing, more of them would count

Role = Literal["baseline", "candidate"]


@dataclass(frozen=True)
class Now:
    """What is being done: of all runs, how many are done, and which pass of which run is under way."""

    done: int
    seed: int
    whose: Role
    doing: str


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    whose: Role
    run: Measurement


def run_alternating(
    line: Channel, problem: Problem, baseline: Model, candidate: Model, meters: Sequence[type[Meter]], seeds: Sequence[int]
) -> None:
    """Measure both models on every seed; tells :class:`Now` and :class:`Finished`."""
    both: tuple[tuple[Role, Model], ...] = (("baseline", baseline), ("candidate", candidate))
    cut = TRACED_TEXT if problem.rung in ("letters", "shakespeare") else None
    done = 0
    for seed in seeds:
        for whose, model in both:
            say = _teller(line, done, seed, whose)
            say("waiting until nothing else is timed on this machine")
            told = _announced(meters, say)
            run = measure(problem, model, told, seed, budget=Budget(watch=_watch(say)), trace_updates=cut)
            line.tell(Finished(whose, run))
            done += 1
        if not counted(meters):  # else nothing but timings would follow on each other
            time.sleep(BREATH)


def counted(meters: Sequence[type[Meter]]) -> bool:
    """Whether one of these counts, in passes that are not timed."""
    return any(issubclass(meter, TracedMeter) for meter in meters)


def _teller(line: Channel, done: int, seed: int, whose: Role) -> Callable[[str], None]:
    return lambda doing: line.try_send(Now(done, seed, whose, doing))


def _watch(say: Callable[[str], None]) -> Callable[[int, float], bool]:
    """Tells of the learning curve, and never ends it."""
    last = time.perf_counter()

    def watch(updates: int, score: float) -> bool:
        nonlocal last
        if time.perf_counter() - last >= EVERY:
            last = time.perf_counter()
            say(f"training under the clock, {updates:,} updates, held-out score {score:.3g}")
        return True

    return watch


def _announced(meters: Sequence[type[Meter]], say: Callable[[str], None]) -> list[Meter]:
    """The clock and ``meters``, which say when their pass begins.

    That of all counts has no beginning of its own, and follows on the clock's.
    """
    counts = counted(meters)

    def announced(meter: type[Meter]) -> Meter:
        class Announced(meter):  # type: ignore[misc, valid-type]
            def repeat(self, work: Callable[[], Any]) -> Any:
                say(f"training for {self.title} ({self.kind})")
                result = super().repeat(work)
                if counts and isinstance(self, WallTime):
                    say("training again, to count")
                return result

        with_values: Meter = Announced()
        return with_values

    clocked: tuple[type[Meter], ...] = (WallTime, *meters)
    return [announced(meter) for meter in clocked]
