"""Batches of notebooks through papermill: find them, check their parameters, run them, gather what they found."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from sutrolib import places
from sutrolib.findings import finding_in, markdown_table
from sutrolib.parameters import Parameter, ParameterError, check_names, declared_in

KERNEL = "sutro"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Notebook:
    """One notebook of the collection: its file, number, title, place on the cube, and parameters."""

    path: Path
    title: str
    axis: str
    step: str
    parameters: Mapping[str, Parameter]
    cells: int

    @property
    def name(self) -> str:
        """The file's name without its ending, such as 10_baseline."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The leading number of the name."""
        return self.name.split("_")[0]


@dataclass(frozen=True)
class Job:
    """One notebook with one set of parameters."""

    notebook: Notebook
    parameters: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The notebook's name and the parameters that differ from its defaults."""
        given = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.notebook.name} {given}".strip()


@dataclass(frozen=True)
class Outcome:
    """What became of a job: how long it took, what it found, and the error if it failed."""

    job: Job
    seconds: float
    output: Path
    finding: str = ""
    sign: str = ""
    results: Mapping[str, float | None] = field(default_factory=dict)
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether every cell ran."""
        return not self.error


class Reporter(Protocol):
    """Who is told how a batch gets on."""

    def job_started(self, number: int, total: int, job: Job) -> None: ...
    def cell_started(self, cell: int) -> None: ...
    def job_ended(self, outcome: Outcome) -> None: ...


def find_notebooks(folder: Path = places.NOTEBOOKS) -> list[Notebook]:
    """All numbered notebooks of a folder, in order. Raises ValueError, naming the file, for one that cannot be read."""
    return [_read_notebook(path) for path in sorted(folder.glob("[0-9]*_*.ipynb"))]


def _read_notebook(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        tags = [cell.get("metadata", {}).get("tags", []) for cell in cells]
        about = content.get("metadata", {}).get("sutro", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is not readable as a notebook: {type(error).__name__}: {error}") from error
    titles = [m[1] for m in (re.match(r"# (.+)", source) for source in sources) if m]
    declared = [declared_in(s) for s, tag in zip(sources, tags, strict=True) if "parameters" in tag]
    return Notebook(
        path=path,
        title=titles[0] if titles else path.stem,
        axis=about.get("axis", ""),
        step=about.get("step", ""),
        parameters=declared[0] if declared else {},
        cells=len(cells),
    )


def select(notebooks: Sequence[Notebook], wanted: Sequence[str]) -> list[Notebook]:
    """The notebooks of these numbers or names, in the collection's order; all when none is named.

    Raises ValueError that lists those there are.
    """
    for name in wanted:
        if not any(name in (n.number, n.name, n.path.name) for n in notebooks):
            raise ValueError(f"no notebook {name!r}; there are {', '.join(n.name for n in notebooks)}")
    return [n for n in notebooks if not wanted or {n.number, n.name, n.path.name} & set(wanted)]


def plan(notebooks: Sequence[Notebook], given: Mapping[str, str], grid: Mapping[str, Sequence[str]]) -> list[Job]:
    """A job for each notebook and each point of the grid, every value checked against every notebook.

    Raises ParameterError for an unknown name or a value that a notebook does not accept, before anything runs.
    """
    both = sorted(set(given) & set(grid))
    if both:
        raise ParameterError(f"{', '.join(both)}: given both as a value and as a grid, accepted is one of the two")
    jobs = []
    for notebook in notebooks:
        check_names([*given, *grid], notebook.parameters, notebook.name)
        fixed = {name: notebook.parameters[name].parse(text) for name, text in given.items()}
        axes = [[(name, notebook.parameters[name].parse(text)) for text in texts] for name, texts in grid.items()]
        jobs += [Job(notebook, fixed | dict(point)) for point in itertools.product(*axes)]
    return jobs


def run(
    jobs: Sequence[Job], reporter: Reporter, folder: Path | None = None, keep_figures: bool = False
) -> list[Outcome]:
    """Run the jobs one after the other; a failed one does not stop the others, an interruption (Ctrl-C) does.

    Executed copies, figures and the table of findings are written to ``folder``, a new one under data/runs/ when none
    is given; the table is written anew after every job.
    Raises ValueError, before anything runs, for figures that are to be kept from several runs of one notebook: they
    have the same names.
    """
    names = [job.notebook.name for job in jobs]
    if keep_figures and len(set(names)) < len(names):
        raise ValueError("--keep-figures with several runs of one notebook, accepted is one run of each")
    folder = (folder or new_run_folder()).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs, 1):
        reporter.job_started(number, len(jobs), job)
        own = folder / "figures" if names.count(job.notebook.name) == 1 else folder / "figures" / f"{number:03d}"
        environment = {
            "SUTRO_FIGURES": str(places.ROOT / "figures" if keep_figures else own),
            "SUTRO_LEDGER": str(places.ledger().resolve()),  # notebooks run in a folder of their own
        }
        with _own_kernel(environment):
            outcome = _run_one(job, folder / f"{number:03d}-{job.notebook.name}.ipynb", reporter)
        outcomes.append(outcome)
        write_table(outcomes, folder)
        reporter.job_ended(outcome)
        if outcome.error == INTERRUPTED:
            break
    return outcomes


def new_run_folder() -> Path:
    """A fresh folder under data/runs/, named after the time in UTC."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in itertools.chain([""], (f"-{n}" for n in itertools.count(2))):
        folder = places.RUNS / f"{stamp}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def _run_one(job: Job, output: Path, reporter: Reporter) -> Outcome:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    began = time.perf_counter()
    error = ""
    try:
        papermill.execute_notebook(
            str(job.notebook.path),
            str(output),
            parameters=dict(job.parameters),
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            cwd=str(places.NOTEBOOKS),
            on_cell_start=lambda cell, cell_index: reporter.cell_started(cell_index + 1),
        )
    except PapermillExecutionError as failure:
        error = f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    except KeyboardInterrupt:
        error = INTERRUPTED
    except Exception as failure:  # whatever it is, the other notebooks still run
        error = f"{type(failure).__name__}: {failure}"
    found = finding_in(output)
    return Outcome(
        job=job,
        seconds=time.perf_counter() - began,
        output=output,
        finding=found.get("finding", ""),
        sign=found.get("sign", ""),
        results=found.get("results", {}),
        error=error,
    )


@contextmanager
def _own_kernel(environment: Mapping[str, str]) -> Iterator[None]:
    """A kernelspec for the running interpreter, in a folder of its own that Jupyter searches first.

    So the notebooks run on what this command runs on, whatever kernels the user has or has not registered.
    """
    paths = [str(places.ROOT), os.environ.get("PYTHONPATH", "")]
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"],
        "display_name": "Sutro cube",
        "language": "python",
        "env": {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory(prefix="sutro-kernel-") as folder:
        kernel = Path(folder) / "kernels" / KERNEL
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def write_table(outcomes: Sequence[Outcome], folder: Path) -> None:
    """Write findings.csv and findings.md: a row for each run, a column for each parameter and each result."""
    parameters = list(dict.fromkeys(name for o in outcomes for name in o.job.parameters))
    results = list(dict.fromkeys(name for o in outcomes for name in o.results))
    header = ["notebook", *parameters, "seconds", "status", "sign", "finding", *results, "error"]
    rows = [
        [
            o.job.notebook.name,
            *(o.job.parameters.get(name, "") for name in parameters),
            f"{o.seconds:.1f}",
            "passed" if o.passed else "failed",
            o.sign,
            o.finding,
            *("" if o.results.get(name) is None else f"{o.results[name]:.6g}" for name in results),
            o.error,
        ]
        for o in outcomes
    ]
    with (folder / "findings.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    (folder / "findings.md").write_text(markdown_table(header, rows) + "\n", encoding="utf-8")
