"""A deck as PDF, printed by headless Chromium: one slide a page, without network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "chrome")
_TIMEOUT_S = 180


def find_chromium() -> str:
    """The path of the installed Chromium. OSError, with what to do instead, if there is none."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise OSError(
            f"--format pdf needs Chromium ({', '.join(_BROWSERS)}), which is not installed: write the deck as HTML, "
            "open it in a browser and print it"
        )
    return found


def to_pdf(page: str) -> bytes:
    """The HTML page as PDF. OSError if there is no Chromium, or if it fails."""
    command = [find_chromium(), "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command += ["--disable-component-update", "--disable-sync", "--disable-extensions", "--no-pdf-header-footer"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]  # no host can be reached
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # as root, Chromium refuses to start otherwise
    with tempfile.TemporaryDirectory(prefix="sutro-deck-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "deck.html", Path(folder) / "deck.pdf"
        source.write_text(page, encoding="utf-8")
        command += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True)
            return target.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise OSError(f"Chromium did not print the deck ({why}): write it as HTML and print that") from error
