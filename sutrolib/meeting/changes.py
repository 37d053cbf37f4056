"""What changed since the last meeting: older values beside newer ones, of notebooks and of the ledger."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sutrolib.batch.changes import Change, ChangeStatus, Comparison
from sutrolib.batch.comparisons import compare_batches, compare_ledgers
from sutrolib.batch.executed import Executed
from sutrolib.core import paths
from sutrolib.core.provenance import git
from sutrolib.measurement.measure import Measurement


@dataclass(frozen=True)
class Changes:
    """The numbers that are known from before ``moment``; what moved comes first, and of that what moved most."""

    moment: datetime
    commit: str  # the last one of the notebooks before the moment; empty if there is none
    numbers: tuple[Change, ...]
    signs: tuple[tuple[str, str, str], ...]  # notebook, sign of life then and now, where they differ
    settled: frozenset[str]  # notebooks of which nothing is new or moved


def changes_since(
    since: datetime, until: datetime, findings: Sequence[Executed], measurements: Sequence[Measurement]
) -> Changes:
    """What changed since a time; since the day before ``until`` if no commit and no measurement is older than it."""
    for moment in (since, max(since, until - timedelta(days=1))):
        before = [m for m in measurements if datetime.fromisoformat(m.when) < moment]
        if (commit := _last_commit(moment)) or before:
            break
    found, older = _compare_notebooks(commit, findings) if commit and findings else (Comparison([], []), set())
    ledger = compare_ledgers(before, measurements).changes if before else []
    matches = (re.fullmatch(r"(\w+)[^:]*: sign of life (.+) -> (.+)", line) for line in found.differences)
    signs = tuple((match[1], match[2], match[3]) for match in matches if match)
    moved = {change.case.split(" (")[0] for change in found.changes if change.status == ChangeStatus.MOVED}
    numbers = [change for change in (*found.changes, *ledger) if change.status != ChangeStatus.NOT_COMPARABLE]
    settled = frozenset(older - moved - {notebook for notebook, *_ in signs})
    return Changes(moment, commit, tuple(sorted(numbers, key=_rank)), signs, settled)


def _last_commit(moment: datetime) -> str:
    with suppress(OSError):
        return git(paths.NOTEBOOKS, "rev-list", "-1", f"--before=@{moment.timestamp():.0f}", "HEAD", "--", ".").strip()
    return ""


def _compare_notebooks(commit: str, findings: Sequence[Executed]) -> tuple[Comparison, set[str]]:
    """The findings compared with those of a commit, and the names of the notebooks that it has; none if it has none."""
    with tempfile.TemporaryDirectory(prefix="sutro-changes-") as folder, suppress(OSError, ValueError):
        packed, before, after = Path(folder, "notebooks.tar"), Path(folder, "before"), Path(folder, "after")
        git(paths.NOTEBOOKS, "archive", "--format=tar", "-o", str(packed), commit, ".")
        shutil.unpack_archive(packed, before, filter="data")  # refuses paths outside the folder
        after.mkdir()
        for number, executed in enumerate(findings):
            shutil.copy2(executed.path, after / f"{number}-{executed.name}.ipynb")
        for path in set(before.glob("*.ipynb")) - {before / f"{executed.name}.ipynb" for executed in findings}:
            path.unlink()
        return compare_batches(before, after), {path.stem for path in before.glob("*.ipynb")}
    return Comparison([], []), set()


def _rank(change: Change) -> tuple[int, float]:
    before, after = change.before or 0.0, change.after or 0.0
    size = abs(math.log(after / before)) if before > 0 < after else math.inf
    return list(ChangeStatus).index(change.status), -size
