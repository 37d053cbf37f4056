"""What became of each run of a batch: one JSON file each, in the folder ``records`` of the batch.

A record's name is the identity of its run, so a run is recorded once, however often it was begun. Whoever ran it writes
the record, as soon as the run ends: neither the end of a worker nor that of the command takes it away.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sutrolib.core import paths, provenance
from sutrolib.core.io import write_json

RECORDS = "records"
BATCH = "batch.json"  # says when the batch was begun
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Outcome:
    """How a run ended: what was run, how long it took, what it found, and the error if it failed.

    ``parameters`` holds all of the notebook's parameters, ``library`` the version that was run, ``results``, ``kinds``
    and ``expected`` what the notebook concluded; ``attempts`` counts how often it was begun, ``worker`` names where.
    """

    identity: str
    number: int
    notebook: str
    label: str
    parameters: Mapping[str, Any]
    seconds: float
    when: str
    library: str = ""
    finding: str = ""
    sign: str = ""
    results: Mapping[str, float | None] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    attempts: int = 1
    worker: str = ""

    @property
    def passed(self) -> bool:
        """Whether every cell ran."""
        return not self.error

    @property
    def status(self) -> str:
        """passed, failed or interrupted."""
        if self.error == INTERRUPTED:
            return INTERRUPTED
        return "passed" if self.passed else "failed"

    @property
    def file(self) -> str:
        """The name of the executed copy in the batch's folder."""
        return file_name(self.number, self.notebook)


def file_name(number: int, notebook: str) -> str:
    """The name of an executed copy. Raises ValueError for a notebook whose name leads out of the batch's folder."""
    name = f"{number:03d}-{notebook}.ipynb"
    if Path(name).name != name or "\\" in name:
        raise ValueError(f"notebook {notebook!r}, accepted are names without a path")
    return name


def write(folder: Path, outcome: Outcome) -> None:
    """Record how a run ended. Raises OSError, naming the folder, where it cannot be written."""
    write_json(folder / RECORDS / f"{outcome.identity}.json", _storable(dataclasses.asdict(outcome)))


def forget(folder: Path, identity: str) -> None:
    """Take a record away: the run is about to be made again."""
    (folder / RECORDS / f"{identity}.json").unlink(missing_ok=True)


def read(folder: Path, identity: str) -> Outcome | None:
    """The record of a run; None where there is none, or none that can be read: then the run is yet to be made."""
    try:
        content = json.loads((folder / RECORDS / f"{identity}.json").read_text(encoding="utf-8"))
        outcome = Outcome(**content)
        shapes = (outcome.parameters, outcome.results, outcome.kinds, outcome.expected)
        sound = all(isinstance(shape, dict) for shape in shapes) and isinstance(outcome.number, int)
        return (
            outcome if sound and outcome.identity == identity and file_name(outcome.number, outcome.notebook) else None
        )
    except (OSError, ValueError, TypeError):
        return None


def read_all(folder: Path) -> list[Outcome]:
    """All records of a batch, in the order of their numbers; those that cannot be read are left out."""
    found = (read(folder, path.stem) for path in (folder / RECORDS).glob("*.json"))
    return sorted((outcome for outcome in found if outcome), key=lambda outcome: (outcome.number, outcome.when))


def newest_of_each(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The last record of each notebook with the same parameters: the others are of earlier sources."""
    newest: dict[str, Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.when):
        newest[json.dumps([outcome.notebook, outcome.parameters], sort_keys=True)] = outcome
    return sorted(newest.values(), key=lambda outcome: (outcome.number, outcome.when))


def note_begun(folder: Path) -> None:
    """Write down that a batch is begun in this folder now."""
    write_json(folder / BATCH, {"begun": provenance.now()})


def newest_batch() -> Path:
    """The folder of the batch that was begun last, of those with a record. Raises ValueError where there is none."""
    folders = {path.parent.parent for path in paths.RUNS.glob(f"*/{RECORDS}/*.json")}
    if not folders:
        raise ValueError(f"there is no run to resume in {paths.RUNS}; name its folder by -o, or leave out --resume")
    return max(folders, key=lambda folder: (_begun(folder), folder.name))


def _begun(folder: Path) -> datetime:
    """When a batch was begun; where that is not written down, when its first record was."""
    try:
        begun = datetime.fromisoformat(json.loads((folder / BATCH).read_text(encoding="utf-8"))["begun"])
        return begun if begun.tzinfo else begun.replace(tzinfo=UTC)
    except (OSError, ValueError, KeyError, TypeError):
        first = min(path.stat().st_mtime for path in (folder / RECORDS).glob("*.json"))
        return datetime.fromtimestamp(first, UTC)


def _storable(value: Any) -> Any:
    """The value with None for what JSON does not know: infinities, and what is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _storable(content) for name, content in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(content) for content in value]
    return value
