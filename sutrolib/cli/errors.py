"""What a user reads when a command cannot go on: one sentence that says what to do about it.

An error that the library raises itself says so already. What comes from the system or from a package (a full disk, a
read-only folder, half an installation) is told here; what is none of these is a bug, and is called one.
"""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from types import ModuleType

INSTALL = "run `pip install -r requirements.txt` in this environment"
DEBUG = "the same command with --debug shows where"
ELSEWHERE = "name another place (-o, or SUTRO_LEDGER, SUTRO_FIGURES and SUTRO_EXAM for what is kept)"
REMEDIES = {
    errno.ENOSPC: f"the disk is full: free some space, or {ELSEWHERE}",
    errno.EDQUOT: f"your share of the disk is used up: free some space, or {ELSEWHERE}",
    errno.EROFS: f"that is read-only: {ELSEWHERE}",
    errno.EACCES: f"that is not allowed: give yourself the right to write there, or {ELSEWHERE}",
    errno.EPERM: f"that is not allowed: give yourself the right to write there, or {ELSEWHERE}",
    errno.EEXIST: f"something of that name is in the way: move it, or {ELSEWHERE}",
    errno.ENOTDIR: f"a file is in the way of a folder: move it, or {ELSEWHERE}",
    errno.EISDIR: f"a folder is in the way of a file: move it, or {ELSEWHERE}",
    errno.ENOENT: "that is not there: check its name, and that the checkout is whole (`git status`)",
    errno.EMFILE: "too many files are open: close other programs, or raise the limit (`ulimit -n`)",
}


def sentence(error: BaseException) -> str:
    """What ``error`` means to a user, and what to do about it, without a traceback."""
    if _is_half_an_installation(error):
        return f"{error}: a package is missing or incomplete; {INSTALL}"
    if type(error).__name__ == "NoSuchKernel":  # of jupyter_client, which may be what is missing
        return f"there is no kernel to run notebooks on ({error}); {INSTALL}"
    if isinstance(error, MemoryError):
        return f"the memory is used up{_after(error)}: take smaller parameters, or close other programs"
    if isinstance(error, OSError):
        return _of_the_system(error)
    if type(error).__module__.startswith("sutrolib."):
        return str(error)
    if isinstance(error, ValueError):
        return str(error) if _raised_by_us(error) else f"{error}; {DEBUG}"
    return f"{type(error).__name__}{_after(error)}. This is a bug: please report it; {DEBUG}"


def _is_half_an_installation(error: BaseException) -> bool:
    """Whether a package is missing, cannot be loaded, or is there without its content."""
    if isinstance(error, ImportError):
        return not (error.name or "").startswith("sutrolib")
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return not error.obj.__name__.startswith("sutrolib")
    return False


def _of_the_system(error: OSError) -> str:
    told = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)
    remedy = next((REMEDIES[e.errno] for e in _chain(error) if isinstance(e, OSError) and e.errno in REMEDIES), None)
    if remedy:
        return f"{told}; {remedy}"
    return told if _raised_by_us(error) else f"{told}; {DEBUG}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error, and those that it was raised from."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__
    return found


def _raised_by_us(error: BaseException) -> bool:
    """Whether the library raised it itself, so that its message was written for whoever reads it."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(__file__).parents[1] in Path(frames[-1].filename).parents


def _after(error: BaseException) -> str:
    return f": {error}" if str(error) else ""
