"""What a batch runs: the notebooks, and a job for each notebook and each point of a grid.

Everything is checked here, before anything runs. A job's identity is what it would run: the sources of the notebook's
cells, the values of all its parameters, and the version of the library.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.batch.parameters import Parameter, ParameterError, check_names, did_you_mean, read_parameters
from sutrolib.batch.stored import StoredResults
from sutrolib.core import paths
from sutrolib.core.markdown import finding_in
from sutrolib.core.records import read_json

_MOST_NAMED = 10  # notebooks, in an error


@dataclass(frozen=True)
class Notebook:
    """One notebook of the collection: its file, number, title, place on the cube, and parameters.

    ``meter`` says whether it may read seconds or joules. In its metadata, ``"sutro": {"meter": false}`` says never,
    ``"full"`` not with the quick profile, and ``"live"`` even if its stored results are read. ``sources`` is the hash
    of its cells. ``builds_on`` are the numbers of the notebooks whose findings are its premises, such as ``["24"]``.
    ``error`` is what is wrong with a broken one, which fails when it is run.
    """

    path: Path
    title: str
    axis: str
    step: str
    parameters: Mapping[str, Parameter]
    cells: int
    meter: bool | str = True
    sources: str = ""
    error: str = ""
    builds_on: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its suffix, such as 10_baseline."""
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
        """The notebook's name and the parameters that were given."""
        given = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.notebook.name} {given}".strip()

    @property
    def values(self) -> dict[str, Any]:
        """All parameters: those that were given, and the notebook's defaults."""
        return {p.name: p.default for p in self.notebook.parameters.values()} | dict(self.parameters)

    @property
    def meter(self) -> bool:
        """Whether it may read seconds or joules: not where it reads stored results instead."""
        profile, others = self.values.get("profile"), {k: v for k, v in self.values.items() if k != "profile"}
        if self.notebook.meter in (False, "live") or profile != "quick":
            return bool(self.notebook.meter)
        if self.notebook.meter == "full":
            return False
        stored = StoredResults.read(paths.stored_results(self.notebook.name))
        return not stored or bool(stored.outdated(others))

    def identity(self, library: str) -> str:
        """The hash of all that is run, with ``library`` as the version: equal ones compute the same."""
        content = json.dumps([self.notebook.name, self.notebook.sources, self.values, library], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def find_notebooks(folder: Path = paths.NOTEBOOKS) -> list[Notebook]:
    """All numbered notebooks of a folder, in order. A broken one says so in its ``error``."""
    return [read_notebook(path) for path in sorted(folder.glob("[0-9]*_*.ipynb"))]


def read_notebook(path: Path) -> Notebook:
    """The notebook of a file. Its ``error`` says, with its name, if it or its cell of parameters cannot be read."""
    try:
        content = read_json(path)
        cells, about = content["cells"], dict(content.get("metadata", {}).get("sutro", {}))
        sources = ["".join(cell.get("source", "")) for cell in cells]
        types = [str(cell.get("cell_type")) for cell in cells]
        tagged = ["parameters" in cell.get("metadata", {}).get("tags", []) for cell in cells]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{path.name} cannot be read as a notebook: {type(error).__name__}: {error}"
        return Notebook(path, path.stem, "", "", {}, 0, error=why)
    prose = (source for source, kind in zip(sources, types, strict=True) if kind == "markdown")
    titles = (match[1] for source in prose if (match := re.match(r"# (.+)", source)))
    parameters, why = {}, "" if any(tagged) else f"{path.name} has no cell with the tag parameters"
    try:
        parameters = read_parameters(next(itertools.compress(sources, tagged), ""))
    except ParameterError as error:
        why = f"{path.name}: {error}"
    return Notebook(
        path=path,
        title=next(titles, path.stem),
        axis=about.get("axis", ""),
        step=about.get("step", ""),
        parameters=parameters,
        cells=len(cells),
        meter=about.get("meter", True),
        sources=hashlib.sha256(json.dumps([types, sources]).encode()).hexdigest(),
        error=why,
        builds_on=tuple(about.get("builds_on", ())),
    )


def lost_premises(notebooks: Sequence[Notebook], signs: Mapping[str, str]) -> dict[str, list[str]]:
    """For each notebook, the premises that turned back or stopped.

    ``signs`` are those of a run, by notebook; the published ones stand for the others.
    """
    needed = [notebook for notebook in notebooks if any(notebook.number in n.builds_on for n in notebooks)]
    known = [(n, signs.get(n.name) or finding_in(n.path).get("sign", "")) for n in needed]
    lost = {n.number: n.name for n, sign in known if sign in ("turn back", "stop")}
    return {n.name: [lost[number] for number in n.builds_on if number in lost] for n in notebooks}


def select(notebooks: Sequence[Notebook], wanted: Sequence[str]) -> list[Notebook]:
    """The notebooks with these numbers or names, with or without the number, in order; all if none is given.

    Raises ValueError, with the most similar name, for an unknown one.
    """
    names = {name: n for n in notebooks for name in (n.number, n.name, n.path.name, n.name.partition("_")[2])}
    for name in wanted:
        if name not in names:
            few = len(notebooks) <= _MOST_NAMED
            there = ", ".join(n.name for n in notebooks) if few else "those that `python -m sutrolib list` shows"
            raise ValueError(f"no notebook {name!r}{did_you_mean(name, names)}; there are {there}")
    return [n for n in notebooks if not wanted or n in [names[name] for name in wanted]]


def plan(notebooks: Sequence[Notebook], given: Mapping[str, str], grid: Mapping[str, Sequence[str]]) -> list[Job]:
    """A job for each notebook and each point of the grid; a broken notebook has one, which fails.

    Raises ParameterError for a name or a value that one of the notebooks does not take.
    """
    both = sorted(set(given) & set(grid))
    if both:
        raise ParameterError(f"{', '.join(both)} is given both as a value and as a grid; give one of the two")
    jobs = []
    for notebook in notebooks:
        if notebook.error:
            jobs.append(Job(notebook, {}))
            continue
        check_names([*given, *grid], notebook.parameters, notebook.name)
        fixed = {name: notebook.parameters[name].parse(text) for name, text in given.items()}
        axes = [[(name, notebook.parameters[name].parse(text)) for text in texts] for name, texts in grid.items()]
        jobs += [Job(notebook, fixed | dict(point)) for point in itertools.product(*axes)]
    return jobs
