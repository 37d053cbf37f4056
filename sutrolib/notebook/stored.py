"""Results of long computations, stored for each notebook in ``data/results/NAME.json.gz``.

The quick profile reads what the profile ``anew`` has computed, and computes the quickest part of it here to compare.
Stored results are of one set of parameters; with other ones a notebook computes everything.
"""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sutrolib.core.format import duration
from sutrolib.core.io import write_atomically
from sutrolib.core.provenance import commit, machine, now
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind
from sutrolib.processes.study import Study

LIVE_S = 2.0  # seconds, as stored, of the results that the quick profile computes here to compare
REPEATABLE = (Kind.COUNTED, Kind.MODELLED)  # kinds of which a repetition gives the same number


@dataclass
class StoredResults:
    """The results of one notebook with one set of parameters: when and where they were computed, each with its time.

    ``results`` holds the seconds and the value, encoded, by label.
    """

    parameters: Mapping[str, Any]
    when: str = field(default_factory=now)
    commit: str = field(default_factory=commit)
    machine: Mapping[str, Any] = field(default_factory=machine)
    results: dict[str, tuple[float, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, parameters: Mapping[str, Any]) -> StoredResults | None:
        """The results of a file; None if there is no file or it is of other parameters.

        Raises ValueError, with the file and what to do, if it cannot be read.
        """
        try:
            found = cls(**json.loads(gzip.decompress(path.read_bytes())))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} cannot be read ({why}): restore it with git, or remove it") from error
        return found if found.parameters == parameters else None

    def write(self, path: Path) -> None:
        """Write all results, atomically."""
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


def _pickler() -> Any:
    import jsonpickle
    import jsonpickle.ext.numpy

    jsonpickle.ext.numpy.register_handlers()
    return jsonpickle


def choose_live(stored: StoredResults, labels: Iterable[str]) -> set[str]:
    """The labels to compute here although they are stored: the quickest, at least one, of LIVE_S in total."""
    chosen: set[str] = set()
    total = 0.0
    for label in sorted(labels, key=lambda label: stored.results[label][0]):
        total += stored.results[label][0]
        if chosen and total > LIVE_S:
            break
        chosen.add(label)
    return chosen


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


def compute(
    tasks: Mapping[str, Callable[[], Any]],
    stored: StoredResults | None,
    kept: StoredResults | None,
    show: Callable[[str], None],
) -> dict[str, Any]:
    """The result of each task, by label: from ``stored`` where it is there, else computed here and added to ``kept``.

    ``show`` is called with the state in words, at last with where the results are from and whether they are repeated.
    """
    known = [label for label in tasks if stored and label in stored.results]
    live = choose_live(stored, known) if stored and known else set()
    todo = [label for label in tasks if label not in known or label in live]
    found: dict[str, Any] = {}
    began = time.perf_counter()
    for done, label in enumerate(todo):
        left = (time.perf_counter() - began) / done * (len(todo) - done) if done else math.nan
        show(f"Computing {label}, {done + 1} of {len(todo)}{f', about {duration(left)} left' if done else ''}")
        start = time.perf_counter()
        found[label] = tasks[label]()
        if kept is not None:
            kept.add(label, time.perf_counter() - start, found[label])
    text = f"Computed here in {duration(time.perf_counter() - began)}: {len(todo)} of {len(tasks)} results"
    if stored and known:
        values = {label: stored.value(label) for label in known}
        differ = [one for one in live if not equal(repeatable(found[one]), repeatable(values[one]))]
        same = f"not equal to what is stored: {', '.join(differ)}" if differ else "equal to what is stored"
        took = duration(sum(stored.results[label][0] for label in known))
        text += f" ({', '.join(sorted(live))}), {same}. The others are stored, computed in {took}: {stored.source}"
        found = values | found
    show(f"{text}.")
    return {label: found[label] for label in tasks}
