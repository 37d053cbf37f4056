"""The heat check: the thermal model, the plan, the verdict, the sensor and the protocol on a simulated device."""

import math
import re
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sutrolib.meters.base import NoReading
from sutrolib.meters.lock import meter_lock
from sutrolib.meters.thermal.model import ThermalModel, simulate_readings
from sutrolib.meters.thermal.protocol import (
    HeatObservation,
    Plan,
    format_readings,
    heat_verdict,
    next_run,
    parse_readings,
)
from sutrolib.meters.thermal.sensor import (
    Clock,
    Sensor,
    SettlingCriterion,
    find_sensor,
    run_load,
    run_protocol,
    sensor_available,
    valid_observations,
)

MODEL = ThermalModel(resistance=2, capacity=50, touch=1)  # a time constant of 100 s
SETTLING = SettlingCriterion(100)
AMOUNTS = st.floats(0, 1000)
PLAN = Plan(10, 20, (("A", "B"), ("B", "A"), ("A", "B")))
FIVE = Plan(10, 20, (("A", "B"), ("B", "A"), ("A", "B"), ("B", "A"), ("A", "B")))


def observe(plan, a, b, scale="celsius", before=3.0):
    """Observations of every run of the plan, the rise of A in round i being a[i - 1], that of B b[i - 1]."""
    rises = {"A": a, "B": b}
    return [
        HeatObservation(number, slot, before, before + rises[arm][number - 1], scale)
        for (number, slot), arm in plan.reveal().items()
    ]


class Device:
    """A simulated device with a clock of its own: time passes in ``sleep`` and in its works."""

    def __init__(self, model=MODEL, noise=0.0, seed=0):
        self.model, self.noise, self.rng = model, noise, np.random.default_rng(seed)
        self.now = self.above = 0.0
        self.calls = []

    def clock(self):
        return self.now

    def sleep(self, seconds, power=0.0):
        self.now += seconds
        self.above = self.model.remaining_rise(self.above, seconds) + self.model.rise(power, seconds)

    def work(self, name, power, seconds):
        def call():
            self.calls.append((name, self.now))
            self.sleep(seconds, power)

        return call

    def read(self):
        return 25 + self.above + self.noise * self.rng.standard_normal()

    def run(self, plan, works, runs, settling=SETTLING, **options):
        run_protocol(plan, works, self.read, runs, settling, clock=Clock(self.clock, self.sleep), **options)


# The thermal model


def test_a_rise_is_63_percent_of_the_steady_state_after_one_time_constant():
    assert MODEL.time_constant == 100
    assert MODEL.rise(10, 100) == pytest.approx(20 * (1 - 1 / math.e))
    assert (MODEL.rise(10, 0), MODEL.rise(0, 50), MODEL.rise(10, math.inf)) == (0, 0, 20)
    assert MODEL.remaining_rise(20, 100) == pytest.approx(20 / math.e)
    assert MODEL.remaining_rise(20, MODEL.rest_seconds(20)) == pytest.approx(MODEL.noise)
    assert MODEL.rest_seconds(MODEL.noise / 2) == 0


@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_run_in_two_parts_warms_as_one_run_does(power, first, second):
    carried = MODEL.remaining_rise(MODEL.rise(power, first), second)
    assert carried + MODEL.rise(power, second) == pytest.approx(MODEL.rise(power, first + second))


@given(st.floats(0, 100), st.floats(0, 100), st.integers(1, 100), st.sampled_from(["celsius", "touch"]))
def test_the_seconds_to_tell_are_those_after_which_two_rises_differ_by_the_threshold(a, b, rounds, scale):
    least = MODEL.detectable_difference(rounds, scale)
    assume(abs(a - b) * MODEL.resistance > 1.001 * least)
    seconds = MODEL.run_seconds_needed(a, b, rounds, scale)
    assert abs(MODEL.rise(a, seconds) - MODEL.rise(b, seconds)) == pytest.approx(least, rel=1e-6)


def test_a_thermometer_tells_less_with_more_rounds_and_a_hand_does_not():
    assert MODEL.detectable_difference(1) == pytest.approx(3.24 * 2 * 0.5)
    assert MODEL.detectable_difference(16) == pytest.approx(MODEL.detectable_difference(1) / 4)
    assert MODEL.detectable_difference(1, "touch") == MODEL.detectable_difference(16, "touch") == MODEL.touch


def test_powers_too_close_to_be_told_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"power_a=5 W, power_b=5\.1 W.* 0\.2 K.* 1 K .*touch"):
        MODEL.run_seconds_needed(5, 5.1, 3, "touch")


# The plan


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_each_round_holds_both_and_a_comes_first_in_half_of_them(rounds, seed):
    plan = Plan.make(rounds, 30, 60, seed)
    assert plan.rounds == rounds
    assert all(sorted(order) == ["A", "B"] for order in plan.orders)
    assert abs(2 * plan.orders.count(("A", "B")) - rounds) <= 1
    assert list(plan.reveal().values()) == [arm for order in plan.orders for arm in order]


def test_no_print_of_a_plan_shows_its_order_and_its_seed_decides_it():
    plans = [Plan.make(5, 30, 60, seed) for seed in range(20)]
    assert {str(plan) for plan in plans} == {repr(plans[0])}
    assert len({plan.orders for plan in plans}) > 10
    assert {plan.orders[0][0] for plan in plans} == {"A", "B"}
    assert {plan.orders.count(("A", "B")) for plan in plans} == {2, 3}
    assert Plan.make(5, 30, 60, 7) == plans[7]
    assert plans[0].seconds == 5 * 2 * 90


# The verdict


def test_the_ratio_of_the_powers_of_a_modelled_device_lies_in_its_interval_in_most_experiments():
    plan = Plan.make(6, 100, 600, 0)
    inside = 0
    for seed in range(200):
        verdict = heat_verdict(plan, simulate_readings(plan, MODEL, {"A": 12, "B": 8}, seed))
        assert verdict.warmer == "A"
        inside += verdict.ratio.low < 1.5 < verdict.ratio.high
    assert 180 <= inside <= 198  # 190 of 200 in the mean


def test_equal_powers_are_seldom_told_apart():
    plan = Plan.make(6, 100, 600, 0)
    told = [heat_verdict(plan, simulate_readings(plan, MODEL, {"A": 10, "B": 10}, seed)).warmer for seed in range(200)]
    assert 2 <= 200 - told.count(None) <= 20  # 10 of 200 in the mean


def test_a_verdict_says_its_numbers():
    verdict = heat_verdict(FIVE, observe(FIVE, a=[4.0, 4.4, 4.2, 4.1, 4.3], b=[2.0, 2.1, 2.2, 2.1, 2.1]))
    assert (verdict.warmer, verdict.warmer_a, verdict.warmer_b, verdict.incomplete) == ("A", 5, 0, 0)
    assert [(r.round, round(r.a, 9), round(r.b, 9)) for r in verdict.rises] == [
        (1, 4.0, 2.0),
        (2, 4.4, 2.1),
        (3, 4.2, 2.2),
        (4, 4.1, 2.1),
        (5, 4.3, 2.1),
    ]
    assert "A is warmer than B: A rose more in 5 and B in 0 of 5 complete rounds (sign test p = 0.0625)" in verdict.why
    assert "rise of A minus rise of B 2.1 [" in verdict.why
    assert "power above idle, A over B, 2 [" in verdict.why
    assert verdict.ratio.value == pytest.approx(2)
    assert verdict.ratio.low < 2 < verdict.ratio.high
    other = heat_verdict(FIVE, observe(FIVE, a=[2.0, 2.1, 2.2, 2.1, 2.1], b=[4.0, 4.4, 4.2, 4.1, 4.3]))
    assert other.warmer == "B"


def test_four_complete_rounds_give_signs_and_no_interval():
    verdict = heat_verdict(FIVE, observe(FIVE, a=[4, 4, 4, 4, 4], b=[2, 3, 2, 3, 2])[:9])
    assert (verdict.difference, verdict.ratio, verdict.warmer, verdict.incomplete) == (None, None, None, 1)
    assert "needs 5 complete rounds (got 4)" in verdict.why
    assert "incomplete and left out: 1 of 5 rounds" in verdict.why


def test_touch_scores_give_signs_and_no_ratio():
    plan = Plan.make(6, 100, 600, 0)
    verdict = heat_verdict(plan, observe(plan, a=[2, 1, 2, 2, 1, 1], b=[0, 0, 1, 0, 0, 0], scale="touch"), "touch")
    assert (verdict.difference, verdict.ratio) == (None, None)
    assert (verdict.warmer, verdict.p_value) == ("A", pytest.approx(2 / 64))
    assert "touch scores have no unit" in verdict.why


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (
            [4, 5, 4, 5, 4],
            [0.1, -0.1, 0.1, -0.1, 0],
            r"the rise of B is not shown to be above 0; A's is at least \d+\.?\d* times",
        ),
        (
            [0.1, -0.1, 0.1, -0.1, 0],
            [4, 5, 4, 5, 4],
            r"the rise of A is not shown to be above 0; B's is at least \d+\.?\d* times",
        ),
        ([0.1, -0.1, 0.1, -0.1, 0], [0, 0.1, -0.2, 0.2, 0.1], "neither rise is shown to be above 0"),
        ([4, 5, 4, 5, 4], [2, 2.5, 2, 2.5, 2], "all 5 rounds have the same ratio"),
    ],
)
def test_a_ratio_takes_two_rises_above_zero_and_some_scatter(a, b, why):
    verdict = heat_verdict(FIVE, observe(FIVE, a, b))
    assert verdict.difference is not None
    assert verdict.ratio is None
    assert re.search(f"no ratio: {why}", verdict.why)


def test_rounds_that_agree_to_the_last_digit_are_no_certainty():
    verdict = heat_verdict(FIVE, observe(FIVE, a=[5] * 5, b=[3] * 5))
    assert (verdict.difference, verdict.ratio, verdict.warmer) == (None, None, None)
    assert "all 5 rounds have the same difference" in verdict.why


def test_without_a_complete_round_nothing_was_measured():
    first = observe(PLAN, a=[4, 4, 4], b=[2, 2, 2])
    for observations in ([], [first[0], first[2]]):
        with pytest.raises(NoReading, match="nothing was measured, because none of 3 rounds"):
            heat_verdict(PLAN, observations)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (
            lambda: heat_verdict(PLAN, 2 * [HeatObservation(1, "first", 20, 21)]),
            "round 1, first run: observed more than once",
        ),
        (
            lambda: heat_verdict(PLAN, [HeatObservation(4, "first", 20, 21)]),
            "round 4, first run: the plan has only 3 rounds",
        ),
        (
            lambda: heat_verdict(PLAN, [HeatObservation(1, "first", 2, 3)], "touch"),
            "scale must be 'touch'",
        ),
        (lambda: heat_verdict(PLAN, [], "kelvin"), "scale must be one of celsius, touch .got 'kelvin'"),
        (lambda: HeatObservation(1, "first", 1, 6, "touch"), "touch score after must be .*got 6"),
        (lambda: HeatObservation(1, "first", 2.5, 3, "touch"), r"touch score before must be .*got 2\.5"),
        (lambda: HeatObservation(1, "first", 0, 3, "touch"), "touch score before must be .*got 0"),
        (lambda: HeatObservation(1, "first", 30, 151), "after.*151"),
        (lambda: HeatObservation(1, "first", math.nan, 30), "before.*nan"),
        (lambda: HeatObservation(0, "first", 30, 31), "round must be .*got 0"),
        (lambda: HeatObservation(1, "third", 30, 31), "slot must be .*got 'third'"),
        (lambda: Plan.make(0, 30, 60, 0), "rounds must be .*got 0"),
        (lambda: Plan.make(2, 0, 60, 0), "run_s.*0"),
        (lambda: Plan(30, 60, (("A", "A"),)), r"orders must be .*got \(\('A', 'A'\),\)"),
        (lambda: ThermalModel(resistance=0, capacity=1), "resistance.*0"),
        (lambda: MODEL.rise(-1, 5), "power_w must be .*got -1"),
        (lambda: MODEL.remaining_rise(1, math.nan), "seconds must be .*got nan"),
        (lambda: MODEL.detectable_difference(3, "smell"), "scale must be .*got 'smell'"),
        (lambda: SettlingCriterion(window_s=10, poll_s=6), "poll_s.*6"),
        (lambda: run_load(print, 10, 11), "period_s must be above 0 and up to run_s=10 s .got 11"),
        (
            lambda: run_protocol(PLAN, {"A": print}, lambda: 20, [], SETTLING),
            r"works must hold one work each for A and B \(got \['A'\]",
        ),
    ],
)
def test_what_is_not_accepted_is_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


# Readings as text


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(-2000, 15000), st.integers(-2000, 15000))), max_size=6))
def test_readings_written_as_text_are_read_back(pairs):
    runs = zip(PLAN.reveal(), pairs, strict=False)
    observations = [HeatObservation(*key, pair[0] / 100, pair[1] / 100) for key, pair in runs if pair is not None]
    assert parse_readings(PLAN, format_readings(PLAN, observations)) == observations


def test_readings_are_before_and_after_in_the_order_of_time_and_a_dash_is_a_run_not_read():
    found = parse_readings(PLAN, " 30.1 35.2; -;30.3 33;")
    assert found == [HeatObservation(1, "first", 30.1, 35.2), HeatObservation(2, "first", 30.3, 33)]
    assert next_run(PLAN, found) == (1, "second")
    assert next_run(PLAN, observe(PLAN, [1, 1, 1], [1, 1, 1])) is None
    assert parse_readings(PLAN, "  ") == []
    assert parse_readings(PLAN, "2 4", "touch") == [HeatObservation(1, "first", 2, 4, "touch")]


@pytest.mark.parametrize(
    ("text", "scale", "named"),
    [
        ("30 35; 30", "celsius", "run 2 of readings must be two numbers, .*got '30'"),
        ("30,1 35,2", "celsius", "run 1 of readings .*got '30,1 35,2'"),
        ("30 35;; 30 35", "celsius", "run 2 of readings .*got ''"),
        ("30 35; 30 350", "celsius", "run 2 of readings .*got '30 350'.*after.*350"),
        ("2 6", "touch", "run 1 of readings .*got '2 6'.*touch score after"),
        ("1 2; " * 7, "celsius", "at most the 6 runs of the plan .got 7"),
        ("1 2", "smell", "scale must be .*got 'smell'"),
    ],
)
def test_text_that_is_no_reading_is_refused_by_its_run(text, scale, named):
    with pytest.raises(ValueError, match=named):
        parse_readings(PLAN, text, scale)


# The sensor


def fake_sensors(monkeypatch, **chips):
    entries = {
        chip: [SimpleNamespace(label=label, current=current) for label, current in found]
        for chip, found in chips.items()
    }
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: entries, raising=False)


def test_the_processor_is_preferred_to_the_board_and_a_drive_is_no_choice(monkeypatch):
    drive, board = [("Composite", 40.0)], [("", 30.0), ("", 31.0)]
    fake_sensors(monkeypatch, nvme=drive, acpitz=board, coretemp=[("Core 0", 50.0), ("Package id 0", 52.0)])
    assert find_sensor() == Sensor("coretemp", "Package id 0")
    assert find_sensor().read() == 52.0
    assert sensor_available().ok
    assert sensor_available().why == "sensor coretemp Package id 0"
    fake_sensors(monkeypatch, nvme=drive, acpitz=board, k10temp=[("Tctl", 0.0), ("Tdie", -273.0)])
    assert find_sensor([("k10temp", "Tdie"), ("acpitz", "")]) == Sensor("acpitz", "")
    assert Sensor("acpitz", "").read() == 30.0
    fake_sensors(monkeypatch, nvme=drive)
    with pytest.raises(NoReading, match=r"this machine has nvme Composite \(40 deg C\)"):
        find_sensor()
    assert find_sensor([("nvme", "Composite")]).read() == 40.0


def test_a_machine_without_sensors_says_so_and_a_sensor_that_goes_gives_no_number(monkeypatch):
    fake_sensors(monkeypatch)
    assert not sensor_available().ok
    assert "this machine has none" in sensor_available().why
    with pytest.raises(NoReading, match="sensor acpitz is gone"):
        Sensor("acpitz", "").read()
    fake_sensors(monkeypatch, acpitz=[("", -273.2)])
    with pytest.raises(NoReading, match=r"reads -273\.2 deg C"):
        Sensor("acpitz", "").read()
    monkeypatch.delattr(psutil, "sensors_temperatures")
    assert sensor_available().why == "heat: psutil reads no temperature sensors on this operating system"


# The protocol


def test_the_protocol_recovers_the_ratio_of_the_powers_of_a_simulated_device():
    plan = Plan.make(6, 100, 600, 3)
    inside = 0
    for seed in range(20):
        device, runs = Device(noise=0.2, seed=seed), []
        works = {"A": device.work("A", 12, 0.5), "B": device.work("B", 8, 0.5)}
        device.run(plan, works, runs, settling=SettlingCriterion(100, 1.0, 5))
        inside += (ratio := heat_verdict(plan, valid_observations(runs)).ratio).low < 1.5 < ratio.high
        assert abs(ratio.value - 1.5) < 0.15
    assert inside >= 17


def test_at_an_equal_pace_the_ratio_is_that_of_joules_a_call():
    device, runs, plan = Device(noise=0.01), [], Plan.make(5, 100, 1000, 3)
    works = {"A": device.work("A", 20, 0.8), "B": device.work("B", 20, 0.2)}
    device.run(plan, works, runs, SettlingCriterion(100, 0.05), period_s=1.0)
    assert {run.load.calls for run in runs} == {100}
    assert heat_verdict(plan, valid_observations(runs)).ratio.value == pytest.approx(4, rel=0.03)
    assert len([name for name, _ in device.calls if name == "A"]) == 5 * 100


def test_the_runs_follow_the_plan_and_each_rest_ends_when_the_temperature_is_stable():
    device, runs, plan = Device(), [], Plan.make(3, 50, 2000, 1)
    works = {"A": device.work("A", 10, 50), "B": device.work("B", 5, 50)}
    device.run(plan, works, runs, settling=SettlingCriterion(100, 0.5, 1))
    assert [name for name, _ in device.calls] == list(plan.reveal().values())
    assert [(run.observation.round, run.observation.slot) for run in runs] == list(plan.reveal())
    assert all(run.settled and 99 <= run.rest_s < 500 for run in runs)
    assert all(run.observation.before - 25 < 0.5 / (math.e - 1) + 0.01 for run in runs)  # as the module says
    assert runs[0].observation.rise == pytest.approx(MODEL.rise({"A": 10, "B": 5}[plan.orders[0][0]], 50))


def test_a_rest_ends_by_its_time_where_the_temperature_still_moves():
    device, runs, plan = Device(), [], Plan.make(1, 50, 20, 1)
    works = {arm: device.work(arm, 10, 50) for arm in "AB"}
    device.run(plan, works, runs, settling=SettlingCriterion(10, 0.0, 3))
    assert runs[0].settled  # rested from the start
    assert not runs[1].settled
    assert runs[1].rest_s == pytest.approx(20)


def test_a_run_whose_last_call_ends_too_late_is_noted_and_left_out():
    device, runs, plan = Device(), [], Plan.make(3, 50, 20, 1)
    device.run(plan, {"A": device.work("A", 10, 20), "B": device.work("B", 5, 5)}, runs)
    late = [run for run in runs if run.load.fault]
    assert {run.load.calls for run in late} == {3}
    assert [run.load.fault for run in late] == ["ended 10 s too late for a run of 50 s"] * 3
    assert len(valid_observations(runs)) == 3
    with pytest.raises(NoReading, match="nothing was measured"):
        heat_verdict(plan, valid_observations(runs))


def test_a_work_that_cannot_hold_its_pace_is_broken_off():
    device = Device()
    load = run_load(device.work("A", 10, 3), 100, 1, Clock(device.clock, device.sleep))
    assert load.calls == 36  # the first to end beyond 105 s
    assert "too late" in load.fault
    hiccup = iter([0.1, 1.5, 0.1, 0.1])
    load = run_load(lambda: device.sleep(next(hiccup)), 4, 1, Clock(device.clock, device.sleep))
    assert (load.calls, load.fault) == (4, "")
    assert load.seconds == pytest.approx(4)


def test_the_lock_is_held_from_the_first_rest_on_and_an_error_frees_it_and_loses_no_run():
    device, runs, plan, held = Device(), [], Plan.make(2, 10, 60, 1), []
    good = {arm: device.work(arm, 10, 5) for arm in "AB"}

    def failing():
        held.append(meter_lock().is_locked)
        if len(runs) == 2:
            raise ZeroDivisionError("made up")
        device.sleep(5, 10)

    def read():
        held.append(meter_lock().is_locked)
        return 25.0

    with pytest.raises(ZeroDivisionError):
        run_protocol(plan, {"A": failing, "B": failing}, read, runs, SETTLING, clock=Clock(device.clock, device.sleep))
    assert all(held)
    assert not meter_lock().is_locked
    assert len(runs) == 2
    device.run(plan, good, runs)
    assert [(run.observation.round, run.observation.slot) for run in runs] == list(plan.reveal())
    assert not meter_lock().is_locked


def test_a_reading_that_fails_frees_the_lock_too():
    device, runs = Device(), []
    with pytest.raises(NoReading, match="is gone"):
        run_protocol(PLAN, {arm: device.work(arm, 1, 5) for arm in "AB"}, Sensor("no", "chip").read, runs, SETTLING)
    assert (runs, meter_lock().is_locked) == ([], False)
