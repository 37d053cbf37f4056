"""The results of a batch's runs: one JSON file each, in the folder ``records`` of the batch.

A record is named after the identity of its run, so a run is recorded once, however often it was begun. The process that
makes a run writes its record as soon as it ends, so that neither a dead worker nor a dead command loses it.
"""

import dataclasses
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.io import as_float, write_json
from sutrolib.core.records import UnreadableRecord, checked, read_json

RECORDS = "records"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunResult:
    """How a run ended: what was run, how long it took, what it found, and the error if it failed.

    ``parameters`` holds all of the notebook's parameters, ``library`` the version that was run; ``results``, ``kinds``
    and ``expected`` are what the notebook concluded. ``attempts`` is how often it was begun, ``worker`` where,
    ``sequence`` by which command in this folder, counted from 1.
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
    sequence: int = 0

    @property
    def passed(self) -> bool:
        """Whether every cell ran."""
        return not self.error

    @property
    def status(self) -> str:
        """passed, failed or interrupted."""
        return {"": "passed", INTERRUPTED: INTERRUPTED}.get(self.error, "failed")

    def expected_range(self, quantity: str) -> tuple[float, float] | None:
        """The range that was predicted for a quantity; None if there was none."""
        stated = self.expected.get(quantity)
        bounds = [as_float(bound) for bound in stated[:2]] if isinstance(stated, list) and len(stated) > 1 else []
        return (bounds[0], bounds[1]) if bounds and bounds[0] is not None and bounds[1] is not None else None


def file_name(number: int, notebook: str) -> str:
    """The name of an executed copy. Raises ValueError for a name that leads out of the batch's folder."""
    name = f"{number:03d}-{notebook}.ipynb"
    if Path(name).name != name or "\\" in name:
        raise ValueError(f"the notebook's name must not contain a path (got {notebook!r})")
    return name


def write(folder: Path, result: RunResult) -> RunResult:
    """Record how a run ended, and return it. Raises OSError, with the folder, if it cannot be written."""
    # JSON has no infinities and no NaN: they are read as None.
    content = json.loads(json.dumps(dataclasses.asdict(result)), parse_constant=lambda _: None)
    write_json(folder / RECORDS / f"{result.identity}.json", content)
    return result


def forget(folder: Path, identity: str) -> None:
    """Remove a record, as the run is about to be made again."""
    (folder / RECORDS / f"{identity}.json").unlink(missing_ok=True)


def read(folder: Path, identity: str) -> RunResult | None:
    """The record of a run; None if there is none, or none that can be read: then the run is yet to be made."""
    try:
        result = checked(RunResult(**read_json(folder / RECORDS / f"{identity}.json")))
        file_name(result.number, result.notebook)
        if result.identity != identity:
            raise ValueError(f"it is of another run ({result.identity:.64})")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        warnings.warn(f"the record {identity}.json was skipped: {error}", UnreadableRecord, stacklevel=2)
        return None
    return result


def read_all(folder: Path) -> list[RunResult]:
    """All records of a batch that can be read, in the order of their numbers."""
    found = (read(folder, path.stem) for path in (folder / RECORDS).glob("*.json"))
    return sorted((result for result in found if result), key=_order)


def read_newest(folder: Path) -> list[RunResult]:
    """The last record for each notebook and parameters of a batch: the others are of earlier sources."""
    newest: dict[str, RunResult] = {}
    for result in sorted(read_all(folder), key=lambda result: (result.sequence, result.when)):
        newest[json.dumps([result.notebook, result.parameters], sort_keys=True)] = result
    return sorted(newest.values(), key=_order)


def _order(result: RunResult) -> tuple[int, int]:
    return result.number, result.sequence


def newest_batch() -> Path:
    """The folder of the batch that was recorded last. Raises ValueError if there is none."""
    folders = {path.parent for path in paths.RUNS.glob(f"*/{RECORDS}/*.json")}
    if not folders:
        raise ValueError(f"there is no run to resume in {paths.RUNS}; name its folder with -o, or leave out --resume")
    return max(folders, key=lambda folder: folder.stat().st_mtime_ns).parent
