"""What all panels share: a column of controls that work by keyboard, tables, and figures with alt text."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipywidgets import Box, DOMWidget, Dropdown, VBox
    from matplotlib.figure import Figure

PANEL = "sutro-panel"

_cancel_work: dict[str, Callable[[], object]] = {}  # for each kind of panel, ends the work of the latest one

# JupyterLab takes the arrow keys for itself while a list or a slider has the focus, except from elements with this
# attribute, which ipywidgets cannot set. ipywidgets also gives a slider's handle no name and no text of its value for
# screen readers.
_KEYBOARD_FIX = f"""
if (!window.sutroKeys) {{
  window.sutroKeys = true;
  document.addEventListener("focusin", (event) => {{
    const control = event.target;
    if (!control.closest(".{PANEL}")) return;
    control.setAttribute("data-lm-suppress-shortcuts", "true");
    const row = control.getAttribute("role") === "slider" && control.closest(".widget-inline-hbox");
    if (!row) return;
    const readout = row.querySelector(".widget-readout");
    const say = () => readout && control.setAttribute("aria-valuetext", readout.textContent);
    control.setAttribute("aria-label", row.querySelector(".widget-label").textContent);
    say();
    if (!control.sutroWords && readout) {{
      control.sutroWords = new MutationObserver(say);
      control.sutroWords.observe(readout, {{ childList: true, characterData: true, subtree: true }});
    }}
  }});
}}
"""


class Cancelled(Exception):
    """The user cancelled the work."""


def panel(children: Sequence[DOMWidget]) -> VBox:
    """The children in a column whose controls work by keyboard in JupyterLab."""
    import ipywidgets as widgets
    from IPython.display import display

    display({"application/javascript": _KEYBOARD_FIX}, raw=True)
    panel = widgets.VBox(children)
    panel.add_class(PANEL)
    return panel


def replace_previous_panel(kind: str, cancel: Callable[[], object]) -> None:
    """End the work of the previous panel of this kind: when its cell runs again, its buttons are gone.

    ``cancel`` ends the work of the new panel, and does nothing if there is none.
    """
    previous = _cancel_work.get(kind)
    _cancel_work[kind] = cancel
    if previous:
        previous()


def hbox(*children: DOMWidget) -> Box:
    """The children in a row, or below each other on a narrow page."""
    import ipywidgets as widgets

    return widgets.Box(children, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"))


def dropdown(name: str, options: Iterable[str] | Iterable[tuple[str, object]], width: str = "44em") -> Dropdown:
    """A list to choose from, with its name."""
    import ipywidgets as widgets

    layout = widgets.Layout(width=width, max_width="100%")
    return widgets.Dropdown(options=list(options), description=name, layout=layout)


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as HTML; its cells are escaped."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<table style="margin-left:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="jp-RenderedHTMLCommon">{table}</div>'  # this class has JupyterLab's style of tables


def status(text: str) -> str:
    """A message as HTML, which screen readers read out."""
    return f'<div role="status">{escape(text)}</div>' if text else ""


def image(figure: Figure, alt: str) -> str:
    """A figure as HTML, no wider than the page. The figure is closed."""
    from sutrolib.plots.style import png_bytes, wrap_figure_texts

    wrap_figure_texts(figure)
    data = base64.b64encode(png_bytes(figure, dpi=100)).decode()
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
