"""Notebooks 90 to 94, followed to the letter in a copy of the checkout: files saved, changes applied, all run."""

import json
import re
import sys
from pathlib import Path

import pytest
import test_notebooks_walk as walk
from newcomer import Newcomer

from sutrolib.batch import batch
from sutrolib.core.markdown import finding_in
from sutrolib.measurement.ledger import Ledger

RECIPES = [notebook for notebook in batch.find_notebooks() if notebook.number.startswith("9")]
pytestmark = pytest.mark.xdist_group("newcomer")  # the tests of one worker share what is made once


def cells_of(notebook):
    return json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]


def files_in(notebook):
    """The files whose whole content stands in cells: path -> text."""
    files = {}
    for cell in cells_of(notebook):
        for tag in cell["metadata"].get("tags", []):
            if tag.endswith(".py"):
                files[tag] = files.get(tag, "") + "".join(cell["source"]) + "\n\n\n"
    return {path: text.rstrip("\n") + "\n" for path, text in files.items()}


def blocks_in(notebook, language):
    text = "\n".join("".join(cell["source"]) for cell in cells_of(notebook) if cell["cell_type"] == "markdown")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def keep(someone, notebook):
    """Save the files, apply the changes; then the notebook imports from the files what it had in its cells."""
    content = json.loads((someone.folder / "notebooks" / notebook.path.name).read_text(encoding="utf-8"))
    for path, text in files_in(notebook).items():
        (someone.folder / path).write_text(text, encoding="utf-8")
        module = path.removesuffix(".py").replace("/", ".")
        for cell in content["cells"]:
            if path in cell["metadata"].get("tags", []):
                cell["source"] = [f"from {module} import *"]
    for change in blocks_in(notebook, "diff"):
        someone.runs(["git", "apply", "--verbose"], change)
    (someone.folder / "notebooks" / notebook.path.name).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """One who has run the recipes, kept what they add, and run them again with it."""
    someone = Newcomer(tmp_path_factory.mktemp("newcomer"))
    run = [sys.executable, "-m", "sutrolib", "run", "90", "91", "92", "93", "-o"]
    someone.runs([*run, "data/runs/tried"])
    for notebook in RECIPES:
        keep(someone, notebook)
    someone.said = someone.runs([*run, "data/runs/kept"])
    return someone


@pytest.fixture(scope="module")
def ledger(newcomer):
    return Ledger(newcomer.folder / "data" / "runs" / "kept")


def test_the_recipes_are_about_each_kind_of_part():
    assert [notebook.number for notebook in RECIPES] == ["90", "91", "92", "93", "94"]
    written = [path for notebook in RECIPES for path in files_in(notebook)]
    assert [Path(path).parts[1] for path in written] == ["problems", "models", "meters", "processes"]
    assert sum(len(blocks_in(notebook, "diff")) for notebook in RECIPES) == 2


@pytest.mark.slow
def test_what_was_kept_gives_what_the_notebook_found(newcomer):
    assert "4 of 4 passed" in newcomer.said
    for notebook in RECIPES[:4]:
        # Both on this machine: another processor rounds differently, and a search may then end elsewhere.
        tried, kept = (
            finding_in(next((newcomer.folder / "data" / "runs" / run).glob(f"*{notebook.name}.ipynb")))["results"]
            for run in ("tried", "kept")
        )
        assert kept == pytest.approx(tried, rel=1e-6)


@pytest.mark.slow
def test_a_problem_of_ones_own_is_on_the_cube(newcomer, ledger):
    runs = [m for m in ledger.measurements() if m.rungs["problem"] == "majority"]
    assert [m.model["name"] for m in runs] == ["two-layer network"] * 10
    newcomer.runs([sys.executable, "-m", "sutrolib", "run", "00", "-o", "data/runs/cube"])
    executed = (newcomer.folder / "data/runs/cube/001-00_the_cube.ipynb").read_text(encoding="utf-8")
    assert "| problem | majority | majority of secret bits | 10 |" in executed


@pytest.mark.slow
def test_a_model_of_ones_own_is_kept(ledger):
    kept = [m for m in ledger.measurements() if m.model["name"] == "votes"]
    assert [m.solved for m in kept] == [True] * 5 + [False] * 10


@pytest.mark.slow
def test_the_doctor_knows_a_meter_of_ones_own(newcomer):
    assert "bytes written (counted, B): always" in newcomer.runs([sys.executable, "-m", "sutrolib", "doctor"])


@pytest.mark.slow
def test_a_process_of_ones_own_is_kept_as_a_study(ledger):
    (study,) = ledger.studies()
    assert (study["process"], study["n_trials"]) == ("compass search", 8)


@pytest.mark.slow
def test_a_notebook_of_ones_own_runs_and_is_kept_with_its_outputs(newcomer):
    before = set((newcomer.folder / "notebooks").iterdir())
    (commands,) = blocks_in(RECIPES[-1], "sh")
    said = newcomer.runs(["bash", "-euo", "pipefail", "-c", commands])
    (made,) = set((newcomer.folder / "notebooks").iterdir()) - before
    assert f"{made.name} is written" in said
    assert "1 of 1 passed" in said
    assert finding_in(made)["results"]["seeds that the candidate solved, %"] == 100
    assert list((newcomer.folder / "figures").glob(f"{made.stem}_*.png"))
    (notebook,) = batch.select(batch.find_notebooks(made.parent), ["34"])
    walk.test_its_outputs_are_those_of_one_clean_run(notebook)
    walk.test_its_figures_are_described_in_words(notebook)


@pytest.mark.slow
def test_what_the_recipes_write_is_in_the_style_of_the_house(newcomer):
    files = [path for notebook in RECIPES for path in files_in(notebook)]
    changed = re.findall(r"^\+\+\+ b/(.+)$", "\n".join(c for n in RECIPES for c in blocks_in(n, "diff")), re.MULTILINE)
    assert len(changed) == 2
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        newcomer.runs([sys.executable, "-m", "ruff", *command, *files, *changed])
