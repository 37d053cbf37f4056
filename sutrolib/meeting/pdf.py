"""A deck as PDF, printed by headless Chromium: one slide a page, without network."""

import os
import shutil
import subprocess
from pathlib import Path

from sutrolib.core.io import temporary_folder

_BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "chrome")
_TIMEOUT_S = 180


def to_pdf(page: str) -> bytes:
    """The HTML page as PDF. OSError, with what to do instead, if Chromium is not installed or fails."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise OSError(
            f"--format pdf needs Chromium ({', '.join(_BROWSERS)}), which is not installed: write the deck as HTML, "
            "open it in a browser and print it"
        )
    # No host can be reached.
    command = [browser, "--headless", "--no-pdf-header-footer", "--host-resolver-rules=MAP * ~NOTFOUND"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--no-sandbox")  # as root, Chromium refuses to start otherwise
    with temporary_folder("deck") as folder:
        source, target = Path(folder) / "deck.html", Path(folder) / "deck.pdf"
        source.write_text(page, encoding="utf-8")
        command += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={target}", source.as_uri()]
        try:
            subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True)
            return target.read_bytes()
        except (subprocess.SubprocessError, OSError) as error:
            why = f"{type(error).__name__}: {error}"[:200]
            raise OSError(f"Chromium did not print the deck ({why}): write it as HTML and print that") from error
