"""The slides of a meeting: where we are, what was found, what failed, signs of life, and the steps proposed next."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sutrolib.batch.executed import Executed, Picture, Row
from sutrolib.core.cube import next_steps
from sutrolib.meeting.collect import Meeting, all_positions, frontier, path_walked
from sutrolib.meeting.layout import (
    POINT,
    ROWS,
    SIGNS,
    Slide,
    Table,
    beginning,
    day,
    distinct,
    first_sentence,
    heading_type,
    lines,
    listed,
    paged,
    shortened,
    some,
    words_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("quantity", "kind", "expected", "saw", "held")
HELD = {True: "✓ yes", False: "✗ no", None: "-"}


def slides_of(meeting: Meeting) -> list[Slide]:
    """All slides of a meeting, in order. Draws in matplotlib's present style."""
    return distinct(
        [
            title_slide(meeting),
            cube_slide(meeting),
            *(finding_slide(executed) for executed in meeting.found),
            *failed_slides(meeting),
            *sign_slides(meeting),
            *step_slides(meeting),
        ]
    )


def title_slide(meeting: Meeting) -> Slide:
    """What period, and how much of what is new in it."""
    since, until = beginning(meeting.period), day(meeting.period.until)
    new, findings, broken = len(meeting.new), len(meeting.found), len(meeting.broken)
    nothing = not (new or findings or broken or meeting.searches or meeting.exams)
    points = (
        f"{some(findings, 'finding')} from notebooks that ran since then",
        f"{some(new, 'new measurement')}, of {len(meeting.measurements):,} in the ledger",
        f"{some(meeting.searches, 'new search', 'new searches')}; {_exams(meeting)}",
        f"{some(len(meeting.failures), 'training')} came to no model; {some(broken, 'notebook')} broke off",
    )
    return Slide(
        key="title",
        layout="title",
        heading="The Sutro cube",
        eyebrow="Weekly meeting",
        lead=f"{since} to {until}" + (": nothing new" if nothing else ""),
        points=("Nothing was run and nothing was measured since then; here is where we stand.",) if nothing else points,
        foot="Every number carries its kind: counted, modelled, estimated or measured. The numbers here are counted.",
        notes=(f"From {meeting.period.since:%Y-%m-%d %H:%M} to {meeting.period.until:%Y-%m-%d %H:%M} UTC.",),
        commands=(f"python -m sutrolib deck --since {meeting.period.since:%Y-%m-%dT%H:%M}",),
    )


def _exams(meeting: Meeting) -> str:
    return f"final exam sat: {', '.join(meeting.exams)}" if meeting.exams else "no final exam was sat"


def cube_slide(meeting: Meeting) -> Slide:
    """The cube with the path, the positions that are new, and those measured before."""
    points, new, first = meeting.points, meeting.new_points, meeting.first_reached
    walked, length = path_walked(points)
    rows = tuple((words_of(position), f"{new[position]:,}") for position in frontier(first)[:ROWS])
    table = Table("Farthest new positions: process, metric, problem", ("position", "runs"), rows)
    return Slide(
        key="cube",
        layout="picture",
        eyebrow="Where we are",
        heading=cube_heading(meeting),
        picture=Picture(_png(cube_figure(meeting)), cube_alt(meeting)),
        tables=(table,) if rows else (),
        points=(
            f"{walked} of the path's {length} positions are measured",
            f"{len(new) - len(first)} older positions were measured again, {len(points) - len(new)} were not",
        ),
        foot="Counted from the ledger: a measurement stands on the rung of every metric that was read.",
        notes=("A step moves one axis by one rung and holds the other two.",),
        commands=("python -m sutrolib run 00",),
    )


def cube_heading(meeting: Meeting) -> str:
    """How much of the cube is measured, and how much of that is new."""
    first = len(meeting.first_reached)
    measured = f"{len(meeting.points)} of {all_positions()} positions are measured"
    return f"{measured}, {first or 'none'} of them for the first time since {beginning(meeting.period)}"


def cube_alt(meeting: Meeting) -> str:
    """The picture of the cube in words."""
    points, new, first = meeting.points, meeting.new_points, meeting.first_reached
    walked, length = path_walked(points)
    farthest = "; ".join(words_of(position) for position in frontier(first)[:ROWS])
    return (
        f"The cube with the axes process, metric and problem and the path from A to B, of which {walked} of {length} "
        f"positions are measured. Stars mark {len(first)} positions measured for the first time since "
        f"{beginning(meeting.period)}, diamonds {len(new) - len(first)} measured again, circles "
        f"{len(points) - len(new)} measured before. "
        + (f"Farthest new positions: {farthest}." if first else "No position is new.")
    )


def cube_figure(meeting: Meeting) -> Figure:
    """The picture of the cube."""
    from sutrolib.plots.style import draw_cube

    return draw_cube(meeting.points, new=meeting.new_points)


def _png(figure: Figure) -> bytes:
    from matplotlib import pyplot as plt

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    plt.close(figure)
    return png.getvalue()


def finding_slide(executed: Executed) -> Slide:
    """One finding: its sentence, its figure, and what was expected against what was seen."""
    whole, after = first_sentence(executed.finding)
    heading, rest = shortened(whole, POINT), shortened(after, POINT)
    rows, room = executed.rows, rows_that_fit(heading, rest, executed.rows)
    left = f"; {len(rows) - room} more in the notes" if len(rows) > room else ""
    table = Table(f"Expectation against result{left}", HEADER, tuple(_cells(row) for row in rows[:room]))
    return Slide(
        key=f"finding-{re.sub(r'[^A-Za-z0-9_-]', '-', executed.key)}",
        layout="finding",
        eyebrow=f"{executed.name.split('_')[0]} · {shortened(executed.title, 80)}",
        heading=heading,
        lead=rest,
        axis=executed.axis,
        sign=SIGNS.get(executed.sign, executed.sign),
        picture=executed.picture,
        tables=(table,) if rows else (),
        foot=f"{executed.key}, {day(executed.when)}, {executed.when:%H:%M} UTC ({executed.dated})",
        notes=(
            executed.finding if (heading, rest) != (whole, after) else "",
            f"Step: {executed.step}." if executed.step else "",
            *(f"{row.quantity}: expected {row.expected}, because {row.because}." for row in rows if row.because),
            *(_words(row) for row in rows[room:]),
            executed.then,
        ),
        commands=(executed.command,),
        notebook=executed.name,
    )


def rows_that_fit(heading: str, lead: str, rows: Sequence[Row]) -> int:
    """How many rows of the table fit below these words, on a screen of 1280 x 720, with which the type grows.

    The numbers are pixels, and letters a line, see HEADINGS.
    """
    letters, high = heading_type(heading)
    left = 500 - high * lines(heading, letters) - (22 * lines(lead, 115) if lead else 0)
    others = [max(map(len, column)) for column in zip(HEADER, *map(_cells, rows), strict=True)][1:]
    for number, row in enumerate(rows[:ROWS]):
        left -= 12 + 19 * lines(row.quantity, max(12, 52 - sum(others)))
        if left < 0:
            return number
    return min(len(rows), ROWS)


def _words(row: Row) -> str:
    """A row for which the table has no room, as a sentence."""
    asked = f", expected {row.expected}: {HELD[row.held]}" if row.expected else ""
    return f"{row.quantity}: {row.saw} ({row.kind or 'not stated'}){asked}."


def _cells(row: Row) -> tuple[str, ...]:
    return row.quantity, row.kind or "not stated", row.expected or "-", row.saw, HELD[row.held] if row.expected else "-"


def failed_slides(meeting: Meeting) -> Iterator[Slide]:
    """Expectations that did not hold, runs that broke off, and trainings that came to no model."""
    missed = [(executed, row) for executed in meeting.found for row in executed.rows if row.held is False]
    rows = [(e.name, row.quantity, row.kind or "not stated", row.expected, row.saw) for e, row in missed]
    reasons = [
        f"{e.name}: {row.quantity} was expected, because {row.because}." if row.because else "" for e, row in missed
    ]
    yield from paged(
        "failed",
        f"{some(len(rows), 'expectation')} did not hold",
        Table("What was expected and did not come", ("notebook", "quantity", "kind", "expected", "saw"), tuple(rows)),
        asides=reasons,
    )
    broken = [(executed.key, executed.error) for executed in meeting.broken]
    yield from paged(
        "broken",
        f"{some(len(broken), 'notebook')} broke off",
        Table("Runs that ended in an error", ("run", "error"), tuple(broken)),
        commands=[executed.command for executed in meeting.broken],
    )
    counts = Counter((str(m.model["name"]), str(m.problem["name"]), m.failure) for m in meeting.failures)
    lost = [(model, problem, f"{count}", why) for (model, problem, why), count in counts.most_common()]
    yield from paged(
        "failures",
        f"{some(len(meeting.failures), 'training')} came to no model",
        Table("Failed measurements, which stay in the ledger", ("model", "problem", "runs", "why"), tuple(lost)),
        rows=6,
        notes=("Runs are counted.",),
    )
    unread = f"{some(meeting.damaged, 'file')} of the ledger could not be read" if meeting.damaged else ""
    copies = f"Copies that could not be read: {', '.join(meeting.unreadable)}" if meeting.unreadable else ""
    points = tuple(filter(None, (unread, copies)))
    yield from listed("unread", "Some files could not be read", points, "What failed")


def sign_slides(meeting: Meeting) -> Iterator[Slide]:
    """For each notebook whether to go on, to turn back a step, or to stop."""
    order = ("stop", "turn back", "not measured", "continue")  # what there is to talk about comes first
    found = sorted(meeting.found, key=lambda e: order.index(e.sign) if e.sign in order else len(order))
    counts = Counter(executed.sign for executed in found)
    heading = ", ".join(f"{counts[sign]} {sign}" for sign in order if counts[sign])
    rows = [(SIGNS.get(e.sign, e.sign), f"[{e.name}]({e.name})", e.axis, _held(e)) for e in found]
    table = Table("By notebook, and how many expectations held", ("sign", "notebook", "axis", "held"), tuple(rows))
    yield from paged("signs", f"Signs of life: {heading}", table, rows=11, eyebrow="Signs of life")


def _held(executed: Executed) -> str:
    asked = [row for row in executed.rows if row.expected]
    return f"{sum(row.held is True for row in asked)} of {len(asked)}" if asked else "not stated"


def step_slides(meeting: Meeting) -> Iterator[Slide]:
    """The single-axis steps that lead on from the farthest positions, and what the notebooks propose."""
    points, new = meeting.points, meeting.new_points
    starts = frontier(meeting.first_reached or new or points)
    rows = []
    for step in (step for start in starts for step in next_steps(start)):
        there = points.get(step.end, 0)
        rows.append((words_of(step.start), str(step), f"{some(there, 'run')} there" if there else "★ new ground"))
    again = f"farthest positions measured since {beginning(meeting.period)}" if new else "farthest positions"
    which = "farthest new positions" if meeting.first_reached else again
    yield from paged(
        "steps",
        f"{some(len(rows), 'single-axis step')} from the {which}",
        Table("From where, which axis moves, and what is there (counted)", ("from", "step", "there"), tuple(rows)),
        eyebrow="Proposed next",
        notes=("A step moves one axis by one rung and holds the other two.",),
    )
    said = [f"**{executed.name}**: {executed.then}" for executed in meeting.found if executed.then]
    yield from listed("then", "What the notebooks propose", said, "Proposed next")
