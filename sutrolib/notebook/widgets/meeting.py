"""The weekly meeting: which slides are shown, in what order; a preview of the deck, and its export to a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sutrolib.core import paths
from sutrolib.core.io import write_atomically
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.layout import Slide, select_slides
from sutrolib.notebook.widgets.layout import dropdown, panel

if TYPE_CHECKING:
    from ipywidgets import VBox

DECKS = paths.DATA / "decks"


def deck_file(name: str, folder: Path = DECKS) -> Path:
    """The file of an exported deck of this name. Raises ValueError for a name that leads out of the folder."""
    stem = name.strip().removesuffix(".html")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}", stem):
        raise ValueError(f"name {name!r}, accepted are names of letters, digits, blanks, '_', '-' and '.'")
    return folder / f"{stem}.html"


def meeting_panel(slides: Sequence[Slide], title: str, name: str, folder: Path = DECKS) -> VBox:
    """A box to tick for each slide, in the order of the deck; one slide moves up or down by two buttons.

    "Preview" shows the deck here, in a frame that may not run scripts; "Export" writes it to ``folder``.
    """
    import ipywidgets as widgets

    order = [slide.key for slide in slides]
    wide = widgets.Layout(width="98%")
    ticks = {
        slide.key: widgets.Checkbox(value=True, description=_label(slide), indent=False, layout=wide)
        for slide in slides
    }
    listing = widgets.VBox(layout=widgets.Layout(max_height="20em", overflow="hidden auto", border="1px solid #888888"))
    moved = dropdown("to move", [(_label(slide), slide.key) for slide in slides], width="40em")
    up, down, preview, export = (
        widgets.Button(description=text) for text in ("Move up", "Move down", "Preview", "Export")
    )
    file = widgets.Text(value=name, description="file name", continuous_update=False)
    message, frame = widgets.HTML(), widgets.HTML()

    def tell(text: str) -> None:
        message.value = f'<span role="status">{escape(text)}</span>'  # which screen readers read out

    def arrange() -> None:
        listing.children = [ticks[key] for key in order]
        frame.value = ""  # it would show another deck than the one chosen

    def page() -> str:
        return render_deck(select_slides(slides, [key for key in order if ticks[key].value]), title)

    def move(by: int) -> Callable[[object], None]:
        def on_click(_button: object) -> None:
            here = order.index(moved.value)
            there = here + by
            if not 0 <= there < len(order):
                end = "first" if by < 0 else "last"
                tell(f"Already the {end} slide: {ticks[moved.value].description}")
                return
            order[here], order[there] = order[there], order[here]
            arrange()
            tell(f"Slide {there + 1} of {len(order)}: {ticks[moved.value].description}")

        return on_click

    def on_preview(_button: object) -> None:
        try:
            content = page()
        except ValueError as error:
            tell(str(error))
            return
        # An empty sandbox: no scripts, no forms, no way out of the frame, whatever the slides hold.
        frame.value = (
            f'<iframe title="Preview of the deck" sandbox="" srcdoc="{escape(content)}" '
            'style="width:100%;height:32em;border:1px solid #888888"></iframe>'
        )
        tell(f"{sum(tick.value for tick in ticks.values())} slides, below; scroll through them.")

    def on_export(_button: object) -> None:
        try:
            target, content = deck_file(file.value, folder), page()
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(target, content.encode())
        except (ValueError, OSError) as error:
            tell(f"Not written: {error}")
            return
        where = target.relative_to(paths.ROOT) if target.is_relative_to(paths.ROOT) else target
        tell(f"Written to {where}, {len(content) / 1e6:.1f} MB. Open it in any browser, offline.")

    up.on_click(move(-1))
    down.on_click(move(1))
    preview.on_click(on_preview)
    export.on_click(on_export)
    for tick in ticks.values():
        tick.observe(lambda _change: setattr(frame, "value", ""), names="value")
    arrange()
    return panel([listing, widgets.HBox([moved, up, down]), widgets.HBox([file, preview, export]), message, frame])


def _label(slide: Slide) -> str:
    text = f"{slide.topic}: {slide.heading}" if slide.topic else slide.heading
    return text if len(text) <= 100 else text[:97] + "..."
