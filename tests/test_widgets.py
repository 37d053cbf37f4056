import re
import time

import ipywidgets
import pytest
from builders import measurement
from searches import METER, PROBLEM, SPACE

from sutrolib.cube import A, Position
from sutrolib.meters.base import Kind, Reading
from sutrolib.meters.heat import Plan, judge, parse_readings
from sutrolib.meters.warmth import Load
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.by_hand import ByHand, Walk
from sutrolib.standing import count_positions, describe_position, positions_of
from sutrolib.widgets import (
    PANEL,
    cube_explorer,
    hand_panel,
    reading_panel,
)

ARD = Reading("ard", 100.0, "floats", Kind.COUNTED)
JOULES = Reading("codecarbon", 2.0, "J", Kind.ESTIMATED)
TIME = Reading("time", 1.0, "s", Kind.MEASURED)
BOTH = [measurement(seed=seed, readings=(TIME, ARD, JOULES)) for seed in range(3)]
ESTIMATED = Position("by-hand", "codecarbon", "parity")


def test_a_run_stands_on_every_rung_of_the_metric_axis_that_was_read():
    assert positions_of(BOTH[0]) == [A, ESTIMATED]
    assert positions_of(measurement(readings=(TIME,))) == []
    assert count_positions(BOTH) == {A: 3, ESTIMATED: 3}


def test_a_position_shows_its_runs_by_model_with_their_kind_and_the_steps_on():
    text = describe_position(ESTIMATED, [*BOTH, measurement(score=0.5, readings=(JOULES,))])
    assert "**4 runs measured here**" in text
    assert "| made up | 4 | 3 | 2 J | 2 to 2 | estimated |" in text
    assert "- metric: codecarbon -> joules" in text


def test_an_empty_position_says_so():
    assert "Nothing has been measured here yet" in describe_position(Position("agent", "ard", "digits"), BOTH)


def test_the_explorer_follows_its_selectors_without_an_output_widget():
    panel = cube_explorer(BOTH)
    *selectors, picture, text = panel.children
    assert "3 runs measured here" in text.value
    assert "<table>" in text.value
    before = picture.value
    selectors[1].value = "dmd"
    assert "Nothing has been measured here yet" in text.value
    assert picture.value != before
    assert "dmd" in re.search('alt="(.*?)"', picture.value)[1]
    # With an Output widget nbclient now and then hangs: its answer and the reply to the cell share a channel.
    assert not any(isinstance(child, ipywidgets.Output) for child in panel.children)


HEAT_PLAN = Plan(10, 20, (("A", "B"), ("B", "A"), ("A", "B")))


class Person:
    """Works a reading panel through its controls; ``ran`` holds the arms that it ran."""

    def __init__(self, observed, scale="celsius", run=None):
        self.ran = []
        self.panel = reading_panel(HEAT_PLAN, run or self.run, observed, scale)
        self.task, self.before, self.start, self.after, self.record, self.message = self.panel.children

    def run(self, arm):
        self.ran.append(arm)
        return Load(1, 10.0, 10.0)

    def read(self, before, after):
        self.before.value = before
        self.start.click()
        self.after.value = after
        self.record.click()

    @property
    def text(self):
        return self.task.value + self.message.value

    @property
    def enabled(self):
        controls = {"before": self.before, "start": self.start, "after": self.after, "record": self.record}
        return {name for name, control in controls.items() if not control.disabled}


def test_typed_readings_become_observations_of_the_hidden_order_and_end_in_the_verdict():
    observed, rises = [], {"A": iter((5.0, 5.5, 5.2)), "B": iter((2.0, 2.2, 2.1))}
    person = Person(observed)
    for (number, slot), arm in HEAT_PLAN.reveal().items():
        assert f"Round {number} of 3, {slot} run" in person.task.value
        assert not re.search(r"\b[AB]\b", person.text), "the order is no longer hidden"
        person.read("30", f"{30 + next(rises[arm]):g}")
    assert person.ran == list(HEAT_PLAN.reveal().values())
    assert judge(HEAT_PLAN, observed).why in person.task.value
    assert "A is warmer than B" in person.task.value
    readings = re.search("readings = '(.*)'", person.task.value)[1]
    assert parse_readings(HEAT_PLAN, readings) == observed
    assert person.enabled == set()


def test_a_run_is_started_after_a_reading_and_recorded_after_another():
    person = Person(observed := [])
    assert person.enabled == {"before", "start"}
    person.start.click()
    assert "before=&#x27;&#x27;, accepted is a number" in person.message.value
    assert person.ran == []
    person.before.value = "30"
    person.start.click()
    person.start.click()
    assert person.ran == ["A"], "a second click must not run it twice"
    assert person.enabled == {"after", "record"}
    person.after.value = "300"
    person.record.click()
    assert "after=300.0, accepted are -20 to 150" in person.message.value
    assert observed == []
    person.after.value = "33"
    person.record.click()
    assert (person.before.value, person.after.value, person.message.value) == ("", "", "")
    assert person.enabled == {"before", "start"}
    assert [(o.before, o.after) for o in observed] == [(30, 33)]


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (lambda arm: 1 / 0, "To be repeated: the run ended in an error: division by zero"),
        (lambda arm: Load(1, 20.0, 10.0), "To be repeated: the run ended 10 s too late"),
    ],
)
def test_a_run_that_failed_or_overran_is_repeated(run, told):
    person = Person(observed := [], run=run)
    person.read("30", "33")
    assert told in person.message.value
    assert person.enabled == {"before", "start"}
    assert observed == []
    assert "Round 1 of 3, first run" in person.task.value


def test_touch_scores_are_typed_too_and_a_second_panel_goes_on_with_the_first_ones_list():
    observed = []
    Person(observed, "touch").read("2", "4")
    person = Person(observed, "touch")
    assert "Round 1 of 3, second run" in person.task.value
    person.read("2", "4.5")
    assert "touch score after=4.5" in person.message.value
    person.after.value = "3"
    person.record.click()
    assert [(o.slot, o.after, o.scale) for o in observed] == [("first", 4, "touch"), ("second", 3, "touch")]
    assert PANEL in person.panel._dom_classes


class Hand:
    """The panel of a walk by hand, and the person in front of it."""

    def __init__(self, **options):
        process = ByHand(pairs=3, **options)
        self.walk = Walk(process, PROBLEM, SPACE, METER, SearchBudget(trials=5))
        self.panel = hand_panel(self.walk)
        self.name, self.value, self.expectation, self.button, self.message, self.steps = self.panel.children

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
    assert hand.message.value == "Kept: better in cost."
    assert [step.title for step in hand.walk.steps] == ["start", "hidden = 30"]
    assert hand.walk.best.proposal.settings["hidden"] == 30
    assert hand.value.placeholder == "now 30"
    hand.attempt("hidden", "200", "dearer")
    assert hand.message.value == "Rejected: worse in cost."
    assert hand.walk.best.proposal.settings["hidden"] == 30
    assert "a third of the units" in hand.steps.value
    assert PANEL in hand.panel._dom_classes


@pytest.mark.parametrize(
    ("name", "value", "expectation", "told"),
    [
        ("hidden", "30", " ", "say first what you expect of it"),
        ("hidden", "3000", "x", "hidden=3000, accepted are whole numbers from 20 to 200"),
        ("lr", "fast", "x", "accepted are numbers from 0.03 to 1"),
        ("lr", "<b>", "x", "&lt;b&gt;"),
    ],
)
def test_a_step_that_cannot_be_tried_is_refused_before_anything_runs(name, value, expectation, told):
    hand = Hand()
    hand.attempt(name, value, expectation)
    assert told in hand.message.value
    assert hand.walk.steps == []


@pytest.mark.usefixtures("steady_clock")
def test_an_error_during_a_step_is_shown_and_the_panel_stays_usable():
    calls = []

    def broken(_):
        calls.append(1)
        if len(calls) == 1:
            raise OSError("no space left on device")

    hand = Hand(on_measurement=broken)
    hand.attempt("hidden", "30", "cheaper")
    assert "Ended in an error: no space left on device" in hand.message.value
    hand.attempt("hidden", "30", "cheaper")
    assert hand.walk.best.proposal.settings["hidden"] == 30
