"""The final exam: nanoGPT with less energy, at no cost in time or accuracy.

The baseline and every entry of a division are trained in turn, each in a process of its own, on at least five paired
seeds, and all their costs are measured (:mod:`sutrolib.exam.evaluate`). Every finished run goes into the ledger and
into the exam's record (:mod:`sutrolib.exam.record`), from which an interrupted exam resumes; a finished one is read,
not run again. :mod:`sutrolib.exam.verdict` computes the verdict.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch

from sutrolib.exam.entries import BASELINE, CLOSED, Entry, Scale, TargetLoss
from sutrolib.exam.evaluate import evaluate
from sutrolib.exam.process import FreshProcess
from sutrolib.exam.record import ExamRecord, exam_path, lock_record, open_record
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import CodeCarbon, Joules
from sutrolib.meters.base import JouleMeter
from sutrolib.meters.energy.combined import CombinedMeter


def run_exam(
    scale: Scale,
    division: str,
    seeds: int = 5,
    *,
    again: bool = False,
    meters: Sequence[JouleMeter] | None = None,
    on_run: Callable[[int, int, str, Measurement, float], None] = lambda *_: None,
) -> ExamRecord:
    """Run what the record lacks, and return the record.

    Args:
        scale: problem, baseline and entries.
        division: ``closed`` or ``open``.
        seeds: number of paired seeds, at least 5.
        again: archive the existing record and start a new one.
        meters: joule meters; those that do not work here are skipped. CodeCarbon and the power counters by default.
        on_run: called after every run, with its number, the number of all runs, the model's name, the run, and an
            estimate of the seconds that the others take.

    Raises:
        ValueError: fewer than five seeds, an unknown division, a record of another exam, or one that another command
            is writing at the moment.
        OSError: the record cannot be written.
    """
    with ExitStack() as stack:
        if again or open_record(scale, division, seeds).remaining():
            stack.enter_context(lock_record(exam_path(scale.name, division)))
        record = open_record(scale, division, seeds, again)
        if record.remaining():
            record.save()  # a folder that cannot be written to is found before the first training
        try:
            return _run_remaining(record, scale, meters, on_run, stack)
        finally:
            if not record.measurements:  # it failed before its first run: there is nothing to resume
                record.path.unlink(missing_ok=True)


def _run_remaining(
    record: ExamRecord,
    scale: Scale,
    meters: Sequence[JouleMeter] | None,
    on_run: Callable[[int, int, str, Measurement, float], None],
    stack: ExitStack,
) -> ExamRecord:
    meter = CombinedMeter([CodeCarbon(), Joules()] if meters is None else meters)
    remaining, baseline = record.remaining(), Entry(BASELINE, scale.baseline, "as published")
    entries = {entry.name: entry for entry in scale.division(record.division)}
    fresh = stack.enter_context(FreshProcess(torch.get_num_threads()))
    total, seconds = len(record.model_names) * record.seeds, dict[str, float]()
    for number, (seed, name) in enumerate(remaining, start=1):
        began = time.perf_counter()
        entry = entries.get(name, baseline)
        run = evaluate(
            dataclasses.replace(scale.problem, online=entry.online),
            entry.model,
            seed,
            meter,
            closed=scale.baseline if record.division == CLOSED else None,
            traced=seed == 0 or bool(scale.evaluations),  # counts of whole trainings hardly depend on the seed
            trace_updates=scale.trace_updates,
            process=entry.process,
            fresh=fresh,
            stop=_stop(scale, entry),
        )
        record.add(name, run)
        Ledger().add(run)  # for the cube
        seconds[name] = time.perf_counter() - began
        left = sum(seconds.get(name, max(seconds.values())) for _, name in remaining[number:])
        on_run(total - len(remaining) + number, total, name, run, left)
    return record


def _stop(scale: Scale, entry: Entry) -> TargetLoss | None:
    """Where a training ends early, None if it does not or has no updates."""
    updates = getattr(entry.model, "max_steps", 0)
    if not scale.evaluations or not updates:
        return None
    return TargetLoss(scale.problem.target_loss, -(-updates // scale.evaluations))
