"""What all panels have in common: a column of controls that the keyboard works, and figures as images with alt text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

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


def panel(children: Sequence[DOMWidget]) -> VBox:
    """The children in a column whose controls can be worked from the keyboard in JupyterLab."""
    import ipywidgets as widgets
    from IPython.display import display

    display({"application/javascript": _LEAVE_KEYS}, raw=True)
    panel = widgets.VBox(children)
    panel.add_class(PANEL)
    return panel


def image(figure: Figure, alt: str) -> str:
    """HTML that holds a figure itself."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}">'
