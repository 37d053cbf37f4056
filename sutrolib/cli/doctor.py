"""What this machine can measure, and whether the walk can run on it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sutrolib.cli.errors import INSTALL
from sutrolib.core import paths

ENOUGH_GIB = 1.0  # a full walk writes a few dozen MiB; a disk with less than this is about to be full


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report."""

    topic: str
    ok: bool
    what: str


def examine() -> list[Check]:
    """Meters, machine, versions and folders. Meters that cannot work here say what is missing."""
    from sutrolib.core.provenance import machine, versions
    from sutrolib.meters import METERS

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
    checks += [_packages(), kernel(), _disk()]
    for name, folder in (
        ("figures", paths.figures()),
        ("ledger", paths.ledger()),
        ("exam", paths.exam()),
        ("runs", paths.RUNS),
    ):
        checks.append(_writable(name, folder))
    return checks


def _packages() -> Check:
    """Whether all that requirements.txt asks for is installed, and what of it in another version."""
    missing, others = [], []
    for name, wanted in _required():
        try:
            found = importlib.metadata.version(name).split("+")[0]  # torch says for which card it was built
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
        else:
            others += [f"{name} {found} for {wanted}"] if found != wanted else []
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}; {INSTALL}")
    told = f"all of requirements.txt, others than pinned: {', '.join(others)}" if others else "all of requirements.txt"
    return Check("packages", True, told)


def _required() -> Iterator[tuple[str, str]]:
    """Each package of requirements.txt with its pinned version; none where only the library was carried over."""
    path = paths.ROOT / "requirements.txt"
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        name, pinned, version = line.split("#")[0].partition("==")
        if pinned:
            yield name.strip(), version.strip()


def kernel() -> Check:
    """Whether notebooks have something to run on: IPython's kernel, in this environment."""
    try:
        missing = "" if importlib.util.find_spec("ipykernel.kernelapp") else "ipykernel is without its content"
    except Exception as error:  # half an installation fails in more ways than one
        missing = str(error)
    if missing:
        return Check("kernel", False, f"there is no kernel to run notebooks on ({missing}); {INSTALL}")
    return Check("kernel", True, f"notebooks run on {Path(sys.executable).name} of this environment")


def _disk() -> Check:
    """Whether there is room for what a run writes."""
    free = shutil.disk_usage(paths.ROOT).free / 2**30
    return Check("disk", free >= ENOUGH_GIB, f"{free:.1f} GiB are free beside the notebooks")


def _writable(name: str, folder: Path) -> Check:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    ok = existing.is_dir() and os.access(existing, os.W_OK)
    return Check("folder", ok, f"{name}: {'can be written' if ok else f'{folder} cannot be written'}")
