"""Results of long computations, stored for each notebook in ``data/results/NAME.json.gz``.

The profile ``anew`` computes them; the quick profile reads them, and repeats some of them to compare.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sutrolib.batch.stored import StoredResults
from sutrolib.core.format import duration
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind
from sutrolib.processes.study import Study

REPEAT_S = 3.0  # seconds, as stored, of the results that the quick profile repeats
REPEATABLE = (Kind.COUNTED, Kind.MODELLED)  # kinds of which a repetition gives the same number
T = TypeVar("T")


@dataclass
class Results:
    """Where a notebook's results come from: read from ``stored``, or computed, and kept in ``path`` if there is one."""

    stored: StoredResults | None = None
    kept: StoredResults | None = None
    path: Path = field(default_factory=Path)
    left: float = REPEAT_S  # of the seconds for repetitions
    read: int = 0
    repeated: int = 0
    differ: list[str] = field(default_factory=list)  # labels of results that a repetition did not give again

    def compute(self, label: str, task: Callable[[], T]) -> T:
        """The result of a task: stored, or computed here. What is quick is repeated, and counts if it differs."""
        known = self.stored.results.get(label) if self.stored else None
        if self.stored and known and known[0] > self.left:
            self.read += 1
            found: T = self.stored.value(label)
            return found
        began = time.perf_counter()
        value = task()
        seconds = time.perf_counter() - began
        if self.kept:
            self.kept.add(label, seconds, value)
            self.kept.write(self.path)  # at once, so that an error later loses nothing
        if self.stored and known:
            self.left -= known[0]
            self.repeated += 1
            before: T = self.stored.value(label)
            if equal(repeatable(value), repeatable(before)):
                return before  # so that all times are of one machine
            self.differ.append(label)
        return value

    @property
    def text(self) -> str:
        """How many results were read and how many were repeated, with the same outcome or not; empty if none were."""
        if not self.stored or not self.read + self.repeated:
            return ""
        took = f"all took {duration(self.stored.seconds)}"
        text = f"Stored results that were read: {self.read} ({self.stored.source}; {took}). "
        if not self.repeated:
            return text + f"Repeated here: none, as each takes over {REPEAT_S:g} s"
        text += f"Repeated here: {self.repeated}, "
        return text + (f"not the same: {', '.join(self.differ)}" if self.differ else "with the same scores and counts")


def repeatable(value: Any) -> list[Any]:
    """What a repetition must give again: scores, readings that are counted or modelled, trials by such a meter."""
    match value:
        case Measurement():
            readings = [(reading.name, reading.value) for reading in value.readings if reading.kind in REPEATABLE]
            return [value.seed, value.score, *readings]
        case Study() if value.kind in REPEATABLE:
            return [(str(trial.proposal), trial.cost, trial.score) for trial in value.trials]
        case Mapping():
            return [part for item in value.values() for part in repeatable(item)]
        case list() | tuple():
            return [part for item in value for part in repeatable(item)]
        case bool() | int() | str():
            return [value]
    return []


def equal(one: Any, other: Any) -> bool:
    """Whether two results are the same, floats up to what the order of additions changes."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)
