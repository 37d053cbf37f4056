"""A newcomer: somebody with a fresh copy of the checkout, who runs what README and recipes say."""

import os
import subprocess
import sys
from pathlib import Path

from batches import copy_checkout

from sutrolib.core import paths


class Newcomer:
    """``folder`` is the copy."""

    def __init__(self, folder):
        self.folder = folder
        copy_checkout(folder)
        for name in ("pyproject.toml", "requirements.txt"):
            (folder / name).write_bytes((paths.ROOT / name).read_bytes())

    def runs(self, command, given=""):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SUTRO", "PYTEST"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), clean["PATH"]])
        own = clean | {"PATH": path, "COLUMNS": "200", "HOME": str(self.folder)}
        own |= {"PYTHONPATH": str(self.folder)}  # what `pip install -e .` would do here
        done = subprocess.run(
            command, cwd=self.folder, env=own, input=given, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout
