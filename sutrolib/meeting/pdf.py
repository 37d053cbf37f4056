"""A page as PDF, through headless Chromium: one slide a page, with nothing loaded from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "chrome")
LIMIT_S = 180


def browser() -> str:
    """The Chromium that is installed. Raises OSError that says what to do instead where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise OSError(
            f"--format pdf needs Chromium ({', '.join(BROWSERS)}), which is not installed: write the deck as HTML, "
            "open it in a browser and print it, one slide a page"
        )
    return found


def pdf_of(page: str) -> bytes:
    """The page as PDF. Raises OSError where there is no Chromium or it does not print."""
    command = [browser(), "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command += ["--disable-component-update", "--disable-sync", "--disable-extensions", "--no-pdf-header-footer"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND"]  # whatever asked for a host would not find it
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # Chromium refuses to start as root otherwise
    with tempfile.TemporaryDirectory(prefix="sutro-deck-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "deck.html", Path(folder) / "deck.pdf"
        source.write_text(page, encoding="utf-8")
        command += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True)
        except (subprocess.SubprocessError, OSError) as error:
            told = f"{type(error).__name__}: {error}"
            raise OSError(f"Chromium did not print the deck ({told[:200]}): write it as HTML and print that") from error
        if not target.exists():
            raise OSError("Chromium ended without a PDF: write the deck as HTML, open it in a browser and print it")
        return target.read_bytes()
