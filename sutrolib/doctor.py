"""What this machine can measure, and whether the walk can run on it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sutrolib import places


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    topic: str
    ok: bool
    what: str


def examine() -> list[Check]:
    """Meters, machine, versions and folders. Meters that cannot work here say what is missing."""
    from sutrolib.meters import METERS
    from sutrolib.provenance import machine, versions

    checks = []
    for meter in METERS:
        availability = meter.available()
        note = f"{meter.title} ({meter.kind}, {meter.unit}): {availability.why}"
        checks.append(Check("meter", availability.ok, note))
    about = machine()
    checks.append(Check("machine", True, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB"))
    has_gpu = about["gpu"] != "none"
    checks.append(Check("gpu", True, about["gpu"] if has_gpu else "none; nothing in this walk needs one"))
    checks.append(Check("versions", True, ", ".join(f"{name} {version}" for name, version in versions().items())))
    checks.append(Check("kernel", True, f"notebooks run on {Path(sys.executable).name} of this environment"))
    for name, folder in (
        ("figures", places.figures()),
        ("ledger", places.ledger()),
        ("exam", places.exam()),
        ("runs", places.RUNS),
    ):
        checks.append(_writable(name, folder))
    return checks


def _writable(name: str, folder: Path) -> Check:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    ok = existing.is_dir() and os.access(existing, os.W_OK)
    return Check("folder", ok, f"{name}: {'can be written' if ok else f'{folder} cannot be written'}")
