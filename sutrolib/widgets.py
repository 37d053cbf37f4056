"""Live controls for JupyterLab. Each has a static figure beside it in its notebook, for whoever reads it headless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sutrolib.cube import RUNGS, A, Axis, Position, next_steps
from sutrolib.findings import markdown_table
from sutrolib.measure import Measurement

if TYPE_CHECKING:
    from ipywidgets import DOMWidget, VBox


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
    from IPython.display import Markdown, display
    from matplotlib import pyplot as plt

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
    output = widgets.Output()

    def redraw(_change: object = None) -> None:
        position = Position(*(selectors[axis].value for axis in Axis))
        figure = draw_cube(counts, position)
        with output:
            output.clear_output(wait=True)
            display(figure, Markdown(describe_position(position, measurements)))
        plt.close(figure)

    for selector in selectors.values():
        selector.observe(redraw, names="value")
    redraw()
    return _panel([*selectors.values(), output])


def _panel(children: Sequence[DOMWidget]) -> VBox:
    """The children in a column whose controls can be worked from the keyboard in JupyterLab."""
    import ipywidgets as widgets
    from IPython.display import display

    display({"application/javascript": _LEAVE_KEYS}, raw=True)
    panel = widgets.VBox(children)
    panel.add_class(PANEL)
    return panel
