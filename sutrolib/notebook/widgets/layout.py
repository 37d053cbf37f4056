"""What all panels share: a column of controls that work by keyboard, buttons, messages, tables, and figures."""

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from IPython.display import display
from ipywidgets import HTML, Box, Button, DOMWidget, Dropdown, Layout, ValueWidget, VBox
from matplotlib.figure import Figure

from sutrolib.plots.style import png_bytes, wrap_figure_texts

PANEL = "sutro-panel"
WITHOUT_KERNEL = "A live panel: open this notebook in JupyterLab and run it."

_cancel_work: dict[str, Callable[[], object]] = {}  # for each kind of panel, ends the work of the latest one

_KEYBOARD_FIX = Path(__file__).with_name("keyboard.js").read_text(encoding="utf-8")


class Cancelled(Exception):
    """The user cancelled the work."""


class Panel(VBox):  # type: ignore[misc]
    """A column of widgets, and a sentence where a notebook is shown without its widgets, as on GitHub."""

    def __repr__(self) -> str:
        return WITHOUT_KERNEL


def panel(children: Sequence[DOMWidget], kind: str = "", cancel: Callable[[], object] = lambda: None) -> VBox:
    """The children in a column whose controls work by keyboard in JupyterLab.

    ``cancel`` ends the work of the panel, if there is any: when its cell runs again, its buttons are gone, so a new
    panel of the same ``kind`` does that first.
    """
    cancel_previous = _cancel_work.get(kind)
    _cancel_work[kind] = cancel
    if cancel_previous:
        cancel_previous()
    display({"application/javascript": _KEYBOARD_FIX}, raw=True)
    panel = Panel(children)
    panel.add_class(PANEL)
    return panel


def explorer(selectors: Sequence[ValueWidget], draw: Callable[[], tuple[str, str]]) -> VBox:
    """A panel of selectors above a picture and a text, both HTML, which ``draw`` makes after every choice.

    A ValueError or OSError of ``draw`` becomes the text. ``draw`` may change the selectors itself.
    """
    # Not an Output widget: nbclient answers one on the channel on which it waits for the cell's reply, and sometimes
    # misses that reply and hangs.
    picture, text = HTML(), HTML()
    drawing = False

    # During a redraw ipywidgets drops all moves of a slider except the last, so dragging stays fluent.
    def redraw(_change: object = None) -> None:
        nonlocal drawing
        if drawing:
            return
        drawing = True
        try:
            picture.value, text.value = draw()
        except (OSError, ValueError) as error:
            picture.value, text.value = "", status(str(error))
        finally:
            drawing = False

    for selector in selectors:
        selector.observe(redraw, names="value")
    redraw()
    return panel([*selectors, hbox(picture, text)])


def hbox(*children: DOMWidget) -> Box:
    """The children in a row, or below each other on a narrow page."""
    return Box(children, layout=Layout(flex_flow="row wrap", align_items="flex-start"))


def dropdown(name: str, options: Iterable[str] | Iterable[tuple[str, object]], width: str = "44em") -> Dropdown:
    """A list to choose from, with its name."""
    layout = Layout(width=width, max_width="100%")
    return Dropdown(options=list(options), description=name, layout=layout)


def message_line() -> tuple[HTML, Callable[[str], None]]:
    """A line for messages, and the function that shows one there."""
    line = HTML()

    def say(text: str) -> None:
        line.value = status(text)

    return line, say


def button(text: str, act: Callable[[], object], say: Callable[[str], object], **options: Any) -> Button:
    """A button, with further options of ipywidgets. A ValueError or OSError of ``act`` becomes a message."""
    made = Button(description=text, **options)

    def on_click(_button: object) -> None:
        if made.disabled:  # the second of two quick clicks
            return
        try:
            act()
        except (OSError, ValueError) as error:
            say(str(error))

    made.on_click(on_click)
    return made


def html_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as HTML, empty if it has no rows; its cells are escaped."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<table style="margin-left:0"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="jp-RenderedHTMLCommon">{table}</div>'  # this class has JupyterLab's style of tables


def status(text: str) -> str:
    """A message as HTML, which screen readers read out."""
    return f'<div role="status">{escape(text)}</div>' if text else ""


def image(figure: Figure, alt: str) -> str:
    """A figure as HTML, no wider than the page. The figure is closed."""
    wrap_figure_texts(figure)
    data = base64.b64encode(png_bytes(figure, dpi=100)).decode()
    return f'<img alt="{escape(alt)}" style="max-width:100%" src="data:image/png;base64,{data}">'
