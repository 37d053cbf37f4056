"""Errors in one sentence that says what to do.

An error that the library raises itself says so already. Those of the system or of a package (a full disk, a read-only
folder, an incomplete installation) are explained here. Any other error is a bug, and the sentence says that.
"""

import errno
import traceback
from pathlib import Path
from types import ModuleType

INSTALL = "run `pip install -r requirements.txt` in this environment"
DEBUG = "the same command with --debug shows where"
ELSEWHERE = "name another place (-o, or SUTRO_LEDGER, SUTRO_FIGURES or SUTRO_EXAM)"
REMEDIES = {
    errno.ENOSPC: f"the disk is full: free some space, or {ELSEWHERE}",
    errno.EDQUOT: f"your disk quota is used up: free some space, or {ELSEWHERE}",
    errno.EROFS: f"it is read-only: {ELSEWHERE}",
    errno.EACCES: f"you may not write there: change the permissions, or {ELSEWHERE}",
    errno.EPERM: f"you may not write there: change the permissions, or {ELSEWHERE}",
    errno.EEXIST: f"a file of that name is in the way: move it, or {ELSEWHERE}",
    errno.ENOTDIR: f"a file is in the way of a folder: move it, or {ELSEWHERE}",
    errno.EISDIR: f"a folder is in the way of a file: move it, or {ELSEWHERE}",
    errno.ENOENT: "it does not exist: check its name, and that the checkout is complete (`git status`)",
    errno.EMFILE: "too many files are open: close other programs, or raise the limit (`ulimit -n`)",
}


def sentence(error: BaseException) -> str:
    """What ``error`` means, and what to do about it."""
    if _is_incomplete_installation(error):
        return f"{error}: a package is missing or incomplete; {INSTALL}"
    if isinstance(error, MemoryError):
        return f"the memory is full{_after(error)}: take smaller parameters, or close other programs"
    if isinstance(error, OSError):
        return _of_the_system(error)
    if type(error).__module__.startswith("sutrolib."):
        return str(error)
    if isinstance(error, ValueError):
        return str(error) if _raised_by_us(error) else f"{error}; {DEBUG}"
    return f"{type(error).__name__}{_after(error)}. This is a bug: please report it; {DEBUG}"


def _is_incomplete_installation(error: BaseException) -> bool:
    """Whether a package is missing, cannot be loaded, or is there without its content."""
    if isinstance(error, ImportError):
        return not (error.name or "").startswith("sutrolib")
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return not error.obj.__name__.startswith("sutrolib")
    return False


def _of_the_system(error: OSError) -> str:
    text = ": ".join(str(part) for part in (error.filename, error.strerror) if part) or str(error)
    remedy = next((REMEDIES[e.errno] for e in _chain(error) if isinstance(e, OSError) and e.errno in REMEDIES), None)
    if remedy:
        return f"{text}; {remedy}"
    return text if _raised_by_us(error) else f"{text}; {DEBUG}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error, and those that it was raised from."""
    return [error, *(_chain(error.__cause__) if error.__cause__ else ())]


def _raised_by_us(error: BaseException) -> bool:
    """Whether the library raised it itself, with a message for users."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(__file__).parents[1] in Path(frames[-1].filename).parents


def _after(error: BaseException) -> str:
    return f": {error}" if str(error) else ""
