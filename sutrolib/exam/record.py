"""The record of a final exam: one JSON file for a scale and a division, saved after every sitting.

It says what was examined, where, and with which command, and holds each sitting as a Measurement. An interrupted exam
goes on from it. What was sat under other circumstances is never mixed into it: it is refused, or set aside.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.io import write_json
from sutrolib.core.provenance import commit, machine, now, versions
from sutrolib.core.types import describe
from sutrolib.exam.entries import BASELINE, Scale
from sutrolib.measurement.ledger import of_plain, plain
from sutrolib.measurement.measure import Measurement

MIN_SEEDS = 5
EXAM = ("scale", "division", "problem", "baseline", "entries")  # what is examined
PLACE = ("machine", "versions")  # where: sittings from different places cannot be paired
PACKAGES = ("torch",)  # whose version decides what a training costs


@dataclass(frozen=True)
class Record:
    """An exam so far. ``sittings`` maps the baseline and each entry to its sittings, by seed."""

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
    sittings: dict[str, dict[int, Measurement]] = field(default_factory=dict)

    @property
    def contestants(self) -> tuple[str, ...]:
        """The baseline and the entries, by name."""
        return (BASELINE, *self.entries)

    @property
    def finished(self) -> bool:
        """Whether everybody has sat on every seed."""
        return not self.left()

    def left(self) -> list[tuple[int, str]]:
        """The sittings that are still to be held, as seed and name, in their order.

        Baseline and candidates alternate, and every other seed begins with the other end, so that what drifts on a
        machine falls on all of them alike.
        """
        rounds = [
            (seed, name) for seed in range(self.seeds) for name in self.contestants[:: 1 if seed % 2 == 0 else -1]
        ]
        return [(seed, name) for seed, name in rounds if seed not in self.sittings.get(name, {})]

    def runs(self, name: str) -> list[Measurement]:
        """The sittings of this name by rising seed."""
        return [run for _, run in sorted(self.sittings.get(name, {}).items())]

    def keep(self, name: str, run: Measurement) -> None:
        """Add one sitting, and save the record."""
        self.sittings.setdefault(name, {})[run.seed] = run
        self.save()

    @property
    def path(self) -> Path:
        """Its file."""
        return path_of(self.scale, self.division)

    def save(self) -> None:
        """Write the file, whole or not at all. Raises OSError, naming the folder, where it cannot be written."""
        head = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "sittings"}
        sittings = {name: [plain(run) for run in self.runs(name)] for name in self.contestants}
        write_json(self.path, {**head, "sittings": sittings})


def path_of(scale: str, division: str) -> Path:
    """The file of this exam's record. Raises ValueError for a name that could lead to another folder."""
    for name in (scale, division):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(f"exam {name!r}, accepted are names of letters, digits, '_' and '-'")
    return paths.exam() / f"{scale}_{division}.json"


def new_record(scale: Scale, division: str, seeds: int) -> Record:
    """A record without any sitting. Raises ValueError for too few seeds and for a division without entries."""
    if type(seeds) is not int or not MIN_SEEDS <= seeds <= 1000:
        raise ValueError(f"seeds={seeds!r}, accepted are {MIN_SEEDS} to 1000: fewer pairs show too little")
    entries = {
        entry.name: {
            "model": describe(entry.model),
            "about": entry.about,
            "in_order": entry.in_order,
            "process": entry.process,
        }
        for entry in scale.division(division)
    }
    return Record(
        scale=scale.name,
        division=division,
        problem=_as_read(describe(scale.problem)),
        baseline=_as_read(describe(scale.baseline)),
        entries=_as_read(entries),
        seeds=seeds,
        machine=machine(),
        versions=versions(),
        commit=commit(),
        when=now(),
        command=f"python -m sutrolib exam --division {division} --scale {scale.name} --seeds {seeds} --again",
    )


def read_record(path: Path) -> Record:
    """The record in this file. Raises OSError where there is none, and ValueError, naming the file, for another one."""
    try:
        fields = json.loads(path.read_bytes())
        sittings = {
            name: {run["seed"]: of_plain(run) for run in runs} for name, runs in dict(fields.pop("sittings")).items()
        }
        return Record(**fields, sittings=sittings)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not the record of an exam ({type(error).__name__}: {error})") from error


def opened(scale: Scale, division: str, seeds: int, again: bool = False) -> Record:
    """The record to go on with: that in the file, with as many seeds as asked for or more, else a new one.

    With ``again``, the one in the file is set aside under a name with its time. Raises ValueError that says what
    differs where the file holds an exam of something else, or an unfinished one from elsewhere.
    """
    new = new_record(scale, division, seeds)
    if not new.path.exists():
        return new
    if again:
        set_aside(new.path)
        return new
    old = read_record(new.path)
    complete = old.finished and seeds <= old.seeds  # nothing is left to be paired: it can be read anywhere
    names = EXAM if complete else (*EXAM, *PLACE)
    differ = [f"{name}: {there}, now {here}" for name in names for there, here in _differences(name, old, new)]
    if differ:
        raise ValueError(
            f"{new.path} holds another exam; {'; '.join(differ)}. "
            "Accepted is --again, which keeps that one under another name and starts anew"
        )
    # Seeds that were sat are not left out afterwards.
    return dataclasses.replace(
        old, seeds=max(old.seeds, seeds), command=new.command if seeds > old.seeds else old.command
    )


def set_aside(path: Path) -> Path:
    """Move a record to a name with the time at which it was begun (that of the file, where it cannot be read)."""
    try:
        when = read_record(path).when
    except ValueError:
        when = f"unreadable-{path.stat().st_mtime_ns}"
    stamp = "".join(c for c in when.split("+")[0] if c not in ":-")
    return path.rename(path.with_name(f"{path.stem}_{stamp}.json"))


def _differences(name: str, old: Record, new: Record) -> list[tuple[Any, Any]]:
    """What ``old`` and ``new`` hold in this field where they differ, no more of it than differs."""
    there, here = getattr(old, name), getattr(new, name)
    if name == "versions":
        there, here = ({package: v.get(package) for package in PACKAGES} for v in (there, here))
    if there == here:
        return []
    if not isinstance(there, Mapping):
        return [(there, here)]
    keys = [key for key in dict.fromkeys([*there, *here]) if there.get(key) != here.get(key)]
    return [({key: there.get(key) for key in keys}, {key: here.get(key) for key in keys})]


def _as_read(value: Any) -> Any:
    """The value as it comes back from a file, tuples as lists, so that the two can be compared."""
    return json.loads(json.dumps(value))
