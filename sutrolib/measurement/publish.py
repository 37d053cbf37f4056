"""Publishing: the records of chosen runs become one file of the committed ledger, ``data/ledger/``."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sutrolib.core import paths
from sutrolib.core.io import write_atomically
from sutrolib.core.provenance import commit, now
from sutrolib.measurement.ledger import UNREADABLE, Ledger, LedgerLine, is_dirty, read_lines, record_of

LARGEST_PLAIN = 500_000  # bytes; larger publications are compressed, so that no file of the repository nears 2 MB


@dataclass(frozen=True)
class Publication:
    """A file that was published: how many records it holds, how many were published before, what could not be read.

    ``results`` are the files of a run's stored results, which were published as well; ``path`` is None where there is
    nothing but these.
    """

    path: Path | None
    measurements: int
    studies: int
    known: int
    unreadable: tuple[str, ...]
    results: tuple[Path, ...] = ()


def publish(runs: Sequence[str], allow_dirty: bool = False) -> Publication:
    """Copy all records of ``runs`` that are not published yet into a new file of the committed ledger.

    The stored results of their notebooks, and the audit of proxies, replace those in data/results/.

    A run is a name under data/runs/, or a folder. The run's own file stays: a record in both counts once.
    With ``allow_dirty``, records that cannot be traced to a commit are published too, and each line says so.
    Raises ValueError for a run with neither a ledger nor results, if there is nothing new, and, unless
    ``allow_dirty``, if this checkout has uncommitted changes or a record was measured with some.
    """
    checkout = commit()
    if is_dirty(checkout) and not allow_dirty:
        raise ValueError("this checkout has uncommitted changes; commit them, or mark every row by --dirty")
    published = {line.id for path in Ledger(paths.published_ledger()).files() for _, line in read_lines(path, [])}
    lines: dict[str, LedgerLine] = {}
    commits: dict[str, str] = {}
    unreadable: list[str] = []
    for path in (path for run in runs for path in Ledger(_folder_of(run)).files()):
        bad: list[str] = []
        for number, line in read_lines(path, bad):
            try:
                commits[line.id] = record_of(line)[2]
                lines[line.id] = line
            except UNREADABLE as error:
                bad.append(f"line {number} is not a {line.kind}: {type(error).__name__}: {error}")
        unreadable += [f"{path}, {why}" for why in bad]
    new = [line for line in lines.values() if line.id not in published]
    results = [file for run in runs for file in _results(_folder_of(run))]
    if not new and not results:
        raise ValueError(f"there is nothing to publish: all {len(lines)} records of {', '.join(runs)} are published")
    marked = [line._replace(dirty=line.dirty or is_dirty(checkout) or is_dirty(commits[line.id])) for line in new]
    if (dirty := sum(line.dirty for line in marked)) and not allow_dirty:
        raise ValueError(
            f"{dirty} of {len(new)} records were measured with uncommitted changes and cannot be traced to a commit; "
            f"measure them again from a clean checkout, or add --dirty to mark them as dirty"
        )
    written = _write(marked, checkout)
    for file in results:
        (paths.DATA / "results").mkdir(parents=True, exist_ok=True)
        write_atomically(paths.DATA / "results" / file.name, file.read_bytes())
    studies = sum(line.kind == "study" for line in new)
    return Publication(written, len(new) - studies, studies, len(lines) - len(new), tuple(unreadable), tuple(results))


def _write(lines: Sequence[LedgerLine], checkout: str) -> Path | None:
    """Write a new file of the committed ledger; none without lines."""
    if not lines:
        return None
    stamp = datetime.fromisoformat(now()).strftime("%Y%m%dT%H%M%SZ")
    name, content = pack("-".join(filter(None, (stamp, checkout.rstrip("+")))), lines)
    path = paths.published_ledger() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return path


def _results(folder: Path) -> list[Path]:
    return sorted((folder / "results").glob("*.json*"))


def pack(name: str, lines: Sequence[LedgerLine]) -> tuple[str, bytes]:
    """The file name and the content of a publication: plain JSON lines, compressed where these are large."""
    content = b"".join(line.encode() for line in lines)
    if len(content) <= LARGEST_PLAIN:
        return f"{name}.jsonl", content
    return f"{name}.jsonl.gz", gzip.compress(content, mtime=0)  # without a time: equal records give equal bytes


def _folder_of(run: str) -> Path:
    for folder in (paths.RUNS / run, Path(run)):
        if Ledger(folder).files() or _results(folder):
            return folder
    there = [path.parent.name for path in sorted(paths.RUNS.glob("*/*.jsonl"))]
    raise ValueError(f"run {run!r} has no ledger; runs with one are {', '.join(there) or 'none'}")
