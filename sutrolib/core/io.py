"""JSON for any number, and atomic writes: a file is complete or not there, even when several processes write.

A file gets a temporary name, is flushed to disk, and is renamed. What is temporary is named after the process that made
it; so what a killed one left can be told from what is in use.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_TEMPORARY = re.compile(r"\.?sutro-(?:[a-z]+-)?(\d{1,9})-\w+(?:\.tmp)?")
_OLD_S = 24 * 3600  # another machine with the same disk may have written it


def as_float(value: Any) -> float | None:
    """The value as a float; None for what is not a finite number."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several numbers
        return None
    return number if math.isfinite(number) else None


def not_finite(numbers: Mapping[str, Any]) -> str:
    """Which of the numbers are not finite, in words ("loss is nan"); empty if all are. None stands for no number."""
    wrong = (f"{name} is {value}" for name, value in numbers.items() if value is not None and as_float(value) is None)
    return ", ".join(wrong)


def as_json(value: Any) -> Any:
    """The value as it comes back from a JSON file; every value has a form there, so that none is lost.

    Tuples become lists, NumPy's numbers plain ones. JSON has no NaN and no infinities: they become the texts "NaN",
    "Infinity" and "-Infinity", which ``float`` reads. Anything else becomes its text.
    """
    text = json.dumps(value, default=lambda other: other.tolist() if hasattr(other, "tolist") else str(other))
    return json.loads(text, parse_constant=str)


def write_json(path: Path, content: Any) -> Path:
    """Write ``as_json(content)``, atomically. Raises OSError, with the folder, if it cannot be written."""
    encoded = json.dumps(as_json(content), indent=1).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encoded)
    except OSError as error:
        raise OSError(f"cannot write {path.name} in {path.parent}: {error}") from error
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises OSError if it cannot be written."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".sutro-{os.getpid()}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp makes it private
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the rename is made durable, if the system can open a folder (Windows cannot)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def temporary_folder(purpose: str) -> tempfile.TemporaryDirectory[str]:
    """A new folder for this process alone, as a context. Raises OSError if no temporary folder can be written to."""
    return tempfile.TemporaryDirectory(prefix=f"sutro-{purpose}-{os.getpid()}-", ignore_cleanup_errors=True)


def sweep(folders: Iterable[Path]) -> None:
    """Remove what killed processes of this user left in these folders and in the temporary one, after a day."""
    try:
        import psutil
    except ModuleNotFoundError:  # a machine for the exam alone
        return
    for path in (path for folder in (Path(tempfile.gettempdir()), *folders) for path in folder.glob("*sutro-*")):
        with suppress(OSError):
            about, named = path.lstat(), _TEMPORARY.fullmatch(path.name)
            if not named or time.time() - about.st_mtime < _OLD_S or psutil.pid_exists(int(named[1])):
                continue
            if not hasattr(os, "geteuid") or about.st_uid == os.geteuid():
                shutil.rmtree(path) if stat.S_ISDIR(about.st_mode) else path.unlink()
