"""The exam's files: one JSON document per scale and content, ``data/exam/<scale>_<content>.json``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.io import write_json


def exam_path(scale: str, content: str) -> Path:
    """The file for this scale and content. Raises ValueError for a name that could lead to another folder."""
    for name in (scale, content):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(f"an exam's name must consist of letters, digits, '_' and '-' (got {name!r})")
    return paths.exam() / f"{scale}_{content}.json"


def load(scale: str, content: str, default: Any = None) -> Any:
    """The stored document, or ``default`` if there is none. Raises OSError without a default."""
    path = exam_path(scale, content)
    return default if default is not None and not path.exists() else json.loads(path.read_bytes())


def save(scale: str, content: str, document: Any) -> Path:
    """Write the document; the file is replaced as a whole. Raises OSError, naming the folder, if that fails."""
    return write_json(exam_path(scale, content), document)


def as_json(value: Any) -> Any:
    """The value as it comes back from a file (tuples become lists), to compare it with a stored one."""
    return json.loads(json.dumps(value))
