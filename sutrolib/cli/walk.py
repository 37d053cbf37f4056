"""The command walk: take the next steps from A to B, or show what comes next."""

import argparse

from sutrolib.cli.text import paragraph
from sutrolib.core.cube import path_to_b
from sutrolib.measurement.walk_records import WalkEnded, next_try, read_records, repeat
from sutrolib.processes.study import Trial
from sutrolib.walk.plan import QUANTITIES, read_plan
from sutrolib.walk.step import StepRun, at, step_folder


def run(options: argparse.Namespace) -> int:
    """Take steps until B, ``options.to``, or a sign that ends the walk. Raises ValueError as the step does."""
    last = len(path_to_b())
    for name in ("start", "to", "again"):
        number = getattr(options, name)
        if number is not None and not 1 <= number <= last:
            raise ValueError(f"a step is 1 to {last} (got {number})")
    if options.plan:
        return _show()
    records = read_records()
    again = options.start if options.again is None else options.again
    while True:
        try:
            todo = next_try(records) if again is None else repeat(records, again)
        except WalkEnded as end:
            print(end)
            return 0
        again = None
        if options.to is not None and todo.number > options.to:
            return 0
        step, remedy = path_to_b()[todo.number - 1], f" with {todo.remedy}" if todo.remedy else ""
        print(f"Step {todo.number} of {last}, try {todo.attempt}{remedy}: {step}; at {at(step.end)}", flush=True)
        plan, folder = read_plan(todo.number), step_folder(todo)
        record = StepRun(todo, plan, records, folder, _print_trial, lambda text: print(f"  {text}", flush=True)).take()
        record.save()
        records.append(record)
        print(paragraph(f"{record.sign}: {record.learned} ({record.why})"), flush=True)


def _print_trial(trial: Trial) -> None:
    cost = "no cost" if trial.cost is None else f"{trial.cost:.4g}"
    if trial.cost is not None and trial.predictions:
        cost += f" + {trial.predictions:.4g} for 1,000 predictions"
    print(
        f"    trial {trial.number}: {trial.proposal}: {cost} ({trial.state}, {trial.spent.seconds:.1f} s)", flush=True
    )


def _show() -> int:
    """The path with what was found at each step, and the plan of the next one."""
    records = read_records()
    latest = {record.number: record for record in records}
    for number, step in enumerate(path_to_b(), 1):
        known = latest.get(number)
        said = f"{known.sign}: {known.learned}" if known else "not taken"
        print(paragraph(f"{number}. {step}; at {at(step.end)}: {said}"))
    try:
        todo = next_try(records)
    except WalkEnded as end:
        print(end)
        return 0
    plan = read_plan(todo.number)
    print(f"\nNext: step {todo.number}, try {todo.attempt}, by the plan of commit {plan.commit[:12]}")
    wanted = plan.expectation
    expected = f"{QUANTITIES[wanted.quantity]}: {wanted.value:g}, from {wanted.low:g} to {wanted.high:g}"
    print(paragraph(f"Expected: {expected}, because {wanted.because}. Rule: {plan.rule}."))
    return 0
