"""Which tests the short command skips, and how each of them can be asked for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sutrolib.core import paths

TESTS = """
import pytest

@pytest.fixture(autouse=True)
def unknown_load(): pass  # which needs the library, and these tests do not

def test_fast(): pass

@pytest.mark.slow
def test_slow(): pass

@pytest.mark.browser
def test_in_a_browser(): pass
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ([], "1 passed, 2 skipped"),
        (["tests"], "1 passed, 2 skipped"),
        (["--slow"], "3 passed"),
        (["-n", "1", "--slow"], "3 passed"),
        (["tests/test_three.py"], "3 passed"),
        (["tests/test_three.py::test_slow"], "1 passed"),
    ],
)
def test_slow_tests_run_where_they_are_asked_for(tmp_path, arguments, outcome):
    (tmp_path / "tests").mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path / "tests")
    (tmp_path / "tests" / "test_three.py").write_text(TESTS, encoding="utf-8")
    shutil.copy(paths.ROOT / "pyproject.toml", tmp_path)
    command = [sys.executable, "-m", "pytest", "--override-ini=filterwarnings="]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert outcome in done.stdout, done.stdout + done.stderr
    assert ("2 slow tests were left out: --slow runs them" in done.stdout) == ("skipped" in outcome)


def test_the_whole_check_runs_the_slow_tests_too():
    assert "python -m pytest -n 2 --slow\n" in (paths.ROOT / ".ci" / "run").read_text(encoding="utf-8")
