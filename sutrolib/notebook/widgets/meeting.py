"""The weekly meeting: choose and order the slides, preview the deck, and export it to a file."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import ipywidgets as widgets

from sutrolib.core import paths
from sutrolib.core.io import write_atomically
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.layout import Slide, shorten
from sutrolib.notebook.widgets.layout import button, dropdown, message_line, panel

DECKS = paths.DATA / "decks"


def deck_file(name: str, folder: Path = DECKS) -> Path:
    """The file of an exported deck. Raises ValueError for a name that could lead out of the folder."""
    stem = name.strip().removesuffix(".html")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}", stem):
        raise ValueError(f"the file name must be of letters, digits, blanks, '_', '-' and '.' (got {name!r})")
    return folder / f"{stem}.html"


def meeting_panel(slides: Sequence[Slide], title: str, name: str, folder: Path = DECKS) -> widgets.VBox:
    """A checkbox for each slide, in the order of the deck, and two buttons that move a slide up or down.

    "Preview" shows the deck in a frame that may not run scripts; "Export" writes it to ``folder``.
    """
    order = [slide.key for slide in slides]
    labels = {s.key: shorten(f"{s.topic}: {s.heading}" if s.topic else s.heading, 100) for s in slides}
    wide = widgets.Layout(width="98%")
    boxes = {
        key: widgets.Checkbox(value=True, description=label, indent=False, layout=wide) for key, label in labels.items()
    }
    listing = widgets.VBox(layout=widgets.Layout(max_height="20em", overflow="hidden auto", border="1px solid #888888"))
    moved = dropdown("to move", [(label, key) for key, label in labels.items()], width="40em")
    file = widgets.Text(value=name, description="file name", continuous_update=False)
    message, say = message_line()
    frame = widgets.HTML()

    def arrange(_change: object = None) -> None:
        listing.children = [boxes[key] for key in order]
        frame.value = ""  # it would show another deck than the chosen one

    def page() -> str:
        by_key = {slide.key: slide for slide in slides}
        return render_deck([by_key[key] for key in order if boxes[key].value], title)

    def move(by: int) -> None:
        here = order.index(moved.value)
        there = here + by
        if not 0 <= there < len(order):
            raise ValueError(f"Already the {'first' if by < 0 else 'last'} slide: {labels[moved.value]}")
        order[here], order[there] = order[there], order[here]
        arrange()
        say(f"Slide {there + 1} of {len(order)}: {labels[moved.value]}")

    def on_preview() -> None:
        # An empty sandbox: no scripts, no forms, no navigation, whatever the slides hold.
        frame.value = (
            f'<iframe title="Preview of the deck" sandbox="" srcdoc="{escape(page())}" '
            'style="width:100%;height:32em;border:1px solid #888888"></iframe>'
        )
        say(f"{sum(box.value for box in boxes.values())} slides, below; scroll through them.")

    def on_export() -> None:
        target, content = deck_file(file.value, folder), page()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content.encode())
        where = target.relative_to(paths.ROOT) if target.is_relative_to(paths.ROOT) else target
        say(f"Written to {where}, {len(content) / 1e6:.1f} MB. Open it in any browser, offline.")

    up, down = button("Move up", lambda: move(-1), say), button("Move down", lambda: move(1), say)
    preview, export = button("Preview", on_preview, say), button("Export", on_export, say)
    for box in boxes.values():
        box.observe(arrange, names="value")
    arrange()
    return panel([listing, widgets.HBox([moved, up, down]), widgets.HBox([file, preview, export]), message, frame])
