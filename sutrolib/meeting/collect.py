"""What is new since the last meeting, and what changed, collected from executed notebooks and the ledger."""

import itertools
import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sutrolib.batch.changes import Change, ChangeStatus, Comparison
from sutrolib.batch.comparisons import compare_batches, compare_ledgers
from sutrolib.batch.executed import Executed, read_executed
from sutrolib.batch.plan import find_notebooks, select
from sutrolib.core import paths
from sutrolib.core.cube import Position, path_to_b
from sutrolib.core.io import temporary_folder
from sutrolib.core.provenance import git
from sutrolib.measurement.coverage import count_positions
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.walk_records import StepRecord, read_records

MAIN_RESULT = "40_final_exam"  # the notebook whose finding every meeting shows
NO_FINDINGS = ("5", "9")  # the first digits of notebooks that build decks or show how to add something of your own
_OTHER_PARAMETER = re.compile(r" -p (?!profile )")  # in the command that repeats a run
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Period:
    """The time from ``since`` to ``until``, both in UTC."""

    since: datetime
    until: datetime

    def __contains__(self, when: datetime) -> bool:
        return self.since <= when <= self.until


def parse_period(text: str, until: datetime | None = None) -> Period:
    """The period from ``text`` (7d, 12h, 2w, or a date or time in UTC) to ``until`` (default: now)."""
    until = until or datetime.now(UTC)
    try:
        back = re.fullmatch(r"(\d{1,4})([hdw])", text.strip())
        since = until - timedelta(**{_UNITS[back[2]]: int(back[1])}) if back else datetime.fromisoformat(text.strip())
        since = since.replace(tzinfo=since.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        since = until
    if since >= until:
        what = "since must be a time back such as 7d, 12h or 2w, or a past date such as 2026-11-18"
        raise ValueError(f"{what} (got {text!r})")
    return Period(since, until)


@dataclass(frozen=True)
class Changes:
    """The numbers that are known from before ``moment``; what moved comes first, and of that what moved most."""

    moment: datetime
    commit: str  # the last one of the notebooks before the moment; empty if there is none
    numbers: tuple[Change, ...]
    signs: tuple[tuple[str, str, str], ...]  # notebook, sign of life then and now, where they differ
    settled: frozenset[str]  # notebooks of which nothing is new or moved


@dataclass(frozen=True)
class Meeting:
    """The material of one meeting. Executed notebooks are those of the period, oldest first."""

    period: Period
    new: list[Measurement]
    total: int  # measurements in the ledger at the end of the period
    counts: Counter[Position]  # measurements at each position
    new_counts: Counter[Position]
    searches: int
    damaged: int  # lines of the ledger that could not be read
    findings: list[Executed]
    crashed: list[Executed]
    unreadable: list[str]  # notebooks that could not be read, for example while a run still writes them
    changes: Changes
    walk: list[StepRecord]  # of the walk's steps, up to the end of the period

    @property
    def first_measured(self) -> list[Position]:
        """The positions that had no measurement before the period."""
        return [position for position, count in self.counts.items() if self.new_counts[position] == count]

    @property
    def failed_trainings(self) -> list[Measurement]:
        """The new measurements whose training gave no model."""
        return [measurement for measurement in self.new if measurement.failure]


def collect_meeting(period: Period, wanted: Sequence[str] = ()) -> Meeting:
    """Collect what is new in a period.

    Args:
        period: the time to look at.
        wanted: numbers or names of notebooks (default: all), of which the newest executed copy is taken, committed or
            under data/runs/, but no trial with parameters other than the notebook's own. Executed notebooks and folders
            of them may be named too; then every copy is taken.

    Raises:
        ValueError: a name is neither a notebook nor a path, or a named file cannot be read.
    """
    ledger = Ledger()
    read, damaged = ledger.read()
    measurements = [m for m in read if datetime.fromisoformat(m.when) <= period.until]
    new = [m for m in measurements if datetime.fromisoformat(m.when) in period]
    copies, unreadable = _executed_copies(period, wanted)
    current = [copy for copy in copies if copy.when in period]
    findings = [copy for copy in current if copy.finding and not copy.error]
    return Meeting(
        period=period,
        new=new,
        total=len(measurements),
        counts=count_positions(measurements),
        new_counts=count_positions(new),
        searches=sum(datetime.fromisoformat(study["when"]) in period for study in ledger.studies()),
        damaged=len(damaged),
        findings=findings,
        crashed=[copy for copy in current if copy.error],
        unreadable=unreadable,
        changes=_changes(period, findings, measurements),
        walk=[record for record in read_records() if datetime.fromisoformat(record.when) <= period.until],
    )


def _changes(period: Period, findings: Sequence[Executed], measurements: Sequence[Measurement]) -> Changes:
    """What changed in a period; on its last day if no commit and no measurement is older than the period."""
    for moment in (period.since, max(period.since, period.until - timedelta(days=1))):
        before = [m for m in measurements if datetime.fromisoformat(m.when) < moment]
        commit = ""
        with suppress(OSError):  # no git, or no commit
            before_it = f"--before=@{moment.timestamp():.0f}"
            commit = git(paths.NOTEBOOKS, "rev-list", "-1", before_it, "HEAD", "--", ".").strip()
        if commit or before:
            break
    found, older = _compare_notebooks(commit, findings) if commit and findings else (Comparison([], []), set())
    ledger = compare_ledgers(before, measurements).changes if before else []
    matches = (re.fullmatch(r"(\w+)[^:]*: sign of life (.+) -> (.+)", line) for line in found.differences)
    signs = tuple((match[1], match[2], match[3]) for match in matches if match)
    moved = {change.case.split(" (")[0] for change in found.changes if change.status == ChangeStatus.MOVED}
    numbers = [change for change in (*found.changes, *ledger) if change.status != ChangeStatus.NOT_COMPARABLE]
    settled = frozenset(older - moved - {notebook for notebook, *_ in signs})
    return Changes(moment, commit, tuple(sorted(numbers, key=_rank)), signs, settled)


def _compare_notebooks(commit: str, findings: Sequence[Executed]) -> tuple[Comparison, set[str]]:
    """The findings compared with those of a commit, and the names of the notebooks that it has; none if it has none."""
    with temporary_folder("changes") as folder, suppress(OSError, ValueError):
        packed, before, after = Path(folder, "notebooks.tar"), Path(folder, "before"), Path(folder, "after")
        git(paths.NOTEBOOKS, "archive", "--format=tar", "-o", str(packed), commit, ".")
        shutil.unpack_archive(packed, before, filter="data")  # refuses paths outside the folder
        after.mkdir()
        for number, executed in enumerate(findings):
            shutil.copy2(executed.path, after / f"{number}-{executed.name}.ipynb")
        return compare_batches(before, after), {path.stem for path in before.glob("*.ipynb")}
    return Comparison([], []), set()


def _rank(change: Change) -> tuple[int, float]:
    before, after = change.before or 0.0, change.after or 0.0
    size = abs(math.log(after / before)) if before > 0 < after else math.inf
    return list(ChangeStatus).index(change.status), -size


def _executed_copies(period: Period, wanted: Sequence[str]) -> tuple[list[Executed], list[str]]:
    """The executed notebooks that a meeting may show, sorted by name, and the names of unreadable ones."""
    folders = [Path(name) for name in wanted if "/" in name or "\\" in name or Path(name).is_dir()]
    names = [name for name in wanted if Path(name) not in folders]
    copies: list[Executed] = []
    unreadable: dict[str, None] = {}

    def read_all(files: Iterable[Path]) -> Iterator[Executed]:
        for path in files:
            try:
                yield read_executed(path)
            except ValueError:
                unreadable[f"{path.parent.name}/{path.name}"] = None

    for path in folders:
        if not path.exists():
            raise ValueError(f"--notebooks {path}: no such file or folder; name an executed notebook or a run")
        copies += read_all(_notebooks_in(path.resolve())) if path.is_dir() else [read_executed(path)]
    if names or not folders:
        committed = [notebook.path for notebook in select(find_notebooks(paths.NOTEBOOKS), names)]
        stems = {path.stem for path in committed}
        runs = [path for path in _notebooks_in(paths.RUNS) if path.stat().st_mtime >= period.since.timestamp()]
        runs = [path for path in runs if re.sub(r"^\d+-", "", path.stem) in stems]
        # Of each, the newest copy with a finding, and the newest of all if that one crashed.
        found = [*read_all(committed), *(copy for copy in read_all(runs) if not _OTHER_PARAMETER.search(copy.command))]
        by_time = sorted(found, key=lambda copy: copy.when)
        copies += {copy.name: copy for copy in by_time if copy.finding and not copy.error}.values()
        copies += [copy for copy in {copy.name: copy for copy in by_time}.values() if copy.error]
    unique = {copy.path.resolve(): copy for copy in copies if not copy.name.startswith(NO_FINDINGS)}
    return sorted(unique.values(), key=lambda copy: (copy.name, copy.when)), list(unreadable)


def _notebooks_in(folder: Path) -> list[Path]:
    """The notebooks below a folder, without Jupyter's checkpoints."""
    files = (path for path in folder.rglob("*.ipynb") if path.is_file())
    return sorted(path for path in files if ".ipynb_checkpoints" not in path.relative_to(folder).parts)


def farthest_positions(positions: Iterable[Position]) -> list[Position]:
    """The positions that no other one equals or exceeds on every axis; those nearest to B come first."""
    indices = {position: position.indices() for position in positions}

    def is_behind(here: Position) -> bool:
        others = (there for there in indices if there != here)
        return any(all(t >= h for t, h in zip(indices[there], indices[here], strict=True)) for there in others)

    return sorted(itertools.filterfalse(is_behind, indices), key=lambda at: (-sum(indices[at]), indices[at]))


def path_progress(measured: Iterable[Position]) -> tuple[int, int]:
    """How many positions on the path from A to B are measured, and how many positions the path has."""
    steps = path_to_b()
    path = {steps[0].start, *(step.end for step in steps)}
    return len(path & set(measured)), len(path)
