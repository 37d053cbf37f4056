"""python -m sutrolib new notebook: the skeleton of one more notebook, with the anatomy of all others, ready to run.

It is a small study that works as it stands, two settings of one network weighed against each other; what its author is
to replace is marked YOURS.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from sutrolib.core import paths

if TYPE_CHECKING:
    from nbformat import NotebookNode

DECADES = {"process": 1, "metric": 2, "problem": 3, "exam": 4, "meeting": 5}  # the first digit of a notebook's number
LONGEST_NAME, LONGEST_TITLE = 50, 200
STEP = "none yet: one change of a hand-tuned network, on sparse parity"

OPENING = """\
# {title}

**Question.** *YOURS: one sentence with a question mark.* As it stands: what does a narrower network cost?

**Step.** *YOURS: the one axis that moves ({axis}), from which rung to which, and what is held fixed.* As it stands none
moves: process *by hand*, metric *operations*, problem *sparse parity* are held fixed.

*YOURS: what a reader has to know, in a few lines, with its source (paper, section).*
"""

PARAMETERS = """\
n_bits: int = 20  # bits, 3 to 50
hidden: int = 50  # hidden units of the candidate, 1 to 10000
runs: int = 4  # seeds in the quick profile, three times as many in full, 3 to 100
seed: int = 0  # first seed, 0 to 1000000
profile: str = "quick"  # quick or full
"""

SETUP = """\
import sys

sys.path.append("..")  # the library is beside the notebooks, and is not installed

from matplotlib import pyplot as plt

from sutrolib.plots.style import BLACK, GREY
from sutrolib.meters import OperationCount, ReuseDistance
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.notebook.session import start
from sutrolib.problems.parity import SparseParity
from sutrolib.measurement.tables import cost_table
from sutrolib.core.stats import error_bars
from sutrolib.measurement.comparison import reading_ratio

nb = start("{name}")
"""

EXPECTATION = """\
# YOURS: numbers, written down before the first run, each with a reason and a kind.
nb.expect("operations, candidate / baseline", 0.1, 1, "each update of a narrower network does less")
nb.expect("seeds that the candidate solved, %", 90, 100, "three secret bits need few hidden units")
nb.kinds("counted", measured=["time, candidate / baseline", "seeds that the candidate solved, %"])
nb.show_expectations()
"""

RUNS = """\
# YOURS: the problem, what is compared, and the meters. Change one thing; hold everything else fixed.
problem = SparseParity(n=n_bits, k=3)
models = {"baseline": TwoLayerNetwork(lr=0.5), "candidate": TwoLayerNetwork(lr=0.5, hidden=hidden)}
meters = [OperationCount(), ReuseDistance()]
seeds = range(seed, seed + runs * (1 if nb.quick else 3))
measured = {label: nb.measure(problem, model, meters, seeds) for label, model in models.items()}
nb.table(*cost_table(measured))
"""

FIGURE = """\
# YOURS: one message; the title states it, and is computed, so that a run with other parameters cannot lie.
names = {"operations": "counted", "ard": "counted", "time": "measured"}
ratios = {name: reading_ratio(measured["candidate"], measured["baseline"], name) for name in names}
figure, ax = plt.subplots()
values, bars = [ratio.value for ratio in ratios.values()], error_bars([*ratios.values()])
ax.errorbar(values, range(len(names)), xerr=bars, fmt="o", color=BLACK)
for row, ratio in enumerate(ratios.values()):
    ax.plot(ratio.points, [row + 0.1] * len(ratio.points), ".", color=GREY)
ax.axvline(1, color=GREY, ls="--", lw=1)
ax.set_yticks(range(len(names)), [f"{name} ({kind})" for name, kind in names.items()])
ax.set(ylim=(-0.5, len(names) - 0.5), xlabel="candidate / baseline, below 1 is less (95 % interval over seeds)")
told = ", ".join(f"{ratio.value:.2g} times the {name}" for name, ratio in ratios.items())
title = f"{hidden} hidden units instead of 200 take {told}"
ax.set_title(title)
nb.show(figure, "ratios", f"Candidate over baseline with intervals, a row for each metric. {title}.")
"""

CONCLUSION = """\
solved = sum(run.solved for run in measured["candidate"])
results = {
    "operations, candidate / baseline": ratios["operations"].value,
    "seeds that the candidate solved, %": 100 * solved / len(seeds),
    "time, candidate / baseline": ratios["time"].value,
}
# YOURS: what was found, in one sentence with its numbers; and the step that follows from it.
finding = f"{title}; the candidate solves {solved} of {len(seeds)} seeds."
nb.conclude(finding, results, "Next: [00_the_cube](00_the_cube.ipynb), where these runs now stand.")
"""


def run(options: argparse.Namespace) -> int:
    """Write the skeleton, and say where it is and how it is run. Raises ValueError and OSError as :func:`place_of`."""
    import nbformat

    title = clean_title(options.title)
    name = place_of(options.axis, title)
    path = paths.NOTEBOOKS / f"{name}.ipynb"
    _write_new(path, nbformat.writes(skeleton(name, options.axis, title)) + "\n")
    number = name.split("_")[0]
    where = f"notebooks/{path.name}" if path.is_relative_to(paths.ROOT) else path
    print(f"{where} is written. What is yours to write in it is marked YOURS; it runs as it is:")
    print(f"  python -m sutrolib run {number}")
    print("To keep it in the collection, run it in its place, so that it holds its outputs and its figures:")
    print(f"  jupyter nbconvert --to notebook --execute --inplace {where}")
    return 0


def _write_new(path: Path, content: str) -> None:
    """Write a file that is not there yet, whole or not at all. Raises OSError; what is there is never overwritten."""
    file = path.open("x", encoding="utf-8")
    try:
        with file:
            file.write(content)
    except BaseException:
        path.unlink()
        raise


def clean_title(title: str) -> str:
    """The title on one line, without characters that control a terminal. Raises ValueError for none, or a long one."""
    cleaned = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    if not cleaned or len(cleaned) > LONGEST_TITLE:
        raise ValueError(f"title {title[:LONGEST_TITLE]!r}, accepted are 1 to {LONGEST_TITLE} characters")
    return cleaned


def place_of(axis: str, title: str) -> str:
    """The name of the next notebook on ``axis``: the lowest free number of its ten, and the title's words.

    Raises ValueError for an axis that there is none of, one whose ten numbers are used up, and a title of which no
    letter or digit is left.
    """
    if axis not in DECADES:
        raise ValueError(f"axis {axis!r}, accepted are {', '.join(DECADES)}")
    numbers = [f"{DECADES[axis]}{digit}" for digit in range(10)]
    used = {path.name.split("_")[0] for path in paths.NOTEBOOKS.glob("[0-9]*_*.ipynb")}
    free = [number for number in numbers if number not in used]
    if not free:
        raise ValueError(
            f"the numbers {numbers[0]} to {numbers[-1]} of the {axis} axis are used up: "
            "add to a notebook that there is, or move one that is settled out of notebooks/"
        )
    return f"{free[0]}_{slug(title)}"


def slug(title: str) -> str:
    """The title as a part of a file's name: a to z, 0 to 9 and underscores, whatever alphabet or path it was in."""
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    while len("_".join(words)) > LONGEST_NAME and len(words) > 1:
        words.pop()
    if not words:
        raise ValueError(f"title {title!r}, accepted is one with letters a to z or digits, for the name of the file")
    return "_".join(words)[:LONGEST_NAME]


def skeleton(name: str, axis: str, title: str) -> NotebookNode:
    """The notebook of this name, not yet run."""
    from nbformat import v4

    sources = [
        ("markdown", OPENING.format(title=title, axis=axis)),
        ("parameters", PARAMETERS),
        ("code", SETUP.format(name=name)),
        ("markdown", "## Expectation\n*YOURS: where the prediction comes from.*"),
        ("code", EXPECTATION),
        ("markdown", "## The measurement\nBoth settings learn from the same samples of each seed."),
        ("code", RUNS),
        ("markdown", "## What the change does"),
        ("code", FIGURE),
        ("markdown", "## What we saw"),
        ("code", CONCLUSION),
    ]
    cells = []
    for place, (sort, source) in enumerate(sources):
        about = {"id": f"{name.split('_')[0]}-{place:02d}", "source": source.strip()}
        if sort == "markdown":
            cells.append(v4.new_markdown_cell(**about))
        else:
            cells.append(v4.new_code_cell(**about, metadata={"tags": ["parameters"]} if sort == "parameters" else {}))
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "sutro": {"axis": axis, "step": STEP},
    }
    made: NotebookNode = v4.new_notebook(cells=cells, metadata=metadata)
    return made
