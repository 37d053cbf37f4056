"""python -m sutrolib exam: hold the final exam, or show the one that was held; in plain text, wherever torch runs."""

from __future__ import annotations

import argparse
import time

from sutrolib.exam.entries import scale_of
from sutrolib.exam.record import Record
from sutrolib.exam.run import Sat, examine
from sutrolib.exam.table import plain_text, table
from sutrolib.exam.verdict import outcomes, target

SHOWN = ("time", "joules", "codecarbon")  # readings of a sitting, in its line
INTERRUPTED = 130  # as a shell says it


def run(options: argparse.Namespace) -> int:
    """Hold what is left of the exam, then print table and verdicts; 0 whatever the verdict, as it is one.

    ``options`` holds division, scale, seeds, again and pack. Raises ValueError for what ``examine`` does not accept.
    """
    if options.pack:
        return pack()
    scale = scale_of(options.scale)
    entries = scale.division(options.division)
    print(f"Final exam, scale {scale.name}, {options.division} division: the baseline against")
    for entry in entries:
        print(f"  {entry.name}: {entry.about}")
    began = time.perf_counter()
    try:
        record = examine(scale, options.division, options.seeds, again=options.again, told=show_sitting)
    except KeyboardInterrupt:
        print("\nInterrupted: every sitting that has ended is kept, and the same command without --again goes on.")
        return INTERRUPTED
    print(_where(record, time.perf_counter() - began))
    show(record)
    return 0


def show_sitting(sat: Sat) -> None:
    """A line for a sitting that has ended."""
    run = sat.run
    if run.failure:
        what = f"failed: {run.failure}"
    else:
        readings = {reading.name: reading for reading in run.readings}
        shown = [f"{readings[n].value:.3g} {readings[n].unit} ({readings[n].kind})" for n in SHOWN if n in readings]
        what = f"loss {run.scores['loss']:.4f}, accuracy {run.scores['accuracy']:.2%}, {', '.join(shown)}"
    left = f"; about {duration(sat.left_s)} left" if sat.number < sat.total else ""
    print(f"[{sat.number} of {sat.total}] seed {sat.seed}, {sat.name}: {what}{left}", flush=True)


def show(record: Record) -> None:
    """The target, the table, and a verdict for each entry."""
    try:
        loss, accuracy = target(record)
        print(f"Target, the baseline's mean: loss {loss:.4f} nats, accuracy {accuracy:.2%}\n")
    except ValueError as error:  # the verdicts say so too, with what failed
        print(f"{error}\n")
    print(plain_text(*table(record)))
    for outcome in outcomes(record):
        print(f"\nVERDICT {outcome.text}")


def pack() -> int:
    """Write the copy of the text that a machine with nothing but torch, numpy, scipy and numba reads."""
    from sutrolib.problems.shakespeare import keep_copy

    kept = keep_copy()
    print(f"The text is in {kept}.")
    print(
        "Carry to the other machine: the folder sutrolib/, and this file at the same place beside it. "
        "There, with torch, numpy, scipy and numba:\n  python -m sutrolib exam --scale gpu"
    )
    return 0


def _where(record: Record, seconds: float) -> str:
    held = f"Held in {duration(seconds)}" if seconds > 1 else "Nothing was left to be held"
    return f"{held}; the record is {record.path.name} in {record.path.parent}. To hold it anew: {record.command}"


def duration(seconds: float) -> str:
    """So many seconds as somebody says it who waits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
