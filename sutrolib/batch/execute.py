"""One run of a batch: a notebook through papermill, in its own kernel, and the record of its result.

It happens in the process of the command or on a worker, which may be another machine with the same disk. Each attempt
at a run is a file in the batch's folder. The files limit how often a run is begun; removing one ends the attempt.
"""

import dataclasses
import logging
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sutrolib.batch import records
from sutrolib.batch.kernel import ATTEMPT_FILE, has_ended
from sutrolib.batch.plan import Job, read_notebook
from sutrolib.batch.records import INTERRUPTED, RunResult
from sutrolib.core import paths, provenance
from sutrolib.core.io import temporary_folder
from sutrolib.core.markdown import finding_in
from sutrolib.core.records import fitting

KERNEL = "sutro"  # the name in the metadata of the copy
ATTEMPTS = "attempts"
MAX_ATTEMPTS = 2
NO_CONCLUSION = "it ended without a conclusion: nb.conclude(...) was not reached"
WORKERS_DIED = f"its worker died, {MAX_ATTEMPTS} times"


@dataclass(frozen=True)
class PlannedRun:
    """A run to make: the job, its number and identity, the batch's folder, and which attempt this is.

    ``environment`` is for the kernel. ``command_id`` tells the attempts of this command from those of an earlier one.
    """

    number: int
    identity: str
    job: Job
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 0
    worker: str = ""
    command_id: str = ""
    sequence: int = 0

    @property
    def output(self) -> Path:
        """The path of the executed copy."""
        return self.folder / records.file_name(self.number, self.job.notebook.name)

    @property
    def attempts(self) -> Path:
        """The folder of all attempts of this command."""
        return self.folder / ATTEMPTS / self.command_id

    @property
    def attempt_file(self) -> Path:
        """The file of this attempt, which ends when the file is removed."""
        return self.attempts / f"{self.identity}-{self.attempt}"

    def result(self, seconds: float, error: str = "", **found: Any) -> RunResult:
        """How the run ended; ``found`` are further fields of the result."""
        job = self.job
        fields: dict[str, Any] = {name: getattr(self, name) for name in ("identity", "number", "worker", "sequence")}
        fields |= {"notebook": job.notebook.name, "label": job.label, "parameters": job.values}
        fields |= {"attempts": max(1, self.attempt), "when": provenance.now(), **found}
        return RunResult(**fields, seconds=seconds, error=error)


@dataclass(frozen=True)
class Batch:
    """The folder, the runs to make, the results that are already there, and how many jobs were given more than once.

    Of the runs, those ``beside`` each other come first, ``at_once`` of them at a time.
    """

    folder: Path
    runs: tuple[PlannedRun, ...]
    done: tuple[RunResult, ...] = ()
    repeated: int = 0
    beside: tuple[PlannedRun, ...] = ()
    at_once: int = 1

    @property
    def total(self) -> int:
        """The number of different runs."""
        return len(self.runs) + len(self.done)


class Reporter(Protocol):
    """Is called as a batch makes progress, always from the thread that runs the batch."""

    def batch_started(self, batch: Batch) -> None: ...
    def job_started(self, run: PlannedRun) -> None: ...
    def cell_started(self, cell: int) -> None: ...
    def job_lost(self, run: PlannedRun, again: bool) -> None: ...
    def job_ended(self, result: RunResult) -> None: ...


Execute = Callable[[PlannedRun], RunResult]  # what makes a run


def attempt(run: PlannedRun, execute: Execute, on_start: Callable[[PlannedRun], None] = lambda run: None) -> RunResult:
    """Begin the run, make it by ``execute`` and record the result.

    A run that was begun MAX_ATTEMPTS times already is recorded as failed, as it probably kills its workers. Raises
    FileNotFoundError if the batch has ended.
    """
    for number in range(1, MAX_ATTEMPTS + 1):
        this = dataclasses.replace(run, attempt=number)
        try:
            this.attempt_file.touch(exist_ok=False)
            break
        except FileExistsError:
            this.attempt_file.write_text("lost")
    else:
        return records.write(run.folder, dataclasses.replace(run, attempt=MAX_ATTEMPTS).result(0.0, WORKERS_DIED))
    if number == 1:
        records.forget(run.folder, run.identity)  # how the run ended in another batch
    elif recorded := records.read(run.folder, run.identity):
        return recorded  # its worker died after the run had ended
    on_start(this)
    result = execute(this)
    return result if has_ended(this.attempt_file) else records.write(run.folder, result)


def sweep(folder: Path) -> None:
    """Remove what is left of earlier commands: attempts, which thereby end, and half-written records.

    Only the command that holds the folder's lock may call it.
    """
    for left in (folder / records.RECORDS).glob(".*.tmp"):
        left.unlink(missing_ok=True)
    shutil.rmtree(folder / ATTEMPTS, ignore_errors=True)


def execute(run: PlannedRun, on_cell: Callable[[int], None] = lambda cell: None) -> RunResult:
    """Run the notebook as it is on disk now. Any failure is in the result."""
    began = time.perf_counter()
    error, about = "", {}
    try:
        run.output.unlink(missing_ok=True)  # or the finding of an earlier run could pass for this one's
        library = provenance.library()
        job = dataclasses.replace(run.job, notebook=read_notebook(run.job.notebook.path))  # maybe edited since the plan
        if job.notebook.error:
            raise ValueError(job.notebook.error)
        about = {"library": library, "identity": job.identity(library), "parameters": job.values, "label": job.label}
        _execute(run, on_cell)
    except KeyboardInterrupt:
        error = INTERRUPTED
    except Exception as failure:  # the other notebooks run whatever it is
        error = _error_text(failure)
    found = conclusion_of(run.output)
    if not error and not found.get("finding"):  # sys.exit(0) ends a notebook without an error
        error = NO_CONCLUSION
    return run.result(time.perf_counter() - began, error, **about, **found)


def _execute(run: PlannedRun, on_cell: Callable[[int], None]) -> None:
    import papermill

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the result says it if a kernel died
    with temporary_folder("kernel") as folder:
        papermill.execute_notebook(
            _with_doubled_braces(run.job.notebook.path),
            _with_doubled_braces(run.output),
            parameters=dict(run.job.parameters),
            kernel_name=KERNEL,
            kernel_manager_class=_kernel_manager(run, folder),
            language="python",
            progress_bar=False,
            cwd=str(paths.NOTEBOOKS),
            on_cell_start=lambda cell, cell_index: on_cell(cell_index + 1),
        )


def _with_doubled_braces(path: Path) -> str:
    """The path as papermill needs it: it fills single braces with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _error_text(failure: Exception) -> str:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(failure, PapermillExecutionError):
        return f"cell {failure.exec_count}: {failure.ename}: {failure.evalue}"
    return f"{type(failure).__name__}: {failure}"


def conclusion_of(output: Path) -> dict[str, Any]:
    """The conclusion of the executed copy, in so far as it has the shape that ``Session.conclude`` writes."""
    try:
        found = finding_in(output)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    stated: dict[str, Any] = {
        name: found[name] for name in ("finding", "sign", "results", "kinds", "expected") if name in found
    }
    return fitting(stated, RunResult)


def _kernel_manager(run: PlannedRun, folder: str) -> type[Any]:
    """What starts this run's kernel: on the Python of this command, whichever kernels the user has registered.

    What opens the connection to it is kept in ``folder``: the user's own folder may be read-only.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    # -P: a file beside the notebooks must not hide a library
    command = [sys.executable, "-P", "-m", "sutrolib.batch.kernel", "-f", "{connection_file}", "--log-level=CRITICAL"]
    variables = {**run.environment, ATTEMPT_FILE: str(run.attempt_file) if run.attempt else ""}
    literal = {name: value.replace("$", "$$") for name, value in variables.items()}  # Jupyter fills in $NAME

    class RunKernelManager(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=command, env=literal)
        connection_file = f"{folder}/kernel.json"

    return RunKernelManager
