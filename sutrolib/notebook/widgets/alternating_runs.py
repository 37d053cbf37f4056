"""Two models measured in alternation in a worker process, so that a machine that slows down affects both.

On each seed the baseline runs first and then the candidate.
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
from sutrolib.notebook.widgets.worker import PAUSE_S, Channel

_TEXT_TRACE_UPDATES = 100  # a training on text is long: counts are extrapolated from these updates
_PROGRESS_INTERVAL_S = 0.2  # more messages would disturb a timing

Role = Literal["baseline", "candidate"]


@dataclass(frozen=True)
class RunProgress:
    """The pass of the run that is under way, and how many runs are done."""

    done: int
    seed: int
    role: Role
    doing: str


@dataclass(frozen=True)
class RunFinished:
    """A finished run."""

    role: Role
    run: Measurement


def run_alternating(
    channel: Channel,
    problem: Problem,
    baseline: Model,
    candidate: Model,
    meters: Sequence[type[Meter]],
    seeds: Sequence[int],
) -> None:
    """Measure both models on every seed; sends :class:`RunProgress` and :class:`RunFinished`."""
    models: dict[Role, Model] = {"baseline": baseline, "candidate": candidate}
    trace_updates = _TEXT_TRACE_UPDATES if problem.rung in ("letters", "shakespeare") else None
    with_time: tuple[type[Meter], ...] = (WallTime, *meters)
    counts = any(issubclass(meter, TracedMeter) for meter in meters)
    for done, (seed, role) in enumerate((seed, role) for seed in seeds for role in models):

        def say(doing: str, progress: tuple[int, int, Role] = (done, seed, role)) -> None:
            channel.try_send(RunProgress(*progress, doing))

        say("waiting until nothing else is measured on this machine")
        reporting = [_reporting(meter, say, counts) for meter in with_time]
        budget = Budget(watch=_learning_curve(say))
        run = measure(problem, models[role], reporting, seed, budget=budget, trace_updates=trace_updates)
        channel.send(RunFinished(role, run))
        if role == "candidate" and not counts:  # else one timing would follow directly on the other
            time.sleep(PAUSE_S)


def _learning_curve(say: Callable[[str], None]) -> Callable[[int, float], bool]:
    """A ``watch`` that reports the learning curve and never ends the training."""
    last = time.perf_counter()

    def watch(updates: int, score: float) -> bool:
        nonlocal last
        if time.perf_counter() - last >= _PROGRESS_INTERVAL_S:
            last = time.perf_counter()
            say(f"timed training, {updates:,} updates, held-out score {score:.3g}")
        return True

    return watch


def _reporting(meter: type[Meter], say: Callable[[str], None], counts: bool) -> Meter:
    """A meter that says when its pass begins. The pass of all counts follows on that of wall time."""

    class Reporting(meter):  # type: ignore[misc, valid-type]
        def repeat(self, work: Callable[[], Any]) -> Any:
            say(f"training for {self.title} ({self.kind})")
            result = super().repeat(work)
            if counts and isinstance(self, WallTime):
                say("training again, for the counts")
            return result

    made: Meter = Reporting()
    return made
