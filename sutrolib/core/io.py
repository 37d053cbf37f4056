"""Atomic writes: a file is complete or not there, even when several processes write (temporary name, fsync, rename)."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> Path:
    """Write ``content`` as JSON, atomically. Raises OSError, with the folder, if it cannot be written."""
    encoded = json.dumps(content, indent=1, allow_nan=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, encoded)
    except OSError as error:
        raise OSError(f"cannot write {path.name} in {path.parent}: {error}") from error
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file atomically. Raises OSError if it cannot be written."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
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
