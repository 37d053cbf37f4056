"""The slides of a meeting: what is new, what changed, what failed, the findings, decisions, next steps, glossary."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from sutrolib.batch.changes import Change, ChangeStatus
from sutrolib.batch.executed import Executed, Picture, Row
from sutrolib.core.cube import RUNGS, Position, next_steps, path_to_b
from sutrolib.core.format import number
from sutrolib.measurement.walk_records import reached, walked_positions
from sutrolib.meeting import layout
from sutrolib.meeting.collect import MAIN_RESULT, Meeting, farthest_positions, path_progress
from sutrolib.meeting.html import TEMPLATES
from sutrolib.meeting.layout import Slide, count_text, date_text, first_sentence, headline, shorten, start_text
from sutrolib.plots.style import draw_cube, png_bytes

MOST_SLIDES = 15
_MAP = "00_the_cube"  # its finding needs no slide: the cube is on that of the walk and on the last one
_FEWEST_FINDINGS = 3  # that have a slide of their own, however many slides are added
_LONG_TITLE = 68  # characters: a longer one takes two lines
_SUBTITLE = 250, 165  # characters of a finding that fit below its title, and below a long one
_HELD = {True: "✓ ", False: "✗ ", None: ""}
_SIGNS = {"stop": "■ stop", "turn back": "↩ turn back", "not measured": "? not measured", "continue": "→ continue"}
_SEVERITY = {sign: place for place, sign in enumerate(_SIGNS)}
_ASKED = {"stop": "Stop here?", "turn back": "Go back, or keep it?", "not measured": "Measure it elsewhere?"}


def build_slides(meeting: Meeting, own: Sequence[Slide] = ()) -> list[Slide]:
    """The slides of a meeting in order, drawn in matplotlib's current style.

    There are at most ``MOST_SLIDES``. As far as these allow, a finding has a slide: first those that turned back, then
    those that are new or moved, and always the main result. The others are in one table. Slides of your ``own`` follow
    the title.
    """
    first = [_title_slide(meeting), *own, *_changed_slides(meeting), *_failed_slides(meeting)]
    last = [*walk_slides(meeting), *_decision_slides(meeting), next_slide(meeting)]
    room = max(_FEWEST_FINDINGS, MOST_SLIDES - len(first) - len(last) - 1)  # 1 for the glossary
    main = [executed for executed in meeting.findings if executed.name == MAIN_RESULT]
    others = [executed for executed in meeting.findings if executed.name != MAIN_RESULT]
    others.sort(key=lambda e: (e.name == _MAP, _SEVERITY.get(e.sign, len(_SIGNS)), e.name in meeting.changes.settled))
    room -= len(main) + (len(others) > room - len(main))  # 1 for the table of the others
    slides = [*first, *map(finding_slide, [*others[:room], *main]), *_other_slides(others[room:]), *last]
    slides += _glossary_slides(slides)
    keys = [slide.key for slide in slides]
    again = [keys[:place].count(key) for place, key in enumerate(keys)]  # two copies of one notebook
    return [replace(s, key=f"{s.key}-{n + 1}") if n else s for s, n in zip(slides, again, strict=True)]


def _number(executed: Executed) -> str:
    return executed.name.split("_")[0]


def _title_slide(meeting: Meeting) -> Slide:
    """What is new, in three sentences."""
    period, findings, new = meeting.period, meeting.findings, len(meeting.new)
    back = [_number(executed) for executed in findings if executed.sign == "turn back"]
    main = [executed for executed in findings if executed.name == MAIN_RESULT] or findings[:1]
    which = f" ({', '.join(back)})" if back else ""
    points = [
        f"{count_text(len(findings), 'finding')} and {new:,} of {count_text(meeting.total, 'measurement')} are new.",
        f"{count_text(len(back), 'notebook')} turned back{which}, {len(meeting.crashed)} crashed, and "
        f"{count_text(len(meeting.failed_trainings), 'training')} failed.",
        *(f"{_number(e)}: {headline(first_sentence(e.finding)[0], words=30)}." for e in main[:1]),
    ]
    empty = not (new or findings or meeting.crashed or meeting.searches)
    return Slide(
        key="title",
        layout="title",
        heading="The Sutro cube",
        topic="Weekly meeting",
        subtitle=f"{start_text(period)} to {date_text(period.until)}" + (": nothing new" if empty else ""),
        points=tuple(shorten(point, 230) for point in points),
        notes=(f"To {period.until:%Y-%m-%d %H:%M} UTC. New searches: {meeting.searches}. These numbers are counted.",),
        commands=(f"python -m sutrolib deck --since {period.since:%Y-%m-%dT%H:%M}",),
    )


def _changed_slides(meeting: Meeting) -> Iterator[Slide]:
    """Older values beside newer ones."""
    found = meeting.changes
    rows: dict[str, tuple[str, ...]] = {}
    for name, old, now in found.signs:
        rows[name] = (f"{name.split('_')[0]}: sign of life", old, now, "", "moved")
    for row in (_change_row(change) for change in found.numbers if change.status != ChangeStatus.SAME):
        rows.setdefault(row[0], row)  # of cases that read the same, the one that moved most
    counts = Counter(change.status for change in found.numbers)
    before, footer = date_text(found.moment), ", ".join(f"{count} {status}" for status, count in counts.items())
    if not rows and (meeting.findings or meeting.new):
        rows[""] = (f"nothing that was known before {before}", "", "", "", "")
    yield from layout.table_slide(
        "changed",
        f"Since {before}, {counts[ChangeStatus.MOVED]} of {len(found.numbers):,} numbers moved",
        {"what (kind)": 70, "before": 12, "now": 12, "change": 22, "status": 16},
        rows.values(),
        most=8,
        footer=f"Numbers: {footer}" if footer else "",
        notes=("Of cases with the same name, the one that moved most is shown.",),
        commands=(f"python -m sutrolib compare {found.commit[:9]} ledger",) if found.commit else (),
    )


def _change_row(change: Change) -> tuple[str, ...]:
    notebook = re.match(r"\d+(?=_)", change.case)
    case = notebook[0] if notebook else re.sub(r" \([^()]*\)", "", change.case)
    values = ("none" if value is None else number(value) for value in (change.before, change.after))
    return f"{case}: {change.quantity} ({change.kind})", *values, change.change, str(change.status)


def _failed_slides(meeting: Meeting) -> Iterator[Slide]:
    """Notebooks that crashed, failed trainings, and files that cannot be read."""
    trainings = Counter((f"{m.model['name']} on {m.problem['name']}", str(m.failure)) for m in meeting.failed_trainings)
    rows = [(executed.key, executed.error, "crashed") for executed in meeting.crashed]
    rows += [(what, why, count_text(runs, "training")) for (what, why), runs in trainings.most_common()]
    rows += [(name, "cannot be read", "notebook") for name in meeting.unreadable]
    rows += [("ledger", "cannot be read", count_text(meeting.damaged, "line"))] if meeting.damaged else []
    commands = tuple(executed.command for executed in meeting.crashed)
    columns = {"what": 50, "why": 84, "how often": 14}
    yield from layout.table_slide("failed", "What failed", columns, rows, commands=commands)


def finding_slide(executed: Executed) -> Slide:
    """One finding: its title, its figure, and first what did not hold. The notes hold all of it."""
    title = _title(executed)
    first, rest = first_sentence(executed.finding)
    text = rest if first.rstrip(" .") == title else executed.finding
    subtitle, more = layout.split_text(text, _SUBTITLE[len(title) > _LONG_TITLE])
    rows = sorted(executed.rows, key=lambda row: ((False, True, None).index(row.held), not row.expected))
    missed = sum(row.held is False for row in rows)
    points = [_point(row) for row in rows]
    points[missed:missed] = re.split(r"(?<=[;.])\s", more) if more else []
    return Slide(
        key=f"finding-{re.sub(r'[^A-Za-z0-9_-]', '-', executed.key)}",
        layout="finding",
        heading=title,
        subtitle=subtitle,
        axis=executed.axis,
        sign=_SIGNS.get(executed.sign, executed.sign),
        picture=executed.picture,
        points=layout.fit([shorten(point, 220) for point in points], lines=15, width=22),
        footer=f"{shorten(executed.key, 45)}, {executed.when:%Y-%m-%d}",
        notes=(
            executed.title,
            executed.finding,
            f"Step: {executed.step}." if executed.step else "",
            *(_point(row) + (f", because {row.because}." if row.because else ".") for row in executed.rows),
            executed.then,
            f"Ran on {date_text(executed.when)}, {executed.when:%H:%M} UTC ({executed.dated}).",
        ),
        commands=(executed.command,),
        notebook=executed.name,
    )


def _title(executed: Executed) -> str:
    figure = executed.picture.alt.partition(". ")[2] if executed.picture else ""
    return shorten(headline(executed.finding, first_sentence(figure)[0]), 100)


def _point(row: Row) -> str:
    expected = f", expected {row.expected}" if row.expected else ""
    return f"{_HELD[row.held]}{row.quantity}: {row.saw} ({row.kind or 'not stated'}){expected}"


def _other_slides(findings: Sequence[Executed]) -> Iterator[Slide]:
    """The findings without a slide of their own, a line each."""
    yield from layout.table_slide(
        "others",
        count_text(len(findings), "other finding"),
        {"no.": 4, "finding": 76, "sign of life": 14},
        [(_number(executed), _title(executed), executed.sign) for executed in findings],
        most=13,
        more="in data/FINDINGS.md",
        notes=tuple(f"{e.name}: {e.finding}" for e in findings),
        commands=tuple(executed.command for executed in findings),
    )


def _decision_slides(meeting: Meeting) -> Iterator[Slide]:
    """What the meeting is asked to decide: about each notebook that does not continue, and each that crashed."""
    rows = []
    for executed in (e for sign in _ASKED for e in meeting.findings if e.sign == sign):
        missed = (_point(row) for row in executed.rows if row.held is False)
        rows.append((_number(executed), _ASKED[executed.sign], next(missed, executed.finding)))
    rows += [(_number(e), "Repair it, or drop it?", e.error) for e in meeting.crashed]
    heading = f"We ask for {count_text(len(rows), 'decision')}"
    yield from layout.table_slide("decisions", heading, {"no.": 4, "decision": 22, "because": 112}, rows, most=8)


def walk_slides(meeting: Meeting) -> Iterator[Slide]:
    """The path as walked, and what its new steps showed; none before the first step."""
    if not meeting.walk:
        return
    walked, turned_back = walked_positions(meeting.walk)
    new = [record for record in meeting.walk if datetime.fromisoformat(record.when) in meeting.period]
    counts = sum((Counter({record.position: len(record.studies)}) for record in meeting.walk), Counter[Position]())
    at, since = reached(meeting.walk), start_text(meeting.period)
    title = f"{count_text(len(new), 'step')} tried since {since}"
    said = f"{len(walked) - 1} of {len(path_to_b())} steps, to {at.process} / {at.metric} / {at.problem}"
    alt = f"The cube with the path from A to B, thick where walked: {said}; {len(turned_back)} turned back."
    points = [f"{record.number}. {record.step}: {record.sign}. {record.learned}" for record in new[::-1]]
    figure = draw_cube(counts, at, title, walked=walked, turned_back=turned_back, counted="searches")
    yield Slide(
        key="walk",
        layout="picture",
        heading=f"The walk: {said}",
        picture=Picture(png_bytes(figure), alt),
        points=layout.fit([shorten(point, 150) for point in points] or ["No new step."], lines=19, width=31),
        notes=tuple(points),
        commands=("python -m sutrolib run 01",),
    )


def cube_words(meeting: Meeting) -> tuple[str, str]:
    """A title for the picture of the cube, and its alternative text."""
    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    (measured, length), since = path_progress(counts), start_text(meeting.period)
    positions = math.prod(map(len, RUNGS.values()))
    farthest = "; ".join(f"{p.process} / {p.metric} / {p.problem}" for p in farthest_positions(first)[:8])
    return (
        f"{len(counts)} of {positions} positions are measured,\n"
        f"{len(first) or 'none'} of them for the first time since {since}",
        "The cube with the axes process, metric and problem and the path from A to B: "
        f"{measured} of the path's {length} positions are measured. "
        f"Stars mark {len(first)} positions measured for the first time since {since}, diamonds "
        f"{len(new) - len(first)} measured again, circles {len(counts) - len(new)} measured before. "
        f"Farthest new positions: {farthest or 'none'}.",
    )


def next_slide(meeting: Meeting) -> Slide:
    """The cube, what notebooks propose that no finding has followed, and the steps from the farthest positions."""
    counts, new, first = meeting.counts, meeting.new_counts, meeting.first_measured
    done = {executed.name for executed in meeting.findings}
    points = [e.then for e in meeting.findings if e.then and not done & set(re.findall(r"\((\w+)\.ipynb\)", e.then))]
    steps = {step.end: step for start in farthest_positions(first or new or counts) for step in next_steps(start)}
    for end, step in sorted(steps.items(), key=lambda item: counts[item[0]]):
        fixed = " and ".join(getattr(end, axis) for axis in RUNGS if axis != step.axis)
        points.append(f"{step}, at {fixed} ({count_text(counts[end], 'run') if counts[end] else 'not measured'})")
    points = list(dict.fromkeys(points))
    title, alt = cube_words(meeting)
    walked, turned_back = walked_positions(meeting.walk)
    figure = draw_cube(counts, title=title, new=new, walked=walked, turned_back=turned_back)
    return Slide(
        key="next",
        layout="picture",
        heading=f"{count_text(len(points), 'next step')}, one axis at a time",
        picture=Picture(png_bytes(figure), alt),
        points=layout.fit([shorten(point, 150) for point in points], lines=19, width=31),
        notes=(*points, "Runs are counted: a measurement counts at the rung of every metric that was read."),
        commands=("python -m sutrolib run 00",),
    )


def _glossary_slides(slides: Sequence[Slide]) -> Iterator[Slide]:
    """The terms that the slides use, and what they mean."""
    said = " ".join(str(replace(slide, notes=(), picture=None)) for slide in slides)
    listed = re.findall(r"- \*\*(.+?)\*\*: (.+)", (TEMPLATES / "glossary.md").read_text(encoding="utf-8"))
    rows = [row for row in listed if re.search(rf"\b{re.escape(row[0])}", said, re.I)]
    yield from layout.table_slide("glossary", "Glossary", {"term": 16, "meaning": 72}, rows, most=15)
