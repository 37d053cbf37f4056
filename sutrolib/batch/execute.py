"""One run of a batch: a notebook through papermill, on a kernel of its own, and the record of how it ended.

It happens in the process of the command or on a worker, which may be on another machine that shares the disk. A run is
handed out as a :class:`Ticket`. Each attempt at it is a file in the batch's folder, which whoever begins it renames:
so no attempt is begun twice, and a run whose file is taken away ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.kernel import RUN
from sutrolib.batch.plan import Job, read_notebook
from sutrolib.batch.records import INTERRUPTED, Outcome
from sutrolib.core import paths, provenance
from sutrolib.core.dask_cluster import OtherLibrary
from sutrolib.core.markdown import finding_in

KERNEL = "sutro"
ATTEMPTS = "attempts"
KILLED_TWICE = "its worker was killed twice"


class BegunBefore(Exception):
    """This attempt was begun before, by a worker that is no longer there; or it was called back."""


@dataclass(frozen=True)
class Ticket:
    """A run to be made: the job, its number and identity, where it goes, and which attempt at it this is.

    ``environment`` is for the kernel. ``library`` is the version that is asked for; any will do where it is empty.
    ``order`` is of the command that asks: what an earlier one left running does not take this one's file for its own.
    """

    number: int
    identity: str
    job: Job
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    worker: str = ""
    library: str = ""
    order: str = ""

    @property
    def output(self) -> Path:
        """Where the executed copy goes."""
        return self.folder / records.file_name(self.number, self.job.notebook.name)

    @property
    def waiting(self) -> Path:
        """The file that stands for this attempt until it is begun."""
        return self.folder / ATTEMPTS / f"{self.identity}-{self.order}-{self.attempt}.waiting"

    @property
    def running(self) -> Path:
        """The same, from then on until it ends."""
        return self.waiting.with_suffix(".running")

    def announce(self) -> None:
        """Have the attempt wait for whoever begins it, and call back all others at this run.

        How the run ended in another batch is no longer its record.
        """
        if self.attempt == 1:
            records.forget(self.folder, self.identity)
        self.waiting.parent.mkdir(parents=True, exist_ok=True)
        for other in self.waiting.parent.glob(f"{self.identity}-*"):
            other.unlink(missing_ok=True)
        self.waiting.touch()

    def withdraw(self) -> bool:
        """Keep the attempt from being begun; False where it was, or was called back."""
        try:
            self.waiting.unlink()
        except FileNotFoundError:
            return False
        return True

    def call_back(self) -> None:
        """End the attempt: it is not begun any more, and where it is running, its kernel ends."""
        self.waiting.unlink(missing_ok=True)
        self.running.unlink(missing_ok=True)

    def ended(self, seconds: float, error: str = "", **found: Any) -> Outcome:
        """How the run ended."""
        ended = Outcome(
            identity=self.identity,
            number=self.number,
            notebook=self.job.notebook.name,
            label=self.job.label,
            parameters=self.job.values,
            seconds=seconds,
            when=provenance.now(),
            error=error,
            attempts=self.attempt,
            worker=self.worker,
        )
        return dataclasses.replace(ended, **found)


def attempt(ticket: Ticket, execute: Callable[[Ticket], Outcome]) -> Outcome:
    """Begin the attempt, run it by ``execute`` and record how it ended.

    Raises BegunBefore where the attempt is no longer waiting, and OtherLibrary where another version is asked for.
    """
    try:
        ticket.waiting.rename(ticket.running)
    except FileNotFoundError:
        raise BegunBefore(ticket.job.label) from None
    here = provenance.library() if ticket.library else ""
    if here != ticket.library:
        raise OtherLibrary(here)
    outcome = execute(ticket)
    if ticket.running.exists():  # else it was called back, and another attempt may have been recorded since
        records.write(ticket.folder, outcome)
    return outcome


def sweep(folder: Path) -> None:
    """Take away what is left when no run of ours is going on: the attempts, and what was cut short in writing.

    The folder's lock is ours: so an attempt that is still there is of a command that was killed, and is called back.
    """
    for left in (*(folder / records.RECORDS).glob(".*.tmp"), *(folder / ATTEMPTS).glob("*")):
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (folder / ATTEMPTS).rmdir()


def execute(ticket: Ticket, on_cell: Callable[[int], None] = lambda cell: None) -> Outcome:
    """Run the notebook as it is now, and say what was run and what it found. Whatever goes wrong is in the outcome."""
    began = time.perf_counter()
    error, run = "", {}
    try:
        ticket.output.unlink(missing_ok=True)  # an earlier run's finding is not to be taken for this one's
        run = _what_is_run(ticket)
        with _own_kernel({**ticket.environment, RUN: str(ticket.running) if ticket.running.exists() else ""}):
            _execute(ticket, on_cell)
    except KeyboardInterrupt:
        error = INTERRUPTED
    except Exception as failure:  # whatever it is, the other notebooks still run
        error = _words(failure)
    return ticket.ended(time.perf_counter() - began, error, **run, **_found(ticket.output))


def _what_is_run(ticket: Ticket) -> dict[str, Any]:
    """What is on disk now, which may have been edited since the batch was planned: its identity and parameters."""
    library = provenance.library()
    job = dataclasses.replace(ticket.job, notebook=read_notebook(ticket.job.notebook.path))
    return {"library": library, "identity": job.identity(library), "parameters": job.values, "label": job.label}


def _execute(ticket: Ticket, on_cell: Callable[[int], None]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # that a kernel died is in the outcome
    papermill.execute_notebook(
        _to_the_letter(ticket.job.notebook.path),
        _to_the_letter(ticket.output),
        parameters=dict(ticket.job.parameters),
        kernel_name=KERNEL,
        language="python",
        progress_bar=False,
        cwd=str(paths.NOTEBOOKS),
        on_cell_start=lambda cell, cell_index: on_cell(cell_index + 1),
    )


def _to_the_letter(path: Path) -> str:
    """The path with its braces doubled: papermill would fill them with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _words(failure: Exception) -> str:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(failure, PapermillExecutionError):
        return f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    return f"{type(failure).__name__}: {failure}"


def _found(output: Path) -> dict[str, Any]:
    """What the executed copy concludes, as far as it has the shape that ``Session.conclude`` gives it."""
    try:
        found = finding_in(output)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    shapes = {"finding": str, "sign": str, "results": dict, "kinds": dict, "expected": dict}
    return {name: found[name] for name, shape in shapes.items() if isinstance(found.get(name), shape)}


@contextmanager
def _own_kernel(environment: Mapping[str, str]) -> Iterator[None]:
    """A kernelspec for the running interpreter, in a folder of its own that Jupyter searches first.

    So the notebooks run on what this command runs on, whatever kernels the user has or has not registered.
    """
    folders = [str(paths.ROOT), os.environ.get("PYTHONPATH", "")]
    spec = {
        "argv": [sys.executable, "-m", "sutrolib.batch.kernel", "-f", "{connection_file}", "--log-level=CRITICAL"],
        "display_name": "Sutro cube",
        "language": "python",
        "env": {**environment, "PYTHONPATH": os.pathsep.join(filter(None, folders))},
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
