"""The slides of a meeting: where we are, what was found, what failed, signs of life, and proposed next steps."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from sutrolib.batch.executed import Executed, Picture, Row
from sutrolib.core.cube import RUNGS, next_steps
from sutrolib.meeting.collect import Meeting, farthest_positions, path_progress
from sutrolib.meeting.layout import (
    Slide,
    Table,
    count_text,
    date_text,
    first_sentence,
    position_text,
    shorten,
    start_text,
    table_slides,
)

_FINDING_ROWS = 7
_POSITION_ROWS = 8
_HEADING, _SUBTITLE, _QUANTITY = 360, 330, 60  # characters of a finding that the style sheet has room for
_FINDING_HEADER = ("quantity", "kind", "expected", "saw", "held")
_HELD = {True: "✓ yes", False: "✗ no", None: "-"}
_SIGNS = {"stop": "■ stop", "turn back": "↩ turn back", "not measured": "? not measured", "continue": "→ continue"}
_FAILED, _NEXT = "What failed", "Proposed next"


def build_slides(meeting: Meeting) -> list[Slide]:
    """All slides of a meeting, in order, drawn in matplotlib's current style."""
    slides = [_title_slide(meeting), cube_slide(meeting), *map(finding_slide, meeting.findings)]
    unique: dict[str, Slide] = {}
    for slide in (*slides, *_failed_slides(meeting), *_sign_slides(meeting), *_next_slides(meeting)):
        key, number = slide.key, 1
        while key in unique:  # two copies of one notebook: keys are the ids of the page
            number += 1
            key = f"{slide.key}-{number}"
        unique[key] = replace(slide, key=key)
    return list(unique.values())


def _title_slide(meeting: Meeting) -> Slide:
    period, new, findings, crashed = meeting.period, len(meeting.new), len(meeting.findings), len(meeting.crashed)
    exams = f"final exam run: {', '.join(meeting.exams)}" if meeting.exams else "no run of the final exam"
    empty = not (new or findings or crashed or meeting.searches or meeting.exams)
    points = (
        f"{count_text(findings, 'finding')} from notebooks that ran since then",
        f"{count_text(new, 'new measurement')}, of {meeting.total:,} in the ledger",
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


def cube_slide(meeting: Meeting) -> Slide:
    """The picture of the cube with what is new in the period; its alternative text tells the same in words."""
    from sutrolib.plots.style import draw_cube, png_bytes

    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    (measured, length), since = path_progress(counts), start_text(meeting.period)
    farthest = {position_text(position): new[position] for position in farthest_positions(first)[:_POSITION_ROWS]}
    progress = f"{measured} of the path's {length} positions are measured"
    n_again, n_before = len(new) - len(first), len(counts) - len(new)
    alt = (
        f"The cube with the axes process, metric and problem and the path from A to B: {progress}. "
        f"Stars mark {len(first)} positions measured for the first time since {since}, diamonds {n_again} measured "
        f"again, circles {n_before} measured before. Farthest new positions: {'; '.join(farthest) or 'none'}."
    )
    rows = tuple((position, f"{runs:,}") for position, runs in farthest.items())
    table = Table("Farthest new positions: process, metric, problem", ("position", "runs"), rows)
    return Slide(
        key="cube",
        layout="picture",
        topic="Where we are",
        heading=f"{len(counts)} of {math.prod(map(len, RUNGS.values()))} positions are measured, "
        f"{len(first) or 'none'} of them for the first time since {since}",
        picture=Picture(png_bytes(draw_cube(counts, new=new)), alt),
        tables=(table,) if rows else (),
        points=(progress, f"{n_again} older positions were measured again, {n_before} were not"),
        footer="Counted from the ledger: a measurement counts at the rung of every metric that was read.",
        notes=("A step moves one axis by one rung and keeps the other two fixed.",),
        commands=("python -m sutrolib run 00",),
    )


def finding_slide(executed: Executed) -> Slide:
    """One finding: its sentence, its figure, and its expectations against its results. The notes hold all of it."""
    first, rest = first_sentence(executed.finding)
    rows, more = executed.rows[:_FINDING_ROWS], executed.rows[_FINDING_ROWS:]
    caption = "Expectation against result" + (f"; {len(more)} more in the notes" if more else "")
    cells = tuple((shorten(row.quantity, _QUANTITY), *_cells(row)[1:]) for row in rows)
    return Slide(
        key=f"finding-{re.sub(r'[^A-Za-z0-9_-]', '-', executed.key)}",
        layout="finding",
        topic=f"{executed.name.split('_')[0]} · {shorten(executed.title, 80)}",
        heading=shorten(first, _HEADING),
        subtitle=shorten(rest, _SUBTITLE),
        axis=executed.axis,
        sign=_SIGNS.get(executed.sign, executed.sign),
        picture=executed.picture,
        tables=(Table(caption, _FINDING_HEADER, cells),) if rows else (),
        footer=f"{executed.key}, {date_text(executed.when)}, {executed.when:%H:%M} UTC ({executed.dated})",
        notes=(
            executed.finding,
            f"Step: {executed.step}." if executed.step else "",
            *map(_sentence, executed.rows),
            executed.then,
        ),
        commands=(executed.command,),
        notebook=executed.name,
    )


def _cells(row: Row) -> tuple[str, ...]:
    held = _HELD[row.held] if row.expected else "-"
    return row.quantity, row.kind or "not stated", row.expected or "-", row.saw, held


def _sentence(row: Row) -> str:
    because = f", because {row.because}" if row.because else ""
    expected = f", expected {row.expected}{because}: {_HELD[row.held]}" if row.expected else ""
    return f"{row.quantity}: {row.saw} ({row.kind or 'not stated'}){expected}."


def _failed_slides(meeting: Meeting) -> Iterator[Slide]:
    """Expectations that did not hold, notebooks that crashed, failed trainings, and files that cannot be read."""
    missed = [(executed.name, row) for executed in meeting.findings for row in executed.rows if row.held is False]
    header, rows = ("notebook", *_FINDING_HEADER[:4]), tuple((name, *_cells(row)[:4]) for name, row in missed)
    heading = f"{count_text(len(missed), 'expectation')} did not hold"
    because = [f"{name}: {row.quantity} was expected, because {row.because}." for name, row in missed if row.because]
    table = Table("Expected and not observed", header, rows)
    yield from table_slides("failed", _FAILED, heading, table, notes=because)

    heading = f"{count_text(len(meeting.crashed), 'notebook')} crashed"
    table = Table("Runs that ended in an error", ("run", "error"), tuple((e.key, e.error) for e in meeting.crashed))
    yield from table_slides("crashed", _FAILED, heading, table, commands=[e.command for e in meeting.crashed])

    counts = Counter((str(m.model["name"]), str(m.problem["name"]), m.failure) for m in meeting.failed_trainings)
    rows = tuple((model, problem, f"{runs}", why) for (model, problem, why), runs in counts.most_common())
    heading = f"{count_text(len(meeting.failed_trainings), 'training')} failed"
    table = Table(
        "Failed trainings, which stay in the ledger (runs are counted)", ("model", "problem", "runs", "why"), rows
    )
    yield from table_slides("trainings", _FAILED, heading, table)

    unread = [("notebook", name) for name in meeting.unreadable]
    unread += [("ledger", count_text(meeting.damaged, "line"))] if meeting.damaged else []
    table = Table("What cannot be read", ("what", "which"), tuple(unread))
    yield from table_slides("unread", _FAILED, "Some files cannot be read", table)


def _sign_slides(meeting: Meeting) -> Iterator[Slide]:
    """The sign of life of each notebook: continue, turn back a step, or stop. What needs discussion comes first."""
    order = list(_SIGNS)
    findings = sorted(meeting.findings, key=lambda e: order.index(e.sign) if e.sign in order else len(order))
    counts = Counter(executed.sign for executed in findings)
    rows = tuple((_SIGNS.get(e.sign, e.sign), f"[{e.name}]({e.name})", e.axis, _held(e)) for e in findings)
    heading = f"Signs of life: {', '.join(f'{counts[sign]} {sign}' for sign in order if counts[sign])}"
    table = Table("By notebook, and how many expectations held", ("sign", "notebook", "axis", "held"), rows)
    yield from table_slides("signs", "Signs of life", heading, table, most=11)


def _held(executed: Executed) -> str:
    expected = [row for row in executed.rows if row.expected]
    return f"{sum(row.held is True for row in expected)} of {len(expected)}" if expected else "not stated"


def _next_slides(meeting: Meeting) -> Iterator[Slide]:
    """The single-axis steps from the farthest positions, and what the notebooks propose."""
    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    since = f"farthest positions measured since {start_text(meeting.period)}" if new else "farthest positions"
    steps = [step for start in farthest_positions(first or new or counts) for step in next_steps(start)]
    rows = tuple(
        (
            position_text(s.start),
            str(s),
            f"{count_text(counts[s.end], 'run')} there" if counts[s.end] else "★ nothing measured",
        )
        for s in steps
    )
    heading = f"{count_text(len(steps), 'single-axis step')} from the {'farthest new positions' if first else since}"
    table = Table("From where, which axis moves, and what is there (counted)", ("from", "step", "there"), rows)
    yield from table_slides("steps", _NEXT, heading, table, most=8)

    proposals = tuple((executed.name, executed.then) for executed in meeting.findings if executed.then)
    table = Table("Their own words", ("notebook", "proposal"), proposals)
    yield from table_slides("then", _NEXT, "What the notebooks propose", table)
