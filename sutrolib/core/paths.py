"""Where files are: the checkout, its notebooks, its data, and where this run may put figures and measurements.

Environment variables redirect the output of a run: SUTRO_FIGURES, SUTRO_LEDGER and SUTRO_EXAM; SUTRO_AUDIT names
another audit of proxies, SUTRO_METER_LOCK another folder for the lock of meters. A batch sets SUTRO_RUN_LEDGER for its
notebooks.
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
    """The folder that figures go to: SUTRO_FIGURES, else data/runs/interactive/figures/.

    Only a run with ``--keep-figures`` writes to the committed figures/.
    """
    return Path(os.environ.get("SUTRO_FIGURES") or RUNS / "interactive" / "figures")


def published_ledger() -> Path:
    """The folder of the committed ledger, which only ``python -m sutrolib ledger publish`` adds to."""
    return DATA / "ledger"


def ledger() -> Path:
    """The folder that new measurements are written to.

    SUTRO_LEDGER, else the folder of the current batch run (SUTRO_RUN_LEDGER), else data/runs/interactive/.
    """
    return Path(os.environ.get("SUTRO_LEDGER") or os.environ.get("SUTRO_RUN_LEDGER") or RUNS / "interactive")


def ledger_folders() -> list[Path]:
    """The folders that measurements are read from: the committed ledger, all local runs, and :func:`ledger`.

    Where SUTRO_LEDGER is set, only that folder.
    """
    if os.environ.get("SUTRO_LEDGER"):
        return [ledger()]
    runs = sorted(path for path in RUNS.glob("*") if path.is_dir())
    return list(dict.fromkeys([published_ledger(), *runs, ledger()]))


def ledger_environment(run: Path) -> dict[str, str]:
    """The variables by which the notebooks of a batch write their measurements to its folder, ``run``."""
    chosen = str(ledger().resolve()) if os.environ.get("SUTRO_LEDGER") else ""  # they run in another folder
    return {"SUTRO_LEDGER": chosen, "SUTRO_RUN_LEDGER": str(run)}


def stored_results(notebook: str, run: Path | None = None) -> Path:
    """The file with the stored results of a notebook: the committed one, or that of a run's folder."""
    return (run or DATA) / "results" / f"{notebook}.json.gz"


def audit(run: Path | None = None) -> Path:
    """The file with what the audit of proxies says: of a run's folder, or SUTRO_AUDIT, else data/results/audit.json."""
    published = Path(os.environ.get("SUTRO_AUDIT") or DATA / "results" / "audit.json")
    return run / "results" / "audit.json" if run else published


def exam() -> Path:
    """The folder of the final exam's records: SUTRO_EXAM, else data/exam/ of the checkout."""
    return Path(os.environ.get("SUTRO_EXAM") or DATA / "exam")


def walk() -> Path:
    """The folder of the walk's plans and records: SUTRO_WALK, else data/walk/ of the checkout."""
    return Path(os.environ.get("SUTRO_WALK") or DATA / "walk")


def study_file(name: str) -> Path:
    """The journal of a search of this name, under data/studies/. Raises ValueError for a name that leads elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}", name):
        raise ValueError(f"a study's name must consist of letters, digits, blanks, '_', '-' and '.' (got {name!r})")
    return STUDIES / f"{name}.log"


def written() -> list[Path]:
    """The folders that this library writes files to, in so far as they are there."""
    folders = {DATA, NOTEBOOKS, figures(), exam(), ledger(), *DATA.glob("*"), *RUNS.glob("*"), *RUNS.glob("*/*/")}
    return [folder for folder in folders if folder.is_dir()]
