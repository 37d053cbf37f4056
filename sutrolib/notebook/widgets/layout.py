"""What all panels have in common: a column of controls that the keyboard works, tables, and figures with alt text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipywidgets import Box, DOMWidget, Dropdown, VBox
    from matplotlib.figure import Figure


PANEL = "sutro-panel"

_ends: dict[str, Callable[[], object]] = {}  # by the kind of panel, what ends the work of the last one

# JupyterLab takes arrow keys for itself while a list or a slider has the focus. It leaves those alone that carry this
# attribute, which no property of ipywidgets can set. And ipywidgets gives the handle of a slider no name and no words
# for its value, which a screen reader reads out when the focus comes to it.
_LEAVE_KEYS = f"""
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


def panel(children: Sequence[DOMWidget]) -> VBox:
    """The children in a column whose controls can be worked from the keyboard in JupyterLab."""
    import ipywidgets as widgets
    from IPython.display import display

    display({"application/javascript": _LEAVE_KEYS}, raw=True)
    panel = widgets.VBox(children)
    panel.add_class(PANEL)
    return panel


def replace_previous_panel(kind: str, end: Callable[[], object]) -> None:
    """End the work of the last panel of this kind: whoever runs its cell again has no button for that one any more.

    ``end`` ends the work of the new one, and does nothing where there is none.
    """
    last = _ends.get(kind)
    _ends[kind] = end
    if last:
        last()


def hbox(*children: DOMWidget) -> Box:
    """The children in a row, and below each other where the page is too narrow for it."""
    import ipywidgets as widgets

    return widgets.Box(children, layout=widgets.Layout(flex_flow="row wrap", align_items="flex-start"))


def dropdown(name: str, options: Iterable[str] | Iterable[tuple[str, object]], width: str = "44em") -> Dropdown:
    """A list to choose from, with its name before it."""
    import ipywidgets as widgets

    layout = widgets.Layout(width=width, max_width="100%")
    return widgets.Dropdown(options=list(options), description=name, layout=layout)


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """HTML of a table, whose cells say what they hold and no more."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<table style="margin-left:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="jp-RenderedHTMLCommon">{table}</div>'  # JupyterLab's style of tables comes with this class


def status(text: str) -> str:
    """HTML of a message to whoever works a panel, which screen readers read out."""
    return f'<div role="status">{escape(text)}</div>' if text else ""


def image(figure: Figure, alt: str) -> str:
    """HTML that holds a figure itself, no wider than the page."""
    from sutrolib.plots.style import wrap_figure_titles

    wrap_figure_titles(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    data = base64.b64encode(png.getvalue()).decode()
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
