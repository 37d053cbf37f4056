"""Every notebook: its anatomy, its committed outputs, and a run with the smallest budgets."""

import itertools
import json
import math
import re
import statistics

import pytest
from batches import Silent

from sutrolib.batch import batch
from sutrolib.batch.parameters import declared_in
from sutrolib.core.markdown import finding_in
from sutrolib.notebook.widgets.layout import WITHOUT_KERNEL

NOTEBOOKS = batch.find_notebooks()
MEDIAN, LONGEST, WIDEST, MOST = 8, 15, 100, 32  # lines, lines, characters and code cells
ONE_LINK = re.compile(r"[-*\s]*(\[[^\]]*\]\(\S+\)|<?https?://\S+>?)[.,;]?\s*")
# Taken as few as the notebook allows:
REPEATS = ("runs", "pairs", "windows", "searches", "joules", "budget", "trials", "rounds")

every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)


def cells_of(notebook):
    return json.loads(notebook.path.read_text(encoding="utf-8"))["cells"]


def widgets_of(notebook):
    """The saved state of its widgets, by their ids."""
    saved = json.loads(notebook.path.read_text(encoding="utf-8"))["metadata"].get("widgets", {})
    return {name: state for kind in saved.values() for name, state in kind["state"].items()}


def code_of(notebook):
    return [cell for cell in cells_of(notebook) if cell["cell_type"] == "code"]


def lines(cell):
    return [line for line in "".join(cell["source"]).splitlines() if line.strip()]


@every_notebook
def test_it_opens_with_title_question_step_and_parameters(notebook):
    first = "".join(cells_of(notebook)[0]["source"])
    assert first.startswith("# ")
    assert "**Question.**" in first
    assert notebook.number == "00" or "**Step.**" in first
    parameters = code_of(notebook)[0]
    assert parameters["metadata"]["tags"] == ["parameters"]
    declared = declared_in("".join(parameters["source"]))
    assert declared["profile"].choices == ("quick", "anew", "full")
    assert all(parameter.help for parameter in declared.values())
    assert {p.name: p.check(p.default) for p in declared.values()} == {p.name: p.default for p in declared.values()}
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in cells_of(notebook)) == 1
    assert notebook.axis
    assert notebook.step


@every_notebook
def test_it_states_its_expectation_before_it_computes_anything(notebook):
    _parameters, setup, expectation, *body = ("".join(cell["source"]) for cell in code_of(notebook))
    assert f'nb = start("{notebook.name}")' in setup
    assert "nb.expect(" in expectation
    computing = list(itertools.dropwhile(lambda source: "nb.expect(" in source, body))
    assert not any("nb.expect(" in source for source in computing)
    assert "nb.conclude(" in body[-1]


def may_be_wide(line):
    """Whether a line of Markdown cannot be broken: a row of a table, or a link alone."""
    return line.lstrip().startswith("|") or ONE_LINK.fullmatch(line) is not None


@every_notebook
def test_its_cells_are_short(notebook):
    lengths = [len(lines(cell)) for cell in code_of(notebook)]
    assert len(lengths) <= MOST
    assert statistics.median(lengths) <= MEDIAN
    assert max(lengths) <= LONGEST


@every_notebook
def test_its_lines_fit_the_page(notebook):
    found = [(cell["cell_type"], line) for cell in cells_of(notebook) for line in "".join(cell["source"]).splitlines()]
    found = [line for kind, line in found if kind == "code" or not may_be_wide(line)]
    assert [line for line in found if len(line) > WIDEST] == []


@every_notebook
def test_its_outputs_are_those_of_one_clean_run(notebook):
    code = code_of(notebook)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert not any(output["output_type"] == "error" for cell in code for output in cell["outputs"])
    assert not any("injected-parameters" in cell["metadata"].get("tags", []) for cell in code)
    assert finding_in(notebook.path)["finding"]
    outputs = json.dumps([*(cell["outputs"] for cell in code), widgets_of(notebook)])
    assert re.findall(r"/(?:tmp|work|root|home|Users)/", outputs) == []


@every_notebook
def test_its_figures_are_described_in_words(notebook):
    outputs = [output for cell in code_of(notebook) for output in cell["outputs"]]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert pictures
    assert all(picture["metadata"]["image/png"]["alt"] for picture in pictures)


@every_notebook
def test_its_panels_say_what_they_are_where_no_kernel_runs(notebook):
    view = "application/vnd.jupyter.widget-view+json"
    outputs = [output.get("data", {}) for cell in code_of(notebook) for output in cell["outputs"]]
    shown = [data for data in outputs if view in data]
    assert {"".join(data["text/plain"]) for data in shown} <= {WITHOUT_KERNEL}
    assert {data[view]["model_id"] for data in shown} <= set(widgets_of(notebook))  # of the same run


@pytest.mark.slow
@every_notebook
def test_it_runs_with_the_smallest_budgets_and_states_nothing_that_it_has_no_number_for(notebook, tmp_path):
    given = {name: f"{p.low:g}" for name, p in notebook.parameters.items() if name in REPEATS}
    (outcome,) = batch.run(batch.plan([notebook], given, {}), Silent(), tmp_path)
    assert outcome.error == ""
    assert outcome.finding
    assert outcome.results
    withheld = outcome.finding.startswith("No finding: ")
    assert withheld or all(value is None or math.isfinite(value) for value in outcome.results.values())
    assert withheld <= (outcome.sign == "turn back")
    pictures = list((tmp_path / "figures").iterdir())
    drawn = [path.read_text(encoding="utf-8") for path in pictures if path.suffix == ".svg"]
    titles = [text for picture in drawn for text in re.findall(r"<text[^>]*>(.*?)</text>", picture)]
    for text in (outcome.finding, *titles):
        assert not {"inf", "nan", "None"} & set(re.findall(r"[\w.]+", text)), text
    shown = {path.stem for path in pictures}
    assert shown
    assert {path.name for path in pictures} == {f"{stem}{kind}" for stem in shown for kind in (".png", ".svg")}
    assert all(path.stat().st_size > 1000 for path in pictures)
