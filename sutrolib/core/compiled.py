"""numba's ``njit``, whose compiled code is kept for the next process wherever there is a place for it."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core import config

from sutrolib.core.io import temporary_folder

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """The function, compiled when it is first called."""
    kept: Any = njit(cache=True)
    try:
        found: _Function = kept(function)
    except RuntimeError:  # numba may write neither beside the source nor to the home
        folder = temporary_folder("numba")
        atexit.register(folder.cleanup)
        os.environ["NUMBA_CACHE_DIR"] = folder.name  # for what this process starts as well
        config.reload_config()
        found = kept(function)
    return found
