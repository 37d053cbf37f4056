"""The command doctor: what this machine can measure, and whether notebooks can run on it."""

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sutrolib.cli.errors import INSTALL
from sutrolib.cli.text import console
from sutrolib.core import paths

MIN_FREE_GIB = 1.0  # a run of all notebooks writes a few dozen MiB
MIN_FILES = 128  # open at once: a notebook's kernel with a subprocess needs between 64 and 80


class HealthCheck(NamedTuple):
    """One line of the report."""

    topic: str
    ok: bool
    what: str


def run(options: argparse.Namespace) -> int:
    """Print the report."""
    from rich.table import Table
    from rich.text import Text

    table = Table("topic", "", "what")
    for topic, ok, what in examine():
        table.add_row(topic, Text("yes", "green") if ok else Text("no", "red"), what)
    console(markup=False).print(table)
    return 0


def examine() -> list[HealthCheck]:
    """Meters, machine, versions, packages, kernel, disk and folders. A meter that cannot work here says why."""
    from sutrolib.cli.ledger import unreadable_files
    from sutrolib.core.provenance import machine, versions
    from sutrolib.meters import METERS

    able = [(meter, meter.available()) for meter in METERS]
    about, free = machine(), shutil.disk_usage(paths.ROOT).free / 2**30
    gpu = about["gpu"] if about["gpu"] != "none" else "none; no notebook needs one"
    folders = {"figures": paths.figures(), "ledger": paths.ledger(), "exam": paths.exam(), "runs": paths.RUNS}
    return [
        *(HealthCheck("meter", can.ok, f"{m.title} ({m.kind}, {m.unit}): {can.why}") for m, can in able),
        HealthCheck("machine", True, f"{about['processor']}, {about['cores']} cores, {about['memory_gib']} GiB"),
        HealthCheck("gpu", True, gpu),
        HealthCheck("versions", True, ", ".join(f"{name} {version}" for name, version in versions().items())),
        _check_packages(),
        check_kernel(),
        *(HealthCheck("ledger", False, sentence) for sentence in unreadable_files()),
        HealthCheck("disk", free >= MIN_FREE_GIB, f"{free:.1f} GiB are free for what runs write"),
        *(_check_writable(name, folder) for name, folder in folders.items()),
    ]


def _check_packages() -> HealthCheck:
    """Whether the packages of requirements.txt are installed, and which have another version."""
    from packaging.requirements import Requirement

    path = paths.ROOT / "requirements.txt"  # not there if only the library was copied
    lines = re.findall(r"^[\w.-]+==[^#\n]+", path.read_text(encoding="utf-8") if path.exists() else "", re.M)
    required = [one for one in map(Requirement, lines) if not one.marker or one.marker.evaluate()]  # on this system
    missing, others = [], []
    for name, wanted in ((one.name, str(one.specifier).removeprefix("==")) for one in required):
        try:
            found = importlib.metadata.version(name).split("+")[0]  # torch adds the card that it was built for
            others += [f"{name} {found} (pinned: {wanted})"] if found != wanted else []
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return HealthCheck("packages", False, f"missing: {', '.join(missing)}; {INSTALL}")
    note = f"; other versions than pinned: {', '.join(others)}" if others else ""
    return HealthCheck("packages", True, f"all of requirements.txt are installed{note}")


def check_kernel() -> HealthCheck:
    """Whether this environment has what notebooks run on: IPython's kernel, enough open files, and this library."""
    try:
        missing = "" if importlib.util.find_spec("ipykernel.kernelapp") else "ipykernel is incomplete"
    except Exception as error:  # an incomplete installation fails in many ways
        missing = str(error)
    if missing:
        return HealthCheck("kernel", False, f"there is no kernel to run notebooks on ({missing}); {INSTALL}")
    with suppress(ImportError):  # Windows has no such limit
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if 0 <= most < MIN_FILES:
            why = f"this shell lets a process open {most} files, and a notebook's kernel needs up to {MIN_FILES}"
            return HealthCheck("kernel", False, f"{why}: raise the limit with `ulimit -n 1024`")
    ask = [sys.executable, "-P", "-c", "import sutrolib; print(sutrolib.__path__[0])"]
    found = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    here = Path(__file__).resolve().parents[1]
    if not found or Path(found).resolve() != here:
        where = f"the one in {found}" if found else "none"
        why = f"notebooks would not import the library of {here.parent} but {where}; {INSTALL}"
        return HealthCheck("kernel", False, why)
    return HealthCheck("kernel", True, f"notebooks run on {Path(sys.executable).name} of this environment")


def _check_writable(name: str, folder: Path) -> HealthCheck:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    ok = existing.is_dir() and os.access(existing, os.W_OK)
    return HealthCheck("folder", ok, f"{name}: {'can be written' if ok else f'{folder} cannot be written'}")
