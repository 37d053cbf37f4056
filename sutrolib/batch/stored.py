"""The file of a notebook's stored results, ``data/results/NAME.json.gz``, and about how long a notebook takes.

Results are read only with the parameters and the sources of the library that they were computed with. The file is
decoded by jsonpickle, which can run code: it must be trusted as the library is.
"""

import functools
import gzip
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import jsonpickle
import jsonpickle.ext.numpy

from sutrolib.core.format import duration
from sutrolib.core.io import write_atomically
from sutrolib.core.markdown import finding_in
from sutrolib.core.paths import ROOT, stored_results
from sutrolib.core.provenance import SHOWING, commit, machine, now, reference_seconds
from sutrolib.core.records import MAX_BYTES, check_regular, checked, parse

jsonpickle.ext.numpy.register_handlers()
_here = functools.cache(reference_seconds)
_MOST_SLOWER = 4.0  # than the machine of the published run; a probe of a busy machine can take a hundred times as long


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
    def read(cls, path: Path) -> Self | None:
        """The results of a file; None if there is none. Raises ValueError, with what to do, if it cannot be read."""
        try:
            check_regular(path)
            with gzip.open(path) as file:
                return checked(cls(**parse(file.read(MAX_BYTES))))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, TypeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{path} cannot be read ({why}): restore it with git, or remove it") from error

    def outdated(self, parameters: Mapping[str, Any]) -> str:
        """Why they are not what a notebook with these parameters would compute now; empty if they are."""
        if self.parameters != parameters:
            return "they are of other parameters"
        computing = [(name, digest) for name, digest in self.sources.items() if SHOWING.isdisjoint(Path(name).parts)]
        changed = [name for name, digest in computing if _digest(ROOT / name) != digest]
        return f"sources of the library have changed since: {', '.join(changed[:3])}" if changed else ""

    def write(self, path: Path) -> None:
        """Write all results, atomically, with the sources that are loaded by now."""
        files = [Path(str(module.__file__)) for name, module in sys.modules.items() if name.startswith("sutrolib.")]
        computing = (file for file in files if SHOWING.isdisjoint(file.relative_to(ROOT).parts))
        self.sources = {file.relative_to(ROOT).as_posix(): _digest(file) for file in sorted(computing)}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, gzip.compress(json.dumps(vars(self)).encode(), mtime=0))

    def value(self, label: str) -> Any:
        """The result of a label. Raises KeyError if there is none."""
        return jsonpickle.decode(self.results[label][1], keys=True)

    def add(self, label: str, seconds: float, value: Any) -> None:
        """Keep a result."""
        self.results[label] = seconds, jsonpickle.encode(value, keys=True)

    @property
    def seconds(self) -> float:
        """The seconds that all of them took."""
        return sum(seconds for seconds, _ in self.results.values())

    @property
    def source(self) -> str:
        """When, where and at which commit they were computed, in words."""
        day = f"{datetime.fromisoformat(self.when):%d %B %Y}".lstrip("0")
        return f"{day}, commit {self.commit or 'unknown'}, {self.machine['processor']}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.exists() else ""


def expected_seconds(notebook: Path, parameters: Mapping[str, Any]) -> float | None:
    """Seconds that a notebook takes here with these parameters, from its kernel's start.

    None if the published run says nothing of them: it had other parameters, and only the profile ``anew`` adds what
    its stored results took.
    """
    try:
        published = finding_in(notebook)
        seconds, scale = published["seconds"], min(_MOST_SLOWER, _here() / published["reference_seconds"])
        profile = parameters.get("profile")
        same = {**parameters, "profile": "quick"} == {**published["parameters"], "profile": "quick"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not same or profile not in (published["parameters"].get("profile"), "anew"):
        return None
    stored = StoredResults.read(stored_results(notebook.stem)) if profile == "anew" else None
    return float(scale * (seconds + (stored.seconds if stored else 0.0)))


def estimate_text(seconds: float | None) -> str:
    """The estimate in words; None is the time of a notebook that was not timed with these parameters."""
    return f"about {duration(seconds)} on this machine" if seconds is not None else "unknown for these parameters"
