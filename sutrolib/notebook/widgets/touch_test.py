"""The touch test: readings of warmth typed in by a person, without a word of which run is which."""

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
from sutrolib.meters.thermal.protocol import Arm, Observation, Plan, RoundRises, ReadingScale, heat_verdict, next_run, format_readings
from sutrolib.meters.thermal.sensor import Clock, LoadResult, run_load
from sutrolib.notebook.widgets.layout import hbox, image, replace_previous_panel, panel, status

if TYPE_CHECKING:
    from ipywidgets import VBox

POLL_S = 0.25  # s between two looks at a lock that another meter holds
TICK_S = 1.0  # s between two signs of life of a run: more of them would warm the device too


class Cancelled(Exception):
    """The run was told to end before its time."""


@dataclasses.dataclass(frozen=True)
class RunControl:
    """What a run in the background is told, and tells: ``off`` ends it, ``begun`` says that its seconds count."""

    off: threading.Event = dataclasses.field(default_factory=threading.Event)
    begun: threading.Event = dataclasses.field(default_factory=threading.Event)


def run_cancellable(work: Callable[[], object], run_s: float, period_s: float | None, switch: RunControl) -> LoadResult:
    """:func:`sutrolib.meters.thermal.sensor.run_load` that ends at the next call of ``work`` once it is switched off.

    Raises Cancelled then, and also while it waits for another meter's window to end.
    """

    def once() -> None:
        if switch.off.is_set():
            raise Cancelled
        work()

    def rest(seconds: float) -> None:
        switch.off.wait(seconds)

    with _lock(switch.off):
        switch.begun.set()
        load = run_load(once, run_s, period_s, Clock(sleep=rest))
    if switch.off.is_set():  # in the rest of its last period
        raise Cancelled
    return load


def _lock(off: threading.Event) -> AbstractContextManager[object]:
    while not off.is_set():
        with suppress(TimeoutError):
            return meter_lock().acquire(timeout=POLL_S)
    raise Cancelled


def touch_test_panel(
    plan: Plan, run: Callable[[Arm, RunControl], LoadResult], observed: list[Observation], scale: ReadingScale = "celsius"
) -> VBox:
    """Temperatures or touch scores typed in by a person, run after run of ``plan``, without a word of which is A or B.

    "Start" calls ``run`` with the arm that is due in a thread of its own, "Cancel" switches it off; one that was
    cancelled or ended in an error is repeated. "Record" appends to ``observed``, with which a second panel goes on.
    When all runs are there, the panel shows the verdict, and the readings as text.
    """
    import ipywidgets as widgets

    unit = "deg C" if scale == "celsius" else "touch, 1 cold to 5 hot"
    task, message, picture = widgets.HTML(), widgets.HTML(), widgets.HTML()
    # A reading is sent when its field is left: sent letter by letter, the last ones may come after a click on a button.
    once = {"placeholder": unit, "continuous_update": False}
    before, after = (widgets.Text(description=name, **once) for name in ("before", "after"))
    start, cancel = widgets.Button(description="Start the run"), widgets.Button(description="Cancel", disabled=True)
    bar = widgets.FloatProgress(max=plan.run_s, description="run")
    record = widgets.Button(description="Record")
    switches: list[RunControl] = []  # of the runs so far, the present one last

    def refresh() -> None:
        before.value = after.value = message.value = ""
        bar.value = 0
        due = next_run(plan, observed)
        before.disabled = start.disabled = due is None
        after.disabled = record.disabled = True
        picture.value = draw_readings(plan, observed, scale)
        if due is None:
            why, readings = heat_verdict(plan, observed, scale).why, format_readings(plan, observed)
            task.value = f"<b>All runs are recorded.</b> {escape(why)}.<br>As a parameter: readings = {readings!r}"
        else:
            task.value = (
                f"<b>Round {due[0]} of {plan.rounds}, {due[1]} run.</b> Let the device rest for up to {plan.rest_s:g} "
                f"s, until its temperature is stable; fill in before ({unit}), and start the run of {plan.run_s:g} s."
            )

    def say(text: str) -> None:
        message.value = status(text)

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
            say(str(error))
            return
        before.disabled = start.disabled = True
        cancel.disabled = False
        switches.append(RunControl())
        arm = plan.reveal()[seen.round, seen.slot]
        threading.Thread(target=work, args=(arm, switches[-1]), daemon=True).start()

    def work(arm: Arm, switch: RunControl) -> None:
        ended = threading.Event()
        ticks = threading.Thread(target=count, args=(switch, ended), daemon=True)
        ticks.start()
        try:
            fault = run(arm, switch).fault
        except Cancelled:
            fault = "was cancelled"
        except Exception as error:  # raised, it would be seen in the log only
            fault = f"ended in an error: {error}"
        ended.set()
        ticks.join()
        bar.value = 0 if fault else plan.run_s
        say(f"To be repeated: the run {fault}." if fault else "Read the device now.")
        before.disabled = start.disabled = not fault
        after.disabled = record.disabled = bool(fault)
        cancel.disabled = True

    def count(switch: RunControl, ended: threading.Event) -> None:
        say("Waiting for another measurement on this machine to end.")
        while not (switch.begun.wait(POLL_S) or ended.is_set()):
            pass
        began = time.monotonic()
        while not ended.is_set():
            bar.value = min(plan.run_s, time.monotonic() - began)
            told = "Ends with its present fit." if switch.off.is_set() else "Running:"
            # Not a status: read out, every second would be said.
            message.value = f"{told} {bar.value:.0f} of {plan.run_s:g} s."
            ended.wait(TICK_S)

    def switch_off(_button: object = None) -> None:
        for switch in switches[-1:]:
            switch.off.set()

    def on_record(button: widgets.Button) -> None:
        if button.disabled:
            return
        try:
            observed.append(observe(after.value))
        except ValueError as error:
            say(str(error))
            return
        refresh()

    start.on_click(on_start)
    cancel.on_click(switch_off)
    replace_previous_panel("touch", switch_off)
    record.on_click(on_record)
    refresh()
    column = [before, widgets.HBox([start, cancel]), bar, after, record, message]
    controls = widgets.VBox(column, layout=widgets.Layout(width="25em"))  # whatever the message, the figure stays put
    return panel([task, hbox(controls, picture)])


def draw_readings(plan: Plan, observed: Sequence[Observation], scale: ReadingScale) -> str:
    """HTML of a figure: the rises so far by the order of their runs; those of A and of B once all are there."""
    if not observed:
        return ""
    from matplotlib import pyplot as plt

    from sutrolib.plots.metrics import draw_temperature_rises

    quantity = f"rise, {'K' if scale == 'celsius' else 'steps of the touch score'} (measured)"
    if next_run(plan, observed) is None:
        verdict = heat_verdict(plan, observed, scale)
        rises, names = verdict.rises, ("A", "B")
        title = f"A rose more in {verdict.warmer_a} and B in {verdict.warmer_b} of {len(rises)} rounds"
    else:
        found = {(o.round, o.slot): o.rise for o in observed}
        rises = tuple(
            RoundRises(number, found.get((number, "first"), math.nan), found.get((number, "second"), math.nan))
            for number in sorted({o.round for o in observed})
        )
        names = ("first run", "second run")
        title = f"{len(observed)} of {2 * plan.rounds} runs are read; which is which is told at the end"
    figure = draw_temperature_rises(rises, names, quantity, title)
    figure.set_size_inches(5.3, 3.8)  # so that it has room beside the controls
    shown = image(figure, f"The rises of {names[0]} and {names[1]} in each round. {title}.")
    plt.close(figure)
    return shown


def _number(name: str, text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text!r}, accepted is a number ({unit}), such as 3 or 30.1") from None
