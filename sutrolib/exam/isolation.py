"""What a process of the exam is kept from: writing anywhere but to its own new folder, and reaching other processes.

Linux's Landlock does it (docs.kernel.org/userspace-api/landlock.html), also for users without privileges.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

from sutrolib.core.paths import ROOT

LINUX = sys.platform == "linux"
_FOLDERS = "HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"
_CACHES = "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "NUMBA_CACHE_DIR", "CUDA_CACHE_PATH", "TORCH_HOME"
_DEVICES = "null", "zero", "full", "random", "urandom", "tty", "nvidia*", "nvidia-caps/*", "kfd", "dri/*"  # in /dev
END_WITH_PARENT, ADOPT_ORPHANS, NO_NEW_PRIVILEGES = 1, 36, 38  # linux/prctl.h
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # linux/landlock.h, the same on every architecture
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_MMAP_THRESHOLD = -3  # malloc.h of glibc


def isolate(folder: Path) -> None:
    """Make ``folder`` the home, the folder of all caches and temporary files, and where it can, all that is writable.

    With Landlock neither other files nor TCP, abstract sockets and signals to other processes are within reach.
    """
    os.environ.update(dict.fromkeys((*_FOLDERS, *_CACHES), str(folder)))
    tempfile.tempdir = None
    os.chdir(folder)
    if not (abi := landlock_version()):
        return
    writing = _WRITE_FILE | sum(1 << bit for bit in range(4, 14 if abi > 1 else 13)) | (_TRUNCATE if abi > 2 else 0)
    attributes = struct.pack("=QQQ", writing, 3, 3)[: 24 if abi > 5 else 16 if abi > 3 else 8]
    ruleset = _system_call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    devices = [path for name in _DEVICES for path in Path("/dev").glob(name) if path.is_char_device()]
    for path in (folder, *devices):
        place = os.open(path, os.O_PATH)
        allowed = writing if path == folder else writing & (_WRITE_FILE | _TRUNCATE)
        _system_call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed, place), 0)
        os.close(place)
    set_process_option(NO_NEW_PRIVILEGES, 1)
    _system_call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def landlock_version() -> int:
    """The version of Landlock that the system offers; 0 if it has none."""
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, 1))) if LINUX else 0


def _system_call(number: int, *arguments: Any) -> int:
    found = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return found


def set_process_option(option: int, value: int) -> None:
    """Set one of Linux's options of a process; nothing elsewhere."""
    if LINUX:
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def return_freed_arrays() -> None:
    """Let glibc return every array of 1 MB and more to the system when it is freed.

    Otherwise what a trace keeps between them leaves holes where the next one does not fit: 20 GB for 1,000 predictions.
    """
    if mallopt := LINUX and getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, 1 << 20)


def files_of_checkout() -> dict[str, tuple[int, int, int]]:
    """Size and times of the files of the checkout, but for the notebooks, which may be open and are saved meanwhile."""
    found = {}
    for folder in ("sutrolib", "data", "tests", "figures"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                about = path.stat()
                found[str(path.relative_to(ROOT))] = about.st_size, about.st_mtime_ns, about.st_ctime_ns
    return found
