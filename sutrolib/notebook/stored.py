"""Results of long computations, stored for each notebook in ``data/results/NAME.json.gz``.

The profile ``anew`` computes them; the quick profile reads them, and repeats some of them to compare. They are read
only with the parameters and the sources of the library that they were computed with, else a notebook computes them.
The files are decoded by jsonpickle, which can run code: they must be trusted as the library is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sutrolib.core.format import duration
from sutrolib.core.io import write_atomically
from sutrolib.core.paths import ROOT
from sutrolib.core.provenance import commit, machine, now
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind
from sutrolib.processes.study import Study

REPEAT_S = 3.0  # seconds, as stored, of the results that the quick profile repeats
REPEATABLE = (Kind.COUNTED, Kind.MODELLED)  # kinds of which a repetition gives the same number
_SHOW = {"batch", "cli", "meeting", "notebook", "plots"}  # wings that compute no result
T = TypeVar("T")


@dataclass
class StoredResults:
    """The results of one notebook with one set of parameters: when and where they were computed, and from what.

    ``sources`` are the hashes of the library's modules that were loaded; ``results`` holds the seconds and the encoded
    value of each label.
    """

    parameters: Mapping[str, Any]
    when: str = field(default_factory=now)
    commit: str = field(default_factory=commit)
    machine: Mapping[str, Any] = field(default_factory=machine)
    sources: Mapping[str, str] = field(default_factory=dict)
    results: dict[str, tuple[float, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> StoredResults | None:
        """The results of a file; None if there is none. Raises ValueError, with what to do, if it cannot be read."""
        try:
            return cls(**json.loads(gzip.decompress(path.read_bytes())))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} cannot be read ({why}): restore it with git, or remove it") from error

    def outdated(self, parameters: Mapping[str, Any]) -> str:
        """Why they are not what a notebook with these parameters would compute now; empty if they are."""
        if self.parameters != parameters:
            return "they are of other parameters"
        changed = [name for name, digest in self.sources.items() if _digest(ROOT / name) != digest]
        return f"sources of the library have changed since: {', '.join(changed[:3])}" if changed else ""

    def write(self, path: Path) -> None:
        """Write all results, atomically, with the sources that are loaded by now."""
        files = [Path(str(module.__file__)) for name, module in sys.modules.items() if name.startswith("sutrolib.")]
        computing = (file for file in files if file.relative_to(ROOT / "sutrolib").parts[0] not in _SHOW)
        self.sources = {file.relative_to(ROOT).as_posix(): _digest(file) for file in sorted(computing)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, gzip.compress(json.dumps(vars(self)).encode(), mtime=0))

    def value(self, label: str) -> Any:
        """The result of a label. Raises KeyError if there is none."""
        return _pickler().decode(self.results[label][1], keys=True)

    def add(self, label: str, seconds: float, value: Any) -> None:
        """Keep a result."""
        self.results[label] = seconds, _pickler().encode(value, keys=True)

    @property
    def source(self) -> str:
        """When, where and at which commit they were computed, in words."""
        day = f"{datetime.fromisoformat(self.when):%d %B %Y}".lstrip("0")
        return f"{day}, commit {self.commit or 'unknown'}, {self.machine['processor']}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.exists() else ""


def _pickler() -> Any:
    import jsonpickle
    import jsonpickle.ext.numpy

    jsonpickle.ext.numpy.register_handlers()
    return jsonpickle


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
        took = duration(sum(seconds for seconds, _ in self.stored.results.values()))
        text = f"Stored results that were read: {self.read} ({self.stored.source}; all took {took}). "
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
