"""Where a number comes from: machine, versions and commit."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sutrolib import __version__
from sutrolib.core.paths import ROOT

# Wings and modules by which no exam and no stored result of a notebook is computed.
SHOWING = frozenset({"batch", "cli", "meeting", "notebook", "plots", "plots.py", "walk"})


@functools.cache
def machine() -> dict[str, Any]:
    """System, processor, cores, memory and graphics cards of this machine; no name of host or user."""
    import torch

    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(_memory() / 2**30, 1),
        "gpu": ", ".join(cards) or ("Apple (mps)" if torch.mps.is_available() else "none"),
    }


def _memory() -> int:
    """Bytes of memory, from psutil or else from the system (Unix)."""
    try:
        import psutil
    except ImportError:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(psutil.virtual_memory().total)


def _processor() -> str:
    listing = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    names = re.findall(r"model name\s*:\s*(.+)", listing.read_text()) if listing.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python, this library and the packages it computes with."""
    found = {"python": platform.python_version(), "sutrolib": __version__}
    for package in ("torch", "numpy", "scipy", "codecarbon"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def now() -> str:
    """The time in UTC, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def reference_seconds() -> float:
    """Seconds that a fixed piece of work takes here, the best of five: it scales times of another machine."""
    import numpy as np

    values, times = np.ones((200, 200)), []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(10):
            values @ values
        sum(number * number for number in range(50_000))
        times.append(time.perf_counter() - began)
    return min(times)


def git(folder: Path, *arguments: str) -> str:
    """The output of git in a folder. Raises OSError, with what git says, if it fails or there is none."""
    command = ["git", *arguments]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60).stdout
    except subprocess.SubprocessError as error:
        raise OSError(f"git {arguments[0]} failed in {folder}: {getattr(error, 'stderr', '') or error}") from error


@functools.cache
def commit() -> str:
    """The git commit of this checkout, with ``+`` if tracked files differ from it; empty outside a repository."""
    try:
        head = git(ROOT, "rev-parse", "--short=12", "HEAD").strip()
        return head + ("+" if git(ROOT, "status", "--porcelain", "--untracked-files=no").strip() else "")
    except OSError:
        return ""


def library(computing: bool = False) -> str:
    """The sha256 of this library's sources and tables, on disk now; with ``computing`` without what only shows."""
    package = ROOT / "sutrolib"
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.suffix in {".py", ".toml"}):
        name = path.relative_to(package)
        if not (computing and SHOWING.intersection(name.parts)):
            content = path.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
