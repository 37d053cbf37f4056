"""The slides of a meeting: where we are, what was found, what failed, signs of life, and proposed next steps."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sutrolib.batch.executed import Executed, Picture, Row
from sutrolib.core.cube import RUNGS, next_steps
from sutrolib.meeting.collect import Meeting, farthest_positions, path_progress
from sutrolib.meeting.layout import (
    Slide,
    Table,
    count_text,
    date_text,
    first_sentence,
    list_slides,
    position_text,
    shorten,
    start_text,
    table_slides,
    with_unique_keys,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FINDING_ROWS = 7
_POSITION_ROWS = 8
_HEADING, _SUBTITLE, _QUANTITY = 360, 330, 60  # characters of a finding that the style sheet has room for
_NARROW = 40  # characters of a quantity that fit even where its column is narrow
_FINDING_HEADER = ("quantity", "kind", "expected", "saw", "held")
_HELD = {True: "✓ yes", False: "✗ no", None: "-"}
_SIGNS = {"stop": "■ stop", "turn back": "↩ turn back", "not measured": "? not measured", "continue": "→ continue"}
_FAILED, _NEXT = "What failed", "Proposed next"


def build_slides(meeting: Meeting) -> list[Slide]:
    """All slides of a meeting, in order, drawn in matplotlib's current style."""
    return with_unique_keys(
        [
            _title_slide(meeting),
            _cube_slide(meeting),
            *(finding_slide(executed) for executed in meeting.findings),
            *_failed_slides(meeting),
            *_sign_slides(meeting),
            *_step_slides(meeting),
        ]
    )


def _title_slide(meeting: Meeting) -> Slide:
    period, new, findings, crashed = meeting.period, len(meeting.new), len(meeting.findings), len(meeting.crashed)
    exams = f"final exam run: {', '.join(meeting.exams)}" if meeting.exams else "no run of the final exam"
    empty = not (new or findings or crashed or meeting.searches or meeting.exams)
    points = (
        f"{count_text(findings, 'finding')} from notebooks that ran since then",
        f"{count_text(new, 'new measurement')}, of {len(meeting.measurements):,} in the ledger",
        f"{count_text(meeting.searches, 'new search', 'new searches')}; {exams}",
        f"{count_text(len(meeting.failed_trainings), 'training')} failed; {count_text(crashed, 'notebook')} crashed",
    )
    return Slide(
        key="title",
        layout="title",
        heading="The Sutro cube",
        topic="Weekly meeting",
        subtitle=f"{start_text(period)} to {date_text(period.until)}" + (": nothing new" if empty else ""),
        points=("Nothing was run or measured since then; the next slides show where we stand.",) if empty else points,
        footer="Every number states its kind: counted, modelled, estimated or measured. The numbers here are counted.",
        notes=(f"From {period.since:%Y-%m-%d %H:%M} to {period.until:%Y-%m-%d %H:%M} UTC.",),
        commands=(f"python -m sutrolib deck --since {period.since:%Y-%m-%dT%H:%M}",),
    )


def _cube_slide(meeting: Meeting) -> Slide:
    from sutrolib.plots.style import png_bytes

    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    measured, length = path_progress(counts)
    farthest = farthest_positions(first)[:_POSITION_ROWS]
    rows = tuple((position_text(position), f"{new[position]:,}") for position in farthest)
    table = Table("Farthest new positions: process, metric, problem", ("position", "runs"), rows)
    return Slide(
        key="cube",
        layout="picture",
        topic="Where we are",
        heading=cube_heading(meeting),
        picture=Picture(png_bytes(draw_meeting_cube(meeting)), describe_cube(meeting)),
        tables=(table,) if rows else (),
        points=(
            f"{measured} of the path's {length} positions are measured",
            f"{len(new) - len(first)} older positions were measured again, {len(counts) - len(new)} were not",
        ),
        footer="Counted from the ledger: a measurement counts at the rung of every metric that was read.",
        notes=("A step moves one axis by one rung and keeps the other two fixed.",),
        commands=("python -m sutrolib run 00",),
    )


def cube_heading(meeting: Meeting) -> str:
    """How much of the cube is measured, and how much of that is new."""
    n_positions, first = math.prod(map(len, RUNGS.values())), len(meeting.first_measured) or "none"
    measured = f"{len(meeting.counts)} of {n_positions} positions are measured"
    return f"{measured}, {first} of them for the first time since {start_text(meeting.period)}"


def describe_cube(meeting: Meeting) -> str:
    """The picture of the cube in words."""
    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    measured, length = path_progress(counts)
    farthest = "; ".join(map(position_text, farthest_positions(first)[:_POSITION_ROWS]))
    return (
        f"The cube with the axes process, metric and problem and the path from A to B, of which {measured} of {length} "
        f"positions are measured. Stars mark {len(first)} positions measured for the first time since "
        f"{start_text(meeting.period)}, diamonds {len(new) - len(first)} measured again, circles "
        f"{len(counts) - len(new)} measured before. "
        + (f"Farthest new positions: {farthest}." if first else "No position is new.")
    )


def draw_meeting_cube(meeting: Meeting) -> Figure:
    """The picture of the cube, with what is new in the period."""
    from sutrolib.plots.style import draw_cube

    return draw_cube(meeting.counts, new=meeting.new_counts)


def finding_slide(executed: Executed) -> Slide:
    """One finding: its sentence, its figure, and its expectations against its results."""
    first, rest = first_sentence(executed.finding)
    heading, subtitle = shorten(first, _HEADING), shorten(rest, _SUBTITLE)
    rows, more = executed.rows[:_FINDING_ROWS], executed.rows[_FINDING_ROWS:]
    caption = "Expectation against result" + (f"; {len(more)} more in the notes" if more else "")
    cells = tuple((shorten(row.quantity, _QUANTITY), *_cells(row)[1:]) for row in rows)
    in_notes = [*(row for row in rows if len(row.quantity) > _NARROW), *more]
    return Slide(
        key=f"finding-{re.sub(r'[^A-Za-z0-9_-]', '-', executed.key)}",
        layout="finding",
        topic=f"{executed.name.split('_')[0]} · {shorten(executed.title, 80)}",
        heading=heading,
        subtitle=subtitle,
        axis=executed.axis,
        sign=_SIGNS.get(executed.sign, executed.sign),
        picture=executed.picture,
        tables=(Table(caption, _FINDING_HEADER, cells),) if rows else (),
        footer=f"{executed.key}, {date_text(executed.when)}, {executed.when:%H:%M} UTC ({executed.dated})",
        notes=(
            executed.finding if (heading, subtitle) != (first, rest) else "",
            f"Step: {executed.step}." if executed.step else "",
            *(
                f"{row.quantity}: expected {row.expected}, because {row.because}."
                for row in executed.rows
                if row.because
            ),
            *(_sentence(row) for row in in_notes),
            executed.then,
        ),
        commands=(executed.command,),
        notebook=executed.name,
    )


def _cells(row: Row) -> tuple[str, ...]:
    held = _HELD[row.held] if row.expected else "-"
    return row.quantity, row.kind or "not stated", row.expected or "-", row.saw, held


def _sentence(row: Row) -> str:
    expected = f", expected {row.expected}: {_HELD[row.held]}" if row.expected else ""
    return f"{row.quantity}: {row.saw} ({row.kind or 'not stated'}){expected}."


def _failed_slides(meeting: Meeting) -> Iterator[Slide]:
    """Expectations that did not hold, notebooks that crashed, failed trainings, and files that cannot be read."""
    missed = [(executed, row) for executed in meeting.findings for row in executed.rows if row.held is False]
    yield from table_slides(
        "failed",
        f"{count_text(len(missed), 'expectation')} did not hold",
        Table(
            "Expected and not observed",
            ("notebook", "quantity", "kind", "expected", "saw"),
            tuple((executed.name, *_cells(row)[:4]) for executed, row in missed),
        ),
        topic=_FAILED,
        row_notes=[
            f"{e.name}: {row.quantity} was expected, because {row.because}." if row.because else "" for e, row in missed
        ],
    )
    yield from table_slides(
        "crashed",
        f"{count_text(len(meeting.crashed), 'notebook')} crashed",
        Table("Runs that ended in an error", ("run", "error"), tuple((e.key, e.error) for e in meeting.crashed)),
        topic=_FAILED,
        commands=[executed.command for executed in meeting.crashed],
    )
    counts = Counter((str(m.model["name"]), str(m.problem["name"]), m.failure) for m in meeting.failed_trainings)
    failed = tuple((model, problem, f"{count}", why) for (model, problem, why), count in counts.most_common())
    yield from table_slides(
        "trainings",
        f"{count_text(len(meeting.failed_trainings), 'training')} failed",
        Table("Failed trainings, which stay in the ledger", ("model", "problem", "runs", "why"), failed),
        topic=_FAILED,
        notes=("Runs are counted.",),
    )
    damaged = f"{count_text(meeting.damaged, 'line')} of the ledger cannot be read" if meeting.damaged else ""
    unreadable = f"Notebooks that cannot be read: {', '.join(meeting.unreadable)}" if meeting.unreadable else ""
    yield from list_slides("unread", "Some files cannot be read", [*filter(None, (damaged, unreadable))], _FAILED)


def _sign_slides(meeting: Meeting) -> Iterator[Slide]:
    """The sign of life of each notebook: continue, turn back a step, or stop. What needs discussion comes first."""
    order = list(_SIGNS)
    findings = sorted(meeting.findings, key=lambda e: order.index(e.sign) if e.sign in order else len(order))
    counts = Counter(executed.sign for executed in findings)
    rows = tuple((_SIGNS.get(e.sign, e.sign), f"[{e.name}]({e.name})", e.axis, _held(e)) for e in findings)
    yield from table_slides(
        "signs",
        f"Signs of life: {', '.join(f'{counts[sign]} {sign}' for sign in order if counts[sign])}",
        Table("By notebook, and how many expectations held", ("sign", "notebook", "axis", "held"), rows),
        topic="Signs of life",
        rows_per_slide=11,
    )


def _held(executed: Executed) -> str:
    expected = [row for row in executed.rows if row.expected]
    return f"{sum(row.held is True for row in expected)} of {len(expected)}" if expected else "not stated"


def _step_slides(meeting: Meeting) -> Iterator[Slide]:
    """The single-axis steps from the farthest positions, and what the notebooks propose."""
    counts, new, since = meeting.counts, meeting.new_counts, start_text(meeting.period)
    starts = farthest_positions(meeting.first_measured or new or counts)
    which = f"farthest positions measured since {since}" if new else "farthest positions"
    rows = tuple(
        (
            position_text(step.start),
            str(step),
            f"{count_text(counts[step.end], 'run')} there" if counts[step.end] else "★ nothing measured",
        )
        for start in starts
        for step in next_steps(start)
    )
    yield from table_slides(
        "steps",
        f"{count_text(len(rows), 'single-axis step')} from the "
        f"{'farthest new positions' if meeting.first_measured else which}",
        Table("From where, which axis moves, and what is there (counted)", ("from", "step", "there"), rows),
        topic=_NEXT,
        rows_per_slide=8,
        notes=("A step moves one axis by one rung and keeps the other two fixed.",),
    )
    proposals = [f"**{executed.name}**: {executed.then}" for executed in meeting.findings if executed.then]
    yield from list_slides("then", "What the notebooks propose", proposals, _NEXT)
