"""About how long a command takes, from the last time on this machine."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sutrolib.core import paths
from sutrolib.core.format import duration
from sutrolib.core.io import write_json
from sutrolib.core.records import read_json

_KEPT = paths.RUNS / "seconds.json"
_LONG_S = 10.0
_DECISIVE = ("format", "slow")  # options that decide how long it takes


@contextmanager
def announced(options: argparse.Namespace) -> Iterator[None]:
    """Print beforehand how long a command took the last time, if that was over 10 s; keep how long it takes now."""
    chosen = [f"{name}={value}" for name in _DECISIVE if (value := getattr(options, name, None))]
    key, kept, began = " ".join([options.words[0], *chosen]), _read(), time.perf_counter()
    with suppress(TypeError):  # of a damaged file
        if (last := kept.get(key, 0.0)) > _LONG_S:
            print(f"This takes about {duration(last)} on this machine.", file=sys.stderr, flush=True)
    yield
    if (seconds := time.perf_counter() - began) > _LONG_S:
        with suppress(OSError):  # a checkout that may only be read
            write_json(_KEPT, kept | {key: seconds})


def _read() -> dict[str, Any]:
    try:
        return dict(read_json(_KEPT))
    except (OSError, ValueError, TypeError):
        return {}
