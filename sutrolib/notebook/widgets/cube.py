"""The cube: three selectors for a position, what was measured there, and the next steps."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from sutrolib.core.cube import RUNGS, A, Axis, Position
from sutrolib.measurement.coverage import count_positions, measured_at, steps_from
from sutrolib.measurement.measure import Measurement
from sutrolib.notebook.widgets.layout import dropdown, html_table, image, panel

if TYPE_CHECKING:
    from ipywidgets import VBox


def cube_explorer(measurements: Sequence[Measurement], here: Position = A) -> VBox:
    """Three selectors for a position; below them the cube, what was measured there, and the next steps."""
    import ipywidgets as widgets

    from sutrolib.plots.style import draw_cube

    counts = count_positions(measurements)
    selectors = {axis: dropdown(axis.value, [(rung.title, rung.key) for rung in RUNGS[axis]]) for axis in Axis}
    for axis, selector in selectors.items():
        selector.value = getattr(here, axis)
    # Not an Output widget: nbclient answers one on the channel on which it waits for the cell's reply, and sometimes
    # misses that reply and hangs.
    picture, text = widgets.HTML(), widgets.HTML()
    text.add_class("jp-RenderedHTMLCommon")  # JupyterLab's style of tables

    def redraw(_change: object = None) -> None:
        keys = [selectors[axis].value for axis in Axis]
        position = Position(*keys)
        picture.value = image(draw_cube(counts, position), f"The cube, with {' / '.join(keys)} circled")
        # Names come from the ledger: markup in them must stay text.
        heading, header, rows = measured_at(position, measurements)
        steps = "".join(f"<li>{escape(step)}</li>" for step in steps_from(position))
        table = html_table(header, rows) if rows else ""
        text.value = f"<p><b>{escape(heading)}</b></p>{table}<p><b>Next single-axis steps</b></p><ul>{steps}</ul>"

    for selector in selectors.values():
        selector.observe(redraw, names="value")
    redraw()
    return panel([*selectors.values(), picture, text])
