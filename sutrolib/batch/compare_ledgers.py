"""Two states of the ledger compared: two commits of this checkout, or a commit and the ledger as it is now.

The ledger only grows, so the measurements of the first state are compared with those that the second has in addition.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sutrolib.batch.changes import Comparison, case_of, compare_tables, label_cases, value_table
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind

CURRENT = "ledger"  # the name of the ledger as it is now
_GIT_TIMEOUT_S = 60


def commit_of(name: str) -> str:
    """The hash of the commit of this name; empty if there is none, or no git."""
    if name.startswith("-"):
        return ""  # git would take it for an option
    return _try_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()


def recent_commits(count: int = 3) -> list[str]:
    """The short hashes of the last commits that changed the ledger, newest first."""
    return _try_git("log", f"-{count}", "--format=%h", "--", _ledger_path()).decode().split()


def ledger_at(commit: str) -> list[Measurement]:
    """The measurements of a commit's ledger, without damaged ones; empty if it has no ledger.

    Raises OSError if git fails.
    """
    if not _git("ls-tree", "--name-only", commit, "--", _ledger_path()):
        return []
    packed = _git("archive", "--format=tar", commit, "--", _ledger_path())
    with tempfile.TemporaryDirectory(prefix="sutro-ledger-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")  # refuses paths outside the folder
        ledger = Path(folder) / _ledger_path()
        return sorted([*_first_layout(ledger), *Ledger(ledger).read()[0]], key=lambda measurement: measurement.when)


def _first_layout(folder: Path) -> Iterator[Measurement]:
    """The measurements of commits from when the ledger had a JSON file for each, under the names of that time."""
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            record["prior_knowledge"] = record.pop("told")
            yield Measurement.from_dict(record)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _ledger_path() -> str:
    return (paths.DATA / "ledger").relative_to(paths.ROOT).as_posix()


def _try_git(*arguments: str) -> bytes:
    """The output of git; empty if it fails."""
    try:
        return _git(*arguments)
    except OSError:
        return b""


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=paths.ROOT, capture_output=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise OSError(f"git {arguments[0]} failed in {paths.ROOT}: {said or error}") from error
    except subprocess.SubprocessError as error:
        raise OSError(
            f"git {arguments[0]} in {paths.ROOT} took longer than {_GIT_TIMEOUT_S} s; try it again"
        ) from error
    return done.stdout


def compare_ledgers(first: str, before: Sequence[Measurement], second: str, after: Sequence[Measurement]) -> Comparison:
    """What the second state of the ledger has in addition to the first, compared with it."""
    known, later = ({_identity(m) for m in side} for side in (before, after))
    added = [m for m in after if _identity(m) not in known]
    gone = sum(_identity(m) not in later for m in before)
    labels = label_cases(map(_case, [*before, *added]))
    old, new = (value_table(_rows(side, labels)) for side in (before, added))
    # The ledger grows, so what was not measured again is no news.
    old = old[old["case"].isin(new["case"]) & old["quantity"].isin(new["quantity"])]
    lines = [f"measurements: {len(before):,} -> {len(after):,} ({len(added):,} added, {gone:,} gone)"]
    if added:
        lines += _differences(before, added)
        lines.append("the measurements of A are compared with those that B has in addition")
    measured = {labels[_case(m)] for m in before}
    return Comparison(
        first=first,
        second=second,
        differences=tuple(lines),
        only_first=(),
        only_second=tuple(dict.fromkeys(label for m in added if (label := labels[_case(m)]) not in measured)),
        changes=compare_tables(old, new),
    )


def _identity(measurement: Measurement) -> str:
    return json.dumps(measurement.to_dict(), sort_keys=True)


def _case(m: Measurement) -> str:
    """Measurements of one problem by one model, found by one process."""
    model, problem = dict(m.model), dict(m.problem)
    process = {"process": m.rungs.get("process", "")}
    return case_of((str(model.pop("name")), model | process), (str(problem.pop("name")), problem))


def _rows(
    measurements: Sequence[Measurement], labels: Mapping[str, str]
) -> Iterator[tuple[str, str, int, str, str, float]]:
    for m in measurements:
        label = labels[_case(m)]
        for reading in m.readings:
            yield label, reading.name, m.seed, str(reading.kind), reading.unit, reading.value
        if m.score is not None:
            yield label, f"score, {m.score_name}", m.seed, str(Kind.COUNTED), "", m.score


def _differences(*sides: Sequence[Measurement]) -> list[str]:
    """Properties of the machine, and versions, that are not the same on both sides."""
    lines = []
    for title in ("machine", "versions"):
        about = [[dict(getattr(m, title)) for m in side] for side in sides]
        for key in sorted({key for side in about for properties in side for key in properties}):
            values = [", ".join(sorted({str(one.get(key, "none")) for one in side})) for side in about]
            if values[0] != values[1]:
                lines.append(f"{title}, {key}: {values[0] or 'none'} -> {values[1]}")
        if lines and title == "machine":
            lines.append("seconds and joules of another machine differ for that reason alone")
    return lines
