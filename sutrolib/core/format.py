"""Numbers, amounts with a unit, bytes and durations as text, and text that a terminal may be given."""

from __future__ import annotations

import math
import re

# ECMA-48: control strings (a window's title, a link) up to their end, control sequences (colours, clearing the screen),
# other escape sequences, and what is left of C0 and C1. Line feeds and tabs stay.
_CONTROLS = re.compile(
    r"(?:\x1b[]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-OQ-WYZ\\`-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def plain(text: str) -> str:
    """The text without what a terminal would obey: escape sequences and control characters."""
    return _CONTROLS.sub("", text)


def number(value: float) -> str:
    """Three significant digits, as in ``1,230`` or ``0.0123``; with an exponent only below 0.0001."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    return f"{float(f'{value:.3g}'):,.15g}"


def integer_or_number(value: float) -> str:
    """A whole number below ten million in full, as in ``1,234,567``; any other number with four significant digits."""
    whole = math.isfinite(value) and value == int(value) and abs(value) < 10_000_000
    return f"{int(value):,}" if whole else f"{value:.4g}"


def amount(value: float, unit: str) -> str:
    """Four significant digits and the unit; counts and bytes from 100,000 on with a decimal prefix (``1.235 MB``)."""
    if unit in ("B", "") and abs(value) >= 1e5:
        prefix, power = next((p, size) for p, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if abs(value) >= size)
        return f"{value / power:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}".strip()


def bytes_text(nbytes: float) -> str:
    """A number of bytes with a binary prefix: 32768 is ``32 KiB``."""
    for power, prefix in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if nbytes >= 2**power:
            return f"{nbytes / 2**power:g} {prefix}"
    return f"{nbytes:g} B"


def duration(seconds: float) -> str:
    """A time as in ``45 s``, ``12 min`` or ``1.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
