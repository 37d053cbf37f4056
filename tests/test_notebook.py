import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sutrolib import notebook
from sutrolib.findings import FINDING_TYPE, finding_in, markdown_table
from sutrolib.ledger import Ledger
from sutrolib.notebook import Session, _cells, sign_of_life, start
from sutrolib.places import NOTEBOOKS, ROOT


@pytest.fixture
def session(tmp_path):
    return Session("99_test", SimpleNamespace(profile="quick"), Ledger(tmp_path / "ledger"), tmp_path / "figures")


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda *things, **options: calls.append((things, options)))
    return calls


@pytest.mark.parametrize(
    ("held", "sign"), [([True, True], "continue"), ([True, False], "turn back"), ([False, False], "stop")]
)
def test_the_sign_of_life_follows_from_the_expectations(held, sign):
    assert sign_of_life(held) == sign


def test_a_conclusion_sets_expectation_against_result_and_hands_on_the_finding(session, shown):
    session.expect("speed", 1, 2, "a guess")
    session.expect("cost", 1, 2, "a guess")
    session.conclude("It is fast.", {"speed": 1.5, "cost": None, "extra": 7}, "Next.")
    data = shown[0][0][0]
    assert data[FINDING_TYPE] == {
        "finding": "It is fast.",
        "sign": "turn back",
        "results": {"speed": 1.5, "cost": None, "extra": 7},
    }
    assert "| speed | 1 to 2 | 1.5 | yes |" in data["text/markdown"]
    assert "| cost | 1 to 2 | not measured | no |" in data["text/markdown"]
    assert "1 of 2 expectations held" in data["text/markdown"]


def test_an_expectation_without_a_result_cannot_be_passed_over(session, shown):
    session.expect("speed", 1, 2, "a guess")
    with pytest.raises(ValueError, match="not reported: speed"):
        session.conclude("It is fast.", {"cost": 1}, "Next.")
    with pytest.raises(ValueError, match="low=2 is above high=1"):
        session.expect("cost", 2, 1, "a slip")


def test_a_figure_is_saved_twice_and_shown_with_its_description(session, shown):
    from matplotlib import pyplot as plt

    session.show(plt.figure(), "label", "what it shows")
    assert {p.name for p in session.figures.iterdir()} == {"99_test_label.png", "99_test_label.svg"}
    assert shown[0][1]["metadata"]["image/png"]["alt"] == "what it shows"


def test_a_figure_that_cannot_be_saved_is_shown_all_the_same(session, shown, capsys):
    from matplotlib import pyplot as plt

    session.figures.write_text("a file in the way")
    session.show(plt.figure(), "label", "what it shows")
    assert len(shown) == 1
    assert "not saved" in capsys.readouterr().out


def test_the_cells_that_ran_tell_what_was_declared_and_what_was_passed():
    cells = ["", "n: int = 1  # 0 to 9", "# Parameters\nn = 3\nm = 4\n", "import os"]
    declared, passed = _cells(cells)
    assert list(declared) == ["n"]
    assert passed == ("n", "m")
    # In JupyterLab the parameter cell may be changed and run again, and nothing is passed then.
    declared, passed = _cells([*cells, "n: int = 1  # 0 to 9\nk: int = 2  # 0 to 9"])
    assert (list(declared), passed) == (["n", "k"], ())


def test_start_outside_a_notebook_says_so():
    with pytest.raises(RuntimeError, match="set-up cell"):
        start("10_baseline")


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (("nonsense", "1"), "has no parameter 'nonsense'"),
        (("metric", "heat"), "metric='heat', accepted are ard, dmd, cache-energy, codecarbon, joules"),
    ],
)
def test_plain_papermill_stops_in_the_set_up_cell(passed, said, tmp_path):
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS / "00_the_cube.ipynb"), str(tmp_path / "out.ipynb")]
    done = subprocess.run([*command, "-p", *passed], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert said in done.stderr
    assert "profile: str" in done.stderr
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    ran = [cell for cell in cells if cell["cell_type"] == "code" and cell["execution_count"]]
    assert "start(" in "".join(ran[-1]["source"])


def test_plain_papermill_runs_a_renamed_copy_with_parameters(tmp_path):
    copy = tmp_path / "mine.ipynb"
    shutil.copy(NOTEBOOKS / "00_the_cube.ipynb", copy)
    command = [sys.executable, "-m", "papermill", str(copy), str(tmp_path / "out.ipynb"), "-p", "metric", "codecarbon"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "positions measured" in finding_in(tmp_path / "out.ipynb")["finding"]
    assert "by-hand / codecarbon / parity" in (tmp_path / "out.ipynb").read_text()


def test_a_table_keeps_pipes_and_line_breaks_inside_their_cell():
    assert markdown_table(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |"


def test_there_is_no_finding_where_nothing_ran(tmp_path):
    assert finding_in(tmp_path / "none.ipynb") == {}
    assert notebook.FINDING_TYPE == FINDING_TYPE
