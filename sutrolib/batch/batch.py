"""Batches of notebooks: runs go to this process or to Dask's workers, results are recorded and gathered in tables.

A batch has its own folder: executed copies, figures, a record of every run, ``results.parquet`` and ``results.csv``,
``findings.md``.
"""

import dataclasses
import itertools
import secrets
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path

from sutrolib.batch import execute as executing
from sutrolib.batch import records
from sutrolib.batch.dask import run_on_workers
from sutrolib.batch.execute import Batch, Execute, PlannedRun, Reporter, attempt
from sutrolib.batch.plan import Job, Notebook, find_notebooks, lost_premises, plan, select
from sutrolib.batch.records import INTERRUPTED, RunResult
from sutrolib.core import paths, provenance
from sutrolib.core.dask_cluster import Cluster, open_cluster

__all__ = [
    "Job",
    "Notebook",
    "find_notebooks",
    "lost_premises",
    "plan",
    "prepare",
    "run",
    "select",
]  # what others need of batches


def prepare(
    jobs: Sequence[Job], folder: Path | None = None, *, keep_figures: bool = False, resume: bool = False
) -> Batch:
    """Plan the runs of the jobs in ``folder``; by default a new one, or the newest batch's to resume.

    Equal jobs are run once. To resume, runs that passed with the same sources, parameters and library are skipped.
    Raises ValueError to keep figures of several runs of one notebook (their names are the same), if there is nothing to
    resume, and if another command works in the folder.
    """
    names = [job.notebook.name for job in jobs]
    if keep_figures and len(set(names)) < len(names):
        raise ValueError("--keep-figures works with one run of each notebook (got several runs of one notebook)")
    if resume and folder is not None and not (folder / records.RECORDS).is_dir():
        raise ValueError(f"there is no run to resume in {folder}; leave out --resume to begin one there")
    folder = (folder or (records.newest_batch() if resume else new_run_folder())).resolve()
    (folder / records.RECORDS).mkdir(parents=True, exist_ok=True)  # from now on there is a run to resume
    with _lock(folder):
        before = {result.identity: result for result in records.read_all(folder)}
    library = provenance.library()
    wanted = {job.identity(library): job for job in jobs}
    done = {key: before[key] for key in wanted if resume and key in before and before[key].passed}
    others = [result.notebook for key, result in before.items() if key in done or key not in wanted]
    # File names contain the number, so a new run never gets the number of a recorded one.
    taken = {result.number for result in before.values()}
    free = (number for number in itertools.count(1) if number not in taken)
    runs, command_id = [], secrets.token_hex(4)
    sequence = 1 + max((result.sequence for result in before.values()), default=0)
    for key, job in wanted.items():
        if key in done:
            continue
        number = before[key].number if key in before else next(free)
        alone = names.count(job.notebook.name) == 1 and job.notebook.name not in others
        figures = folder / "figures" if alone else folder / "figures" / f"{number:03d}"
        environment = {
            "SUTRO_FIGURES": str(paths.ROOT / "figures" if keep_figures else figures),
            "SUTRO_EXAM": str(paths.exam().resolve()),
            **paths.ledger_environment(folder),
        }
        runs.append(PlannedRun(number, key, job, folder, environment, command_id=command_id, sequence=sequence))
    return Batch(folder, tuple(runs), tuple(done.values()), len(jobs) - len(wanted))


def run(
    jobs: Sequence[Job],
    reporter: Reporter,
    folder: Path | None = None,
    cluster: Cluster | None = None,
    execute: Execute | None = None,
    at_once: int = 1,
    **settings: bool,
) -> list[RunResult]:
    """Run the jobs; a failed one does not stop the others, an interruption (Ctrl-C) does.

    They run on the workers of ``cluster``, or one after the other in this process. There, those that meter nothing may
    come first, ``at_once`` of them at a time, each with one thread. ``execute`` runs a notebook; a test may pass
    another function of a module. ``settings`` are those of :func:`prepare`.

    Returns:
        The results in the order of the jobs, with those of runs that were skipped.

    Raises:
        ValueError: as :func:`prepare`.
        OSError: the cluster is gone. What has ended by then is recorded.
    """
    from sutrolib.batch.tables import Tables

    batch = prepare(jobs, folder, **settings)
    light = tuple(run for run in batch.runs if not run.job.meter)
    if cluster is None and 1 < at_once < len(light):  # for fewer, starting workers takes longer than it saves
        batch = dataclasses.replace(batch, beside=light, at_once=at_once)
    with _lock(batch.folder), ExitStack() as stack:  # each callback runs, even if another one fails
        executing.sweep(batch.folder)  # ends what a killed command left running
        if batch.runs:
            batch.runs[0].attempts.mkdir(parents=True)
        reporter.batch_started(batch)
        tables = Tables(batch.folder)
        stack.callback(tables.finish)
        stack.callback(executing.sweep, batch.folder)
        source = _results(batch, reporter, cluster, execute)
        stack.callback(source.close)
        results = list(batch.done)
        try:
            for result in source:
                results.append(result)
                tables.refresh()
                reporter.job_ended(result)
        except KeyboardInterrupt:
            source.close()  # records what was running
            left = {run.identity for run in batch.runs} - {result.identity for result in results}
            for result in records.read_all(batch.folder):
                if result.identity in left and result.error == INTERRUPTED:
                    results.append(result)
                    reporter.job_ended(result)
    return sorted(results, key=lambda result: result.number)


def _lock(folder: Path) -> AbstractContextManager[object]:
    """Keep other commands out of the folder. Raises ValueError if there is one."""
    from filelock import FileLock, Timeout

    try:
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        why = f"another command is at work in {folder}; wait for it, or name another folder with -o"
        raise ValueError(why) from None


def _results(
    batch: Batch, reporter: Reporter, cluster: Cluster | None, execute: Execute | None
) -> Generator[RunResult, None, None]:
    here = [] if cluster else [run for run in batch.runs if run not in batch.beside]
    if cluster or batch.beside:
        with nullcontext(cluster) if cluster else open_cluster(batch.at_once, None) as workers:
            runs = batch.runs if cluster else batch.beside
            yield from run_on_workers(runs, workers, execute or executing.execute, reporter)
    for run in here:
        result = attempt(
            run, execute or (lambda run: executing.execute(run, reporter.cell_started)), reporter.job_started
        )
        yield result
        if result.error == INTERRUPTED:
            return


def new_run_folder() -> Path:
    """A new folder under data/runs/, named after the time in UTC."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for suffix in itertools.count(1):
        folder = paths.RUNS / (f"{stamp}-{suffix}" if suffix > 1 else stamp)
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder
