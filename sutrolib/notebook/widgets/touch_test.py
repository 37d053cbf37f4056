"""The touch test: the user types in temperatures, and does not know which run is which."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from html import escape
from typing import TYPE_CHECKING

from sutrolib.meters.lock import meter_lock
from sutrolib.meters.thermal.protocol import (
    Arm,
    HeatObservation,
    Plan,
    ReadingScale,
    RoundRises,
    format_readings,
    heat_verdict,
    next_run,
)
from sutrolib.meters.thermal.sensor import Clock, LoadResult, run_load
from sutrolib.notebook.widgets.layout import Cancelled, hbox, image, panel, replace_previous_panel, status

if TYPE_CHECKING:
    from ipywidgets import VBox

_LOCK_POLL_S = 0.25
_TICK_S = 1.0  # between two updates of the bar: more of them would warm the device


@dataclasses.dataclass(frozen=True)
class RunControl:
    """Signals of a run in the background: ``cancel`` ends it, ``started`` means that its seconds count."""

    cancel: threading.Event = dataclasses.field(default_factory=threading.Event)
    started: threading.Event = dataclasses.field(default_factory=threading.Event)


def run_cancellable(
    work: Callable[[], object], run_s: float, period_s: float | None, control: RunControl
) -> LoadResult:
    """:func:`sutrolib.meters.thermal.sensor.run_load` that a cancel ends at the next call of ``work``.

    Raises Cancelled then, also while it waits for the measurement of another meter to end.
    """

    def work_or_cancel() -> None:
        if control.cancel.is_set():
            raise Cancelled
        work()

    def sleep(seconds: float) -> None:
        control.cancel.wait(seconds)

    with _acquire_lock(control.cancel):
        control.started.set()
        load = run_load(work_or_cancel, run_s, period_s, Clock(sleep=sleep))
    if control.cancel.is_set():  # in the rest of the last period
        raise Cancelled
    return load


def _acquire_lock(cancel: threading.Event) -> AbstractContextManager[object]:
    while not cancel.is_set():
        with suppress(TimeoutError):
            return meter_lock().acquire(timeout=_LOCK_POLL_S)
    raise Cancelled


def touch_test_panel(
    plan: Plan,
    run: Callable[[Arm, RunControl], LoadResult],
    observed: list[HeatObservation],
    scale: ReadingScale = "celsius",
) -> VBox:
    """The user types in temperatures or touch scores, run after run of ``plan``, without knowing which is A or B.

    "Start" calls ``run`` with the next arm in a thread, "Cancel" ends it; a run that was cancelled or failed is
    repeated. "Record" appends to ``observed``; another panel with the same list goes on from there. After the last run
    the panel shows the verdict, and the readings as text.
    """
    import ipywidgets as widgets

    unit = "deg C" if scale == "celsius" else "touch, 1 cold to 5 hot"
    task, message, picture = widgets.HTML(), widgets.HTML(), widgets.HTML()
    # Sent as a whole: letter by letter, the last ones could arrive after a click.
    before, after = (
        widgets.Text(description=name, placeholder=unit, continuous_update=False) for name in ("before", "after")
    )
    start = widgets.Button(description="Start the run")
    cancel, record = widgets.Button(description="Cancel", disabled=True), widgets.Button(description="Record")
    bar = widgets.FloatProgress(max=plan.run_s, description="run")
    latest = RunControl()

    def say(text: str) -> None:
        message.value = status(text)

    def refresh() -> None:
        before.value = after.value = message.value = ""
        bar.value = 0
        due = next_run(plan, observed)
        before.disabled = start.disabled = due is None
        after.disabled = record.disabled = True
        picture.value = _draw_readings(plan, observed, scale)
        if due is None:
            why, readings = heat_verdict(plan, observed, scale).why, format_readings(plan, observed)
            task.value = f"<b>All runs are recorded.</b> {escape(why)}.<br>As a parameter: readings = {readings!r}"
        else:
            task.value = (
                f"<b>Round {due[0]} of {plan.rounds}, {due[1]} run.</b> Let the device rest for up to {plan.rest_s:g} "
                f"s, until its temperature is stable; fill in before ({unit}), and start the run of {plan.run_s:g} s."
            )

    def observation(after_text: str) -> HeatObservation:
        due = next_run(plan, observed)
        assert due is not None  # the buttons are disabled when no run is left
        return HeatObservation(*due, _number("before", before.value, unit), _number("after", after_text, unit), scale)

    def on_start(_button: object) -> None:
        nonlocal latest
        if start.disabled:  # the second of two quick clicks
            return
        try:
            checked = observation(before.value)  # a typing error shows before the run, not after it
        except ValueError as error:
            say(str(error))
            return
        before.disabled = start.disabled = True
        cancel.disabled = False
        latest = RunControl()
        arm = plan.reveal()[checked.round, checked.slot]
        threading.Thread(target=work, args=(arm, latest), daemon=True).start()

    def work(arm: Arm, control: RunControl) -> None:
        ended = threading.Event()
        ticks = threading.Thread(target=show_progress, args=(control, ended), daemon=True)
        ticks.start()
        try:
            fault = run(arm, control).fault
        except Cancelled:
            fault = "was cancelled"
        except Exception as error:  # in a thread, a raised error would be lost
            fault = f"ended in an error: {error}"
        ended.set()
        ticks.join()
        bar.value = 0 if fault else plan.run_s
        say(f"Please repeat: the run {fault}." if fault else "Read the device now.")
        before.disabled = start.disabled = not fault
        after.disabled = record.disabled = bool(fault)
        cancel.disabled = True

    def show_progress(control: RunControl, ended: threading.Event) -> None:
        say("Waiting for another measurement on this machine to end.")
        while not (control.started.wait(_LOCK_POLL_S) or ended.is_set()):
            pass
        began = time.monotonic()
        while not ended.is_set():
            bar.value = min(plan.run_s, time.monotonic() - began)
            state = "Ends after its current fit." if control.cancel.is_set() else "Running:"
            # Not a status: screen readers would read it out every second.
            message.value = f"{state} {bar.value:.0f} of {plan.run_s:g} s."
            ended.wait(_TICK_S)

    def on_record(_button: object) -> None:
        if record.disabled:
            return
        try:
            observed.append(observation(after.value))
        except ValueError as error:
            say(str(error))
            return
        refresh()

    def on_cancel(_button: object = None) -> None:
        latest.cancel.set()

    start.on_click(on_start)
    cancel.on_click(on_cancel)
    replace_previous_panel("touch test", on_cancel)
    record.on_click(on_record)
    refresh()
    column = [before, widgets.HBox([start, cancel]), bar, after, record, message]
    controls = widgets.VBox(column, layout=widgets.Layout(width="25em"))  # so that the message never moves the figure
    return panel([task, hbox(controls, picture)])


def _draw_readings(plan: Plan, observed: Sequence[HeatObservation], scale: ReadingScale) -> str:
    """A figure as HTML: the rises so far by the order of their runs, and after the last run those of A and B."""
    if not observed:
        return ""
    from sutrolib.plots.metrics import draw_temperature_rises

    quantity = f"temperature rise, {'K' if scale == 'celsius' else 'steps of the touch score'} (measured)"
    if next_run(plan, observed) is None:
        verdict = heat_verdict(plan, observed, scale)
        rises, names = verdict.rises, ("A", "B")
        title = f"A rose more in {verdict.warmer_a} and B in {verdict.warmer_b} of {len(rises)} rounds"
    else:
        found = {(o.round, o.slot): o.rise for o in observed}
        numbers, names = sorted({o.round for o in observed}), ("first run", "second run")
        rises = tuple(RoundRises(n, *(found.get((n, slot), math.nan) for slot in ("first", "second"))) for n in numbers)
        title = f"{len(observed)} of {2 * plan.rounds} runs are read; their order is revealed at the end"
    figure = draw_temperature_rises(rises, names, quantity, title)
    figure.set_size_inches(5.3, 3.8)  # leaves room for the controls
    return image(figure, f"The rises of {names[0]} and {names[1]} in each round. {title}.")


def _number(name: str, text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number ({unit}), such as 3 or 30.1 (got {text!r})") from None
