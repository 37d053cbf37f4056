"""Tuning by hand: the user chooses the next change, and says what it should do."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from sutrolib.measurement.measure import Measurement
from sutrolib.notebook.widgets.layout import Cancelled, hbox, html_table, panel, replace_previous_panel, status
from sutrolib.processes.manual import ProposedChange, TuningSession

if TYPE_CHECKING:
    from ipywidgets import VBox

_running: WeakSet[TuningSession] = WeakSet()  # sessions with a step under way, in this panel or an earlier one


def manual_search_panel(session: TuningSession) -> VBox:
    """The next step of a tuning session, chosen by the user: a field, its new value, and the expected effect.

    "Try" measures the start, if that is not done yet, and then the change, in a thread. "Cancel" drops the step as soon
    as the current measurement has ended; finished measurements stay where the session keeps them. A step needs an
    expectation.
    """
    import ipywidgets as widgets

    family, start = session.space.families[0], dict(session.space.start.settings)
    name = widgets.Dropdown(options=list(family.dimensions), description="field")
    value = widgets.Text(description="value", continuous_update=False)
    # Sent as a whole: letter by letter, the last ones could arrive after a click.
    expectation = widgets.Text(
        description="expected", placeholder="what this should change, and why", continuous_update=False
    )
    attempt = widgets.Button(description="Try")
    cancel = widgets.Button(description="Cancel", disabled=True, tooltip="drop the current step")
    cancelled = threading.Event()
    message, steps = widgets.HTML(), widgets.HTML()

    def say(text: str) -> None:
        message.value = status(text)

    def refresh(_change: object = None) -> None:
        here = session.best.proposal.settings if session.steps and session.best.proposal else start
        value.placeholder = f"now {here[name.value]}"
        rows = [(s.title, s.expectation, "kept" if s.kept else "rejected", s.why) for s in session.steps]
        steps.value = html_table(("step", "expected", "decision", "why"), rows) if rows else ""

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

    def on_try(_button: object) -> None:
        if attempt.disabled:  # the second of two quick clicks
            return
        try:
            if not expectation.value.strip():
                raise ValueError("first write what you expect")
            fields = {name.value: _parse(value.value)}
            change = ProposedChange(f"{name.value} = {value.value}", fields, expectation.value)
            session.check(change)
            if session in _running:
                raise ValueError("the previous step has not ended yet: try again in a moment")
            if session.exhausted:
                raise ValueError(f"the budget is used up: {session.exhausted}; start a session with a larger budget")
        except ValueError as error:
            say(str(error))
            return
        _running.add(session)
        attempt.disabled, cancel.disabled = True, False
        cancelled.clear()
        say(f"Measuring the change and the best so far on {session.process.pairs} seeds.")
        threading.Thread(target=work, args=(change,), daemon=True).start()

    def on_cancel(_button: object = None) -> None:
        if not cancel.disabled:
            cancel.disabled = True
            cancelled.set()
            say("Cancelling after the current measurement.")

    name.observe(refresh, names="value")
    attempt.on_click(on_try)
    cancel.on_click(on_cancel)
    replace_previous_panel("manual search", on_cancel)
    refresh()
    return panel([name, value, expectation, hbox(attempt, cancel), message, steps])


def _parse(text: str) -> bool | int | float | str:
    """A truth value or a number if the text reads as one, else the text."""
    text = text.strip()
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
