"""The ledger: all measurements and studies, as lines of JSON in ``.jsonl`` and ``.jsonl.gz`` files.

New ones are appended to ``ledger.jsonl`` of the current run (:func:`sutrolib.core.paths.ledger`). Chosen runs are
published: ``python -m sutrolib ledger publish`` writes them into the committed ``data/ledger/``. A line is
``{"id": HASH, "measurement": {...}}`` or ``{"id": HASH, "study": {...}}``. The hash is of the record's own text: a
damaged line shows, and a record that stands in several files counts once.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import re
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar

from sutrolib.core import paths
from sutrolib.core.io import as_json, not_finite
from sutrolib.core.provenance import commit, now
from sutrolib.core.records import MAX_BYTES, append_bytes, check_regular, check_types, ends_in_a_line, moment, parse
from sutrolib.measurement.measure import Measurement

if TYPE_CHECKING:
    import pandas as pd

FILE = "ledger.jsonl"
_RUN_COLUMNS = ("when", "problem", "model", "seed", "score", "solved", "commit", "source", "dirty")
_READING_COLUMNS = ("metric", "value", "unit", "kind")
_AT = _RUN_COLUMNS.index("commit")  # where the reading and the settings stand in the table
UNREADABLE = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError)  # what a wrong record leads to
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_HEAD = re.compile(rb'\{"id":"([0-9a-f]{16})",("dirty":true,)?"(measurement|study)":(?=\{)')
_T = TypeVar("_T")
_Values = tuple[Any, ...]


class _Study(TypedDict):  # what is read of a stored study, the result of a search or of a comparison of searches
    process: str
    metric: str
    problem: dict[str, Any]
    commit: str
    when: str


class _Best(TypedDict):
    cost: float


class _Search(_Study):
    best: _Best | None
    n_trials: int
    trials: list[dict[str, Any]]


class _Trajectory(TypedDict):
    costs: list[float | None]
    spent: dict[str, list[float]]
    found: str | None


class _Result(TypedDict):
    trajectories: list[_Trajectory]
    baseline: list[float | None]


class _Comparison(_Study):
    task: str
    results: dict[str, _Result]


class UnreadableMeasurement(UserWarning):
    """Lines of a ledger file could not be read. They were skipped, and the file was left as it is."""


class LedgerLine(NamedTuple):
    """One line of a ledger file: ``text`` is the record's JSON, ``dirty`` the mark that publishing may set."""

    id: str
    kind: str  # measurement or study
    text: bytes
    dirty: bool = False

    @classmethod
    def of(cls, kind: str, record: Mapping[str, Any]) -> LedgerLine:
        """The line of a record, its values as JSON has them (:func:`sutrolib.core.io.as_json`)."""
        text = json.dumps(as_json(record), sort_keys=True, separators=(",", ":")).encode()
        return cls(_hash(text), kind, text)

    def encode(self) -> bytes:
        """The line as it stands in a file."""
        mark = b'"dirty":true,' if self.dirty else b""
        return b'{"id":"%s",%s"%s":%s}\n' % (self.id.encode(), mark, self.kind.encode(), self.text)


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


class Ledger:
    """Published measurements and those of local runs; or those of one folder. Many processes may add at once."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else paths.ledger()
        self._everywhere = folder is None

    def add(self, measurement: Measurement) -> Path:
        """Append a measurement and return its file. Raises OSError, naming the folder, if it cannot be written."""
        return append(self.folder, [LedgerLine.of("measurement", measurement.to_dict())])

    def add_study(self, study: Mapping[str, Any]) -> Path:
        """Append the result and the cost of a search (``Study.to_dict()``). Raises as :meth:`add`.

        A study with a number that is not finite has the entry ``failure``, which names it.
        """
        wrong = not_finite({name: value for name, value in study.items() if isinstance(value, float)})
        about = {"when": now(), "commit": commit()} | ({"failure": wrong} if wrong else {})
        return append(self.folder, [LedgerLine.of("study", {**study, **about})])

    def files(self) -> list[Path]:
        """All files of the ledger, the published ones first."""
        folders = paths.ledger_folders() if self._everywhere else [self.folder]
        return [path for f in folders for path in sorted([*f.glob("*.jsonl"), *f.glob("*.jsonl.gz")])]

    def scan(
        self, kind: str, convert: Callable[[Any, str, bool], _T], known: dict[str, Any] | None = None
    ) -> tuple[list[_T], dict[Path, str]]:
        """``convert(record, source, dirty)`` for each record of this kind, once each; and why files are damaged.

        The record is a Measurement, or a study's dictionary; ``dirty`` says that it cannot be traced to a commit.
        Records of one file come in the order in which they were written, whatever the clock said; those of several
        files are merged by their times. A dictionary ``known`` keeps what was read, by line, for further calls.
        """
        found: list[tuple[datetime, _T]] = []
        damaged: dict[Path, str] = {}
        seen: set[str] = set()
        known = {} if known is None else known
        with _no_garbage_collection():
            for path in self.files():
                bad: list[str] = []
                published = path.parent == paths.published_ledger()
                source = f"published: {path.name}" if published else f"run: {path.parent.name}"
                latest = _EARLIEST
                for number, line in read_lines(path, bad):
                    if line.kind != kind or line.id in seen:
                        continue
                    try:
                        record, when, commit = known.get(line.id) or known.setdefault(line.id, record_of(line))
                    except UNREADABLE as error:
                        bad.append(f"line {number} is not a {kind}: {type(error).__name__}: {error}")
                        continue
                    seen.add(line.id)
                    latest = max(latest, when)
                    found.append((latest, convert(record, source, line.dirty or is_dirty(commit))))
                if bad:
                    damaged[path] = bad[0] + (f" (and {len(bad) - 1} more)" if len(bad) > 1 else "")
        return [one for _, one in sorted(found, key=itemgetter(0))], damaged

    def read(self, known: dict[str, Any] | None = None) -> tuple[list[Measurement], dict[Path, str]]:
        """All measurements, oldest first, and the files with lines that could not be read and why."""
        return self.scan("measurement", lambda measurement, source, dirty: measurement, known)

    def measurements(self, known: dict[str, Any] | None = None) -> list[Measurement]:
        """All measurements, oldest first. Lines that cannot be read are skipped with a warning."""
        measurements, damaged = self.read(known)
        _warn(damaged)
        return measurements

    def studies(self) -> list[dict[str, Any]]:
        """All studies, oldest first, each with its ``source``. Lines that cannot be read are skipped with a warning."""
        found, damaged = self.scan("study", lambda record, source, dirty: {**record, "source": source, "dirty": dirty})
        _warn(damaged)
        return found

    def frame(self) -> pd.DataFrame:
        """All readings as a tidy table: a row for each, with the problem's and the model's fields as columns.

        ``source`` says where the row is from (``published: FILE`` or ``run: NAME``), ``dirty`` whether it was measured
        or published with uncommitted changes. Lines that cannot be read are skipped with a warning.
        """
        rows, damaged = self.scan("measurement", _row)
        _warn(damaged)
        return _frame(rows)


def frame(measurements: Iterable[Measurement]) -> pd.DataFrame:
    """One row for each reading of ``measurements``, in their order."""
    table = _frame([_row(measurement, "", False) for measurement in measurements])
    return table.drop(columns=["source", "dirty"], errors="ignore")


def _row(m: Measurement, source: str, dirty: bool) -> tuple[_Values, _Values, list[_Values]]:
    """The columns of a run, its settings and its readings."""
    run = (m.when, m.problem["name"], m.model["name"], m.seed, m.score, m.solved, m.commit, source, dirty)
    return run, (m.rungs, m.problem, m.model), [(r.name, r.value, r.unit, str(r.kind)) for r in m.readings]


def _frame(rows: Iterable[tuple[_Values, _Values, list[_Values]]]) -> pd.DataFrame:
    """The table of these runs. The fields of a run are stored once, until the last step."""
    import numpy as np
    import pandas as pd

    rows = [row for row in rows if row[2]]
    if not rows:
        return pd.DataFrame(columns=[*_RUN_COLUMNS[:_AT], *_READING_COLUMNS])
    runs, settings, readings = zip(*rows, strict=True)
    blocks = zip(("rung", "problem", "model"), zip(*settings, strict=True), strict=True)
    fields = [pd.DataFrame(list(dicts)).add_prefix(f"{name}.") for name, dicts in blocks]
    table = pd.DataFrame(list(runs), columns=_RUN_COLUMNS)
    table = pd.concat([table.iloc[:, :_AT], *fields, table.iloc[:, _AT:]], axis=1)
    table = table.drop(columns=["problem.name", "model.name"])
    table = table.take(np.repeat(np.arange(len(runs)), [*map(len, readings)])).reset_index(drop=True)
    values = pd.DataFrame([reading for found in readings for reading in found], columns=_READING_COLUMNS)
    return pd.concat([table.iloc[:, :_AT], values, table.iloc[:, _AT:]], axis=1)


def record_of(line: LedgerLine) -> tuple[Any, datetime, str]:
    """The record of a line, as a Measurement or a study's dictionary, with its time and commit.

    Raises one of UNREADABLE for another sort of record.
    """
    record = parse(line.text)
    if line.kind == "measurement":
        return Measurement.from_dict(record), moment(record["when"]), record.get("commit", "")
    check_types(record, _Comparison if "task" in record else _Search)
    return record, moment(record["when"]), record["commit"]


def read_lines(path: Path, bad: list[str]) -> Iterator[tuple[int, LedgerLine]]:
    """The intact lines of a ledger file with their numbers; why others could not be read is appended to ``bad``."""
    number = 0
    try:
        check_regular(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, content in enumerate(iter(lambda: file.readline(MAX_BYTES), b""), 1):
                head = _HEAD.match(content)
                text = content[head.end() : content.rfind(b"}")] if head else b""
                if head is None:
                    bad.append(f"line {number} is not a line of a ledger")
                elif _hash(text) != head[1].decode():
                    bad.append(f"line {number} was cut short or changed: its content does not match its hash")
                else:
                    yield number, LedgerLine(head[1].decode(), head[3].decode(), text, head[2] is not None)
                if len(content) == MAX_BYTES and not content.endswith(b"\n"):
                    raise OSError(f"a line is longer than {MAX_BYTES:,} bytes")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        bad.append(f"after line {number}: {error or type(error).__name__}")


def append(folder: Path, lines: Iterable[LedgerLine]) -> Path:
    """Append lines to a folder's ledger under a lock, flushed to disk; returns the file.

    Raises OSError, naming the folder, if it cannot be written.
    """
    from filelock import FileLock

    path = folder / FILE
    content = b"".join(line.encode() for line in lines)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".ledger.lock"):
            torn = b"" if ends_in_a_line(path) else b"\n"  # the last writer was killed: its torn line ends here
            append_bytes(path, torn + content)
    except OSError as error:
        raise OSError(f"the measurement could not be written to {folder}: {error}") from error
    return path


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Records have no reference cycles, and to look for some takes a fifth of the time that a large ledger needs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def is_dirty(commit: str) -> bool:
    """Whether a record of this commit cannot be traced to committed code."""
    return not commit or commit.endswith("+")


def _warn(damaged: Mapping[Path, str]) -> None:
    for path, why in damaged.items():
        warnings.warn(f"{path.name} was skipped in part: {why}", UnreadableMeasurement, stacklevel=3)
