"""The command deck: the slides of the weekly meeting, as one HTML file or PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

from sutrolib.core.io import write_atomically
from sutrolib.meeting.build import build_slides
from sutrolib.meeting.collect import collect_meeting, parse_period
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.layout import date_text, start_text
from sutrolib.meeting.own import read_own_slides
from sutrolib.meeting.pdf import find_chromium, to_pdf
from sutrolib.plots.style import use_style


def run(options: argparse.Namespace) -> int:
    """Write the deck and say where it is."""
    pdf = options.format == "pdf"
    if pdf:
        find_chromium()  # before anything is read: without one there will be no PDF
    target = Path(options.output or f"deck.{options.format}")
    if target.is_dir() or str(options.output).endswith(("/", "\\")):
        raise ValueError(f"-o must be a file, and {target} is a folder: give a name such as {target / 'deck.html'}")
    own = read_own_slides(options.add)
    meeting = collect_meeting(parse_period(options.since), options.notebooks)
    use_style()
    slides = build_slides(meeting, own)
    page = render_deck(slides, f"The Sutro cube, {date_text(meeting.period.until)}")
    content = to_pdf(page) if pdf else page.encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise OSError(f"the deck could not be written to {target}: {error}") from error
    new = f"{len(meeting.findings)} findings and {len(meeting.new):,} measurements since {start_text(meeting.period)}"
    nothing = not (meeting.findings or meeting.new or meeting.crashed)
    summary = f"nothing new since {start_text(meeting.period)}, so it shows where the cube stands" if nothing else new
    print(f"{target}: {len(slides)} slides, {summary}")
    return 0
