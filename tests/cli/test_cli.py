import dataclasses
import json
import re
import subprocess
import sys

import pytest
from batches import FIND, write_notebook
from builders import study

from sutrolib.__main__ import _split_assignments, main
from sutrolib.batch import batch, records
from sutrolib.batch.comparisons import results_of
from sutrolib.cli import doctor
from sutrolib.core import paths
from sutrolib.guards.claims import Claim
from sutrolib.measurement.ledger import Ledger
from sutrolib.meters import METERS


def test_list_shows_every_notebook_with_its_axis_and_parameters(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for notebook in batch.find_notebooks():
        assert notebook.name in shown
        assert notebook.axis
        assert notebook.step
        assert notebook.title in shown
    assert "-p n_bits: int = 20  # bits, 3 to 200" in shown


def test_doctor_names_every_meter_and_says_why_one_is_missing(capsys, monkeypatch):
    from sutrolib.meters import Availability, CodeCarbon

    monkeypatch.setattr(CodeCarbon, "available", classmethod(lambda cls: Availability(False, "left out on purpose")))
    assert main(["doctor"]) == 0
    assert "left out" in capsys.readouterr().out
    checks = {check.what.split(" (")[0]: check.ok for check in doctor.examine() if check.topic == "meter"}
    assert checks == {meter.title: meter.available().ok for meter in METERS}
    assert checks["CodeCarbon energy"] is False


def test_doctor_prints_a_line_for_every_meter(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["doctor"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " meter " in line]
    assert len(lines) == len(METERS)
    for meter, line in zip(METERS, lines, strict=True):
        assert f"{meter.title} ({meter.kind}, {meter.unit})" in line


def test_doctor_sees_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert {check.ok for check in doctor.examine() if check.topic == "folder"} == {False}


@pytest.mark.slow
def test_reproduce_prints_a_table_and_json(capsys):
    assert main(["reproduce"]) == 0
    assert "9,716" in capsys.readouterr().out
    assert main(["reproduce", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) >= 15
    assert {row["result"] for row in rows} == {"pass", "differs"}
    assert all(row["why"] for row in rows if row["result"] == "differs")


def test_reproduce_ends_with_1_and_says_fail_when_a_claim_is_off(capsys, monkeypatch):
    off = [Claim("a right claim", "a paper", 3, lambda: 3), Claim("a wrong claim", "a paper", 4, lambda: 3)]
    monkeypatch.setattr("sutrolib.guards.reproduce.claims", lambda slow: iter(off))
    assert main(["reproduce", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["what"], row["result"], row["difference"]) for row in rows] == [
        ("a right claim", "pass", 0),
        ("a wrong claim", "fail", -1),
    ]
    assert main(["reproduce"]) == 1
    assert capsys.readouterr().out.count("fail") == 1


def test_reproduce_says_what_cannot_be_computed_here(capsys, monkeypatch):
    def absent():
        raise OSError("the file is not here")

    monkeypatch.setattr("sutrolib.guards.reproduce.claims", lambda slow: iter([Claim("a text", "a paper", 3, absent)]))
    assert main(["reproduce"]) == 0
    assert "not here: a text: the file is not here" in capsys.readouterr().out
    assert main(["reproduce", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["ours"] is None


def test_reproduce_computes_slow_claims_only_when_asked(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("sutrolib.guards.reproduce.claims", lambda slow: asked.append(slow) or iter([]))
    assert main(["reproduce"]) == main(["reproduce", "--slow"]) == 0
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "10", "-p", "nonsense", "1"], "n_bits: int = 20  # bits, 3 to 200"),
        (["run", "10", "-p", "n_bits", "many"], "n_bits must be of type int (got 'many')"),
        (["run", "10", "-p", "profile", "slow"], "profile must be one of quick, anew, full (got 'slow')"),
        (["run", "10", "-p", "seed", "1", "--grid", "seed=1,2"], "seed is given both as a value and as a grid"),
        (["run", "10", "--grid", "n_bits=20,1000"], "n_bits must be 3 to 200 (got 1000)"),
        (["run", "99"], "there are those that `python -m sutrolib list` shows"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(arguments, said, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("grid", ["seed", "seed=", "=1", "seed=1,,2"])
def test_a_grid_of_another_form_is_refused(grid, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(["run", "--grid", grid])
    assert exit_status.value.code == 2
    assert "NAME=V1,V2" in capsys.readouterr().err


def test_a_parameter_can_be_written_as_an_assignment():
    words = ["run", "-p", "n_bits=30", "-p", "text", "a=b", "10"]
    assert _split_assignments(words) == ["run", "-p", "n_bits", "30", "-p", "text", "a=b", "10"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rn"], "did you mean 'run'?"),
        (["--debg", "list"], "did you mean '--debug'?"),
        (["run", "10", "--profile", "ful"], "did you mean 'full'?"),
        (["run", "10", "--keep-figurs"], "run: error: unrecognized: --keep-figurs (did you mean '--keep-figures'?)"),
        (["deck", "--format", "pfd"], "did you mean 'pdf'?"),
        (["ledger", "publsh", "a"], "did you mean 'publish'?"),
        (["exam", "--division", "opn"], "did you mean 'open'?"),
        (["exam", "--scale", "smok"], "did you mean 'smoke'?"),
        (["exam", "--scale", "moon"], "invalid choice: 'moon' (choose from "),
        (["new", "notebook", "--axis", "colour"], "invalid choice: 'colour' (choose from "),
        (["run", "baselin"], "did you mean 'baseline'?"),
        (["run", "10", "-p", "n_bit=30"], "did you mean 'n_bits'?"),
        (["compare", "ledgr", "ledger"], "did you mean 'ledger'?"),
    ],
)
def test_the_most_similar_command_option_or_choice_is_named(arguments, said, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        sys.exit(main(arguments))  # argparse ends it itself
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-p", "text", "caf\udce9"], ["-p", "text=caf\udce9"], ["-o", "caf\udce9"]])
def test_a_byte_that_is_not_utf8_is_refused_before_anything_runs(arguments, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    assert main(["run", "32", *arguments]) == 2
    assert "caf\\udce9' has a byte that is not UTF-8" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["ledger"], "published: 2026-11-24-5596fab005e3-dirty.jsonl.gz"),
        (["doctor"], "codecarbon"),
        (["reproduce"], "109,783"),
        (["compare", "notebooks", "walk"], "share of their expectations that were met, % (counted)"),
        (["exam", "--scale", "cpu"], "cache energy of 1,000 predictions"),
        (["exam", "--scale", "gpu-on-cpu", "--seeds", "2"], "The baseline's published loss: 1.4697"),
    ],
)
def test_no_line_is_wider_than_the_terminal_and_no_word_or_number_is_cut(
    arguments, shown, width, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("SUTRO_LEDGER", raising=False)
    monkeypatch.delenv("SUTRO_EXAM", raising=False)
    monkeypatch.setattr("sutrolib.exam.run.evaluate", None)  # the committed record is shown, nothing is run
    monkeypatch.setattr("sutrolib.exam.trainings.Training.measure", None)
    (tmp_path / "notebooks").symlink_to(paths.NOTEBOOKS)
    meeting = next(one for one in results_of(paths.NOTEBOOKS) if one.notebook == "50_weekly_meeting")
    changed = {name: (value or 0) + 1e6 for name, value in meeting.results.items()}
    records.write(tmp_path / "walk", dataclasses.replace(meeting, identity="0" * 64, results=changed))
    assert main(arguments) == 0
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if "/" not in line and "--" not in line]  # paths are kept whole
    assert max(map(len, lines)) <= width
    assert set(shown.split()) <= set(re.split(r"[\s│;]+", said))


def test_a_file_of_the_ledger_that_cannot_be_read_is_named_with_what_to_do(capsys, monkeypatch, tmp_path):
    from sutrolib.cli.ledger import unreadable_files

    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("SUTRO_LEDGER", str(tmp_path))
    Ledger().add_study(study())
    assert unreadable_files() == []
    assert not [check for check in doctor.examine() if check.topic == "ledger"]
    torn = tmp_path / "ledger.jsonl"
    torn.write_bytes(torn.read_bytes() + b"{")
    (said,) = unreadable_files()
    assert said.startswith(f"{torn}: line 2 is not a line of a ledger; the rest of the file is read: remove that line")
    assert [(check.ok, check.what) for check in doctor.examine() if check.topic == "ledger"] == [(False, said)]
    assert main(["ledger"]) == 0
    assert said in capsys.readouterr().out
    monkeypatch.setattr(paths, "published_ledger", lambda: tmp_path)
    assert f"restore it by `git restore {torn}`" in unreadable_files()[0]


def test_a_failed_notebook_makes_the_exit_status_1_and_its_error_is_shown(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "01_bad.ipynb", "raise KeyError('what went wrong')")
    found = batch.find_notebooks(tmp_path)
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    assert main(["run", "-o", str(tmp_path / "run")]) == 1
    shown = capsys.readouterr().out
    assert "KeyError: 'what went wrong'" in shown
    assert "0 of 1 passed" in shown


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sutrolib", ("torch", "pandas", "numpy")),
        ("sutrolib.batch.batch", ("torch", "pandas")),
        ("sutrolib.__main__", ("torch", "pandas")),
    ],
)
def test_importing_is_light(module, absent):
    source = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_walk_that_passes_ends_with_0_and_a_table_in_a_new_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    write_notebook(tmp_path / "01_good.ipynb", FIND)
    found = batch.find_notebooks(tmp_path)
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    assert main(["run", "--grid", "n=4,5"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 passed" in shown
    assert "n is 4" in shown
    assert "n is 5" in shown
    (folder,) = (tmp_path / "runs").iterdir()
    assert {p.name for p in folder.iterdir()} >= {"001-01_good.ipynb", "002-01_good.ipynb", "results.csv"}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["list"], 0, "10_baseline"),
        (["run", "99"], 2, "sutrolib: no notebook '99'; there are those that"),
        (["fly"], 2, "invalid choice: 'fly'"),
    ],
)
def test_the_command_itself_ends_with_its_status_and_no_traceback(arguments, status, said):
    command = [sys.executable, "-m", "sutrolib", *arguments]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert main(["run", "00", "-o", str(tmp_path / "file")]) == 2


def test_doctor_sees_that_a_file_is_no_folder(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SUTRO_FIGURES", str(tmp_path / "file"))
    assert [c.ok for c in doctor.examine() if c.what.startswith("figures")] == [False]
