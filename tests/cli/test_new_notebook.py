"""python -m sutrolib new notebook: its number, its name and its anatomy. A whole one is run by test_readme.py."""

import errno
import os
import subprocess
import sys

import nbformat
import pytest
import test_notebooks_walk as walk
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.__main__ import main
from sutrolib.batch import batch
from sutrolib.cli import new_notebook
from sutrolib.core import paths


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in place of notebooks/."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    paths.NOTEBOOKS.mkdir()
    return paths.NOTEBOOKS


def new(axis, title="Some title"):
    return main(["new", "notebook", "--axis", axis, "--title", title])


@pytest.mark.parametrize("axis", new_notebook.DECADES)
def test_it_has_the_anatomy_of_all_notebooks(axis, folder):
    assert new(axis, "Größe: what does it cost?") == 0
    (notebook,) = batch.find_notebooks(folder)
    assert notebook.title == "Größe: what does it cost?"
    assert notebook.name == f"{new_notebook.DECADES[axis]}0_grosse_what_does_it_cost"
    assert notebook.axis == axis
    walk.test_it_opens_with_title_question_step_and_parameters(notebook)
    walk.test_it_states_its_expectation_before_it_computes_anything(notebook)
    walk.test_its_cells_are_short(notebook)
    walk.test_its_lines_fit_the_page(notebook)
    nbformat.validate(nbformat.read(notebook.path, 4))
    assert sum("YOURS" in "".join(cell["source"]) for cell in walk.cells_of(notebook)) >= 5


def test_its_sources_are_formatted_and_free_of_lint(folder):
    assert new("metric") == 0
    config = ["--config", str(paths.ROOT / "notebooks" / ".ruff.toml"), str(folder)]
    for command in (["format", "--check"], ["check", "--no-cache", "--config", f'src = ["{paths.ROOT}"]']):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *config], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_it_takes_the_next_free_number_and_says_how_to_run_it(folder, capsys):
    for name in ("20_a.ipynb", "21_b.ipynb", "10_c.ipynb", "2x_draft.ipynb"):
        (folder / name).write_text("")
    assert new("metric", "Third") == 0
    assert (folder / "22_third.ipynb").exists()
    said = capsys.readouterr().out
    assert "python -m sutrolib run 22" in said
    assert "22_third.ipynb is written" in said
    assert new("metric", "Third") == 0
    assert (folder / "23_third.ipynb").exists()


def test_an_axis_whose_ten_numbers_are_used_up_is_refused(folder, capsys):
    for number in range(10):
        (folder / f"3{number}_taken.ipynb").write_text("")
    assert new("problem") == 2
    assert "the numbers 30 to 39 of the problem axis are used up" in capsys.readouterr().err
    assert len(list(folder.iterdir())) == 10


@pytest.mark.parametrize("title", ["", "  \n ", "../..", "???", "電力", "x" * 201])
def test_a_title_that_makes_no_name_is_refused(title, folder, capsys):
    assert new("metric", title) == 2
    assert "title" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@given(st.text(max_size=300))
def test_no_title_leaves_the_folder(title):
    try:
        name = new_notebook.slug(new_notebook.clean_title(title))
    except ValueError:
        return
    assert name.isascii()
    assert name.replace("_", "").isalnum()
    assert name == name.lower()
    assert len(name) <= new_notebook.MAX_NAME
    assert (paths.NOTEBOOKS / f"20_{name}.ipynb").resolve().parent == paths.NOTEBOOKS.resolve()


def test_a_title_cannot_break_out_of_its_line(folder):
    assert new("metric", "One\n\n# two\x1b[31m") == 0
    (notebook,) = batch.find_notebooks(folder)
    assert notebook.title == "One # two [31m"


def test_a_full_disk_leaves_nothing_half_written(folder, monkeypatch, capsys):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert new("metric") == 2
    assert "the disk is full" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
