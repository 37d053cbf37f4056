"""About how long a command takes, from the last time; the first time from data/seconds.json, scaled to this machine."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sutrolib.core import paths, provenance
from sutrolib.core.format import duration
from sutrolib.core.io import write_json

_PUBLISHED, _KEPT = paths.DATA / "seconds.json", paths.RUNS / "seconds.json"
_LONG_S = 10.0
_DECISIVE = ("format", "slow")  # options that decide how long it takes


@contextmanager
def announced(options: argparse.Namespace) -> Iterator[None]:
    """Print beforehand how long a command is expected to take, if that is over 10 s; keep how long it took."""
    chosen = [f"{name}={value}" for name in _DECISIVE if (value := getattr(options, name, None))]
    key, kept, began = " ".join([options.words[0], *chosen]), _read(_KEPT), time.perf_counter()
    with suppress(KeyError, ValueError, TypeError, ZeroDivisionError):
        expected = kept.get(key) or _published(**_read(_PUBLISHED)[key])
        if expected > _LONG_S:
            print(f"This takes about {duration(expected)} on this machine.", file=sys.stderr, flush=True)
    yield
    if (seconds := time.perf_counter() - began) > _LONG_S:
        with suppress(OSError):  # a checkout that may only be read
            write_json(_KEPT, kept | {key: seconds})


def _published(seconds: float, reference_seconds: float) -> float:
    return seconds * min(4.0, provenance.reference_seconds() / reference_seconds)  # a busy machine says more


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
