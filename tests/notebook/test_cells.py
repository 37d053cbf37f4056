"""Cells that a reader takes in at a glance: short, and no line wider than the page."""

import json
import re
import statistics

import pytest

from sutrolib.batch import batch

MEDIAN, LONGEST, WIDEST = 8, 15, 100  # lines, lines and characters
ONE_LINK = re.compile(r"[-*\s]*(\[[^\]]*\]\(\S+\)|<?https?://\S+>?)[.,;]?\s*")


def sources(notebook, kind):
    cells = json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def may_be_wide(line):
    """Whether a line of Markdown cannot be broken: a row of a table, or a link alone."""
    return line.lstrip().startswith("|") or ONE_LINK.fullmatch(line) is not None


every_notebook = pytest.mark.parametrize("notebook", batch.find_notebooks(), ids=lambda n: n.name)


@every_notebook
def test_its_code_cells_are_short(notebook):
    lengths = [len(source.splitlines()) for source in sources(notebook, "code")]
    assert statistics.median(lengths) <= MEDIAN
    assert max(lengths) <= LONGEST


@every_notebook
def test_its_lines_fit_the_page(notebook):
    text = [line for source in sources(notebook, "markdown") for line in source.splitlines() if not may_be_wide(line)]
    code = [line for source in sources(notebook, "code") for line in source.splitlines()]
    assert [line for line in text + code if len(line) > WIDEST] == []
