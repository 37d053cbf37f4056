"""The touch test: readings of warmth typed in by a person, without a word of which run is which."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from sutrolib.meters.heat import Arm, Observation, Plan, Scale, judge, next_run, write_readings
from sutrolib.meters.warmth import Load
from sutrolib.widgets.frame import panel

if TYPE_CHECKING:
    from ipywidgets import VBox


def reading_panel(
    plan: Plan, run: Callable[[Arm], Load], observed: list[Observation], scale: Scale = "celsius"
) -> VBox:
    """Temperatures or touch scores typed in by a person, run after run of ``plan``, without a word of which is A or B.

    "Start" calls ``run`` with the arm that is due and blocks until it returns; "Record" appends to ``observed``, with
    which a second panel goes on. When all runs are there, the panel shows the verdict, and the readings as text.
    """
    import ipywidgets as widgets

    unit = "deg C" if scale == "celsius" else "touch, 1 cold to 5 hot"
    task, message = widgets.HTML(), widgets.HTML()
    before, after = (widgets.Text(description=name, placeholder=unit) for name in ("before", "after"))
    start = widgets.Button(description="Start the run")
    record = widgets.Button(description="Record")

    def refresh() -> None:
        before.value = after.value = message.value = ""
        due = next_run(plan, observed)
        before.disabled = start.disabled = due is None
        after.disabled = record.disabled = True
        if due is None:
            why, readings = judge(plan, observed, scale).why, write_readings(plan, observed)
            task.value = f"<b>All runs are recorded.</b> {escape(why)}.<br>As a parameter: readings = {readings!r}"
        else:
            task.value = (
                f"<b>Round {due[0]} of {plan.rounds}, {due[1]} run.</b> Let the device rest for up to {plan.rest_s:g} "
                f"s, until its temperature is stable; fill in before ({unit}), and start the run of {plan.run_s:g} s."
            )

    def observe(last: str) -> Observation:
        due = next_run(plan, observed)
        assert due is not None  # the buttons are disabled when no run is left
        return Observation(*due, _number("before", before.value, unit), _number("after", last, unit), scale)

    def on_start(button: widgets.Button) -> None:
        if button.disabled:  # the second of two quick clicks
            return
        try:
            seen = observe(before.value)  # a slip of the pen shows before the run, not after it
        except ValueError as error:
            message.value = escape(str(error))
            return
        before.disabled = start.disabled = True
        message.value = "Running."
        fault = "was interrupted"
        try:
            fault = run(plan.reveal()[seen.round, seen.slot]).fault
        except Exception as error:  # raised, it would be seen in the log only
            fault = f"ended in an error: {error}"
        finally:
            before.disabled = start.disabled = not fault
            after.disabled = record.disabled = bool(fault)
            message.value = escape(f"To be repeated: the run {fault}.") if fault else "Read the device now."

    def on_record(button: widgets.Button) -> None:
        if button.disabled:
            return
        try:
            observed.append(observe(after.value))
        except ValueError as error:
            message.value = escape(str(error))
            return
        refresh()

    start.on_click(on_start)
    record.on_click(on_record)
    refresh()
    return panel([task, before, start, after, record, message])


def _number(name: str, text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text!r}, accepted is a number ({unit}), such as 3 or 30.1") from None
