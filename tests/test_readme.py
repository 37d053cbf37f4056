"""README, handbook and findings: their Python runs, their commands and links exist, no number is stale."""

import json
import re
import shlex
import sys
from dataclasses import dataclass

import pytest
from newcomer import Newcomer

from sutrolib.__main__ import _parser, _split_assignments
from sutrolib.batch import batch
from sutrolib.cli import findings
from sutrolib.core import paths
from sutrolib.core.markdown import finding_in
from sutrolib.exam.record import read_record

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
HANDBOOK = (paths.DATA / "HANDBOOK.md").read_text(encoding="utf-8")
LONGEST = 40  # lines of a block that say something
ELSEWHERE = ("dask_jobqueue", "dask_kubernetes")  # what needs a cluster; the workers themselves: test_batch_cluster.py


@dataclass(frozen=True)
class Block:
    """One fenced block: the section that it stands in, its language, and its text."""

    section: str
    language: str
    text: str


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


BLOCKS = [*blocks(README), *blocks(HANDBOOK)]


def test_the_readme_is_short():
    assert len(README.encode()) <= 12_000


def test_the_readme_installs_the_torch_that_is_required():
    required = (paths.ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert set(re.findall(r"torch==[\d.]+", README)) == set(re.findall(r"(?m)^torch==[\d.]+", required))


def test_the_main_result_is_what_notebook_40_found():
    main = re.search(r"\*\*The main result so far:\*\* (.+?)\n\n", README, re.DOTALL)[1]
    found = finding_in(paths.NOTEBOOKS / "40_final_exam.ipynb")["finding"]
    assert " ".join(re.search(r"\*(.+?)\*", main, re.DOTALL)[1].split()) in found
    assert all(number in found for number in re.findall(r"\d+\.\d+", main))
    cores, named = re.search(r"on (\w+) cores of an (.+?): another machine", " ".join(main.split())).groups()
    record = read_record(paths.ROOT / "data" / "exam" / "cpu-to-target_closed.json")
    machines = [sitting["machine"] for sitting in (*record.earlier_sittings, {"machine": record.machine})]
    assert cores == "two"
    assert {machine["cores"] for machine in machines} == {2}
    processors = [machine["processor"].replace("(R)", "").replace(" Processor", "") for machine in machines]
    assert named.split(" or an ") == processors
    assert len(record.trained("distilled GPT")) == 10
    asked = r"four searches for it cost as much as (\d+) published trainings to ([\d.]+) nats"
    cheaper, loss = re.search(asked, " ".join(main.split())).groups()
    cost = finding_in(paths.NOTEBOOKS / "41_how_the_recipe_was_found.ipynb")["finding"]
    cheaper = f"cost as much energy as {cheaper} trainings of the baseline to {loss} nats."
    assert f"The 4 searches in the closed division {cheaper}" in cost


def test_the_findings_are_those_of_the_committed_notebooks():
    assert findings.PAGE.read_text(encoding="utf-8") == findings.page(), "run `python -m sutrolib findings`"


@pytest.mark.slow
def test_the_python_runs_and_prints_what_it_says(tmp_path):
    sources = [b.text for b in BLOCKS if b.language == "python" and not any(name in b.text for name in ELSEWHERE)]
    assert len(sources) >= 5
    each = "import json, sys\nfor source in json.load(sys.stdin):\n    exec(source, {}); print('---')"
    said = Newcomer(tmp_path / "reader").runs([sys.executable, "-c", each], json.dumps(sources)).split("---\n")
    for source, printed in zip(sources, said, strict=False):
        promised = re.search(r"print\(.*# ([\d.]+)", source)
        if promised:
            assert f"{float(printed):.{len(promised[1].partition('.')[2])}f}" == promised[1]
    # On a machine with other work, as with several tests at once, the time is not decided.
    verdict = re.compile(r"(passed|not decided) at 95% over 5 pairs; operations ratio .*: below 1;")
    assert any(verdict.match(printed) for printed in said)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in ("python", "diff")], ids=lambda b: b.section)
def test_no_block_is_long(block):
    assert len([line for line in block.text.splitlines() if line.strip()]) <= LONGEST
    assert max(map(len, block.text.splitlines())) <= 120


def commands():
    """Every ``python -m sutrolib ...`` of both documents, from their blocks and their prose, without comments."""
    shell = "\n".join(re.sub(r" +#.*", "", b.text) for b in BLOCKS if b.language == "sh")
    prose = re.sub(r"```.*?```", "", README + HANDBOOK, flags=re.DOTALL)
    found = re.findall(r"python -m sutrolib ([^\n&|;]+)", shell) + re.findall(r"`python -m sutrolib ([^`]+)`", prose)
    return sorted({command.strip() for command in found if "[" not in command})


@pytest.mark.parametrize("command", commands())
def test_the_command_line_takes_every_command(command):
    options = _parser().parse_args(_split_assignments(shlex.split(command)))
    known = {name for notebook in batch.find_notebooks() for name in (notebook.number, notebook.name)}
    if command.startswith("run"):
        assert set(options.notebooks) <= known


def test_there_are_commands_to_take():
    assert len(commands()) > 20
    assert "run" in commands()
    assert "exam --division open --scale cpu" in commands()


def test_every_link_leads_somewhere_and_every_notebook_is_in_the_table():
    for text, folder in ((README, paths.ROOT), (HANDBOOK, paths.DATA)):
        assert [target for target in re.findall(r"\]\(([^)#:]+)\)", text) if not (folder / target).exists()] == []
    listed = re.findall(r"^\| \[(\w+)\]\(notebooks/\1\.ipynb\)", README, re.MULTILINE)
    assert listed == [notebook.name for notebook in batch.find_notebooks()]
    prose = re.sub(r"^```.*?^```", "", README, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)", prose, re.MULTILINE)
    headings = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert len(headings) == len(set(headings))
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= set(headings)
