"""python -m sutrolib exam: run the final exam, or show its record, in plain text; needs only torch and its basics."""

import argparse
import dataclasses
import itertools
import statistics
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import cast

from sutrolib.cli.text import paragraph, show_table
from sutrolib.core.format import duration
from sutrolib.exam.entries import BASELINE, CLOSED, GPU_ON_CPU, Scale, scale_of
from sutrolib.exam.nanogpt_checkpoint import DATASET, export
from sutrolib.exam.record import ExamRecord, exam_path, read_record
from sutrolib.exam.run import run_exam
from sutrolib.exam.verdict import JOULES, table, target, verdicts
from sutrolib.measurement.measure import Measurement
from sutrolib.models.language.transformer import FittedGPT
from sutrolib.problems.text_evaluation import NANOGPT_LOSS

# On two cores.
_USUAL_TIMES = {
    "smoke": "about two minutes",
    "cpu": "15 to 40 minutes",
    "cpu-to-target": "two to three hours for ten seeds",
}


def run(options: argparse.Namespace) -> int:
    """Run what is left of the exam, then print table and verdicts; 0 for every verdict.

    ``options`` has division, scale, seeds, again, export and pack. Raises ValueError as :func:`run_exam` does.
    """
    if options.pack:
        from sutrolib.problems.shakespeare import keep_copy

        print(f"The text is in {keep_copy()}.")
        print("Copy the folder sutrolib/ and this file, at the same relative path, to the other machine. There, with")
        print("torch, numpy, scipy and numba:\n  python -m sutrolib exam --scale gpu")
        return 0
    scale = scale_of(options.scale)
    if options.export:
        return _export(scale, Path(options.export))
    print(f"Final exam, scale {scale.name}, {options.division} division: the baseline against")
    for entry in scale.division(options.division):
        print(paragraph(f"{entry.name}: {entry.about}", "  "))
    if scale.name == GPU_ON_CPU:
        return _on_cpu(scale, options.division, options.seeds, options.again)
    print(_expected(scale.name, options.division, options.seeds, options.again), end="")
    began = time.perf_counter()
    try:
        record = run_exam(scale, options.division, options.seeds, again=options.again, on_run=_print_run)
    except KeyboardInterrupt:
        print("\nInterrupted: the same command without --again resumes the exam.")
        raise
    seconds = time.perf_counter() - began
    ended = f"Finished in {duration(seconds)}" if seconds > 1 else "All runs were there already"
    print(f"{ended}; the record is {record.path.name} in {record.path.parent}.\nTo run it again: {record.command}")
    _print_record(record)
    return 0


def _on_cpu(scale: Scale, division: str, seeds: int, again: bool) -> int:
    """Train the entries of a scale whose baseline is only traced, and show losses and modelled work."""
    from sutrolib.exam.trainings import WORK, mean_work, on_cpu, run_trainings, trainings_path

    if again:
        path = trainings_path(scale.name, division)
        raise ValueError(f"--again is not for {scale.name}: to train its entries anew, move {path} away")

    def show(left: int, name: str, run: Measurement) -> None:
        print(f"{name}, seed {run.seed}: {run.failure or run.scores[NANOGPT_LOSS]}; {left} left", flush=True)

    print(paragraph(f"{seeds} trainings of each, one on each core. Interrupted, a GPT goes on from its last minute."))
    found = run_trainings(scale.name, division, on_cpu(scale, division, seeds), show)
    published, rows = found.pop(BASELINE), []
    for name, runs in found.items():
        trained = [run for run in runs if not run.failure]
        if not trained:
            print(f"{name}: {'; '.join(run.failure for run in runs)}")
            continue
        work = [f"x {mean_work(trained, reading) / mean_work(published, reading):.3g} (modelled)" for reading in WORK]
        rows += [[name, str(run.seed), f"{run.scores[NANOGPT_LOSS]:.4f}", *work] for run in trained]
    loss = scale.problem.target_loss
    print(paragraph(f"The baseline's published loss: {loss:g}; work is compared with the baseline's."))
    show_table(["entry", "seed", NANOGPT_LOSS, *WORK], rows)
    return 0


def _export(scale: Scale, folder: Path) -> int:
    """Train the closed division's first entry on seed 0, and write it for nanoGPT."""
    entry = scale.division(CLOSED)[0]
    print(f"Training {entry.name}, {entry.about}.", flush=True)
    fitted = entry.model.fit(scale.problem.sample(0).for_training(), 0)
    checkpoint = export(cast(FittedGPT, fitted), folder)
    print(f"Written: {checkpoint}. In a checkout of nanoGPT:")
    print(f"  python data/{DATASET}/prepare.py")
    print(f"  python sample.py --out_dir={checkpoint.parent.absolute()} --device=cpu")
    return 0


def _expected(scale: str, division: str, seeds: int, again: bool) -> str:
    """About how long the trainings take that are to be run, by those of the record that there is."""
    try:
        record = read_record(exam_path(scale, division))
    except (OSError, ValueError):
        usual = _USUAL_TIMES.get(scale, "unknown before")
        return f"{seeds} trainings of each. Time: {usual}; what is left is said after the first.\n"
    left = dataclasses.replace(record, seeds=max(seeds, record.seeds)).remaining()
    todo = dict.fromkeys(record.model_names, seeds) if again else Counter(name for _, name in left)
    times = {name: statistics.median(found) for name, found in _seconds_each(record).items()}
    known = [times.get(name, max(times.values())) * count for name, count in todo.items()] if times else []
    what = f"{sum(todo.values())} trainings to run"
    time_text = f": about {duration(sum(known))}, by the times in the record" if known else ""
    return f"{what}{time_text}\n" if todo else ""


def _seconds_each(record: ExamRecord) -> dict[str, list[float]]:
    """How long the runs of each model took, judging and tracing included: from the end of the run before."""
    runs = sorted((run.when, name) for name in record.model_names for run in record.runs(name))
    times = dict[str, list[float]]()
    for (before, _), (when, name) in itertools.pairwise(runs):
        seconds = datetime.fromisoformat(when) - datetime.fromisoformat(before)
        times.setdefault(name, []).append(seconds.total_seconds())
    return times


def _print_run(number: int, total: int, name: str, run: Measurement, seconds_left: float) -> None:
    if run.failure:
        result = f"failed: {run.failure}"
    else:
        shown = [f"{r.value:.3g} {r.unit} ({r.kind})" for r in run.readings if r.name in ("time", *JOULES)]
        result = f"loss {run.scores['loss']:.4f}, accuracy {run.scores['accuracy']:.2%}, {', '.join(shown)}"
    left = f"; about {duration(seconds_left)} left" if number < total else ""
    print(f"[{number} of {total}] seed {run.seed}, {name}: {result}{left}", flush=True)


def _print_record(record: ExamRecord) -> None:
    """The target, the table, and a verdict for each entry; marked if the library has changed since the runs."""
    if record.earlier_library:
        print(paragraph("These runs are from an earlier version of this library; --again runs the exam anew."))
    try:
        loss, accuracy = target(record)
        print(f"Target, the baseline's mean: loss {loss:.4f} nats, accuracy {accuracy:.2%}\n")
    except ValueError as error:  # every run of the baseline failed; the verdicts say why
        print(f"{error}\n")
    header, rows = table(record)
    for entry in dict.fromkeys(row[0] for row in rows):
        print(f"{entry}:")
        show_table(header[1:], [row[1:] for row in rows if row[0] == entry])
    for verdict in verdicts(record):
        print(f"\n{paragraph(f'VERDICT {verdict.text}')}")
