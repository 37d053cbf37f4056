"""What tests of batches share: notebooks to run, a reporter, and a copy of the checkout."""

import shutil
import subprocess

import nbformat
import pytest

from sutrolib.core.markdown import FINDING_TYPE
from sutrolib.core.paths import ROOT


class Silent:
    def __init__(self):
        self.events = []

    def batch_started(self, batch):
        self.events.append(("batch", len(batch.runs), batch.total))

    def job_started(self, run):
        self.events.append(("start", run.number))

    def job_lost(self, run, again):
        self.events.append(("lost", run.number, again))

    def cell_started(self, cell):
        self.events.append(("cell", cell))

    def job_ended(self, result):
        self.events.append(("end", result.passed))


def write_notebook(path, *sources, parameters="n: int = 1  # 0 to 9", kernel="no-such-kernel", **more):
    cells = [nbformat.v4.new_markdown_cell(f"# Title of {path.stem}")]
    cells.append(nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    about = {
        "kernelspec": {"name": kernel, "display_name": kernel, "language": "python"},
        "sutro": {"axis": "metric", **more},
    }
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), path)


FIND = f"""
import os
from IPython.display import display
found = {{"finding": f"n is {{n}}", "sign": "continue", "results": {{"n": n, "none": None}}}}
display({{"{FINDING_TYPE}": found}}, raw=True)
print(os.environ["SUTRO_FIGURES"])
"""

# A notebook without a conclusion has not passed.
END = f"""
from IPython.display import display
display({{"{FINDING_TYPE}": {{"finding": "it ended"}}}}, raw=True)
"""


def copy_checkout(copy):
    """What git knows of the library and the notebooks, with changes that are not committed, and nothing it ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "sutrolib", "notebooks"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"not in a git checkout: {listed.stderr.strip()}")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
