import math
import multiprocessing
import re
import threading

import ipywidgets
import pytest
from builders import measurement
from searches import PROBLEM, START
from slow_work import LocalConnection, controls_of, until

from sutrolib.measurement.comparison import BusyRatio
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters import Kind, OperationCount, Reading, WallTime
from sutrolib.meters.lock import meter_lock
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.notebook.widgets import run_panel
from sutrolib.notebook.widgets.layout import PANEL
from sutrolib.notebook.widgets.paired_runs import (
    TITLES,
    compare_readings,
    draw_paired_ratios,
    reading_label,
    result_table,
    run_alternating,
    verdict_text,
)
from sutrolib.notebook.widgets.single_run import _RunPanel, input_fields, make_inputs, with_values


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    """A title for the readings of the builders' measurements."""
    monkeypatch.setitem(TITLES, "cost", "made up")


class Person:
    """Works a run panel through its controls; ``kept`` holds the runs that it kept."""

    def __init__(self, seeds=3, keep=None):
        self.kept = []
        self.panel = run_panel(PROBLEM, START, seeds=seeds, first=5, keep=keep or self.kept.append)
        _, self.doing, self.message, self.picture, self.table, *_ = controls_of(self.panel)[""]

    def __getitem__(self, name):
        return controls_of(self.panel)[name]

    @property
    def enabled(self):
        names = {name for name in controls_of(self.panel) if name and name != "progress"}
        return {name for name in names if not self[name].disabled}

    def run(self):
        self["Run both"].click()
        self["Run both"].click()  # the second of two quick clicks

    def ended(self):
        until(lambda: self.message.value)
        return self.message.value


def solved(table):
    """How many seeds each model solved, as the table says."""
    return re.findall(r"(\d+) of (\d+)</td>", table)


def test_a_panel_starts_nothing_and_offers_the_models_that_go_with_its_problem():
    person = Person()
    assert multiprocessing.active_children() == []
    assert PANEL in person.panel._dom_classes
    assert not any(isinstance(w, ipywidgets.Output) for shown in controls_of(person.panel).values() for w in [shown])
    assert person["bits n"].value == 6
    assert person["hidden, units"].value == 100
    assert "Cancel" not in person.enabled
    models = [name for _, name in person["candidate"].options]
    assert models[0] == "two-layer network"
    assert "GF(2) elimination" in models
    assert any(
        "prior knowledge: that it is a parity without noise, and k" in label for label, _ in person["candidate"].options
    )
    person["problem"].value = "handwritten digits"
    names = [name for _, name in person["candidate"].options]
    assert names == ["multi-layer perceptron", "softmax regression", "mixture of experts", "k nearest neighbours"]
    assert person["held back, share"].value == 0.25
    assert "bits n" not in controls_of(person.panel)


def test_a_model_that_is_told_the_number_of_secret_bits_is_told_that_of_the_problem():
    person = Person()
    person["candidate"].value = "Walsh-Fourier search"
    assert person["k, bits"].value == 2
    person["secret bits k"].value = 4
    assert person["k, bits"].value == 4


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("hidden, units", 0, "TwoLayerNetwork: hidden must be 1 to 100000 (got 0)"),
        ("lr", -1.0, "TwoLayerNetwork: lr must be 1e-06 to 100 (got -1.0)"),
        ("secret bits k", 7, "SparseParity: k must be 1 to 6 (got 7)"),
    ],
)
def test_a_value_that_the_problem_or_the_model_refuses_is_answered_in_its_own_words_and_nothing_runs(name, value, told):
    person = Person()
    person[name].value = value
    person.run()
    assert told in person.message.value
    assert "Run both" in person.enabled
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_run_is_weighed_beside_the_baseline_on_the_same_seeds_and_every_run_is_kept():
    person = Person()
    person["candidate"].value = "GF(2) elimination"
    person["average reuse distance (floats, counted)"].value = False
    person.run()
    assert person.enabled == {"Cancel"}
    assert "Verdict" in person.ended()
    assert [(run.seed, run.model["name"]) for run in person.kept] == [
        (seed, name) for seed in (5, 6, 7) for name in ("two-layer network", "GF(2) elimination")
    ]
    assert "operations ratio" in person.message.value
    assert solved(person.table.value)[:2] == [("3", "3"), ("3", "3")]
    assert "wall-clock time (s, measured)</td>" in person.table.value
    assert "operations (counted)</td>" in person.table.value
    assert "average reuse distance" not in person.table.value
    alt = re.search('alt="(.*?)"', person.picture.value)[1]
    assert "Ratio of GF(2) elimination to two-layer network, the baseline" in alt
    assert "operations (counted)" in alt
    assert person["progress"].value == person["progress"].max == 6
    assert "Cancel" not in person.enabled
    assert "Run both" in person.enabled
    alone = measure(PROBLEM, GF2Elimination(), [OperationCount()], 6, timed=False)
    assert person.kept[3].reading("operations").value == alone.reading("operations").value


@pytest.mark.slow
def test_a_cancel_keeps_the_finished_runs_and_nothing_of_the_one_that_it_cut_off():
    person = Person(seeds=100)
    person.run()
    until(lambda: len(person.kept) >= 2)
    person["Cancel"].click()
    assert person.ended().count("Cancelled") == 1
    pairs = len(person.kept) // 2
    assert f"{pairs} of 100 seeds are finished and kept" in person.message.value
    assert all(run.reading("operations") for run in person.kept)
    baseline = len(person.kept) - pairs
    assert solved(person.table.value)[-1][1] == str(baseline)
    assert multiprocessing.active_children() == []
    assert "Run both" in person.enabled


@pytest.mark.slow
def test_a_cancel_ends_a_run_while_another_measurement_holds_the_clock_and_shows_what_was_kept():
    held, done, kept = threading.Event(), threading.Event(), []

    def hold():
        with meter_lock():
            held.set()
            done.wait(60)

    holder = threading.Thread(target=hold)

    def keep(run):
        if not kept:
            holder.start()
            held.wait(60)
        kept.append(run)

    person = Person(seeds=100, keep=keep)
    person.run()
    try:
        until(lambda: kept)
        person["Cancel"].click()
        assert "Cancelled. " in person.ended()
    finally:
        done.set()
        holder.join()
    assert solved(person.table.value)[-1][1] == str(sum(run.model["name"] == START.name for run in kept))


def test_a_panel_that_takes_the_place_of_another_ends_the_run_of_that_one():
    first = Person(seeds=100)
    first.run()
    Person()
    assert "Cancelled. " in first.ended()
    assert multiprocessing.active_children() == []


def test_a_run_that_cannot_be_kept_ends_in_a_sentence_and_frees_the_controls():
    def full(run):
        raise OSError("no space left on device")

    person = Person(keep=full)
    person.run()
    assert "Error: no space left on device. 0 of 3 seeds are finished and kept." in person.ended()
    assert "Run both" in person.enabled
    assert multiprocessing.active_children() == []


def test_the_process_says_which_pass_of_which_run_is_under_way():
    line = LocalConnection()
    run_alternating(line, PROBLEM, {"baseline": START, "candidate": GF2Elimination()}, [OperationCount], range(3, 5))
    finished = [event for event in line.events if isinstance(event, Measurement)]
    names = [START.name, "GF(2) elimination"]
    assert [(run.model["name"], run.seed) for run in finished] == [(name, seed) for seed in (3, 4) for name in names]
    assert [reading.name for reading in finished[0].readings] == ["time", "operations"]
    passes = [event for event in line.events if isinstance(event, str) and "updates" not in event]
    assert [now.partition(":")[0] for now in passes[::3]] == [
        "Seed 3 (1 of 2), baseline",
        "Seed 3 (1 of 2), candidate",
        "Seed 4 (2 of 2), baseline",
        "Seed 4 (2 of 2), candidate",
    ]
    assert [now.partition(": ")[2].split()[0] for now in passes[:3]] == ["waiting", "training", "training"]
    assert "wall-clock time (measured)" in passes[1]
    plain = measure(PROBLEM, START, [WallTime(), OperationCount()], 3)
    assert finished[0].reading("operations") == plain.reading("operations"), "to be watched costs nothing"
    assert finished[0].model == plain.model


def test_fields_become_inputs_by_their_type_and_inputs_a_model_again():
    model = Curriculum()
    inputs = make_inputs(model)
    assert set(inputs) == set(input_fields(model)) >= {"first_bits", "network.lr", "network.loss"}
    assert isinstance(inputs["network.lr"], ipywidgets.FloatText)
    assert isinstance(inputs["first_bits"], ipywidgets.IntText)
    assert inputs["network.loss"].options == ("hinge", "square")
    assert all(control.description for control in inputs.values())
    assert with_values(model, {name: control.value for name, control in inputs.items()}) == model
    inputs["network.lr"].value, inputs["first_bits"].value = 0.5, 4
    changed = with_values(model, {name: control.value for name, control in inputs.items()})
    assert (changed.network.lr, changed.first_bits) == (0.5, 4)


def seeds_of(count, **fields):
    return [measurement(seed=seed, **fields) for seed in range(count)]


def in_turn(candidate, baseline):
    return [run for pair in zip(baseline, candidate, strict=False) for run in pair]


def test_the_table_and_the_figure_compare_the_seeds_that_both_models_have():
    baseline = [measurement(seed=seed, cost=10.0 + seed) for seed in range(6)]
    candidate = [measurement(seed=seed, cost=5.0 + seed / 2) for seed in range(5)]
    found = compare_readings(candidate, baseline)
    labels = [reading_label(reading) for reading, _ in found]
    assert labels == ["wall-clock time (s, measured)", "made up (units, counted)"]
    for (_, ratio), expected in zip(found, (1.0, 0.5), strict=True):
        assert ratio.points == pytest.approx((expected,) * 5)
        assert ratio.value == pytest.approx(expected)
    table = result_table(candidate, baseline, found)
    assert "<td>made up (units, counted)</td><td>6</td><td>12.5</td><td>0.5 [" in table
    assert "; 5 of 5 seeds</td>" in table
    shown = draw_paired_ratios(found, "made up", "baseline")
    assert "made up needs 0.5 times the made up (units, counted) of the baseline, over 5 seeds" in shown
    assert "made up (units, counted) 0.5" in shown
    assert verdict_text(in_turn(candidate, baseline), "cost").startswith("Verdict: passed at 95%")


def test_without_enough_seeds_or_with_failed_runs_there_is_no_ratio_and_the_reason_is_said():
    two, three = seeds_of(2), seeds_of(3)
    assert str(compare_readings(two, two)[0][1]) == "1 (of 1, 1; an interval needs 5 pairs)"
    assert "2 pairs are too few" in verdict_text(in_turn(two, two), "cost")
    failed = [*two, measurement(seed=2, score=None, failure="left the <finite> numbers", readings=())]
    found = compare_readings(failed, three)
    assert [str(ratio) for _, ratio in found] == ["1 (of 1, 1; an interval needs 5 pairs)"] * 2
    assert compare_readings(failed[2:], three[2:])[0][1] == "no seed has it for both"
    table = result_table(failed, three, found)
    assert "Seed 2, made up: left the &lt;finite&gt; numbers." in table
    assert solved(table)[:2] == [("2", "3"), ("3", "3")]


def test_one_diverged_seed_takes_only_its_own_ratio_away():
    baseline, candidate = seeds_of(5, cost=10.0), seeds_of(5, cost=5.0)
    candidate[1] = measurement(seed=1, score=None, failure="left the finite numbers", readings=())
    found = compare_readings(candidate, baseline)
    assert found[1][1].points == pytest.approx((0.5,) * 4)
    assert "<td>0.5 (of 0.5, 0.5, 0.5, 0.5; an interval needs 5 pairs); 4 of 5 seeds</td>" in result_table(
        candidate, baseline, found
    )
    assert "made up needs 0.5 times the made up (units, counted) of the baseline, over 4 seeds" in draw_paired_ratios(
        found, "made up", "baseline"
    )


def test_a_time_of_a_busy_machine_makes_no_title():
    reading = Reading("time", 1.0, "s", Kind.MEASURED)
    shown = draw_paired_ratios([(reading, BusyRatio(0.5, 0.0, math.inf, (0.5,) * 5, load=0.9))], "this", "that")
    assert "needs" not in shown
    assert "this against the baseline, wall-clock time (s, measured): not decided: the machine was busy" in shown


def test_a_figure_does_not_outlive_the_ratios_that_it_shows():
    panel = _RunPanel(PROBLEM, START, 3, 0, print)
    panel.runs = [measurement(), measurement()]
    panel.show()
    assert "<img" in panel.picture.value
    panel.runs[1] = measurement(failure="left the finite numbers", readings=())
    panel.show()
    assert panel.picture.value == ""
