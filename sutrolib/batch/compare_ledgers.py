"""Two states of the ledger side by side: two commits of this checkout, or one of them and the ledger as it is.

The ledger only grows, so the measurements of the first are set against those that the second has beyond them.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sutrolib.batch.changes import Sample, judge
from sutrolib.batch.compare_batches import Comparison
from sutrolib.core import paths
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind

WORKING = "ledger"  # the name of the ledger as it is
SCORED = "score"
TIMEOUT = 60  # seconds for git to answer


def commit_of(name: str) -> str:
    """The hash of the commit of this name, empty where there is none, or no git."""
    if name.startswith("-"):
        return ""  # an option, to git
    return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()


def recent_commits(count: int = 3) -> list[str]:
    """The last commits that changed the ledger, newest first, in short."""
    return _git("log", f"-{count}", "--format=%h", "--", _inside()).decode().split()


def at_commit(commit: str) -> list[Measurement]:
    """The ledger as it was committed; empty where there was none. Damaged files are left out.

    Raises OSError where git does not hand it out: no answer is not an empty ledger.
    """
    if not _asked("ls-tree", "--name-only", commit, "--", _inside()):
        return []
    packed = _asked("archive", "--format=tar", commit, "--", _inside())
    with tempfile.TemporaryDirectory(prefix="sutro-ledger-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")  # refuses what would lie outside the folder
        ledger = Path(folder) / _inside()
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


def _inside() -> str:
    return (paths.DATA / "ledger").relative_to(paths.ROOT).as_posix()


def _git(*arguments: str) -> bytes:
    """What git says, empty where it fails."""
    try:
        return _asked(*arguments)
    except OSError:
        return b""


def _asked(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, timeout=TIMEOUT, check=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise OSError(f"git {arguments[0]} failed in {paths.ROOT}: {said or error}") from error
    except subprocess.SubprocessError as error:
        raise OSError(f"git {arguments[0]} in {paths.ROOT} did not end within {TIMEOUT} s; try it again") from error
    return done.stdout


def compare_ledgers(first: str, before: Sequence[Measurement], second: str, after: Sequence[Measurement]) -> Comparison:
    """What the second state of the ledger says beyond the first."""
    known, later = ({_identity(m) for m in side} for side in (before, after))
    added = [m for m in after if _identity(m) not in known]
    gone = [m for m in before if _identity(m) not in later]
    cases = [_by_case(side) for side in (before, added)]
    labels = _labels([*cases[0], *cases[1]])
    both = [case for case in cases[0] if case in cases[1]]
    lines = [f"measurements: {len(before):,} -> {len(after):,} ({len(added):,} added, {len(gone):,} gone)"]
    if added:
        lines += _provenance(before, added)
        lines.append("compared are the measurements of A with those that B has beyond them")
    return Comparison(
        first=first,
        second=second,
        differences=tuple(lines),
        only_first=(),  # the ledger grows: what was not measured again is no news
        only_second=tuple(labels[case] for case in cases[1] if case not in cases[0]),
        changes=tuple(
            judge(labels[case], name, a, b)
            for case in both
            for name, (a, b) in _paired(_samples(cases[0][case]), _samples(cases[1][case])).items()
        ),
    )


def _identity(measurement: Measurement) -> str:
    return json.dumps(measurement.to_dict(), sort_keys=True)


def _by_case(measurements: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements of one problem by one model, found by one process, together."""
    found: dict[str, list[Measurement]] = defaultdict(list)
    for m in measurements:
        found[json.dumps([dict(m.model), dict(m.problem), m.rungs.get("process", "")], sort_keys=True)].append(m)
    return dict(found)


def _labels(cases: Sequence[str]) -> dict[str, str]:
    """Each case by model and problem, and by those of their fields in which the cases of these names differ."""
    read: dict[str, list[Any]] = {case: json.loads(case) for case in cases}
    labels = {}
    for case, (model, problem, process) in read.items():
        same = [c for c in read.values() if (c[0]["name"], c[1]["name"]) == (model["name"], problem["name"])]
        words = [
            f"{fields['name']}{_telling(fields, [c[index] for c in same])}"
            for index, fields in enumerate((model, problem))
        ]
        others = {c[2] for c in same} - {process}
        labels[case] = " on ".join(words) + (f" ({process})" if others else "")
    return labels


def _telling(fields: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    telling = [f"{k}={v}" for k, v in fields.items() if any(other.get(k) != v for other in others)]
    return f" ({', '.join(telling)})" if telling else ""


def _samples(measurements: Sequence[Measurement]) -> dict[str, Sample]:
    """Each reading by seed, and the score; where a seed was measured more than once, the median."""
    values: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for m in measurements:
        for reading in m.readings:
            values[reading.name, str(reading.kind), reading.unit][m.seed].append(reading.value)
        if m.score is not None:
            values[f"{SCORED}, {m.score_name}", str(Kind.COUNTED), ""][m.seed].append(m.score)
    return {
        name: Sample(kind, {seed: statistics.median(found) for seed, found in by_seed.items()}, unit)
        for (name, kind, unit), by_seed in values.items()
    }


def _paired(first: Mapping[str, Sample], second: Mapping[str, Sample]) -> dict[str, tuple[Sample, Sample]]:
    return {name: (first[name], second[name]) for name in first if name in second}


def _provenance(before: Sequence[Measurement], added: Sequence[Measurement]) -> list[str]:
    """Versions and machines that are not the same on both sides."""
    lines = []
    for title, name in (("machine", "machine"), ("versions", "versions")):
        sides = [{json.dumps(dict(getattr(m, name)), sort_keys=True) for m in side} for side in (before, added)]
        if sides[0] != sides[1]:
            for key in sorted({key for side in sides for text in side for key in json.loads(text)}):
                told = [", ".join(sorted({str(json.loads(text).get(key, "none")) for text in s})) for s in sides]
                if told[0] != told[1]:
                    lines.append(f"{title}, {key}: {told[0] or 'none'} -> {told[1]}")
            lines += ["seconds and joules of another machine move with the machine"] * (name == "machine")
    return lines
