"""Compiled code is kept where that is possible, and else in a folder that ends with the process."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sutrolib.core.paths import ROOT

PROGRAM = """
import os
from sutrolib.core.compiled import compiled

@compiled
def half(x):
    return x / 2

@compiled
def quarter(x):
    return half(half(x))

assert quarter(4.0) == 1
print(os.environ.get("NUMBA_CACHE_DIR", "none"))
print(len(os.listdir(os.environ["NUMBA_CACHE_DIR"])) if "NUMBA_CACHE_DIR" in os.environ else "")
"""
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h


def may_not_write_everywhere():
    """In a child of root: permissions count for it too."""
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="root loses a capability of Linux")
@pytest.mark.parametrize("mode", [0o755, 0o555], ids=["writable", "read-only"])
def test_compiled_code_has_a_place_where_neither_checkout_nor_home_can_be_written(tmp_path, mode):
    folders = [tmp_path / name for name in ("checkout", "home")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "program.py").write_text(PROGRAM)
    for folder in folders:
        folder.chmod(mode)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG"))}
    environment |= {"HOME": str(folders[1]), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(folders[0] / "program.py")]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, preexec_fn=may_not_write_everywhere, check=False
    )
    assert done.returncode == 0, done.stderr
    where, number = done.stdout.splitlines()
    if mode == 0o755:
        assert (where, (folders[0] / "__pycache__").is_dir()) == ("none", True)
    else:
        assert "sutro-numba-" in where
        assert int(number) > 0
        assert not Path(where).exists()
