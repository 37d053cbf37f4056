"""What the group looks at once a week: what is new since the last meeting, gathered from notebooks and ledger.

:func:`gather` collects it, ``build`` makes slides of it, ``html`` writes the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sutrolib.batch.executed import Executed, read_executed
from sutrolib.core import paths
from sutrolib.core.cube import RUNGS, Axis, Position, path_to_b
from sutrolib.measurement.coverage import count_positions
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement

MEETINGS = "5"  # the first digit of notebooks that build meetings: a meeting is no finding
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True)
class Period:
    """From ``since`` to ``until``, both in UTC."""

    since: datetime
    until: datetime

    def holds(self, when: datetime) -> bool:
        """Whether ``when`` lies in the period."""
        return self.since <= when <= self.until


def period_of(text: str, until: datetime | None = None) -> Period:
    """The period that ``text`` names, up to ``until`` (now, unless given): 7d, 12h, 2w, or a date or time in UTC.

    Raises ValueError for anything else, and for what lies in the future.
    """
    until = until or datetime.now(UTC)
    accepted = "accepted are a time back such as 7d, 12h or 2w, and a date such as 2026-11-18"
    try:
        if match := re.fullmatch(r"(\d{1,4})([hdw])", text.strip()):
            since = until - int(match[1]) * _UNITS[match[2]]
        else:
            since = datetime.fromisoformat(text.strip())
            since = since.astimezone(UTC) if since.tzinfo else since.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"since={text!r}, {accepted}") from None
    if since >= until:
        raise ValueError(f"since={text!r} is not in the past, {accepted}")
    return Period(since, until)


@dataclass(frozen=True)
class Meeting:
    """What there is to tell. ``found`` and ``broken`` (runs that ended in an error) lie in the period, oldest first."""

    period: Period
    measurements: tuple[Measurement, ...]
    new: tuple[Measurement, ...]
    searches: int
    exams: tuple[str, ...]  # division, scale and number of new sittings of each final exam
    damaged: int
    found: tuple[Executed, ...]
    broken: tuple[Executed, ...]
    older: int  # notebooks whose last run lies before the period
    unreadable: tuple[str, ...]  # copies that could not be read, as while a run is still writing one

    @property
    def points(self) -> Counter[Position]:
        """How many measurements stand on each position."""
        return count_positions(self.measurements)

    @property
    def new_points(self) -> Counter[Position]:
        """How many new ones do."""
        return count_positions(self.new)

    @property
    def first_reached(self) -> list[Position]:
        """The positions that had no measurement before the period."""
        points, new = self.points, self.new_points
        return [position for position in points if new[position] == points[position]]

    @property
    def failures(self) -> list[Measurement]:
        """The new measurements whose training came to no model."""
        return [measurement for measurement in self.new if measurement.failure]


def gather(period: Period, wanted: Sequence[str] = (), ledger: Ledger | None = None) -> Meeting:
    """Collect what is new in a period, of all notebooks or those that are named.

    Of each notebook the newest executed copy counts: the committed one, or that of a run under data/runs/. ``wanted``
    may also name executed copies, or folders of runs: of those every copy counts.
    Raises ValueError for a name that is neither, and for a file named by itself that cannot be read.
    """
    ledger = ledger or Ledger()
    measurements, damaged = ledger.read()
    executed, unreadable = _candidates(period, wanted)
    current = [copy for copy in executed if period.holds(copy.when)]
    return Meeting(
        period=period,
        measurements=tuple(m for m in measurements if datetime.fromisoformat(m.when) <= period.until),
        new=tuple(m for m in measurements if period.holds(datetime.fromisoformat(m.when))),
        searches=sum(period.holds(datetime.fromisoformat(study["when"])) for study in ledger.studies()),
        exams=tuple(_exams(period)),
        damaged=len(damaged),
        found=tuple(copy for copy in current if copy.finding and not copy.error),
        broken=tuple(copy for copy in current if copy.error),
        older=len({copy.name for copy in executed} - {copy.name for copy in current}),
        unreadable=unreadable,
    )


def _exams(period: Period) -> Iterator[str]:
    for path in sorted(paths.exam().glob("*_*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if not (isinstance(record, dict) and {"scale", "division", "sittings"} <= set(record)):
                continue  # a record of something about the exam, not of an exam
            times = [datetime.fromisoformat(run["when"]) for runs in record["sittings"].values() for run in runs]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be read as the record of an exam: {error}") from error
        if held := sum(period.holds(when) for when in times):
            yield f"{record['division']} division at the scale {record['scale']} ({held} sittings)"


def _candidates(period: Period, wanted: Sequence[str]) -> tuple[list[Executed], tuple[str, ...]]:
    """The executed copies that a meeting may show, by name, and the runs' copies that cannot be read."""
    files = [Path(name) for name in wanted if _is_path(name)]
    for path in files:
        if not path.exists():
            raise ValueError(f"--notebooks {path}: there is no such file or folder; name an executed notebook or a run")
    kept = [read_executed(path) for path in files if not path.is_dir()]
    unreadable: list[str] = []
    for folder in filter(Path.is_dir, files):
        found, bad = _readable(_notebooks_in(folder), folder.resolve().parent)
        kept, unreadable = kept + found, unreadable + bad
    names = [name for name in wanted if not _is_path(name)]
    if names or not files:
        copies, bad = _readable(_copies(period, names), paths.RUNS)
        kept += _newest([*(read_executed(path) for path in _committed(names)), *copies])
        unreadable += bad
    shown = {copy.path.resolve(): copy for copy in kept if not copy.name.startswith(MEETINGS)}  # each file once
    return sorted(shown.values(), key=lambda copy: (copy.name, copy.when)), tuple(dict.fromkeys(unreadable))


def _readable(paths: Iterable[Path], root: Path) -> tuple[list[Executed], list[str]]:
    """What can be read of these files, and the names below ``root`` of those that cannot."""
    executed, unreadable = [], []
    for path in paths:
        try:
            executed.append(read_executed(path))
        except ValueError:
            unreadable.append(path.relative_to(root).as_posix())
    return executed, unreadable


def _notebooks_in(folder: Path) -> list[Path]:
    """The notebooks below a folder, without those that Jupyter puts aside while it saves."""
    folder = folder.resolve()
    there = (path for path in folder.rglob("*.ipynb") if path.is_file())
    return sorted(path for path in there if ".ipynb_checkpoints" not in path.relative_to(folder).parts)


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or Path(name).is_dir()


def _committed(names: Sequence[str]) -> list[Path]:
    """The notebooks of the collection by these numbers or names; all for none. ValueError lists those there are."""
    there = sorted(paths.NOTEBOOKS.glob("[0-9]*_*.ipynb"))
    for name in names:
        if not any(_answers(path.stem, name) for path in there):
            raise ValueError(f"no notebook {name!r}; there are {', '.join(path.stem for path in there)}")
    return [path for path in there if not names or any(_answers(path.stem, name) for name in names)]


def _answers(stem: str, name: str) -> bool:
    return name in (stem, f"{stem}.ipynb", stem.split("_")[0])


def _copies(period: Period, names: Sequence[str]) -> list[Path]:
    """Executed copies under data/runs/ that were written in the period: an older file holds no newer run."""
    wanted = {path.stem for path in _committed(names)}
    copies = paths.RUNS.rglob("*.ipynb")
    fresh = (path for path in copies if path.stat().st_mtime >= period.since.timestamp())
    return sorted(path for path in fresh if re.sub(r"^\d+-", "", path.stem) in wanted)


def _newest(copies: Sequence[Executed]) -> list[Executed]:
    """Of each notebook the newest copy with a finding, and the newest that broke if that is newer still."""
    kept = []
    for name in {copy.name for copy in copies}:
        mine = sorted((copy for copy in copies if copy.name == name), key=lambda copy: copy.when)
        kept += [copy for copy in mine if copy.finding and not copy.error][-1:]
        kept += [copy for copy in mine[-1:] if copy.error]
    return kept


def frontier(positions: Iterable[Position]) -> list[Position]:
    """The farthest of these positions: no other one is at least as far on every axis. Those nearest to B come first."""
    indices = {position: position.indices() for position in positions}

    def behind(here: Position) -> bool:
        pairs = (zip(indices[there], indices[here], strict=True) for there in indices if there != here)
        return any(all(t >= h for t, h in pair) for pair in pairs)

    far = [position for position in indices if not behind(position)]
    return sorted(far, key=lambda position: (-sum(position.indices()), position.indices()))


def path_walked(points: Iterable[Position]) -> tuple[int, int]:
    """How many positions of the path from A to B are measured, and how many it has."""
    there = set(points)
    path = [path_to_b()[0].start, *(step.end for step in path_to_b())]
    return sum(position in there for position in path), len(path)


def all_positions() -> int:
    """How many positions the cube has."""
    return len(RUNGS[Axis.PROCESS]) * len(RUNGS[Axis.METRIC]) * len(RUNGS[Axis.PROBLEM])
