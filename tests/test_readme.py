"""The README, followed to the letter: its recipes in a copy of the checkout, its Python, its commands, its links."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import test_notebooks_walk as walk
from batches import copy_checkout

from sutrolib.__main__ import _parser
from sutrolib.batch import batch
from sutrolib.core import paths
from sutrolib.core.markdown import finding_in
from sutrolib.measurement.ledger import Ledger

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = "## Adding to it"
LONGEST = 40  # lines of a block that say something
ELSEWHERE = ("dask_jobqueue", "dask_kubernetes")  # what needs a cluster; the workers themselves: test_batch_cluster.py


@dataclass(frozen=True)
class Block:
    """One fenced block: the section that it stands in, its language, and its text."""

    section: str
    language: str
    text: str

    @property
    def file(self):
        """The file that it says it is, or None."""
        named = re.match(r"# ([\w/]+\.py)\n", self.text)
        return named[1] if named and self.language == "python" else None


def blocks(markdown):
    found, section, fence = [], "", None
    for line in markdown.splitlines(keepends=True):
        if fence is None and (heading := re.match(r"#+ (.+)", line)):
            section = heading[1]
        if line.startswith("```"):
            if fence is None:
                fence, text = line.strip("`\n"), []
            else:
                found.append(Block(section, fence, "".join(text)))
                fence = None
        elif fence is not None:
            text.append(line)
    return found


def part(heading):
    """The README from a heading of the second level to the next one."""
    after = README.split(f"{heading}\n")[1]
    return re.split(r"^## ", after, flags=re.MULTILINE)[0]


ADDING = blocks(part(RECIPES))
OTHERS = [block for block in blocks(README) if block not in ADDING]


class Newcomer:
    """Somebody with a fresh copy of the checkout, who does what the README says; ``said`` holds what was printed."""

    def __init__(self, folder):
        self.folder, self.said = folder, {}
        copy_checkout(folder)
        for name in ("pyproject.toml", "requirements.txt"):
            (folder / name).write_bytes((paths.ROOT / name).read_bytes())

    def runs(self, command, given=""):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SUTRO", "PYTEST"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), clean["PATH"]])
        own = clean | {"PATH": path, "COLUMNS": "200", "HOME": str(self.folder)}
        own |= {"PYTHONPATH": str(self.folder)}  # what `pip install -e .` would do here
        done = subprocess.run(
            command, cwd=self.folder, env=own, input=given, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def follows(self, block):
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "diff":
            self.runs(["git", "apply", "--verbose"], block.text)
        else:
            assert block.language == "sh"
            said = self.runs(["bash", "-euo", "pipefail", "-c", block.text])
            self.said[block.section] = self.said.get(block.section, "") + said

    @property
    def ledger(self):
        return Ledger(self.folder / "data" / "runs" / "interactive")


pytestmark = pytest.mark.xdist_group("newcomer")  # the tests of one worker share what is made once


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """One who has followed every recipe up to that of a notebook, in their order."""
    someone = Newcomer(tmp_path_factory.mktemp("newcomer"))
    for block in ADDING:
        if block.section != "A notebook":
            someone.follows(block)
    return someone


def test_a_problem_of_ones_own_is_on_the_cube_and_in_a_comparison(newcomer):
    said = newcomer.said["A problem"]
    assert "| solved | 5 of 5 | 5 of 5 |" in said
    assert "| operations (counted) |" in said
    assert re.search(r"passed at 95% over 5 pairs; operations ratio 0\.\d+", said)
    runs = [m for m in newcomer.ledger.measurements() if m.rungs["problem"] == "majority"]
    assert [m.model["name"] for m in runs[:10]] == ["two-layer network"] * 10
    (folder,) = (path for path in (newcomer.folder / "data" / "runs").iterdir() if path.name != "interactive")
    executed = (folder / "001-00_the_cube.ipynb").read_text(encoding="utf-8")
    assert "| problem | majority | majority of secret bits | 10 |" in executed
    assert finding_in(folder / "001-00_the_cube.ipynb")["results"]["positions measured"] == 1
    assert (folder / "figures" / "00_the_cube_cube.png").stat().st_size > 10_000


def test_a_model_of_ones_own_is_weighed_and_kept(newcomer):
    assert "| solved | 3 of 3 | 0 of 3 |" in newcomer.said["A model"]
    kept = [m for m in newcomer.ledger.measurements() if m.model["name"] == "votes"]
    assert [(m.problem["name"], m.solved) for m in kept] == [("majority", True)] * 3 + [("sparse parity", False)] * 3


def test_a_meter_of_ones_own_reads_and_the_doctor_knows_it(newcomer):
    said = newcomer.said["A meter"]
    values = [
        int(value) for value in re.findall(r"^\d+ Reading\(name='written', value=(\d+), unit='B'", said, re.MULTILINE)
    ]
    assert len(values) == 2
    assert values[0] > values[1] > 1000
    assert "bytes written (counted, B): always" in said


def test_a_process_of_ones_own_finds_something_cheaper_and_is_kept(newcomer):
    (study,) = newcomer.ledger.studies()
    assert study["process"] == "compass search"
    tried = re.findall(r"^([\d.]+|None) two-layer network", newcomer.said["A process"], re.MULTILINE)
    assert len(tried) == 8
    costs = [float(cost) for cost in tried if cost != "None"]
    assert min(costs) < costs[0] / 2
    assert "budget spent: 8 of 8 trials" in newcomer.said["A process"]


def test_a_notebook_of_ones_own_runs_and_is_kept_with_its_outputs(newcomer):
    before = set((newcomer.folder / "notebooks").iterdir())
    for block in ADDING:
        if block.section == "A notebook":
            newcomer.follows(block)
    (made,) = set((newcomer.folder / "notebooks").iterdir()) - before
    assert "1 of 1 passed" in newcomer.said["A notebook"]
    assert f"{made.name} is written" in newcomer.said["A notebook"]
    assert finding_in(made)["results"]["seeds that the candidate solved, %"] == 100
    assert list((newcomer.folder / "figures").glob(f"{made.stem}_*.png"))
    (notebook,) = batch.select(batch.find_notebooks(made.parent), ["34"])
    walk.test_its_outputs_are_those_of_one_clean_run(notebook)
    walk.test_its_figures_are_described_in_words(notebook)


def test_what_the_recipes_write_is_in_the_style_of_the_house(newcomer):
    files = [block.file for block in ADDING if block.file and block.file.startswith("sutrolib/")]
    assert len(files) == 4
    changed = [
        re.search(r"^\+\+\+ b/(.+)$", block.text, re.MULTILINE)[1] for block in ADDING if block.language == "diff"
    ]
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        newcomer.runs([sys.executable, "-m", "ruff", *command, *files, *changed])


def test_the_other_python_of_the_readme_runs_and_prints_what_it_says(tmp_path):
    someone = Newcomer(tmp_path / "reader")
    sources = [b.text for b in OTHERS if b.language == "python" and not any(name in b.text for name in ELSEWHERE)]
    assert len(sources) >= 5
    each = (
        "import json, sys\nfor number, source in enumerate(json.load(sys.stdin)):\n    exec(source, {}); print('---')"
    )
    said = someone.runs([sys.executable, "-c", each], json.dumps(sources)).split("---\n")
    for source, printed in zip(sources, said, strict=False):
        promised = re.search(r"print\(.*# ([\d.]+)", source)
        if promised:
            assert f"{float(printed):.{len(promised[1].partition('.')[2])}f}" == promised[1]
    assert any(printed.startswith("passed at 95% over 5 pairs; operations ratio") for printed in said)


@pytest.mark.parametrize(
    "block", [b for b in blocks(README) if b.language in ("python", "diff")], ids=lambda b: b.section
)
def test_no_block_is_long(block):
    assert len([line for line in block.text.splitlines() if line.strip()]) <= LONGEST
    assert max(map(len, block.text.splitlines())) <= 120


def commands():
    """Every ``python -m sutrolib ...`` of the README, from its blocks and its prose, without comments."""
    shell = "\n".join(re.sub(r" +#.*", "", b.text) for b in blocks(README) if b.language == "sh")
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    found = re.findall(r"python -m sutrolib ([^\n&|;]+)", shell) + re.findall(r"`python -m sutrolib ([^`]+)`", prose)
    return sorted({command.strip() for command in found if "[" not in command})


@pytest.mark.parametrize("command", commands())
def test_the_command_line_takes_every_command_of_the_readme(command):
    options = _parser().parse_args(shlex.split(command))
    known = {name for notebook in batch.find_notebooks() for name in (notebook.number, notebook.name)}
    if command.startswith("run"):
        assert set(options.notebooks) <= known | {"34"}  # the one that a recipe writes


def test_there_are_commands_to_take():
    assert len(commands()) > 20
    assert "run 24" in commands()
    assert "exam --division open --scale cpu" in commands()


def test_every_link_leads_somewhere_and_every_notebook_is_in_the_table():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert [target for target in targets if not (paths.ROOT / target).exists()] == []
    listed = re.findall(r"^\| \[(\w+)\]\(notebooks/\1\.ipynb\)", README, re.MULTILINE)
    assert listed == [notebook.name for notebook in batch.find_notebooks()]
    prose = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)", prose, re.MULTILINE)
    headings = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= set(headings)
