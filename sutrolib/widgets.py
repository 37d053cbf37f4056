"""Live controls for JupyterLab. Each has a static figure beside it in its notebook, for whoever reads it headless."""

from __future__ import annotations

import base64
import io
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from sutrolib.cube import RUNGS, A, Axis, Position, next_steps
from sutrolib.findings import markdown_table
from sutrolib.measure import Measurement
from sutrolib.meters.heat import Arm, Observation, Plan, Scale, judge, next_run, write_readings
from sutrolib.meters.warmth import Load
from sutrolib.processes.by_hand import Change, Walk

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, VBox
    from matplotlib.figure import Figure


PANEL = "sutro-panel"

# JupyterLab takes arrow keys for itself while a list or a slider has the focus. It leaves those alone that carry this
# attribute, which no property of ipywidgets can set.
_LEAVE_KEYS = f"""
if (!window.sutroKeys) {{
  window.sutroKeys = true;
  document.addEventListener("focusin", (event) => {{
    if (event.target.closest(".{PANEL}")) event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  }});
}}
"""


def positions_of(measurement: Measurement) -> list[Position]:
    """The positions that one measurement stands on: one for each of its readings that is a rung of the metric axis."""
    metrics = {rung.key for rung in RUNGS[Axis.METRIC]}
    found = [r.name for r in measurement.readings if r.name in metrics]
    return [Position(measurement.rungs["process"], name, measurement.rungs["problem"]) for name in found]


def count_positions(measurements: Sequence[Measurement]) -> Counter[Position]:
    """How many measurements stand on each position."""
    return Counter(position for m in measurements for position in positions_of(m))


def describe_position(position: Position, measurements: Sequence[Measurement]) -> str:
    """Markdown: what has been measured at a position, by model, and the single-axis steps that lead on from it."""
    here = [m for m in measurements if position in positions_of(m)]
    steps = "\n".join(f"- {step}" for step in next_steps(position)) or "- none: this is corner B"
    return f"{_measured(position, here)}\n\n**Next single-axis steps**\n\n{steps}"


def _measured(position: Position, here: Sequence[Measurement]) -> str:
    if not here:
        return "**Nothing has been measured here yet.**"
    from statistics import median

    rows = []
    for model in sorted({m.model["name"] for m in here}):
        runs = [m for m in here if m.model["name"] == model]
        readings = [m.reading(position.metric) for m in runs]
        rows.append(
            (
                model,
                len(runs),
                f"{sum(m.solved for m in runs)}",
                f"{median(r.value for r in readings):.4g} {readings[0].unit}",
                f"{min(r.value for r in readings):.4g} to {max(r.value for r in readings):.4g}",
                readings[0].kind,
            )
        )
    return f"**{len(here)} runs measured here**\n\n" + markdown_table(
        ("model", "runs", "solved", f"median {position.metric}", "range", "kind"), rows
    )


def cube_explorer(measurements: Sequence[Measurement], here: Position = A) -> VBox:
    """Three selectors that choose a position; below them the cube, what was measured there, and the next steps."""
    import ipywidgets as widgets
    from matplotlib import pyplot as plt
    from nbconvert.filters import markdown2html

    from sutrolib.figures import draw_cube

    counts = count_positions(measurements)
    selectors = {
        axis: widgets.Dropdown(
            options=[(rung.title, rung.key) for rung in RUNGS[axis]],
            value=getattr(here, axis),
            description=axis.value,
            layout=widgets.Layout(width="32em"),
        )
        for axis in Axis
    }
    # Not an Output widget: while nbclient runs a notebook it answers one on the channel that it awaits the cell's reply
    # on, and now and then misses that reply, and hangs.
    picture, text = widgets.HTML(), widgets.HTML()
    text.add_class("jp-RenderedHTMLCommon")  # JupyterLab's style of tables

    def redraw(_change: object = None) -> None:
        keys = [selectors[axis].value for axis in Axis]
        position = Position(*keys)
        figure = draw_cube(counts, position)
        picture.value = _image(figure, f"The cube, with {' / '.join(keys)} circled")
        plt.close(figure)
        text.value = markdown2html(describe_position(position, measurements))

    for selector in selectors.values():
        selector.observe(redraw, names="value")
    redraw()
    return _panel([*selectors.values(), picture, text])


def _image(figure: Figure, alt: str) -> str:
    """HTML that holds a figure itself."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'


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
    return _panel([task, before, start, after, record, message])


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
    return _panel([name, value, expectation, attempt, message, steps])


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


def _number(name: str, text: str, unit: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}={text!r}, accepted is a number ({unit}), such as 3 or 30.1") from None


def _panel(children: Sequence[DOMWidget]) -> VBox:
    """The children in a column whose controls can be worked from the keyboard in JupyterLab."""
    import ipywidgets as widgets
    from IPython.display import display

    display({"application/javascript": _LEAVE_KEYS}, raw=True)
    panel = widgets.VBox(children)
    panel.add_class(PANEL)
    return panel
