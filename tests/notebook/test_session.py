import dataclasses
import json
import math
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from searches import METER, PROBLEM, SPACE

from sutrolib.batch.parameters import ParameterError
from sutrolib.core.markdown import FINDING_TYPE, finding_in, markdown_table
from sutrolib.core.paths import NOTEBOOKS, ROOT
from sutrolib.measurement.ledger import Ledger
from sutrolib.notebook import session as session_module
from sutrolib.notebook.session import Expectation, Session, _declared_and_passed, sign_of_life, start
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import RandomSearch


@pytest.fixture
def session(tmp_path):
    return Session("99_test", SimpleNamespace(profile="quick"), Ledger(tmp_path / "ledger"), tmp_path / "figures")


@pytest.fixture
def shown(monkeypatch):
    calls = []
    monkeypatch.setattr(session_module, "display", lambda *things, **options: calls.append((things, options)))
    return calls


@pytest.mark.parametrize(
    ("held", "sign"),
    [
        ([True, True], "continue"),
        ([True, False], "turn back"),
        ([False, False], "stop"),
        ([True, None], "continue"),
        ([False, None], "stop"),
        ([None, None], "not measured"),
    ],
)
def test_the_sign_of_life_follows_from_the_expectations(held, sign):
    assert sign_of_life(held) == sign


def test_a_conclusion_sets_expectation_against_result_and_hands_on_the_finding(session, shown):
    session.expect("speed", 1, 2, "a guess")
    session.expect("cost", 1, 2, "a guess")
    session.kinds("counted", measured=["speed"])
    session.shown.append("bars")
    session.conclude("It is fast.", {"speed": 1.5, "cost": None, "extra": 7}, "Next.", figure="bars")
    data = shown[0][0][0]
    assert datetime.now(UTC) >= datetime.fromisoformat(data[FINDING_TYPE].pop("when"))
    assert data[FINDING_TYPE].pop("seconds") > 0
    assert data[FINDING_TYPE].pop("reference_seconds") > 0
    assert data[FINDING_TYPE] == {
        "stored": "",
        "finding": "It is fast.",
        "sign": "continue",
        "results": {"speed": 1.5, "cost": None, "extra": 7},
        "then": "Next.",
        "figure": "bars",
        "parameters": {"profile": "quick"},
        "kinds": {"speed": "measured", "cost": "counted", "extra": "counted"},
        "expected": {"speed": [1, 2, "a guess"], "cost": [1, 2, "a guess"]},
    }
    assert "| speed | measured | 1 to 2 | 1.5 | yes |" in data["text/markdown"]
    assert "| cost | counted | 1 to 2 | not measured |  |" in data["text/markdown"]
    assert "1 of 2 expectations held, 1 not measured" in data["text/markdown"]


def test_a_number_without_a_kind_or_of_an_unknown_one_is_refused(session, shown):
    with pytest.raises(ValueError, match="'speed' has no kind"):
        session.conclude("It is fast.", {"speed": 1.5}, "Next.")
    with pytest.raises(ValueError, match=r"kind must be counted, modelled, estimated, measured \('guessed' is not"):
        session.kinds("guessed")
    assert shown == []


def test_a_number_that_is_not_finite_withholds_the_finding(session, shown):
    session.expect("speed", 1, 2, "a guess")
    session.kinds("counted")
    session.conclude("It is fast.", {"speed": 1.5, "ratio": math.inf, "share": math.nan}, "Next.")
    payload = shown[0][0][0][FINDING_TYPE]
    assert payload["finding"] == "No finding: not a finite number: ratio, share."
    assert payload["sign"] == "turn back"
    assert payload["results"] == {"speed": 1.5, "ratio": None, "share": None}


def test_a_result_of_any_type_is_concluded(session, shown):
    session.expect("speed", np.int64(1), np.float32(2), "a guess")
    session.kinds("counted")
    results = {"speed": np.float32(1.5), "name": "fast", "loss": torch.tensor(float("nan")), "rows": torch.ones(2)}
    session.conclude("It is fast.", results | {"huge": 10**400}, "Next.")
    payload = shown[0][0][0][FINDING_TYPE]
    assert payload["finding"].startswith("No finding: not a finite number: name, loss, rows")
    assert payload["results"] == {"speed": 1.5, "name": None, "loss": None, "rows": None, "huge": None}
    assert payload["expected"] == {"speed": [1, 2, "a guess"]}


@pytest.mark.parametrize(("low", "high"), [(0, math.inf), (math.nan, 1), ("1", 2)])
def test_an_expectation_without_finite_limits_is_refused_before_the_run(session, low, high):
    with pytest.raises(ValueError, match="'speed': give two finite numbers"):
        session.expect("speed", low, high, "a guess")


def test_what_is_not_enough_withholds_the_finding_and_the_titles_from_there_on(session, shown):
    session.kinds("counted")
    session.require(True, "never said")
    session.require(False, "not enough trials: 1 of 8")
    figure, ax = plt.subplots()
    ax.set_title("A wins")
    session.show(figure, "bars", "A wins.")
    assert "No finding: not enough trials: 1 of 8." in (ax.get_title(), ax.get_title("left"))  # as the style says
    assert shown[0][1]["metadata"]["image/png"]["alt"] == "No finding: not enough trials: 1 of 8."
    session.conclude("A wins.", {"speed": 1.5}, "Next.", figure="bars")
    payload = shown[1][0][0][FINDING_TYPE]
    assert (payload["finding"], payload["sign"]) == ("No finding: not enough trials: 1 of 8.", "turn back")


def test_an_expectation_without_a_result_cannot_be_passed_over(session, shown):
    session.expect("speed", 1, 2, "a guess")
    with pytest.raises(ValueError, match="speed missing"):
        session.conclude("It is fast.", {"cost": 1}, "Next.")
    with pytest.raises(ValueError, match="low must be at most high=1"):
        session.expect("cost", 2, 1, "a slip")


def test_a_figure_is_saved_twice_and_shown_with_its_description(session, shown):
    from matplotlib import pyplot as plt

    session.show(plt.figure(figsize=(5, 3)), "label", "what it shows")
    assert {p.name for p in session.figures.iterdir()} == {"99_test_label.png", "99_test_label.svg"}
    content, how = shown[0]
    assert how["metadata"]["image/png"] == {"alt": "what it shows", "label": "label", "width": 600}
    assert content[0]["image/png"] == (session.figures / "99_test_label.png").read_bytes(), "drawn once"
    session.kinds("counted")
    with pytest.raises(ValueError, match=r"must be one that was shown: label \(got 'lable'\)"):
        session.conclude("It is fast.", {"speed": 1.5}, "Next.", figure="lable")
    session.conclude("It is fast.", {"speed": 1.5}, "Next.", figure="label")


def test_a_figure_that_cannot_be_saved_is_shown_all_the_same(session, shown, capsys):
    from matplotlib import pyplot as plt

    session.figures.write_text("a file in the way")
    session.show(plt.figure(), "label", "what it shows")
    assert len(shown) == 1
    assert "not saved" in capsys.readouterr().out


def test_the_cells_that_ran_tell_what_was_declared_and_what_was_passed():
    cells = ["", "n: int = 1  # 0 to 9", "# Parameters\nn = 3\nm = 4\n", "import os"]
    declared, passed = _declared_and_passed(cells)
    assert list(declared) == ["n"]
    assert passed == ("n", "m")
    # In JupyterLab the parameter cell may be changed and run again, and nothing is passed then.
    declared, passed = _declared_and_passed([*cells, "n: int = 1  # 0 to 9\nk: int = 2  # 0 to 9"])
    assert (list(declared), passed) == (["n", "k"], ())


def test_an_expectation_holds_at_its_limits_and_never_for_what_is_no_number():
    expectation = Expectation("speed", 1, 2, "a guess")
    assert [expectation.holds(v) for v in (0.999, 1, 2, 2.001, float("nan"))] == [False, True, True, False, False]


@pytest.mark.parametrize("label", ["../out", "a/b", "/tmp/x"])
def test_a_figure_cannot_leave_its_folder(session, shown, label):
    with pytest.raises(ValueError, match="must be of letters, digits"):
        session.show(plt.figure(), label, "nothing")
    assert list(session.figures.parent.rglob("*.png")) == []


@pytest.fixture
def shell(monkeypatch):
    """Stands in for the kernel: its input history and its variables, with matplotlib's settings put back after."""
    import matplotlib as mpl

    profile = 'profile: str = "quick"  # quick, anew or full'
    cells = ["", f"n: int = 1  # 0 to 9\nx: float = 1.5  # 0 to 9\n{profile}", "start()"]
    running = SimpleNamespace(user_ns={"In": cells, "n": 1, "x": 1.5, "profile": "quick"}, magics=[])
    running.run_line_magic = lambda *words: running.magics.append(words)
    monkeypatch.setattr(session_module, "get_ipython", lambda: running)
    with mpl.rc_context():
        yield running


def inject(shell, **values):
    """As papermill does it: a cell after the parameters'."""
    shell.user_ns["In"].insert(2, "# Parameters\n" + "".join(f"{k} = {v!r}\n" for k, v in values.items()))
    shell.user_ns.update(values)


def test_a_session_holds_the_values_that_were_passed(shell, tmp_path):
    inject(shell, n=3, x=2, profile="full")
    session = start("my_renamed_copy")
    assert vars(session.parameters) == {"n": 3, "x": 2.0, "profile": "full"}
    assert type(session.parameters.x) is float
    assert not session.quick
    assert (session.figures, session.ledger.folder) == (tmp_path / "figures", tmp_path / "ledger")
    assert shell.magics == [("matplotlib", "agg")]


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        ({"nonsense": 1}, "my_copy has no parameter 'nonsense'"),
        ({"n": "3"}, "n must be of type int (got '3')"),
        ({"n": True}, "n must be of type int (got True)"),
        ({"n": 2.0}, "n must be of type int (got 2.0)"),
        ({"n": 10}, "n must be 0 to 9 (got 10)"),
        ({"profile": "slow"}, "profile must be one of quick, anew, full (got 'slow')"),
    ],
)
def test_a_wrong_parameter_stops_at_start_and_the_valid_ones_are_listed(passed, said, shell):
    inject(shell, **passed)
    with pytest.raises(ParameterError) as refused:
        start("my_copy")
    assert said in str(refused.value)
    assert "  n: int = 1  # 0 to 9\n  x: float = 1.5  # 0 to 9\n  profile: str" in str(refused.value)


def test_a_value_of_another_type_stops_a_real_kernel_in_the_set_up_cell(tmp_path):
    import papermill
    from papermill.exceptions import PapermillExecutionError

    notebook_path, output = NOTEBOOKS / "10_baseline.ipynb", tmp_path / "out.ipynb"
    with pytest.raises(PapermillExecutionError) as stopped:
        papermill.execute_notebook(
            str(notebook_path),
            str(output),
            parameters={"seed": "0"},
            kernel_name="python3",
            cwd=str(NOTEBOOKS),
            progress_bar=False,
        )
    assert stopped.value.ename == "ParameterError"
    assert "seed must be of type int (got '0')" in stopped.value.evalue
    assert "  n_bits: int = 20  # bits, 3 to 200" in stopped.value.evalue
    assert 'start("10_baseline")' in stopped.value.source
    assert not (tmp_path / "ledger").exists()


def test_start_outside_a_notebook_says_so():
    with pytest.raises(RuntimeError, match="set-up cell"):
        start("10_baseline")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (("nonsense", "1"), "has no parameter 'nonsense'"),
        (("metric", "heat"), "metric must be one of here, ard, dmd, cache-energy, codecarbon, joules (got 'heat')"),
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


@pytest.mark.slow
def test_plain_papermill_runs_a_renamed_copy_with_parameters(tmp_path):
    copy = tmp_path / "mine.ipynb"
    shutil.copy(NOTEBOOKS / "00_the_cube.ipynb", copy)
    command = [sys.executable, "-m", "papermill", str(copy), str(tmp_path / "out.ipynb"), "-p", "metric", "codecarbon"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "steps walked; runs or searches at" in finding_in(tmp_path / "out.ipynb")["finding"]
    assert "by-hand / codecarbon / parity" in (tmp_path / "out.ipynb").read_text()


def test_a_table_keeps_pipes_and_line_breaks_inside_their_cell():
    assert markdown_table(("a",), [("x|y\nz",)]) == "| a |\n| --- |\n| x\\|y z |"


def test_there_is_no_finding_where_nothing_ran(tmp_path):
    assert finding_in(tmp_path / "none.ipynb") == {}
    assert session_module.FINDING_TYPE == FINDING_TYPE


def test_a_study_that_is_kept_shows_once_what_the_audit_has_against_its_metric(session, capsys):
    study = RandomSearch().improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    for kept in (study, *[dataclasses.replace(study, audit="operations is not safe here")] * 2):
        session.keep_study(kept)
    assert capsys.readouterr().out == "operations is not safe here\n"
    assert [record["audit"] for record in session.ledger.studies()][-1] == "operations is not safe here"
