import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from batches import END, FIND, Silent, copy_checkout, write_notebook
from meetings import executed, payload
from rich.console import Console

from sutrolib.__main__ import main
from sutrolib.batch import batch, records
from sutrolib.batch.parameters import ParameterError
from sutrolib.cli import run
from sutrolib.core import paths


@pytest.fixture
def folder(tmp_path):
    write_notebook(tmp_path / "01_good.ipynb", FIND)
    write_notebook(tmp_path / "02_bad.ipynb", "1 / 0")
    write_notebook(tmp_path / "03_dead.ipynb", "import os\nos._exit(1)")
    write_notebook(tmp_path / "04_good.ipynb", FIND)
    write_notebook(tmp_path / "draft.ipynb", "1 / 0")
    return tmp_path


def test_a_failed_and_a_dying_notebook_do_not_stop_the_others(folder):
    found = batch.find_notebooks(folder)
    reporter = Silent()
    results = batch.run(batch.plan(found, {"n": "7"}, {}), reporter, folder / "run")
    assert [o.passed for o in results] == [True, False, False, True]
    assert "ZeroDivisionError: division by zero" in results[1].error
    assert "Kernel" in results[2].error
    assert [o.finding for o in results] == ["n is 7", "", "", "n is 7"]
    copies = [folder / "run" / records.file_name(o.number, o.notebook) for o in results]
    assert all(copy.exists() for copy in copies)
    assert str(folder / "run" / "figures") in copies[0].read_text()
    assert not (folder / "run" / "attempts").exists()
    rows = (folder / "run" / "results.csv").read_text().splitlines()
    assert rows[0].startswith("run,notebook,n,status,seconds,")
    assert len(rows) == 1 + 2 + 1 + 1 + 2, "a row for each quantity, and one for each run without any"
    assert "| 02_bad n=7 |" in (folder / "run" / "findings.md").read_text()
    assert [t for t in reporter.events if t[0] != "cell"][:3] == [("batch", 4, 4), ("start", 1), ("end", True)]
    assert ("cell", 3) in reporter.events


def test_notebooks_are_found_in_order_with_title_axis_and_parameters(folder):
    found = batch.find_notebooks(folder)
    assert [n.name for n in found] == ["01_good", "02_bad", "03_dead", "04_good"]
    assert (found[0].title, found[0].axis, found[0].number) == ("Title of 01_good", "metric", "01")
    assert list(found[0].parameters) == ["n"]


def test_the_walk_is_found_with_numbers_titles_axes_steps_and_parameters():
    by_number = {n.number: n for n in batch.find_notebooks()}
    assert {"00", "10", "11", "20"} <= set(by_number)
    baseline = by_number["10"]
    assert (baseline.name, baseline.axis) == ("10_baseline", "none")
    assert baseline.title == "Corner A: a hand-tuned network on sparse parity"
    assert baseline.step.startswith("none: corner A")
    assert (baseline.parameters["n_bits"].default, baseline.parameters["n_bits"].type) == (20, int)
    assert (baseline.parameters["lr"].low, baseline.parameters["lr"].high) == (0.0001, 10)
    assert baseline.parameters["profile"].choices == ("quick", "anew", "full")


def test_notebooks_are_selected_by_number_name_or_file(folder):
    found = batch.find_notebooks(folder)
    assert [n.name for n in batch.select(found, ["04", "02_bad", "01_good.ipynb"])] == ["01_good", "02_bad", "04_good"]
    assert batch.select(found, []) == found
    with pytest.raises(ValueError, match="no notebook '09'; there are 01_good, 02_bad"):
        batch.select(found, ["09"])


def test_notebooks_are_selected_by_their_words_and_a_typo_gets_a_suggestion(folder):
    found = batch.find_notebooks(folder)
    assert [n.name for n in batch.select(found, ["bad"])] == ["02_bad"]
    with pytest.raises(ValueError, match=r"no notebook 'baad' \(did you mean 'bad'\?\); there are 01_good, 02_bad"):
        batch.select(found, ["baad"])


@pytest.mark.parametrize("source", ["n", "import sys\nsys.exit(0)"])
def test_a_notebook_without_a_conclusion_has_not_passed(tmp_path, source):
    write_notebook(tmp_path / "01_silent.ipynb", source)
    (result,) = batch.run(batch.plan(batch.find_notebooks(tmp_path), {}, {}), Silent(), tmp_path / "run")
    assert not result.passed
    assert result.error == "it ended without a conclusion: nb.conclude(...) was not reached"


def test_a_grid_makes_a_job_for_each_point(folder):
    write_notebook(folder / "06_two.ipynb", parameters="n: int = 1  # 0 to 9\nm: int = 1  # 0 to 9")
    two = batch.select(batch.find_notebooks(folder), ["06"])
    jobs = batch.plan(two, {}, {"n": ["1", "2"], "m": ["3", "4", "5"]})
    assert [tuple(job.parameters.values()) for job in jobs] == [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
    assert jobs[0].label == "06_two n=1 m=3"


@pytest.mark.parametrize(
    ("given", "grid", "named"),
    [
        ({"m": "1"}, {}, r"02_bad has no parameter 'm'\.\nIts parameters are:\n  n: int = 1  # 0 to 9"),
        ({}, {"m": ["1"]}, "02_bad has no parameter 'm'"),
        ({"n": "x"}, {}, r"n must be of type int \(got 'x'\)"),
        ({}, {"n": ["1", "99"]}, "n must be 0 to 9"),
        ({"n": "1"}, {"n": ["2"]}, "both"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(folder, given, grid, named):
    with pytest.raises(ParameterError, match=named):
        batch.plan(batch.select(batch.find_notebooks(folder), ["02"]), given, grid)


def test_a_value_that_only_the_last_notebook_refuses_stops_the_whole_plan(folder):
    write_notebook(folder / "06_narrow.ipynb", parameters="n: int = 1  # 0 to 3")
    with pytest.raises(ParameterError, match="n must be 0 to 3"):
        batch.plan(batch.find_notebooks(folder), {"n": "7"}, {})


def test_notebooks_run_on_a_kernel_of_this_interpreter(folder, monkeypatch):
    seen = []

    def look(*arguments, kernel_manager_class, **options):
        seen.append(kernel_manager_class(kernel_name="any").kernel_spec.argv[0])

    monkeypatch.setattr("papermill.execute_notebook", look)
    batch.run(batch.plan(batch.find_notebooks(folder)[:2], {}, {}), Silent(), folder / "run")
    assert seen == [sys.executable] * 2


def test_the_table_is_written_after_each_job(folder, monkeypatch):
    class Reading(Silent):
        def job_ended(self, result):
            texts = [(folder / "run" / name).read_text() for name in ("results.csv", "findings.md")]
            self.events.append(
                [text.count(f"{result.notebook} ") + text.count(f",{result.notebook},") for text in texts]
            )

    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: None)
    reporter = Reading()
    batch.run(batch.plan(batch.find_notebooks(folder), {}, {}), reporter, folder / "run")
    assert [told for told in reporter.events if type(told) is list] == [[1, 1]] * 4


def test_two_runs_in_the_same_second_have_a_folder_each(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    made = [batch.new_run_folder() for _ in range(5)]
    assert len(set(made)) == 5
    assert all(folder.is_dir() and folder.parent == tmp_path / "runs" for folder in made)


@pytest.mark.slow
def test_the_walk_runs_in_a_path_with_a_space_without_kernelspecs_and_with_read_only_figures(tmp_path):
    copy = tmp_path / "a folder with a space"
    copy_checkout(copy)
    first = nbformat.read(copy / "notebooks" / "00_the_cube.ipynb", 4)
    first.metadata.kernelspec = {"name": "no-such-kernel", "display_name": "none", "language": "python"}
    nbformat.write(first, copy / "notebooks" / "00_the_cube.ipynb")
    (copy / "figures").write_text("a file in the way: as good as a read-only folder, for root too")
    # HOME and the data folder are empty: no kernel that the user registered is found there.
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SUTRO"))}
    clean |= {"HOME": str(tmp_path), "PYTHONPATH": str(copy)}  # or its kernels use the library that is installed
    command = [sys.executable, "-m", "sutrolib", "run", "00", "--keep-figures"]
    done = subprocess.run(command, cwd=copy, env=clean, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = list((copy / "data" / "runs").iterdir())
    assert len(runs) == 1
    executed = json.loads((runs[0] / "001-00_the_cube.ipynb").read_text())
    printed = "".join("".join(o.get("text", "")) for cell in executed["cells"] for o in cell.get("outputs", []))
    assert "shown but not saved" in printed
    assert done.stderr == ""


def test_an_interruption_keeps_what_is_done_and_starts_nothing_more(folder, monkeypatch):
    found = batch.select(batch.find_notebooks(folder), ["01", "04"])
    jobs = batch.plan(found, {}, {"n": ["1", "2"]})
    calls = []

    def interrupted(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", interrupted)
    monkeypatch.setattr("sutrolib.batch.execute.conclusion_of", lambda output: {"finding": "it ended"})
    results = batch.run(jobs, Silent(), folder / "run")
    assert [o.status for o in results] == ["passed", "interrupted"]
    assert len((folder / "run" / "results.csv").read_text().splitlines()) == 3


def test_figures_of_several_runs_of_one_notebook_do_not_overwrite_each_other(folder, monkeypatch):
    seen = []

    def look(*arguments, kernel_manager_class, **options):
        seen.append(kernel_manager_class().kernel_spec.env["SUTRO_FIGURES"])

    monkeypatch.setattr("papermill.execute_notebook", look)
    jobs = batch.plan(batch.select(batch.find_notebooks(folder), ["01"]), {}, {"n": ["1", "2"]})
    batch.run(jobs, Silent(), folder / "run")
    assert len(set(seen)) == 2
    with pytest.raises(ValueError, match="several runs of one notebook"):
        batch.run(jobs, Silent(), folder / "other", keep_figures=True)
    assert not (folder / "other").exists()


def with_cell(source):
    """A notebook of one cell, which is tagged as that of the parameters."""
    return json.dumps({"cells": [{"cell_type": "code", "source": source, "metadata": {"tags": ["parameters"]}}]})


BROKEN = {
    "no JSON": ("{", "cannot be read as a notebook: JSONDecodeError"),
    "a list": ("[]", "cannot be read as a notebook"),
    "no cells": ('{"cells": null}', "cannot be read as a notebook"),
    "a cell that is a number": ('{"cells": [1]}', "cannot be read as a notebook"),
    "no metadata": ('{"cells": [], "metadata": null}', "cannot be read as a notebook"),
    "metadata of its own": ('{"cells": [], "metadata": {"sutro": 3}}', "cannot be read as a notebook"),
    "deep": ("[" * 100_000, "cannot be read as a notebook: .*levels"),
    "no parameters": ('{"cells": []}', "has no cell with the tag parameters"),
    "a syntax error": (with_cell("n: int = = 1"), r"its parameters cannot be read: .*line 1"),
    "no literal": (with_cell("n: int = 1\nm = 2"), r"'m = 2' is no annotated literal.*line 2"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_notebook_is_named_and_the_others_list_and_run(folder, broken, monkeypatch, capsys):
    content, named = BROKEN[broken]
    (folder / "05_broken.ipynb").write_text(content)
    found = batch.select(batch.find_notebooks(folder), ["01", "05"])
    assert [re.search(rf"^05_broken\.ipynb.*{named}", notebook.error) is not None for notebook in found] == [
        False,
        True,
    ]
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "-p n: int = 1  # 0 to 9" in listed
    assert re.search(rf"broken: 05_broken\.ipynb.*{named}", listed)
    monkeypatch.setattr("sutrolib.batch.execute._execute", lambda run, on_cell: None)
    results = batch.run(batch.plan(found, {"n": "7"}, {}), Silent(), folder / "run")
    assert [result.label for result in results] == ["01_good n=7", "05_broken"]
    assert re.search(rf"05_broken\.ipynb.*{named}", results[1].error)


def test_a_notebook_of_a_format_that_papermill_cannot_read_fails_alone(tmp_path):
    (tmp_path / "01_later.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 99, "nbformat_minor": 0}')
    write_notebook(tmp_path / "02_good.ipynb", END)
    results = batch.run(batch.plan(batch.find_notebooks(tmp_path), {}, {}), Silent(), tmp_path / "run")
    assert [o.passed for o in results] == [False, True]


def test_a_result_says_what_was_run_where_the_notebook_was_edited_after_the_plan(folder):
    jobs = batch.plan(batch.select(batch.find_notebooks(folder), ["01"]), {}, {})
    write_notebook(folder / "01_good.ipynb", FIND, parameters="n: int = 4  # 0 to 9")
    (result,) = batch.run(jobs, Silent(), folder / "run")
    assert (result.finding, result.parameters) == ("n is 4", {"n": 4})


def test_a_run_is_sent_where_figures_ledger_and_exam_go(folder, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", "exam of mine")
    monkeypatch.chdir(folder)
    run = batch.prepare(batch.plan(batch.find_notebooks(folder), {}, {}), folder / "run").runs[0]
    assert {"SUTRO_FIGURES", "SUTRO_LEDGER", "SUTRO_EXAM"} <= set(run.environment)
    assert run.environment["SUTRO_EXAM"] == str(folder / "exam of mine")


@pytest.mark.parametrize("words", [["-p", "n", "1", "-p", "n", "2"], ["--grid", "n=1", "--grid", "n=2"]])
def test_a_parameter_that_is_given_twice_is_refused(folder, monkeypatch, capsys, words):
    found = batch.find_notebooks(folder)
    monkeypatch.setattr(batch, "find_notebooks", lambda: found)
    assert main(["run", *words, "-o", str(folder / "run")]) == 2
    assert "n is given twice; write --grid n=V1,V2,..." in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_a_relative_run_folder_holds_the_figures_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    jobs = batch.plan(batch.select(batch.find_notebooks(folder), ["01"]), {}, {})
    batch.run(jobs, Silent(), Path("run"))
    assert str(folder / "run" / "figures") in (folder / "run" / "001-01_good.ipynb").read_text()


def test_a_notebook_whose_premise_turned_back_is_marked_after_a_run(tmp_path, monkeypatch, capsys):
    write_notebook(tmp_path / "12_built_on_it.ipynb", END, builds_on=["24", "99"])
    write_notebook(tmp_path / "13_further.ipynb", END, builds_on=["12", "24"])
    write_notebook(tmp_path / "24_premise.ipynb", END)
    notebooks = batch.find_notebooks(tmp_path)
    lost = {"12_built_on_it": ["24_premise"], "13_further": ["24_premise"], "24_premise": []}
    assert batch.lost_premises(notebooks, {"24_premise": "turn back"}) == lost
    assert batch.lost_premises(notebooks, {"24_premise": "stop"}) == lost
    for signs in ({"24_premise": "continue"}, {}):  # without a run, what is published counts: nothing here
        assert not any(batch.lost_premises(notebooks, signs).values())
    monkeypatch.setattr(batch, "find_notebooks", lambda: notebooks)
    signs = {"12_built_on_it": "continue", "24_premise": "turn back"}
    about = {"parameters": {}, "seconds": 1.0, "when": "", "finding": "It ended."}
    results = [records.RunResult("id", 1, name, name, sign=sign, **about) for name, sign in signs.items()]
    run._print_summary(Console(width=100), results, 2, 2.0)
    assert capsys.readouterr().out.count("its premise turned back: it builds on 24_premise ") == 1


def test_a_published_premise_counts_where_it_was_not_run(folder):
    published = executed(folder, "24_premise", payload(sign="turn back"))
    write_notebook(folder / "12_built_on_it.ipynb", END, builds_on=["24"])
    assert batch.lost_premises(batch.find_notebooks(folder), {})["12_built_on_it"] == [published.stem]


def test_the_notebooks_build_on_notebooks_that_there_are():
    numbers = {notebook.number for notebook in batch.find_notebooks()}
    premises = {notebook.number: notebook.builds_on for notebook in batch.find_notebooks() if notebook.builds_on}
    assert premises["12"] == ("24",)
    assert set().union(*premises.values()) <= numbers
