"""The exam's files: one JSON document per scale and content, ``data/exam/<scale>_<content>.json``.

The record of an exam is such a document, by division, saved after every run. It holds the problem, the models, the
machine, the command, and each run as a Measurement. An interrupted exam resumes from it. Runs of another exam are never
mixed into it. All that is compared is compared within a seed, so a seed is run as a whole under the same conditions
(machine, torch, library, threads, processors), and others begin with the next seed: the record lists each sitting. One
command at a time writes it. A finished record can be read anywhere.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sutrolib.core import paths
from sutrolib.core.io import as_json, write_json
from sutrolib.core.provenance import commit, library, machine, now, versions
from sutrolib.core.records import checked, read_json
from sutrolib.core.types import describe
from sutrolib.exam.entries import BASELINE, Scale
from sutrolib.measurement.measure import Measurement

_MIN_SEEDS = 5
_PLACE = ("machine", "versions", "conditions")


def exam_path(scale: str, content: str) -> Path:
    """The file for this scale and content. Raises ValueError for a name that could lead to another folder."""
    for name in (scale, content):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(f"an exam's name must consist of letters, digits, '_' and '-' (got {name!r})")
    return paths.exam() / f"{scale}_{content}.json"


def load(scale: str, content: str, default: Any = None) -> Any:
    """The stored document, or ``default`` if there is none. Raises OSError without a default."""
    path = exam_path(scale, content)
    return default if default is not None and not path.exists() else read_json(path)


def save(scale: str, content: str, document: Any) -> Path:
    """Write the document; the file is replaced as a whole. Raises OSError, naming the folder, if that fails."""
    return write_json(exam_path(scale, content), document)


@dataclass(frozen=True)
class ExamRecord:
    """An exam so far. ``measurements`` maps the baseline and each entry to its runs by seed.

    ``evaluations`` is that of a :class:`sutrolib.exam.entries.Scale`. ``machine``, ``versions``, ``conditions``,
    ``commit`` and ``when`` are of the latest sitting, and ``earlier_sittings`` holds those of the others, in order.
    """

    scale: str
    division: str
    problem: Mapping[str, Any]
    baseline: Mapping[str, Any]
    entries: Mapping[str, Any]
    seeds: int
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str
    when: str
    command: str
    conditions: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int = 0
    earlier_sittings: list[Mapping[str, Any]] = field(default_factory=list)
    measurements: dict[str, dict[int, Measurement]] = field(default_factory=dict)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The baseline and the entries, by name."""
        return (BASELINE, *self.entries)

    @property
    def finished(self) -> bool:
        """Whether every model has a run on every seed."""
        return not self.remaining()

    def remaining(self) -> list[tuple[int, str]]:
        """The missing runs, as seed and name, in their order.

        Baseline and candidates alternate, and every other seed goes through them backwards, so that a drift of the
        machine affects all of them alike.
        """
        return [
            (seed, name)
            for seed in range(self.seeds)
            for name in self.model_names[:: 1 if seed % 2 == 0 else -1]
            if seed not in self.measurements.get(name, {})
        ]

    def runs(self, name: str) -> list[Measurement]:
        """All runs of this name, by seed."""
        return [run for _, run in sorted(self.measurements.get(name, {}).items())]

    def trained(self, name: str) -> dict[int, Measurement]:
        """The runs of this name that did not fail, by seed."""
        return {run.seed: run for run in self.runs(name) if not run.failure}

    def add(self, name: str, run: Measurement) -> None:
        """Add one run, and save the record."""
        self.measurements.setdefault(name, {})[run.seed] = run
        self.save()

    def save(self) -> None:
        """Write the whole file. Raises OSError, naming the folder, if that fails."""
        measurements = {name: [run.to_dict() for run in self.runs(name)] for name in self.model_names}
        save(self.scale, self.division, {**vars(self), "measurements": measurements})

    @property
    def earlier_library(self) -> bool:
        """Whether runs were made by other sources of this library than those here."""
        sittings = [self.conditions, *(sitting["conditions"] for sitting in self.earlier_sittings)]
        return any(conditions.get("library") != library(computing=True) for conditions in sittings)

    @property
    def path(self) -> Path:
        """Its file."""
        return exam_path(self.scale, self.division)


def new_record(scale: Scale, division: str, seeds: int) -> ExamRecord:
    """A record without runs. Raises ValueError for too few seeds and for a division without entries."""
    if type(seeds) is not int or not _MIN_SEEDS <= seeds <= 1000:
        raise ValueError(f"seeds must be {_MIN_SEEDS} to 1000 (got {seeds!r}); fewer pairs show too little")
    entries = {
        entry.name: {"model": describe(entry.model), **{n: getattr(entry, n) for n in ("about", "online", "process")}}
        for entry in scale.division(division)
    }
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    conditions = {"library": library(computing=True), "threads": torch.get_num_threads(), "affinity": affinity}
    exam = {
        "problem": describe(scale.problem),
        "baseline": describe(scale.baseline),
        "entries": entries,
        "conditions": conditions,
        "evaluations": scale.evaluations,
    }
    place: dict[str, Any] = {"machine": machine(), "versions": versions(), "commit": commit(), "when": now()}
    command = f"python -m sutrolib exam --division {division} --scale {scale.name} --seeds {seeds} --again"
    return ExamRecord(scale.name, division, seeds=seeds, command=command, **as_json(exam), **place)


def read_record(path: Path) -> ExamRecord:
    """The record in this file. Raises OSError if there is none, and ValueError if it holds something else."""
    try:
        fields = read_json(path)
        measurements = {
            name: {run["seed"]: Measurement.from_dict(run) for run in runs}
            for name, runs in dict(fields.pop("measurements")).items()
        }
        return checked(ExamRecord(**fields, measurements=measurements))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not an exam record ({type(error).__name__}: {error})") from error


def open_record(scale: Scale, division: str, seeds: int, again: bool = False) -> ExamRecord:
    """The record to resume, with at least ``seeds`` seeds, or a new one.

    With ``again``, the existing one is archived under a name with its time. Raises ValueError that says what differs if
    the file holds another exam, or one with a seed that was begun elsewhere.
    """
    new = new_record(scale, division, seeds)
    if not new.path.exists():
        return new
    if again:
        _archive(new.path)
        return new
    old = read_record(new.path)
    if (old.scale, old.division) != (new.scale, new.division):
        held = f"the {old.division} division at scale {old.scale}"
        raise ValueError(f"{new.path} holds another exam, {held}: move the file away")
    old = dataclasses.replace(
        old, seeds=max(old.seeds, seeds), command=new.command if seeds > old.seeds else old.command
    )
    missing = Counter(seed for seed, _ in old.remaining())
    fields = ["problem", "baseline", "entries", "evaluations"]
    if any(count < len(old.model_names) for count in missing.values()):  # the runs of a seed are compared
        fields += _PLACE
    if differ := [f"{name}: {difference}" for name in fields if (difference := _difference(name, old, new))]:
        raise ValueError(
            f"{new.path} holds another exam; {'; '.join(differ)}. Use --again to archive it and start a new one"
        )
    if not (missing and any(_difference(name, old, new) for name in _PLACE)):
        return old
    sitting, here = ({name: getattr(record, name) for name in (*_PLACE, "commit", "when")} for record in (old, new))
    return dataclasses.replace(old, earlier_sittings=[*old.earlier_sittings, sitting], **here)


@contextmanager
def lock_record(path: Path) -> Iterator[None]:
    """Keep other commands from writing this record. Raises ValueError, which names the holder, if one does.

    Raises OSError, naming the folder, if it cannot be written to.
    """
    from filelock import FileLock, Timeout

    file = path.with_name(f".{path.stem}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file).acquire(timeout=0):
            file.write_text(f"process {os.getpid()}, {shlex.join(sys.argv)}, since {now()}")
            yield
    except Timeout:
        holder = ""
        with suppress(OSError):  # where a lock cannot be read
            holder = file.read_text(errors="replace")
        raise ValueError(
            f"{path} is being written by another command ({holder or 'unknown'}): wait for it, or set SUTRO_EXAM to "
            "another folder"
        ) from None


def _archive(path: Path) -> None:
    """Rename a record to a name with its start time (the file's own time if it cannot be read)."""
    try:
        when = read_record(path).when
    except ValueError:
        when = f"unreadable-{path.stat().st_mtime_ns}"
    stamp = "".join(c for c in when.split("+")[0] if c not in ":-")
    path.rename(path.with_name(f"{path.stem}_{stamp}.json"))


def _difference(name: str, old: ExamRecord, new: ExamRecord) -> str:
    """The differing parts of a field in ``old`` and ``new``; of the packages only torch decides what a run costs."""
    there, here = getattr(old, name), getattr(new, name)
    if name == "evaluations":
        return f"{there}, now {here}" if there != here else ""
    keys = {"torch": None} if name == "versions" else {**there, **here}
    found = [{key: side.get(key) for key in keys if there.get(key) != here.get(key)} for side in (there, here)]
    return f"{found[0]}, now {found[1]}" if found[0] else ""
