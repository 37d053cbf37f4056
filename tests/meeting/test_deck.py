"""The deck: what it gathers, what its slides say, that its page loads nothing and escapes all that it was told."""

import base64
import dataclasses
import hashlib
import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from builders import measurement
from meetings import UNTIL, WHEN, executed, payload, png
from walks import record

from sutrolib.__main__ import main
from sutrolib.batch.executed import read_executed
from sutrolib.core import paths
from sutrolib.core.cube import A, Position
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.walk_records import Sign
from sutrolib.meeting import pdf
from sutrolib.meeting.build import MOST_SLIDES, build_slides, cube_words
from sutrolib.meeting.collect import collect_meeting, farthest_positions, parse_period, path_progress
from sutrolib.meeting.html import TEMPLATES, external_loads, inline, render_deck
from sutrolib.meeting.layout import Slide, Table, first_sentence, fit, headline, shorten, split_text
from sutrolib.meeting.own import own_slides, read_own_slides
from sutrolib.meters.base import Kind, Reading

ARD = Reading("ard", 5.0, "floats", Kind.COUNTED)
WEEK = parse_period("7d", datetime.fromisoformat(UNTIL))
BEFORE = "2026-03-01T00:00:00.000000+00:00"


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """An empty collection of notebooks, and no runs."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))
    paths.NOTEBOOKS.mkdir()
    return paths.NOTEBOOKS


def by_key(meeting):
    return {slide.key: slide for slide in build_slides(meeting)}


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("7d", "2026-03-05T00:00"),
        ("12h", "2026-03-11T12:00"),
        ("2w", "2026-02-26T00:00"),
        ("2026-03-01", "2026-03-01T00:00"),
        ("2026-03-01T12:00+02:00", "2026-03-01T10:00"),
    ],
)
def test_a_period_is_a_time_back_or_a_date(text, since):
    assert parse_period(text, datetime.fromisoformat(UNTIL)).since == datetime.fromisoformat(since).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "a week", "7", "-7d", "0d", "99999w", "2026-13-01", "2027-01-01"])
def test_what_names_no_period_is_refused_with_what_would(text):
    with pytest.raises(ValueError, match="must be a time back such as 7d"):
        parse_period(text, datetime.fromisoformat(UNTIL))


def test_the_walk_has_a_slide_with_what_its_new_steps_showed(collection):
    assert "walk" not in by_key(collect_meeting(WEEK))
    record(1, when=BEFORE).save()
    record(2, order=2, when=WHEN).save()
    record(3, Sign.TURN_BACK, order=3, when=WHEN).save()
    record(4, order=4, when="2027-01-01T00:00:00+00:00").save()
    slide = by_key(collect_meeting(WEEK))["walk"]
    assert slide.heading == "The walk: 2 of 12 steps, to by-hand / dmd / parity-hard"
    assert slide.notes == (
        "3. process: by-hand -> search: turn back. It learned 3.",
        "2. problem: parity -> parity-hard: go. It learned 2.",
    )
    assert slide.picture.alt.endswith("1 turned back.")
    later = parse_period("1d", datetime.fromisoformat(UNTIL) + timedelta(days=3))
    assert by_key(collect_meeting(later))["walk"].points == ("No new step.",)


def test_what_an_executed_notebook_says_is_read_off_its_file(tmp_path):
    first = read_executed(executed(tmp_path))
    assert (first.name, first.title, first.axis) == ("10_first", "A first study", "process")
    assert (first.when, first.dated) == (datetime.fromisoformat(WHEN), "says the notebook")
    assert first.command == "python -m sutrolib run 10 -p n_bits 30"
    assert first.picture.alt == "Cost by width."
    rows = {row.quantity: (row.kind, row.expected, row.saw, row.held) for row in first.rows}
    assert rows == {
        "cost ratio": ("modelled", "0.6 to 0.9", "0.5", False),
        "seeds solved, %": ("measured", "90 to 100", "100", True),
        "units": ("counted", "", "25", None),
        "joules": ("measured", "", "not measured", None),
    }
    assert list(rows)[:2] == ["cost ratio", "seeds solved, %"], "what was predicted comes first"


def test_a_parameter_that_a_shell_would_read_otherwise_is_quoted(tmp_path):
    said = payload(parameters={"n_bits": 20, "readings": "1 2; rm -rf *"})
    assert read_executed(executed(tmp_path, said=said)).command == (
        "python -m sutrolib run 10 -p readings '1 2; rm -rf *'"
    )


def test_when_it_ran_is_said_by_the_notebook_then_papermill_then_the_file(tmp_path):
    silent = payload(when="")
    by_papermill = executed(tmp_path, "10_a", silent, papermill={"end_time": "2026-03-09T08:00:00"})
    assert read_executed(by_papermill).when == datetime(2026, 3, 9, 8, tzinfo=UTC)
    path = executed(tmp_path, "11_b", silent)
    os.utime(path, (1_770_000_000, 1_770_000_000))
    assert read_executed(path).when == datetime.fromtimestamp(1_770_000_000, UTC)
    assert "when its file was changed" in read_executed(path).dated


def test_only_a_png_is_taken_for_a_figure(tmp_path):
    svg = "PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+"  # an SVG that runs a script
    assert read_executed(executed(tmp_path, picture=svg)).picture is None
    assert read_executed(executed(tmp_path, picture="not base64 at all!")).picture is None
    assert read_executed(executed(tmp_path, picture=png())).picture.url.startswith("data:image/png;base64,iVBOR")


def test_the_figure_that_the_conclusion_names_is_taken_and_else_the_first(tmp_path):
    def alt(figure):
        path = executed(tmp_path, said=payload(figure=figure), more=("cost", "verdict"))
        return read_executed(path).picture.alt

    assert alt("verdict") == "The figure verdict."
    assert alt(None) == alt("gone") == "Cost by width."


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "10_x.ipynb").write_text("{")
    with pytest.raises(ValueError, match=r"10_x\.ipynb cannot be read as an executed notebook"):
        read_executed(tmp_path / "10_x.ipynb")


def test_a_meeting_holds_what_is_new_and_the_newest_copy_of_each_notebook(collection):
    executed(collection, "10_first", payload(when=BEFORE))
    executed(collection, "11_next")
    executed(collection, "12_old", payload(when=BEFORE))
    executed(collection, "50_meeting")
    run = paths.RUNS / "20260310"
    executed(run, "001-10_first", payload(finding="Run again.", parameters={"n_bits": 20}))
    executed(run, "006-10_first", payload(finding="A trial.", parameters={"n_bits": 30}))
    executed(run, "002-11_next", {}, error="a < b")
    executed(run, "003-11_next", payload(when="2026-03-05T01:00:00+00:00", finding="An earlier one."))
    executed(run, "004-99_unknown")
    (run / "005-11_next.ipynb").write_text("{")
    for path in run.glob("*.ipynb"):
        os.utime(path)  # the file is newer than the period's beginning, as that of a run is
    meeting = collect_meeting(WEEK)
    assert [(e.key, e.finding[:9]) for e in meeting.findings] == [
        ("20260310/001-10_first.ipynb", "Run again"),
        ("11_next", "Half the "),
    ]
    assert meeting.unreadable == ["20260310/005-11_next.ipynb"]
    slide = by_key(meeting)["failed"]
    assert slide.tables[0].rows == (("20260310/005-11_next.ipynb", "cannot be read", "notebook"),)
    assert slide.heading == "What failed"


def test_a_run_that_broke_off_is_told_with_its_error_and_command(collection):
    executed(collection, "11_next", {}, error="n_bits=2, accepted are 3 to 200", papermill={"end_time": WHEN})
    meeting = collect_meeting(WEEK)
    assert meeting.findings == []
    slides = by_key(meeting)
    assert slides["failed"].tables[0].rows == (("11_next", "ValueError: n_bits=2, accepted are 3 to 200", "crashed"),)
    assert slides["failed"].commands == ("python -m sutrolib run 11",)
    assert slides["decisions"].tables[0].rows[0][:2] == ("11", "Repair it, or drop it?")


def test_copies_and_folders_may_be_named_and_then_every_copy_counts(collection, tmp_path):
    executed(collection, "10_first")
    one = executed(tmp_path / "mine", "001-10_first", payload(finding="One."))
    executed(tmp_path / "mine", "002-10_first", payload(finding="Two."))
    assert [e.finding for e in collect_meeting(WEEK, [str(one)]).findings] == ["One."]
    assert [e.finding for e in collect_meeting(WEEK, [str(tmp_path / "mine")]).findings] == ["One.", "Two."]
    assert [e.key for e in collect_meeting(WEEK, ["10"]).findings] == ["10_first"]


def test_a_folder_is_read_without_checkpoints_each_file_once_and_past_what_cannot_be_read(collection, tmp_path):
    mine = tmp_path / "mine"
    for folder in ("a/run", "b/run", "a/run/.ipynb_checkpoints"):
        executed(mine / folder, "001-10_first")
    (mine / "002-11_next.ipynb").write_text("{")
    meeting = collect_meeting(WEEK, [str(mine), f"{mine}/a", str(mine / "b/run/001-10_first.ipynb"), f"{mine}/b/../a"])
    assert sorted(e.path.relative_to(mine).as_posix() for e in meeting.findings) == [
        "a/run/001-10_first.ipynb",
        "b/run/001-10_first.ipynb",
    ]
    assert meeting.unreadable == ["mine/002-11_next.ipynb"]
    keys = [slide.key for slide in build_slides(meeting)]
    assert "finding-run-001-10_first-ipynb" in keys
    assert "finding-run-001-10_first-ipynb-2" in keys
    assert len(set(keys)) == len(keys), "they are the ids of the page"


def test_the_title_says_the_command_that_gathers_the_same_period(collection):
    period = parse_period("12h", datetime.fromisoformat(UNTIL))
    command = by_key(collect_meeting(period))["title"].commands[0]
    assert command == "python -m sutrolib deck --since 2026-03-11T12:00"
    assert parse_period(command.split()[-1], period.until) == period


def test_a_long_error_is_cut_on_its_slide_and_whole_in_the_notes(collection):
    error = f"it broke {'again and ' * 60}off\nsecond line"
    executed(collection, "11_next", {}, error=error, papermill={"end_time": WHEN})
    slide = by_key(collect_meeting(WEEK))["failed"]
    shown = slide.tables[0].rows[0][1]
    assert shown.startswith("ValueError: it broke again and ")
    assert shown.endswith(" again ...")
    assert 60 < len(shown) <= 84
    assert slide.notes == (f"11_next: ValueError: {error}: crashed",)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("short", "short"),
        ("one\ntwo", "one ..."),
        ("four words of it here", "four words of ..."),
        ("x" * 30, "x" * 16 + " ..."),
        ("see also [11_next](11_next.ipynb) of it", "see also ..."),
        ("", ""),
    ],
)
def test_what_is_too_long_is_cut_between_words_and_never_within_a_link(text, cut):
    assert shorten(text, 20) == cut


def test_rows_for_which_a_finding_has_no_room_are_whole_in_its_notes(collection):
    names = [f"{number} cost of the candidate" for number in range(9)]
    said = payload(
        results=dict.fromkeys(names, 0.5), kinds=dict.fromkeys(names, "modelled"), expected={names[8]: [1, 2, "x"]}
    )
    executed(collection, "10_first", said | {"results": {names[8]: 0.5} | said["results"]})
    slide = by_key(collect_meeting(WEEK))["finding-10_first"]
    assert slide.points[0].startswith(f"✗ {names[8]}: 0.5 (modelled), expected 1 to 2"), "what did not hold comes first"
    assert slide.points[-1] == f"+ {9 - len(slide.points) + 1} more in the notes"
    assert sum("0.5 (modelled)" in note for note in slide.notes) == 9, "the notes hold everything"
    page = render_deck([Slide("title", "title", "T"), slide], "t").split('<div class="appendix">')[1]
    assert '<li value="2"><strong>Half the width costs half</strong>' in page, "on paper they are at the end"
    assert page.count("0.5 (modelled)") == 9
    assert "python -m sutrolib run 10 -p n_bits 30" in page


def test_positions_measured_again_are_not_called_new(collection):
    Ledger().add(measurement(seed=1, readings=(ARD,), when=BEFORE))
    Ledger().add(measurement(seed=2, readings=(ARD,), when=WHEN))
    slide = by_key(collect_meeting(WEEK))["next"]
    assert slide.heading == "3 next steps, one axis at a time"
    assert "none of them for the first time since 5 March 2026" in cube_words(collect_meeting(WEEK))[0]


@pytest.mark.parametrize("wanted", ["99", "10_frist", "nowhere/at-all", "--x"])
def test_a_notebook_that_is_not_there_is_refused_with_those_that_are(collection, wanted):
    executed(collection, "10_first")
    with pytest.raises(ValueError, match=r"10_first|no such file or folder"):
        collect_meeting(WEEK, [wanted])


def test_the_cube_tells_positions_that_are_new_from_those_measured_again_and_older(collection):
    ledger = Ledger()
    ledger.add(measurement(seed=1, readings=(ARD,), when=BEFORE))
    ledger.add(measurement(seed=2, readings=(ARD,), when=WHEN))
    searched = {"process": "search", "problem": "parity-hard"}
    ledger.add(measurement(seed=3, readings=(ARD,), when=WHEN, rungs=searched))
    ledger.add(measurement(seed=4, readings=(ARD,), when=BEFORE, rungs={"process": "evolution", "problem": "parity"}))
    ledger.add(measurement(seed=5, readings=(), score=None, failure="left the finite numbers", when=WHEN))
    ledger.add(measurement(seed=6, readings=(), score=None, failure="left the finite numbers", when=WHEN))
    meeting = collect_meeting(WEEK)
    new = Position("search", "ard", "parity-hard")
    assert (meeting.counts[A], meeting.new_counts[A], meeting.first_measured) == (2, 1, [new])
    slides = by_key(meeting)
    title, alt = cube_words(meeting)
    assert title.startswith("3 of 125 positions are measured,\n1 of them for the first time")
    assert alt == slides["next"].picture.alt
    assert "Stars mark 1 positions" in alt
    assert "diamonds 1 measured again, circles 1 measured before" in alt
    assert alt.endswith("Farthest new positions: search / ard / parity-hard.")
    failed = ("made up on sparse parity", "left the finite numbers", "2 trainings")
    assert slides["failed"].tables[0].rows == (failed,)
    assert slides["next"].points == (
        "process: search -> model-based, at ard and parity-hard (not measured)",
        "metric: ard -> dmd, at search and parity-hard (not measured)",
        "problem: parity-hard -> digits, at search and ard (not measured)",
    )


def test_new_positions_differ_from_others_by_the_shape_of_their_mark():
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import draw_cube

    points = {A: 3, Position("search", "ard", "parity"): 2, Position("evolution", "ard", "parity"): 4}
    figure = draw_cube(points, new={A: 1, Position("search", "ard", "parity"): 2})
    marks = {line.get_label(): line.get_marker() for line in figure.axes[0].lines if line.get_marker() in "oD*"}
    texts = {text.get_text() for text in figure.axes[0].texts}
    plt.close(figure)
    assert marks == {
        "measured (number of runs)": "o",
        "measured again (new runs)": "D",
        "measured for the first time (runs)": "*",
    }
    assert {"+1", "+2", "4"} <= texts


def test_the_frontier_holds_the_positions_that_none_is_beyond():
    far, middle, other = Position("search", "dmd", "digits"), A, Position("evolution", "ard", "parity-hard")
    assert farthest_positions([middle, other, far]) == [other, far]
    assert farthest_positions([]) == []
    assert path_progress([A, far]) == (1, 13)


def test_a_finding_has_its_sentence_figure_numbers_kinds_sign_and_command(collection):
    executed(collection, "10_first")
    slide = by_key(collect_meeting(WEEK))["finding-10_first"]
    assert (slide.heading, slide.subtitle) == ("Half the width costs half", "It still solves 4 of 4 seeds.")
    assert slide.sign == "↩ turn back"
    assert slide.points == (
        "✗ cost ratio: 0.5 (modelled), expected 0.6 to 0.9",
        "✓ seeds solved, %: 100 (measured), expected 90 to 100",
        "units: 25 (counted)",
        "joules: not measured (measured)",
    )
    assert "✗ cost ratio: 0.5 (modelled), expected 0.6 to 0.9, because half is gone." in slide.notes
    assert slide.commands == ("python -m sutrolib run 10 -p n_bits 30",)
    assert slide.footer == "10_first, 2026-03-10"
    assert slide.notes[-1] == "Ran on 10 March 2026, 12:00 UTC (says the notebook)."


def test_a_slide_that_says_turn_back_shows_first_what_did_not_hold_and_a_decision_is_asked(collection):
    names = [f"{number} cost of the candidate over that of the baseline" for number in range(9)]
    expected = {name: [0, 1, "x"] for name in names[:8]} | {names[8]: [1, 2, "half is gone"]}
    said = payload(
        finding=f"It costs {'half and ' * 90}half.", results=dict.fromkeys(names, 0.5), kinds={}, expected=expected
    )
    executed(collection, "10_first", said)
    slides = by_key(collect_meeting(WEEK))
    missed = f"✗ {names[8]}: 0.5 (not stated), expected 1 to 2"
    assert slides["finding-10_first"].points[0] == missed
    assert slides["decisions"].heading == "We ask for 1 decision"
    assert slides["decisions"].tables[0].rows == (("10", "Go back, or keep it?", missed),)


def test_what_continues_asks_for_no_decision(collection):
    executed(collection, "10_first", payload(sign="continue"))
    assert "decisions" not in by_key(collect_meeting(WEEK))


def test_a_week_of_many_findings_has_fifteen_slides_and_drops_nothing_silently(collection):
    for number in range(10, 40):
        sign = "turn back" if number == 39 else "continue"
        executed(collection, f"{number}_x", payload(sign=sign, then="", finding=f"Finding {number} is here."))
    executed(collection, "40_final_exam", payload(sign="continue", finding="The exam is passed."))
    slides = build_slides(collect_meeting(WEEK))
    keys = [slide.key for slide in slides]
    assert len(slides) == MOST_SLIDES
    assert keys[:3] == ["title", "changed", "finding-39_x"], "what turned back comes first"
    assert keys[-5:] == ["finding-40_final_exam", "others", "decisions", "next", "glossary"]
    others = slides[keys.index("others")]
    rows, own = others.tables[0].rows, [key for key in keys if key.startswith("finding-")]
    assert others.heading == f"{31 - len(own)} other findings"
    assert rows[-1][1] == f"and {31 - len(own) - len(rows) + 1} more in data/FINDINGS.md"
    told = " ".join((*others.notes, *(slide.heading for slide in slides)))
    assert all(f"Finding {number} is here" in told for number in range(10, 40))
    added = build_slides(collect_meeting(WEEK), own_slides("# A\n---\n# B\n" * 10))
    assert sum(slide.key.startswith("finding-") for slide in added) >= 1, "the main result stays"
    assert "finding-40_final_exam" in {slide.key for slide in added}


def test_the_committed_notebooks_make_a_deck_of_fifteen_slides_with_short_titles():
    meeting = collect_meeting(parse_period("52w"))
    slides = build_slides(meeting)
    assert len(meeting.findings) > 15
    assert len(slides) <= 15
    assert [slide.heading for slide in slides if len(slide.heading.split()) > 12] == []
    shown = {slide.notebook: slide for slide in slides if slide.layout == "finding"}
    assert "40_final_exam" in shown
    told = " ".join((*next(slide.notes for slide in slides if slide.key == "others"), *shown))
    for found in meeting.findings:
        assert found.name in told
        if found.name in shown and found.sign == "turn back":
            missed = next(row for row in found.rows if row.held is False)
            assert shown[found.name].points[0].startswith(f"✗ {missed.quantity[:200]}")
    keys = [slide.key for slide in slides]
    assert [keys[0], *keys[-2:]] == ["title", "next", "glossary"]
    assert len(slides[0].points) == 3, "what is new, in three sentences"


def test_the_glossary_explains_the_terms_that_the_slides_use_and_no_others(collection):
    executed(collection, "10_first", payload(finding="ARD falls by half.", kinds={"cost ratio": "modelled"}))
    terms = dict(by_key(collect_meeting(WEEK))["glossary"].tables[0].rows)
    assert {"ARD", "modelled", "turn back"} <= set(terms)
    assert "TPE" not in terms
    assert all(len(meaning) <= 72 for meaning in terms.values()), "a line each"


def test_steps_that_a_finding_of_the_deck_has_taken_are_not_proposed_again(collection):
    executed(collection, "10_first")
    executed(collection, "12_more", payload(then="Next: measure joules."))
    executed(collection, "13_more", payload(then="Next: measure joules."))
    assert by_key(collect_meeting(WEEK))["next"].points == (
        "Next: [11_next](11_next.ipynb), one change more.",
        "Next: measure joules.",
    )
    executed(collection, "11_next", payload(then=""))
    assert by_key(collect_meeting(WEEK))["next"].points == ("Next: measure joules.",)


def commit(folder, when):
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    dates = os.environ | {"GIT_COMMITTER_DATE": when}
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True, env=dates)


def test_older_values_stand_beside_newer_ones_with_what_moved_first(collection):
    first = payload(when=BEFORE, sign="continue", results={"units": 20.0, "cost ratio": 0.5, "seeds solved, %": 100.0})
    executed(collection, "10_first", first)
    executed(collection, "11_same", payload(when=BEFORE))
    executed(collection, "12_gone", payload(when=BEFORE))
    commit(collection, "2026-03-02T00:00:00Z")
    executed(collection, "10_first")
    executed(collection, "11_same", payload(results=payload()["results"] | {"cost ratio": 0.4}))
    executed(collection, "13_new", payload(sign="continue"))
    for seed in range(5):
        Ledger().add(measurement(seed=seed, readings=(ARD,), when=BEFORE))
        Ledger().add(measurement(seed=seed, readings=(dataclasses.replace(ARD, value=6.0),), when=WHEN))
    meeting = collect_meeting(WEEK)
    slide = by_key(meeting)["changed"]
    assert slide.tables[0].rows == (
        ("10: sign of life", "continue", "turn back", "", "moved"),
        ("10: units (counted)", "20", "25", "x 1.25", "moved"),
        ("made up on sparse parity: ard, floats (counted)", "5", "6", "x 1.2", "moved"),
        ("11: cost ratio (modelled)", "0.5", "0.4", "x 0.8", "noise unknown"),
    )
    assert slide.heading.startswith("Since 5 March 2026, 2 of ")
    assert "11_same" in meeting.changes.settled
    assert not {"10_first", "13_new"} & meeting.changes.settled
    assert [s.notebook for s in build_slides(meeting) if s.notebook] == ["10_first", "11_same", "13_new"]


def test_a_collection_younger_than_the_period_is_compared_with_the_day_before(collection):
    executed(collection, "10_first", payload(when="2026-03-09T00:00:00+00:00", results={"units": 20.0}))
    commit(collection, "2026-03-10T00:00:00Z")
    executed(collection, "10_first", payload(when="2026-03-11T12:00:00+00:00"))
    slide = by_key(collect_meeting(WEEK))["changed"]
    assert slide.heading == "Since 11 March 2026, 1 of 1 numbers moved"
    assert slide.tables[0].rows == (("10: units (counted)", "20", "25", "x 1.25", "moved"),)


def test_without_anything_older_the_deck_says_that_nothing_can_have_moved(collection):
    executed(collection, "10_first")
    slide = by_key(collect_meeting(WEEK))["changed"]
    assert slide.heading.endswith(", 0 of 0 numbers moved")
    assert slide.tables[0].rows[0][0].startswith("nothing that was known before ")


def test_slides_of_your_own_follow_the_title(collection, tmp_path, capsys):
    executed(collection, "10_first", payload(when=datetime.now(UTC).isoformat()))
    agenda, questions = tmp_path / "agenda.md", tmp_path / "questions.md"
    agenda.write_text("# Agenda\n\n1. What is new\n2. **GPU** hours\n\nA paragraph of\ntwo lines.\n")
    questions.write_text("- no heading\n---\n## Budget\n\n<b>Who</b> pays?\n", encoding="utf-8")
    slides = build_slides(collect_meeting(WEEK), read_own_slides([agenda, questions]))
    assert [(s.heading, s.points) for s in slides[1:4]] == [
        ("Agenda", ("1. What is new", "2. **GPU** hours", "A paragraph of two lines.")),
        ("questions", ("no heading",)),
        ("Budget", ("<b>Who</b> pays?",)),
    ]
    target = tmp_path / "deck.html"
    assert main(["deck", "--add", str(agenda), "--add", str(questions), "-o", str(target)]) == 0
    page = target.read_text(encoding="utf-8")
    assert "<strong>GPU</strong> hours" in page
    assert "&lt;b&gt;Who&lt;/b&gt; pays?" in page


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be added to the deck: No such file or directory; name a Markdown file in UTF-8"),
        (b"# Caf\xe9", "name a Markdown file in UTF-8"),
        (b"# Long\n" + b"- a point\n" * 30, "slide 'Long' has 30 lines, and a slide has room for 12: split it by ---"),
    ],
)
def test_slides_that_cannot_be_added_are_told_before_anything_is_computed(monkeypatch, tmp_path, capsys, content, told):
    monkeypatch.setattr("sutrolib.cli.deck.collect_meeting", lambda *_: pytest.fail("computed"))
    file = tmp_path / "notes.md"
    if content:
        file.write_bytes(content)
    assert main(["deck", "--add", str(file)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error
    assert "notes.md" in error


def test_an_empty_week_says_so_and_shows_where_the_cube_stands(collection):
    Ledger().add(measurement(readings=(ARD,), when=BEFORE))
    slides = by_key(collect_meeting(WEEK))
    assert slides["title"].subtitle == "5 March 2026 to 12 March 2026: nothing new"
    assert slides["next"].picture.alt.startswith("The cube")
    assert slides["next"].heading == "3 next steps, one axis at a time"
    assert set(slides) - {"glossary"} == {"title", "next"}
    assert external_loads(render_deck(list(slides.values()), "t")) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two. Three.", ("One.", "Two. Three.")),
        ("n=20, k=3 in 0.5 s", ("n=20, k=3 in 0.5 s", "")),
        ("All solve it. 5 of 5 seeds pass.", ("All solve it.", "5 of 5 seeds pass.")),
        ("4 x 4: 694 against 800. A tenth is not reached.", ("4 x 4: 694 against 800.", "A tenth is not reached.")),
        ("", ("", "")),
    ],
)
def test_a_sentence_ends_at_a_full_stop_before_a_capital_letter_or_a_number(text, parts):
    assert first_sentence(text) == parts


@pytest.mark.parametrize(
    ("finding", "figure", "title"),
    [
        ("Half the width costs half. It still solves all.", "", "Half the width costs half"),
        (
            "A costs half of B on digits; C costs two thirds of B on all of the texts.",
            "",
            "A costs half of B on digits",
        ),
        (
            "Two of six solvers beat a constant answer: the network and the tree, both of them.",
            "",
            "Two of six solvers beat a constant answer",
        ),
        (
            "Highest over lowest power of the five: 1.87x (estimated) and 29.3x (modelled) in all.",
            "",
            "Highest over lowest power of the five: 1.87x (estimated)",
        ),
        (
            "The energy of the best, after 80 J of search each: grid 0.54, TPE 0.73, random 1.6.",
            "Grid search is best",
            "Grid search is best",
        ),
        (
            "The energy of the best, after 80 J of search each: grid 0.54, TPE 0.73, random 1.6. All solve it.",
            "",
            "All solve it",
        ),
        (" ".join(["word"] * 20), "", " ".join([*["word"] * 11, "..."])),
        ("", "", ""),
    ],
)
def test_a_finding_is_headed_by_a_clause_of_at_most_twelve_words(finding, figure, title):
    assert headline(finding, figure) == title
    assert len(title.split()) <= 12


def test_texts_are_cut_where_a_clause_ends_and_nothing_is_lost():
    assert split_text("One is here; two is there.", 99) == ("One is here; two is there.", "")
    assert split_text("One is here; two is there.", 20) == ("One is here;", "two is there.")
    assert split_text("x" * 30, 20) == ("x" * 20, "x" * 10)
    assert fit(["a b", "c d", "e f"], lines=3, width=9) == ("a b", "c d", "e f")
    assert fit(["a b", "c d", "e f"], lines=2, width=9) == ("a b", "+ 2 more in the notes")
    assert fit(["a " * 90], lines=2, width=9) == ("+ 1 more in the notes",)


HOSTILE = '<script>window.caught = 1</script><img src=x onerror="window.caught = 1">" onload="x'


def hostile_slides(collection):
    said = payload(
        finding=f"Costs {HOSTILE}. More {HOSTILE}",
        then=f"[x](javascript:alert(1)) [y](https://example.org/?a=1&b=2) **{HOSTILE}**",
        results={HOSTILE: 0.5},
        kinds={HOSTILE: HOSTILE},
        expected={HOSTILE: [1, 2, HOSTILE]},
        sign=HOSTILE,
        parameters={"n_bits": HOSTILE},
    )
    path = executed(collection, "10_first", said, alt=HOSTILE)
    notebook = json.loads(path.read_text())
    notebook["metadata"]["sutro"] = {"axis": HOSTILE, "step": HOSTILE}
    notebook["cells"][0]["source"] = [f"# {HOSTILE}"]
    path.write_text(json.dumps(notebook))
    Ledger().add(measurement(readings=(), score=None, failure=HOSTILE, when=WHEN, model={"name": HOSTILE}))
    executed(collection, "11_broken", {}, error=HOSTILE, papermill={"end_time": WHEN})
    return build_slides(collect_meeting(WEEK))


def test_no_text_of_a_notebook_or_the_ledger_becomes_markup(collection):
    page = render_deck(hostile_slides(collection), HOSTILE)
    assert page.count("<script") == 1, "only the deck's own"
    assert "<img src=x" not in page
    assert 'onerror="' not in page
    assert "javascript:" not in page.replace("(javascript:alert(1))", ""), "a link of that kind is its words"
    assert 'alt="&lt;script&gt;' in page
    assert external_loads(page) == []


def test_a_few_marks_of_markdown_are_markup_on_escaped_text():
    assert inline("**a** <b> `c`", {}) == "<strong>a</strong> &lt;b&gt; <code>c</code>"
    assert inline("[on](11_next.ipynb)", {"11_next": "finding-11_next"}) == '<a href="#finding-11_next">on</a>'
    assert inline("[on](11_next.ipynb)", {}) == "on"
    assert inline("[w](https://example.org/a?b=1)", {}) == (
        '<a href="https://example.org/a?b=1" rel="noreferrer">w</a>'
    )
    for target in (
        "javascript:alert(1)",
        "JAVASCRIPT:x",
        "data:text/html,x",
        'https://x"onclick="y',
        "//evil.org",
        "ftp://x",
    ):
        assert "<a" not in inline(f"[w]({target})", {})


def test_the_page_forbids_all_loads_and_all_scripts_but_its_own(collection):
    executed(collection, "10_first")
    page = render_deck(build_slides(collect_meeting(WEEK)), "t")
    style, script = (page.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("style", "script"))
    policy = re.search(r'"Content-Security-Policy" content="(.*?)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for kind, content in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"; {kind}-src 'sha256-{digest}';" in policy, "the hashes are those of what the page holds"
    assert "unsafe" not in policy
    assert "http" not in style + script
    assert external_loads(page) == []


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        ('<img src="https://x.org/a.png">', "img src=https://x.org/a.png"),
        ('<link rel="stylesheet" href="a.css">', "link href=a.css"),
        ('<script src="//x.org/a.js"></script>', "script src=//x.org/a.js"),
        ("<style>@import 'x.css'; a { background: url(https://x.org/f.woff) }</style>", "@import 'x.css'"),
        ('<p style="background: url(x)">', "p style=background: url(x)"),
        ('<svg><image xlink:href="x.svg"/></svg>', "image xlink:href=x.svg"),
    ],
)
def test_whatever_a_page_would_load_is_found(markup, found):
    assert found in external_loads(markup)


def test_links_to_follow_and_pictures_inside_are_no_loads():
    assert external_loads('<a href="https://x.org">x</a><img src="data:image/png;base64,AA"><a href="#a">b</a>') == []


def test_a_page_that_would_load_something_is_never_written():
    outside = SimpleNamespace(url="https://x.org/a.png", alt="A picture.")
    with pytest.raises(ValueError, match="would load img src=https"):
        render_deck([Slide("title", "title", "T", picture=outside)], "t")
    with pytest.raises(ValueError, match="at least one slide"):
        render_deck([], "t")


def test_the_page_reads_as_a_document_without_scripts(collection):
    executed(collection, "10_first")
    executed(collection, "11_next")
    slides = build_slides(collect_meeting(WEEK))
    page = render_deck(slides, "t")
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.count("<h1") == 1
    assert page.count("<section") == len(slides) == page.count("<h2") - 2 + 1, (
        "a heading each, the appendix's, the help's"
    )
    assert "<main" in page
    assert '<nav aria-label="Between slides" hidden>' in page, "shown by the script, which makes it work"
    assert page.count("<details") == sum(bool(s.notes or s.commands) for s in slides)
    assert '<a href="#finding-11_next">11_next</a>' in page
    assert page.count("<img") == page.count('<img src="data:image/png;base64,')
    assert "nb.show" not in page, "code stays hidden"


def test_the_command_writes_the_file_and_says_what_is_in_it(collection, tmp_path, capsys):
    now = datetime.now(UTC).isoformat()
    executed(collection, "10_first", payload(when=now))
    target = tmp_path / "out" / "deck.html"
    assert main(["deck", "--since", "2d", "-o", str(target)]) == 0
    assert f"{target}: " in capsys.readouterr().out
    assert "Half the width costs half" in target.read_text(encoding="utf-8")
    old = (datetime.now(UTC) - timedelta(days=30)).isoformat()
    executed(collection, "10_first", payload(when=old))
    assert main(["deck", "-o", str(target)]) == 0
    assert "0 findings and 0 measurements since" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "soon"], "since must be a time back such as 7d"),
        (["--notebooks", "77"], "no notebook '77'; there are 10_first"),
        (["-o", "."], "-o must be a file, and . is a folder"),
        (["-o", "nowhere/"], "-o must be a file, and nowhere is a folder"),
        (["-o", f"{__file__}/deck.html"], "is in the way"),
    ],
)
def test_what_the_command_cannot_do_it_says_in_a_sentence(collection, capsys, arguments, told):
    executed(collection, "10_first")
    assert main(["deck", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_without_chromium_a_pdf_is_refused_with_what_to_do_instead(collection, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    assert main(["deck", "--format", "pdf", "-o", str(tmp_path / "deck.pdf")]) == 2
    assert "write the deck as HTML, open it in a browser and print it" in capsys.readouterr().err
    assert not (tmp_path / "deck.pdf").exists()


def test_cells_that_say_held_or_not_carry_a_mark_beside_the_colour(collection):
    table = Table("c", ("q", "held"), (("a", "✓ yes"), ("b", "✗ no")))
    page = render_deck([Slide("title", "title", "T"), Slide("x", "text", "X", tables=(table,))], "t")
    assert '<td class="good"><div>✓ yes</div></td>' in page
    assert '<td class="bad"><div>✗ no</div></td>' in page


def test_the_axis_of_a_slide_is_named_and_has_a_shape_of_its_own(collection):
    slides = [
        Slide("title", "title", "T"),
        Slide("x", "text", "X", axis="metric"),
        Slide("y", "text", "Y", axis="evil x"),
    ]
    page = render_deck(slides, "t")
    assert 'class="slide text metric"' in page
    assert "■</span>" in page
    assert 'class="slide text"' in page
    assert "evil" not in page


def test_every_font_of_the_style_sheet_is_at_least_18_pt_at_1280_x_720():
    css = (TEMPLATES / "deck.css").read_text(encoding="utf-8").split("@media")[0]
    root = re.search(r"font-size: clamp\(100%, min\(([\d.]+)vw, ([\d.]+)vh\), 300%\)", css)
    assert min(1280 * float(root[1]), 720 * float(root[2])) / 100 >= 23.99
    sizes = re.findall(r"font-size: ([^;]+);", css.replace(root[0], ""))
    assert len(sizes) > 4
    assert all(size.endswith("rem") and float(size[:-3]) >= 1 for size in sizes)


def test_slides_are_data_that_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Slide("a", "text", "A").heading = "B"
