"""Where files are: the checkout, its notebooks, its data, and where this run may put figures and measurements.

Two environment variables redirect the output of a run: SUTRO_FIGURES and SUTRO_LEDGER.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
RUNS = DATA / "runs"


def figures() -> Path:
    """The folder that figures go to: SUTRO_FIGURES, else figures/ of the checkout."""
    return Path(os.environ.get("SUTRO_FIGURES") or ROOT / "figures")


def ledger() -> Path:
    """The folder of the ledger: SUTRO_LEDGER, else data/ledger/ of the checkout."""
    return Path(os.environ.get("SUTRO_LEDGER") or DATA / "ledger")
