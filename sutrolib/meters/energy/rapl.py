"""RAPL: the energy counters of processor packages and their memory, as Linux shows them under /sys/class/powercap.

A zone holds ``name``, ``energy_uj`` (microjoules, updated about once a millisecond) and ``max_energy_range_uj``, at
which ``energy_uj`` starts again at 0 (kernel.org/doc/html/latest/power/powercap/powercap.html). AMD processors since
Zen use the same names. The sum covers all packages, and the memory of each package that has its own counter. It leaves
out what would be counted twice: cores and uncore are parts of a package, and ``intel-rapl-mmio`` is a second view of
the same package. The whole platform (``psys``) is used only if there is no package.
"""

from __future__ import annotations

import re
from pathlib import Path

from sutrolib.meters.base import NoReading
from sutrolib.meters.energy.counter import EnergyCounter

POWERCAP = Path("/sys/class/powercap")
_RAPL_WINDOW_S = 0.1  # a hundred updates: the time between two updates is about 1 % of the window
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")


def rapl_counters(root: Path = POWERCAP) -> list[EnergyCounter]:
    """The counters of this machine's packages and memory. Raises NoReading that says what is missing.

    If a file may not be read, the message holds the command that allows it.
    """
    zones = {path: _text(path / "name") for path in sorted(root.glob("intel-rapl:*")) if _ZONE.fullmatch(path.name)}
    chosen = [path for path, name in zones.items() if name.startswith("package") or name == "dram"]
    if not any(zones[path].startswith("package") for path in chosen):
        chosen = [path for path, name in zones.items() if name == "psys"]
    if not chosen:
        raise NoReading(f"RAPL: no package or psys among {len(zones)} zones of {root} (virtual machines have none)")
    closed = [str(path / "energy_uj") for path in chosen if _is_closed(path / "energy_uj")]
    if closed:
        raise NoReading(f"RAPL: no permission to read its counters; to allow it: sudo chmod o+r {' '.join(closed)}")
    return [_counter(path, _label(path, zones)) for path in chosen]


def _counter(path: Path, label: str) -> EnergyCounter:
    limit = _microjoules(path / "max_energy_range_uj")
    if limit <= 0:
        raise NoReading(f"RAPL: {path / 'max_energy_range_uj'} holds {limit}; it must be above 0")
    return EnergyCounter(label, lambda: _microjoules(path / "energy_uj") / 1e6, _RAPL_WINDOW_S, limit / 1e6)


def _label(path: Path, zones: dict[Path, str]) -> str:
    """The zone's name; for memory with its package, and for a name that occurs twice with its zone."""
    parent = path.with_name(path.name.rpartition(":")[0])
    if parent in zones:
        return f"{zones[path]} of {_label(parent, zones)}"
    twins = sum(name == zones[path] for name in zones.values())
    return f"{zones[path]} ({path.name})" if twins > 1 else zones[path]


def _is_closed(path: Path) -> bool:
    try:
        path.read_bytes()
    except PermissionError:
        return True
    except OSError:  # reported when the number is read
        return False
    return False


def _microjoules(path: Path) -> int:
    text = _text(path)
    if not re.fullmatch(r"\d+", text):
        raise NoReading(f"RAPL: {path} holds {text!r}; it must be a whole number of microjoules")
    return int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoReading(f"RAPL: {path} cannot be read: {error}") from None
