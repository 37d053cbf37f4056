"""Panels for steps that a person takes, with the work of each in a thread: tuning by hand, and the touch test."""

import ast
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from html import escape
from typing import Any
from weakref import WeakSet

import ipywidgets as widgets

from sutrolib.measurement.measure import Measurement
from sutrolib.meters.lock import meter_lock
from sutrolib.meters.thermal import protocol as heat
from sutrolib.meters.thermal.sensor import Clock, run_load
from sutrolib.notebook.widgets.layout import Cancelled, button, hbox, html_table, image, message_line, panel
from sutrolib.plots.metrics import draw_temperature_rises
from sutrolib.processes.manual import ProposedChange, TuningSession

_LOCK_POLL_S = 0.25

_running: WeakSet[TuningSession] = WeakSet()  # sessions with a step under way, in this panel or an earlier one


def manual_search_panel(session: TuningSession) -> widgets.VBox:
    """The next step of a tuning session, chosen by the user: a field, its new value, and the expected effect.

    "Try" measures the start, if that is not done yet, and then the change, in a thread. "Cancel" drops the step as soon
    as the current measurement has ended; finished measurements stay where the session keeps them. A step needs an
    expectation.
    """
    family, start = session.space.families[0], session.space.start
    name = widgets.Dropdown(options=list(family.dimensions), description="field")
    # Texts are sent as a whole: letter by letter, the last ones could arrive after a click.
    value = widgets.Text(description="value", continuous_update=False)
    placeholder = "what this should change, and why"
    expectation = widgets.Text(description="expected", placeholder=placeholder, continuous_update=False)
    message, say = message_line()
    steps = widgets.HTML()
    cancelled = threading.Event()

    def refresh(_change: object = None) -> None:
        best = session.best.proposal or start if session.steps else start
        value.placeholder = f"now {best.settings[name.value]}"
        rows = [(s.title, s.expectation, "kept" if s.kept else "rejected", s.why) for s in session.steps]
        steps.value = html_table(("step", "expected", "decision", "why"), rows)

    def work(change: ProposedChange) -> None:
        process = session.process

        def keep_or_cancel(measurement: Measurement) -> None:
            process.on_measurement(measurement)
            if cancelled.is_set():
                raise Cancelled

        session.process = dataclasses.replace(process, on_measurement=keep_or_cancel)
        try:
            if not session.steps:
                session.begin()
            step = session.step(change)
            say(f"{'Kept' if step.kept else 'Rejected'}: {step.why}.")
        except Cancelled:
            say("Cancelled: the step is dropped, and the best so far stays.")
        except Exception as error:  # in a thread, a raised error would be lost
            say(f"Error: {error}")
        finally:
            session.process = process
            _running.discard(session)
            cancel.disabled, attempt.disabled = True, False
            refresh()

    def on_try() -> None:
        if not expectation.value.strip():
            raise ValueError("first write what you expect")
        change = ProposedChange(f"{name.value} = {value.value}", {name.value: _parse(value.value)}, expectation.value)
        session.check(change)
        if session in _running:
            raise ValueError("the previous step has not ended yet: try again in a moment")
        if session.exhausted:
            raise ValueError(f"the budget is used up: {session.exhausted}; start a session with a larger budget")
        _running.add(session)
        attempt.disabled, cancel.disabled = True, False
        cancelled.clear()
        say(f"Measuring the change and the best so far on {session.process.pairs} seeds.")
        threading.Thread(target=work, args=(change,), daemon=True).start()

    def on_cancel() -> None:
        cancel.disabled = True
        say("Cancelling after the current measurement.")
        cancelled.set()

    attempt = button("Try", on_try, say)
    cancel = button("Cancel", on_cancel, say, disabled=True, tooltip="drop the current step")
    name.observe(refresh, names="value")
    refresh()
    return panel([name, value, expectation, hbox(attempt, cancel), message, steps], "manual search", cancel.click)


def _parse(text: str) -> Any:
    """A truth value or a number if the text reads as one, else the text."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text.strip()


def touch_test_panel(
    plan: heat.Plan,
    works: Mapping[heat.Arm, Callable[[], object]],
    observed: list[heat.HeatObservation],
    scale: heat.ReadingScale = "celsius",
    period_s: float | None = None,
) -> widgets.VBox:
    """The user types in temperatures or touch scores, run after run of ``plan``, without knowing which is A or B.

    "Start" runs the next one of ``works`` as in :func:`sutrolib.meters.thermal.sensor.run_load`, in a thread; "Cancel"
    ends it at its next call. A run that was cancelled or failed is repeated. "Record" appends to ``observed``; another
    panel with the same list goes on from there. After the last run the panel shows the verdict, and the readings as
    text.
    """
    unit = "deg C" if scale == "celsius" else "touch, 1 cold to 5 hot"
    task, picture = widgets.HTML(), widgets.HTML()
    # Sent as a whole: letter by letter, the last ones could arrive after a click.
    before, after = (
        widgets.Text(description=name, placeholder=unit, continuous_update=False) for name in ("before", "after")
    )
    bar = widgets.FloatProgress(max=plan.run_s, description="run")
    message, say = message_line()
    cancelled = threading.Event()

    def enable(*enabled: object) -> None:
        for control in (before, start, cancel, after, record):
            control.disabled = control not in enabled

    def refresh() -> None:
        before.value = after.value = message.value = ""
        bar.value = 0
        picture.value = _draw_readings(plan, observed, scale)
        if due := heat.next_run(plan, observed):
            enable(before, start)
            task.value = (
                f"<b>Round {due[0]} of {plan.rounds}, {due[1]} run.</b> Let the device rest for up to {plan.rest_s:g} "
                f"s, until its temperature is stable; fill in before ({unit}), and start the run of {plan.run_s:g} s."
            )
        else:
            enable()
            why, readings = heat.heat_verdict(plan, observed, scale).why, heat.format_readings(plan, observed)
            task.value = f"<b>All runs are recorded.</b> {escape(why)}.<br>As a parameter: readings = {readings!r}"

    def observation(last: widgets.Text) -> heat.HeatObservation:
        due = heat.next_run(plan, observed)
        assert due is not None  # the buttons are disabled when no run is left
        return heat.HeatObservation(*due, _number(before), _number(last), scale)

    def on_start() -> None:
        checked = observation(before)  # a typing error shows before the run, not after it
        enable(cancel)
        cancelled.clear()
        say("Waiting for another measurement on this machine to end.")
        arm = plan.reveal()[checked.round, checked.slot]
        threading.Thread(target=run, args=(works[arm],), daemon=True).start()

    def run(work: Callable[[], object]) -> None:
        try:
            with acquire_lock():
                began = time.monotonic()
                fault = run_load(lambda: step(work, began), plan.run_s, period_s, Clock(sleep=pause)).fault
            pause()
        except Cancelled:
            fault = "was cancelled"
        except Exception as error:  # in a thread, a raised error would be lost
            fault = f"ended in an error: {error}"
        bar.value = 0 if fault else plan.run_s
        say(f"Please repeat: the run {fault}." if fault else "Read the device now.")
        enable(*(before, start) if fault else (after, record))

    def pause(seconds: float = 0) -> None:
        if cancelled.wait(seconds):
            raise Cancelled

    def acquire_lock() -> AbstractContextManager[object]:
        while True:
            pause()
            with suppress(TimeoutError):
                return meter_lock().acquire(timeout=_LOCK_POLL_S)

    def step(work: Callable[[], object], began: float) -> None:
        pause()
        seconds = int(time.monotonic() - began)
        # Once a second, as more of them would warm the device, and no status, which screen readers would read out.
        if (text := f"Running: {seconds} of {plan.run_s:g} s.") != message.value:
            bar.value, message.value = seconds, text
        work()

    def on_cancel() -> None:
        say("The run ends after its current fit.")
        cancelled.set()

    def on_record() -> None:
        observed.append(observation(after))
        refresh()

    start, record = button("Start the run", on_start, say), button("Record", on_record, say)
    cancel = button("Cancel", on_cancel, say, disabled=True)
    refresh()
    column = [before, widgets.HBox([start, cancel]), bar, after, record, message]
    controls = widgets.VBox(column, layout=widgets.Layout(width="25em"))  # so that the message never moves the figure
    return panel([task, hbox(controls, picture)], "touch test", cancel.click)


def _draw_readings(plan: heat.Plan, observed: Sequence[heat.HeatObservation], scale: heat.ReadingScale) -> str:
    """A figure as HTML: the rises so far by the order of their runs, and after the last run those of A and B."""
    if not observed:
        return ""
    quantity = f"temperature rise, {'K' if scale == 'celsius' else 'steps of the touch score'} (measured)"
    if heat.next_run(plan, observed) is None:
        verdict = heat.heat_verdict(plan, observed, scale)
        rises, names = verdict.rises, ("A", "B")
        title = f"A rose more in {verdict.warmer_a} and B in {verdict.warmer_b} of {len(rises)} rounds"
    else:
        names, nan = ("first run", "second run"), math.nan
        first, second = ({o.round: o.rise for o in observed if o.slot == slot} for slot in ("first", "second"))
        rises = tuple(heat.RoundRises(n, first.get(n, nan), second.get(n, nan)) for n in sorted(first | second))
        title = f"{len(observed)} of {2 * plan.rounds} runs are read; their order is revealed at the end"
    figure = draw_temperature_rises(rises, names, quantity, title)
    figure.set_size_inches(5.3, 3.8)  # leaves room for the controls
    return image(figure, f"The rises of {names[0]} and {names[1]} in each round. {title}.")


def _number(text: widgets.Text) -> float:
    try:
        return float(text.value)
    except ValueError:
        what = f"{text.description} must be a number ({text.placeholder}), such as 3 or 30.1"
        raise ValueError(f"{what} (got {text.value!r})") from None
