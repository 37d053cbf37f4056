"""Where files are: the checkout, its notebooks, its data, and where this run may put figures and measurements.

Environment variables redirect the output of a run: SUTRO_FIGURES, SUTRO_LEDGER and SUTRO_EXAM.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
RUNS = DATA / "runs"
STUDIES = DATA / "studies"


def figures() -> Path:
    """The folder that figures go to: SUTRO_FIGURES, else figures/ of the checkout."""
    return Path(os.environ.get("SUTRO_FIGURES") or ROOT / "figures")


def ledger() -> Path:
    """The folder of the ledger: SUTRO_LEDGER, else data/ledger/ of the checkout."""
    return Path(os.environ.get("SUTRO_LEDGER") or DATA / "ledger")


def exam() -> Path:
    """The folder of the final exam's records: SUTRO_EXAM, else data/exam/ of the checkout."""
    return Path(os.environ.get("SUTRO_EXAM") or DATA / "exam")


def study_file(name: str) -> Path:
    """The journal of a search of this name, under data/studies/. Raises ValueError for a name that leads elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}", name):
        raise ValueError(f"study {name!r}, accepted are names of letters, digits, blanks, '_', '-' and '.'")
    return STUDIES / f"{name}.log"
