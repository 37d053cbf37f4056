"""The ledger: every Measurement kept, one JSON file each, never changed and never deleted.

A file is written to a temporary name, flushed to disk and renamed, so it is there whole or not at all, whoever else is
writing. Its name is its time and the hash of its content, so equal names hold equal bytes and damage shows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sutrolib.core import paths
from sutrolib.core.io import write_atomically
from sutrolib.core.provenance import commit, now
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Reading

if TYPE_CHECKING:
    import pandas as pd

HASH_LENGTH = 12
STUDIES = "studies"


class UnreadableMeasurement(UserWarning):
    """A file of the ledger could not be read; it was skipped and left where it is."""


@dataclass(frozen=True)
class Damaged:
    """A file of the ledger that could not be read, and why."""

    path: Path
    why: str


class Ledger:
    """The measurements in a folder. Many processes may add to it at once."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder) if folder is not None else paths.ledger()

    def add(self, measurement: Measurement) -> Path:
        """Write one measurement and return its file. Raises OSError, naming the folder, where it cannot be written."""
        return self._write(self.folder, measurement.when, _encode(measurement))

    def _write(self, folder: Path, when: str, content: bytes) -> Path:
        stamp = when.translate(str.maketrans("", "", "-:")).split("+")[0]
        path = folder / f"{stamp}-{_hash(content)}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        except OSError as error:
            raise OSError(f"the measurement could not be kept in {folder}: {error}") from error
        return path

    def add_study(self, study: Mapping[str, Any]) -> Path:
        """Keep what a search found and what it cost (``Study.plain()``), under studies/; raises as :meth:`add`."""
        content = json.dumps({**study, "when": now(), "commit": commit()}, indent=1, sort_keys=True, allow_nan=False)
        return self._write(self.folder / STUDIES, now(), content.encode() + b"\n")

    def studies(self) -> list[dict[str, Any]]:
        """All searches that were kept, oldest first; one that cannot be read is named in a warning and skipped."""
        found = []
        for path in sorted((self.folder / STUDIES).glob("*.json")):
            try:
                found.append(json.loads(_intact(path)))
            except (OSError, ValueError) as error:
                warnings.warn(f"{path.name} was skipped: {error}", UnreadableMeasurement, stacklevel=2)
        return found

    def read(self) -> tuple[list[Measurement], list[Damaged]]:
        """All measurements, oldest first, and the files that could not be read."""
        measurements: list[Measurement] = []
        damaged: list[Damaged] = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                measurements.append(_decode(path))
            except (OSError, ValueError, TypeError, KeyError) as error:
                damaged.append(Damaged(path, f"{type(error).__name__}: {error}"))
        return measurements, damaged

    def measurements(self) -> list[Measurement]:
        """All measurements, oldest first; a file that cannot be read is named in a warning and skipped."""
        measurements, damaged = self.read()
        for file in damaged:
            warnings.warn(f"{file.path.name} was skipped: {file.why}", UnreadableMeasurement, stacklevel=2)
        return measurements

    def frame(self) -> pd.DataFrame:
        """All readings as a tidy table, one row each, with the problem's and the model's fields as columns."""
        return frame(self.measurements())


def frame(measurements: list[Measurement]) -> pd.DataFrame:
    """One row for each reading of ``measurements``."""
    import pandas as pd

    rows = [
        {
            "when": measurement.when,
            "problem": measurement.problem["name"],
            "model": measurement.model["name"],
            "seed": measurement.seed,
            "score": measurement.score,
            "solved": measurement.solved,
            "metric": reading.name,
            "value": reading.value,
            "unit": reading.unit,
            "kind": str(reading.kind),
            **{f"rung.{axis}": rung for axis, rung in measurement.rungs.items()},
            **_prefixed("problem", measurement.problem),
            **_prefixed("model", measurement.model),
            "commit": measurement.commit,
        }
        for measurement in measurements
        for reading in measurement.readings
    ]
    columns = ["when", "problem", "model", "seed", "score", "solved", "metric", "value", "unit", "kind"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _prefixed(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in fields.items() if name != "name"}


def _encode(measurement: Measurement) -> bytes:
    # allow_nan=False: a NaN is not JSON, and a measurement that holds one is a bug upstream.
    return json.dumps(plain(measurement), indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def plain(measurement: Measurement) -> dict[str, Any]:
    """A measurement as values that JSON takes; :func:`of_plain` makes a measurement of them."""
    return {f.name: getattr(measurement, f.name) for f in dataclasses.fields(measurement)} | {
        "readings": [dataclasses.asdict(reading) for reading in measurement.readings]
    }


def _intact(path: Path) -> bytes:
    content = path.read_bytes()
    if _hash(content) != path.stem.rpartition("-")[2]:
        raise ValueError("its content is not what its name was made from, so it was cut short or changed")
    return content


def _decode(path: Path) -> Measurement:
    return of_plain(json.loads(_intact(path)))


def of_plain(fields: Mapping[str, Any]) -> Measurement:
    """The measurement of these values. Raises KeyError and TypeError for those of another shape."""
    return Measurement(**{**fields, "readings": tuple(Reading(**reading) for reading in fields["readings"])})


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]
