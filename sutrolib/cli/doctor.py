"""The command doctor: what this machine can measure, and whether notebooks can run on it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sutrolib.cli.errors import INSTALL
from sutrolib.core import paths

MIN_FREE_GIB = 1.0  # a run of all notebooks writes a few dozen MiB


@dataclass(frozen=True)
class HealthCheck:
    """One line of the report."""

    topic: str
    ok: bool
    what: str


def run(options: argparse.Namespace) -> int:
    """Print the report."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("topic", "", "what")
    for check in examine():
        table.add_row(check.topic, "[green]yes[/]" if check.ok else "[red]no[/]", escape(check.what))
    Console().print(table)
    return 0


def examine() -> list[HealthCheck]:
    """Meters, machine, versions, packages, kernel, disk and folders. A meter that cannot work here says why."""
    from sutrolib.core.provenance import machine, versions
    from sutrolib.meters import METERS

    checks = []
    for meter in METERS:
        availability = meter.available()
        note = f"{meter.title} ({meter.kind}, {meter.unit}): {availability.why}"
        checks.append(HealthCheck("meter", availability.ok, note))
    about = machine()
    gpu = about["gpu"] if about["gpu"] != "none" else "none; no notebook needs one"
    free = shutil.disk_usage(paths.ROOT).free / 2**30
    checks += [
        HealthCheck("machine", True, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB"),
        HealthCheck("gpu", True, gpu),
        HealthCheck("versions", True, ", ".join(f"{name} {version}" for name, version in versions().items())),
        _check_packages(),
        check_kernel(),
        HealthCheck("disk", free >= MIN_FREE_GIB, f"{free:.1f} GiB are free for what runs write"),
    ]
    folders = {"figures": paths.figures(), "ledger": paths.ledger(), "exam": paths.exam(), "runs": paths.RUNS}
    return checks + [_check_writable(name, folder) for name, folder in folders.items()]


def _check_packages() -> HealthCheck:
    """Whether the packages of requirements.txt are installed, and which have another version."""
    path = paths.ROOT / "requirements.txt"  # not there if only the library was copied
    required = re.findall(r"^([\w.-]+)==([^\s#]+)", path.read_text(encoding="utf-8") if path.exists() else "", re.M)
    missing, others = [], []
    for name, wanted in required:
        try:
            found = importlib.metadata.version(name).split("+")[0]  # torch adds the card that it was built for
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
        else:
            others += [f"{name} {found} (pinned: {wanted})"] if found != wanted else []
    if missing:
        return HealthCheck("packages", False, f"missing: {', '.join(missing)}; {INSTALL}")
    note = f"; other versions than pinned: {', '.join(others)}" if others else ""
    return HealthCheck("packages", True, f"all of requirements.txt are installed{note}")


def check_kernel() -> HealthCheck:
    """Whether this environment has what notebooks run on: IPython's kernel, and this library."""
    try:
        missing = "" if importlib.util.find_spec("ipykernel.kernelapp") else "ipykernel is incomplete"
    except Exception as error:  # an incomplete installation fails in many ways
        missing = str(error)
    if missing:
        return HealthCheck("kernel", False, f"there is no kernel to run notebooks on ({missing}); {INSTALL}")
    ask = [sys.executable, "-P", "-c", "import sutrolib; print(sutrolib.__path__[0])"]
    found = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    if not found or Path(found).resolve() != Path(__file__).resolve().parents[1]:
        where = f"the one in {found}" if found else "none"
        here = Path(__file__).resolve().parents[2]
        return HealthCheck("kernel", False, f"notebooks would not import the library of {here} but {where}; {INSTALL}")
    return HealthCheck("kernel", True, f"notebooks run on {Path(sys.executable).name} of this environment")


def _check_writable(name: str, folder: Path) -> HealthCheck:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    ok = existing.is_dir() and os.access(existing, os.W_OK)
    return HealthCheck("folder", ok, f"{name}: {'can be written' if ok else f'{folder} cannot be written'}")
