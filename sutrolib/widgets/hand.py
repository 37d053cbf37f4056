"""A walk by hand: the next change chosen by a person, with what is expected of it."""

from __future__ import annotations

import threading
from html import escape
from typing import TYPE_CHECKING

from sutrolib.findings import markdown_table
from sutrolib.processes.by_hand import Change, Walk
from sutrolib.widgets.frame import panel

if TYPE_CHECKING:
    from ipywidgets import VBox


def hand_panel(walk: Walk) -> VBox:
    """The next step of a walk by hand, chosen by a person: a field, its new value, and what is expected of it.

    "Try" measures the start first where nobody has, and then the change, in a thread of its own: the page stays alive.
    A step without an expectation is not tried.
    """
    import ipywidgets as widgets
    from nbconvert.filters import markdown2html

    family = walk.space.families[0]
    start = dict(walk.space.start.settings)
    name = widgets.Dropdown(options=list(family.dimensions), description="field")
    value = widgets.Text(description="value")
    expectation = widgets.Text(description="expected", placeholder="what this should change, and why")
    attempt = widgets.Button(description="Try")
    message, steps = widgets.HTML(), widgets.HTML()
    steps.add_class("jp-RenderedHTMLCommon")

    def refresh(_change: object = None) -> None:
        here = walk.best.proposal.settings if walk.steps and walk.best.proposal else start
        value.placeholder = f"now {here[name.value]}"
        rows = [(s.title, s.expectation, "kept" if s.kept else "rejected", s.why) for s in walk.steps]
        steps.value = markdown2html(markdown_table(("step", "expected", "decision", "why"), rows)) if rows else ""

    def work(change: Change) -> None:
        try:
            if not walk.steps:
                walk.begin()
            step = walk.step(change)
            message.value = escape(f"{'Kept' if step.kept else 'Rejected'}: {step.why}.")
        except Exception as error:  # raised in a thread, nobody would see it
            message.value = escape(f"Ended in an error: {error}")
        finally:
            attempt.disabled = False
            refresh()

    def on_try(button: widgets.Button) -> None:
        if button.disabled:  # the second of two quick clicks
            return
        try:
            if not expectation.value.strip():
                raise ValueError("say first what you expect of it")
            change = Change(f"{name.value} = {value.value}", {name.value: _plain(value.value)}, expectation.value)
            walk.check(change)
        except ValueError as error:
            message.value = escape(str(error))
            return
        button.disabled = True
        message.value = f"Measuring on {walk.process.pairs} seeds, the best so far beside it."
        threading.Thread(target=work, args=(change,), daemon=True).start()

    name.observe(refresh, names="value")
    attempt.on_click(on_try)
    refresh()
    return panel([name, value, expectation, attempt, message, steps])


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
