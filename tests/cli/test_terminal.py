"""Titles, names and findings of others reach no terminal, and no Markdown, with what these would obey."""

import dataclasses
import os
import re
import subprocess
import sys

import nbformat
import pytest
from batches import FIND, copy_checkout, write_notebook
from builders import measurement

from sutrolib.batch.plan import find_notebooks
from sutrolib.cli import findings
from sutrolib.cli.text import PlainStream, console
from sutrolib.core.markdown import FINDING_TYPE, markdown_table
from sutrolib.core.paths import ROOT
from sutrolib.measurement.ledger import Ledger
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.own import own_slides

OWNED = "\x1b]0;owned\x07\x1b[2J\x1b]8;;https://example.org\x1b\\\x9b31m\x08\x9d0;owned\x9cseen"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose one notebook has such a title, name of a parameter's choice, and finding."""
    copy = tmp_path / "checkout"
    copy_checkout(copy)
    for path in (copy / "notebooks").iterdir():
        path.unlink()
    path = copy / "notebooks" / "01_owned.ipynb"
    write_notebook(path, parameters=f"n: int = 1  # 0 to 9, {OWNED.replace(chr(10), '')}")
    content = nbformat.read(path, 4)
    content.cells[0].source = f"# {OWNED}"
    found = {"finding": OWNED, "sign": OWNED, "results": {OWNED: 1.0}, "kinds": {OWNED: "counted"}, "when": ""}
    data = {FINDING_TYPE: found | {"parameters": {"n": 1}, "seconds": 1.0, "expected": {}, "then": OWNED}}
    content.cells[1].outputs = [nbformat.v4.new_output("display_data", data)]
    content.cells[1].execution_count = 1
    nbformat.write(content, path)
    return copy


def say(checkout, *words, status=0):
    """All that a command says."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "SUTRO_LEDGER": str(checkout / "ledger")}
    command = [sys.executable, "-P", "-m", "sutrolib", *words]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, timeout=120, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == status, said
    return said


@pytest.mark.slow
def test_a_checkout_of_any_name_lists_and_runs_where_the_locale_is_c(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    checkout = tmp_path / 'Zürich 東京, it\'s a "quote"\nline'
    copy_checkout(checkout)
    for path in (checkout / "notebooks").iterdir():
        path.unlink()
    write_notebook(checkout / "notebooks" / "01_größe.ipynb", FIND)
    assert "Title of 01_größe" in say(checkout, "list")
    assert "1 of 1 passed" in say(checkout, "run", "01", "-o", str(checkout / "run"))
    assert (checkout / "run" / "001-01_größe.ipynb").exists()
    assert [path.name for path in tmp_path.iterdir()] == [checkout.name]


def test_list_shows_a_title_without_what_the_terminal_would_obey(checkout):
    said = say(checkout, "list")
    assert "seen" in said
    assert "owned" not in said.replace("01_owned", "")
    assert not CONTROLS.search(said)


def test_compare_shows_names_of_the_ledger_and_of_branches_without_it(checkout):
    for name, value in (("a", 1.0), ("b", 2.0)):
        run = measurement(model={"name": f"network {OWNED}"}, seed=1)
        reading = dataclasses.replace(run.readings[0], value=value)
        Ledger(checkout / name).add(dataclasses.replace(run, readings=(reading,)))
    said = say(checkout, "compare", "a", "b")
    assert "network seen" in said
    assert not CONTROLS.search(said)
    said = say(checkout, "compare", f"{OWNED}a", "HEAD", status=2)
    assert "seen" in said
    assert not CONTROLS.search(said)


def test_an_error_and_its_traceback_are_shown_without_it(checkout):
    for words in ((), ("--debug",)):
        said = say(checkout, *words, "run", OWNED, status=1 if words else 2)
        assert "seen" in said
        assert not CONTROLS.search(said)


def test_what_writes_markdown_leaves_it_out(checkout, monkeypatch):
    assert markdown_table([OWNED], [[OWNED]]) == "| seen |\n| --- |\n| seen |"
    found = find_notebooks(checkout / "notebooks")
    monkeypatch.setattr(findings, "find_notebooks", lambda: found)
    page = findings.page()
    assert "seen" in page
    assert not CONTROLS.search(page)
    deck = render_deck(own_slides(f"# {OWNED}\n\n- {OWNED}"), OWNED)
    assert "seen" in deck
    assert not CONTROLS.search(deck)


def test_a_plain_stream_is_in_all_else_the_stream_itself(capsys):
    stream = PlainStream(sys.stdout)
    assert print("a\x1b[2Jb", file=stream) is None
    assert stream.encoding == sys.stdout.encoding
    assert capsys.readouterr().out == "ab\n"


def test_a_console_keeps_the_colours_that_are_its_own(capsys):
    console(force_terminal=True, color_system="standard", markup=False).print("a\x1b[2Jb", style="red")
    assert capsys.readouterr().out == "\x1b[31mab\x1b[0m\n"


def test_every_console_of_rich_is_such_a_one():
    made = [path.name for path in (ROOT / "sutrolib").rglob("*.py") if "import Console" in path.read_text("utf-8")]
    assert sorted(made) == ["run.py", "text.py"]  # run.py for its type alone
    assert "= Console(" not in (ROOT / "sutrolib" / "cli" / "run.py").read_text(encoding="utf-8")
