import html
import re
import time
from dataclasses import replace

import ipywidgets
import pytest
from builders import measurement
from nbconvert.filters import markdown2html
from searches import METER, PROBLEM, SPACE

from sutrolib.core.cube import A, Position
from sutrolib.measurement.coverage import count_positions, describe_position, positions_of
from sutrolib.meters.base import Kind, Reading
from sutrolib.meters.lock import meter_lock
from sutrolib.meters.thermal.protocol import HeatObservation, Plan, heat_verdict, parse_readings
from sutrolib.meters.thermal.sensor import LoadResult
from sutrolib.notebook.widgets import (
    by_hand,
    cube_explorer,
    manual_search_panel,
    touch_test_panel,
)
from sutrolib.notebook.widgets.layout import PANEL, html_table, status
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.manual import ManualTuning, TuningSession

ARD = Reading("ard", 100.0, "floats", Kind.COUNTED)
JOULES = Reading("codecarbon", 2.0, "J", Kind.ESTIMATED)
TIME = Reading("time", 1.0, "s", Kind.MEASURED)
BOTH = [measurement(seed=seed, readings=(TIME, ARD, JOULES)) for seed in range(3)]
ESTIMATED = Position("by-hand", "codecarbon", "parity")


def test_a_run_stands_on_every_rung_of_the_metric_axis_that_was_read():
    assert positions_of(BOTH[0]) == [A, ESTIMATED]
    assert positions_of(measurement(readings=(TIME,))) == []
    assert count_positions(BOTH) == {A: 3, ESTIMATED: 3}


def test_a_run_on_a_rung_that_the_cube_does_not_have_is_left_out_and_named():
    elsewhere = measurement(rungs={"process": "by-hand", "problem": "majority"}, readings=(ARD,))
    assert positions_of(elsewhere) == []
    with pytest.warns(UserWarning, match=r"rungs that this cube does not have: problem majority \(1\)"):
        assert count_positions([*BOTH, elsewhere]) == {A: 3, ESTIMATED: 3}


def test_a_run_that_stands_beside_the_cube_is_left_out_and_nothing_is_said_of_it(recwarn):
    nowhere = measurement(rungs={"process": "by-hand", "problem": ""}, readings=(ARD,))
    agent = measurement(rungs={"process": "agent", "problem": "parity"}, readings=(ARD,))
    text = {"name": "next character, windowed", "characters": 200_000}
    excerpt = measurement(rungs={"process": "by-hand", "problem": "shakespeare"}, readings=(ARD,), problem=text)
    for beside in (nowhere, agent, excerpt):
        assert positions_of(beside) == []
        assert count_positions([*BOTH, beside]) == {A: 3, ESTIMATED: 3}
    assert not recwarn.list


def test_a_position_shows_its_runs_by_model_with_their_kind_and_the_steps_on():
    text = describe_position(ESTIMATED, [*BOTH, measurement(score=0.5, readings=(JOULES,))])
    assert "**4 runs measured here**" in text
    assert "| made up | 4 | 3 | 2 J | 2 to 2 | estimated |" in text
    assert "- metric: codecarbon -> joules" in text


def test_an_empty_position_says_so():
    assert "No run in the ledger is of this position" in describe_position(Position("evolution", "ard", "digits"), BOTH)


def test_the_explorer_follows_its_selectors_without_an_output_widget():
    panel = cube_explorer(BOTH)
    *selectors, row = panel.children
    picture, text = row.children
    assert "3 runs measured here" in text.value
    assert "<table" in text.value
    before = picture.value
    selectors[1].value = "dmd"
    assert "No run in the ledger is of this position" in text.value
    assert picture.value != before
    assert "dmd" in re.search('alt="(.*?)"', picture.value)[1]
    # With an Output widget nbclient now and then hangs: its answer and the reply to the cell share a channel.
    assert not any(isinstance(child, ipywidgets.Output) for child in (*panel.children, *row.children))


def test_markup_in_a_name_from_the_ledger_is_shown_and_not_acted_on():
    model = {"name": "<img src=x onerror=alert(1)>"}
    text = cube_explorer([measurement(model=model, readings=(TIME, ARD))]).children[-1].children[-1].value
    assert "<img" not in text
    assert "&lt;img src=x" in text
    assert "<td>&lt;b&gt;</td>" in html_table(["a"], [["<b>"]])


@pytest.mark.parametrize(
    "name", ["[c](javascript:alert(1))", "![x](http://evil/a.png)", "<http://evil>", "www.evil.org"]
)
def test_a_link_in_a_name_from_the_ledger_is_text(name):
    runs = [measurement(model={"name": name}, readings=(TIME, ARD))]
    assert f"<td>{html.escape(name)}</td>" in cube_explorer(runs).children[-1].children[-1].value
    shown = markdown2html(describe_position(A, runs))
    assert "<a" not in shown
    assert "<img" not in shown
    assert name in html.unescape(shown)


HEAT_PLAN = Plan(10, 20, (("A", "B"), ("B", "A"), ("A", "B"), ("B", "A"), ("A", "B")))


@pytest.fixture
def one_call(monkeypatch):
    """Runs take no time: each calls its work once."""

    def run_load(work, run_s, period_s, clock):
        work()
        return LoadResult(1, 10.0, 10.0)

    monkeypatch.setattr(by_hand, "run_load", run_load)


class Person:
    """Works a reading panel through its controls; ``ran`` holds the arms that it ran."""

    def __init__(self, observed, scale="celsius", work=None, plan=HEAT_PLAN, period_s=None):
        self.ran = []
        works = {arm: work or (lambda arm=arm: self.ran.append(arm)) for arm in ("A", "B")}
        self.panel = touch_test_panel(plan, works, observed, scale, period_s)
        self.task, row = self.panel.children
        column, self.picture = row.children
        self.before, buttons, self.bar, self.after, self.record, self.message = column.children
        self.start, self.cancel = buttons.children

    def begin(self, before):
        self.before.value = before
        self.start.click()
        self.until_ended()

    def read(self, before, after):
        self.begin(before)
        self.after.value = after
        self.record.click()

    def until_ended(self):
        wait_until(lambda: self.cancel.disabled)

    @property
    def text(self):
        return self.task.value + self.message.value + re.sub('src=".*?"', "", self.picture.value)

    @property
    def enabled(self):
        names = ("before", "start", "cancel", "after", "record")
        return {name for name in names if not getattr(self, name).disabled}


def wait_until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


@pytest.mark.usefixtures("one_call")
def test_typed_readings_become_observations_of_the_hidden_order_and_end_in_the_verdict():
    observed, rises = [], {"A": iter((5.0, 5.5, 5.2, 5.3, 5.1)), "B": iter((2.0, 2.2, 2.1, 2.0, 2.3))}
    person = Person(observed)
    for (number, slot), arm in HEAT_PLAN.reveal().items():
        assert f"Round {number} of 5, {slot} run" in person.task.value
        assert not re.search(r"\b[AB]\b", person.text), "the order is no longer hidden"
        person.read("30", f"{30 + next(rises[arm]):g}")
    assert person.ran == list(HEAT_PLAN.reveal().values())
    assert heat_verdict(HEAT_PLAN, observed).why in person.task.value
    assert "A is warmer than B" in person.task.value
    assert 'alt="The rises of A and B in each round. A rose more in 5 and B in 0 of 5 rounds.' in person.picture.value
    readings = re.search("readings = '(.*)'", person.task.value)[1]
    assert parse_readings(HEAT_PLAN, readings) == observed
    assert person.enabled == set()


@pytest.mark.usefixtures("one_call")
def test_a_run_is_started_after_a_reading_and_recorded_after_another():
    person = Person(observed := [])
    assert person.enabled == {"before", "start"}
    person.start.click()
    assert "before must be a number" in person.message.value
    assert person.ran == []
    person.before.value = "30"
    person.start.click()
    person.start.click()
    person.until_ended()
    assert person.ran == ["A"], "a second click must not run it twice"
    assert person.bar.value == person.bar.max == HEAT_PLAN.run_s
    assert person.enabled == {"after", "record"}
    person.after.value = "300"
    person.record.click()
    assert "after must be -20 to 150 (got 300.0)" in person.message.value
    assert observed == []
    person.after.value = "33"
    person.record.click()
    assert (person.before.value, person.after.value, person.message.value) == ("", "", "")
    assert person.enabled == {"before", "start"}
    assert [(o.before, o.after) for o in observed] == [(30, 33)]


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda: 1 / 0, "Please repeat: the run ended in an error: division by zero"),
        (lambda: time.sleep(0.3), "Please repeat: the run ended 0."),
    ],
)
def test_a_run_that_failed_or_overran_is_repeated(work, told):
    person = Person(observed := [], work=work, plan=replace(HEAT_PLAN, run_s=0.1))
    person.read("30", "33")
    assert told in person.message.value
    assert person.enabled == {"before", "start"}
    assert observed == []
    assert "Round 1 of 5, first run" in person.task.value


@pytest.mark.usefixtures("one_call")
def test_touch_scores_are_typed_too_and_a_second_panel_goes_on_with_the_first_ones_list():
    observed = []
    Person(observed, "touch").read("2", "4")
    person = Person(observed, "touch")
    assert "Round 1 of 5, second run" in person.task.value
    assert "The rises of first run and second run in each round. 1 of 10 runs are read" in person.picture.value
    person.read("2", "4.5")
    assert "touch score after must be" in person.message.value
    person.after.value = "3"
    person.record.click()
    assert [(o.slot, o.after, o.scale) for o in observed] == [("first", 4, "touch"), ("second", 3, "touch")]
    assert PANEL in person.panel._dom_classes


def test_a_run_goes_on_in_the_background_and_one_that_is_cancelled_is_repeated():
    observed = [HeatObservation(1, "first", 30, 33)]
    person = Person(observed, work=lambda: time.sleep(0.05))
    person.before.value = "31"
    person.start.click()
    wait_until(lambda: "Running: 0 of 10 s." in person.message.value)
    assert person.enabled == {"cancel"}
    person.cancel.click()
    person.until_ended()
    assert "Please repeat: the run was cancelled." in person.message.value
    assert person.enabled == {"before", "start"}
    assert person.bar.value == 0
    assert person.before.value == "31"
    assert [(o.before, o.after) for o in observed] == [(30, 33)]


def test_a_panel_that_takes_the_place_of_another_ends_the_run_of_that_one():
    first = Person([], work=lambda: time.sleep(0.05))
    first.before.value = "31"
    first.start.click()
    Person([])
    first.until_ended()
    assert "Please repeat: the run was cancelled." in first.message.value


def test_a_run_waits_for_another_meters_window_and_can_be_cancelled_meanwhile():
    person = Person([])
    person.before.value = "31"
    with meter_lock():
        person.start.click()
        time.sleep(0.05)
        assert "Waiting for another measurement" in person.message.value
        person.cancel.click()
        person.until_ended()
    assert "the run was cancelled" in person.message.value
    assert person.ran == []


def test_the_rest_of_a_period_ends_when_it_is_cancelled():
    plan = replace(HEAT_PLAN, run_s=1000.0)
    person = Person([], work=lambda: person.cancel.click(), plan=plan, period_s=1000.0)
    person.begin("31")
    assert "the run was cancelled" in person.message.value


class Hand:
    """The panel of a walk by hand, and the person in front of it."""

    def __init__(self, trials=5, **options):
        process = ManualTuning(pairs=5, **options)
        self.session = TuningSession(process, PROBLEM, SPACE, METER, SearchBudget(trials=trials))
        self.panel = manual_search_panel(self.session)
        self.name, self.value, self.expectation, buttons, self.message, self.steps = self.panel.children
        self.button, self.cancel = buttons.children

    def attempt(self, name, value, expectation):
        self.name.value, self.value.value, self.expectation.value = name, value, expectation
        self.button.click()
        for _ in range(600):
            if not self.button.disabled:
                return
            time.sleep(0.05)
        raise AssertionError("the step did not end")


@pytest.mark.usefixtures("steady_clock")
def test_a_step_that_a_person_chooses_is_measured_and_kept_or_not():
    hand = Hand()
    assert hand.value.placeholder == "now 100"
    hand.attempt("hidden", "30", "a third of the units, a third of the cost")
    assert hand.message.value == status("Kept: better in cost.")
    assert [step.title for step in hand.session.steps] == ["start", "hidden = 30"]
    assert hand.session.best.proposal.settings["hidden"] == 30
    assert hand.value.placeholder == "now 30"
    hand.attempt("hidden", "200", "dearer")
    assert hand.message.value == status("Rejected: worse in cost.")
    assert hand.session.best.proposal.settings["hidden"] == 30
    assert "a third of the units" in hand.steps.value
    assert PANEL in hand.panel._dom_classes


@pytest.mark.usefixtures("steady_clock")
def test_a_walk_ends_with_its_budget():
    hand = Hand(trials=1)
    for _ in range(2):
        hand.attempt("hidden", "30", "cheaper")
    assert "the budget is used up: 1 of 1 trials" in hand.message.value
    assert len(hand.session.steps) == 2


@pytest.mark.parametrize(
    ("name", "value", "expectation", "told"),
    [
        ("hidden", "30", " ", "first write what you expect"),
        ("hidden", "3000", "x", "hidden must be an integer from 20 to 200 (got 3000)"),
        ("lr", "fast", "x", "lr must be a number from 0.03 to 1"),
        ("lr", "<b>", "x", "&lt;b&gt;"),
    ],
)
def test_a_step_that_cannot_be_tried_is_refused_before_anything_runs(name, value, expectation, told):
    hand = Hand()
    hand.attempt(name, value, expectation)
    assert told in hand.message.value
    assert hand.session.steps == []


@pytest.mark.usefixtures("steady_clock")
def test_an_error_during_a_step_is_shown_and_the_panel_stays_usable():
    calls = []

    def broken(_):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no space left on device")

    hand = Hand(on_measurement=broken)
    hand.attempt("hidden", "30", "cheaper")
    assert "Error: no space left on device" in hand.message.value
    hand.attempt("hidden", "30", "cheaper")
    assert hand.session.best.proposal.settings["hidden"] == 30
