"""A walk by hand: the next change chosen by a person, with what is expected of it."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from sutrolib.measurement.measure import Measurement
from sutrolib.notebook.widgets.layout import hbox, html_table, replace_previous_panel, panel, status
from sutrolib.processes.manual import ProposedChange, TuningSession

if TYPE_CHECKING:
    from ipywidgets import VBox


_under_way: WeakSet[TuningSession] = WeakSet()  # whose step is in hand, in a panel on show or in one before it


class Cancelled(Exception):
    """Somebody cancelled the step in hand."""


def manual_search_panel(walk: TuningSession) -> VBox:
    """The next step of a walk by hand, chosen by a person: a field, its new value, and what is expected of it.

    "Try" measures the start first where nobody has, and then the change, in a thread of its own: the page stays alive.
    "Cancel" drops the step in hand as soon as the measurement under way has ended; those that have ended are kept where
    the walk keeps them. A step without an expectation is not tried.
    """
    import ipywidgets as widgets

    family = walk.space.families[0]
    start = dict(walk.space.start.settings)
    name = widgets.Dropdown(options=list(family.dimensions), description="field")
    value = widgets.Text(description="value", continuous_update=False)
    why = "what this should change, and why"
    # Letter by letter, the last ones could still be on their way when a click has already arrived.
    expectation = widgets.Text(description="expected", placeholder=why, continuous_update=False)
    attempt = widgets.Button(description="Try")
    cancel = widgets.Button(description="Cancel", disabled=True, tooltip="drop the step in hand")
    cancelled = threading.Event()
    message, steps = widgets.HTML(), widgets.HTML()
    steps.add_class("jp-RenderedHTMLCommon")

    def say(text: str) -> None:
        message.value = status(text)

    def refresh(_change: object = None) -> None:
        here = walk.best.proposal.settings if walk.steps and walk.best.proposal else start
        value.placeholder = f"now {here[name.value]}"
        rows = [(s.title, s.expectation, "kept" if s.kept else "rejected", s.why) for s in walk.steps]
        steps.value = html_table(("step", "expected", "decision", "why"), rows) if rows else ""

    def work(change: ProposedChange) -> None:
        process = walk.process

        def keep_or_end(measurement: Measurement) -> None:
            process.on_measurement(measurement)
            if cancelled.is_set():
                raise Cancelled

        walk.process = dataclasses.replace(process, on_measurement=keep_or_end)
        try:
            if not walk.steps:
                walk.begin()
            step = walk.step(change)
            say(f"{'Kept' if step.kept else 'Rejected'}: {step.why}.")
        except Cancelled:
            say("Cancelled: the step in hand is dropped, and the walk stays where it was.")
        except Exception as error:  # raised in a thread, nobody would see it
            say(f"Ended in an error: {error}")
        finally:
            walk.process = process
            _under_way.discard(walk)
            cancel.disabled, attempt.disabled = True, False
            refresh()

    def on_try(button: widgets.Button) -> None:
        if button.disabled:  # the second of two quick clicks
            return
        try:
            if not expectation.value.strip():
                raise ValueError("say first what you expect of it")
            change = ProposedChange(f"{name.value} = {value.value}", {name.value: _plain(value.value)}, expectation.value)
            walk.check(change)
            if walk in _under_way:
                raise ValueError("the last step of this walk has not ended yet: try again in a moment")
            if walk.exhausted:
                raise ValueError(f"the budget of this walk is used up: {walk.exhausted}; begin one with a larger budget")
        except ValueError as error:
            say(str(error))
            return
        _under_way.add(walk)
        button.disabled, cancel.disabled = True, False
        cancelled.clear()
        say(f"Measuring on {walk.process.pairs} seeds, the best so far beside it.")
        threading.Thread(target=work, args=(change,), daemon=True).start()

    def on_cancel(_button: object = None) -> None:
        if cancel.disabled:  # there is nothing to cancel, or a cancel is under way
            return
        cancel.disabled = True
        cancelled.set()
        say("Cancelling: the measurement under way is brought to its end.")

    name.observe(refresh, names="value")
    attempt.on_click(on_try)
    cancel.on_click(on_cancel)
    replace_previous_panel("hand", on_cancel)
    refresh()
    return panel([name, value, expectation, hbox(attempt, cancel), message, steps])


def _plain(text: str) -> bool | int | float | str:
    """A number or a truth value where the text reads as one, and the text itself where not."""
    if text.strip() in ("True", "False"):
        return text.strip() == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()
