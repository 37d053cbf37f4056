"""The command deck: the slides of the weekly meeting, as one HTML file or PDF."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from sutrolib.core.io import write_atomically
from sutrolib.meeting.build import slides_of
from sutrolib.meeting.collect import gather, period_of
from sutrolib.meeting.html import render
from sutrolib.meeting.layout import beginning, day
from sutrolib.meeting.pdf import browser, pdf_of
from sutrolib.plots.style import use_style


def run(options: argparse.Namespace) -> int:
    """Write the deck and say where it is."""
    pdf = options.format == "pdf"
    if pdf:
        browser()  # before anything is read: without one there will be no PDF
    target = Path(options.output or f"deck.{options.format}")
    if target.is_dir() or str(options.output).endswith(("/", "\\")):
        raise ValueError(f"-o {target} is a folder, accepted is the name of a file, such as {target / 'deck.html'}")
    meeting = gather(period_of(options.since), options.notebooks)
    use_style()
    slides = slides_of(meeting)
    page = render(slides, f"The Sutro cube, {day(meeting.period.until)}")
    content = pdf_of(page) if pdf else page.encode()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content)
    except OSError as error:
        raise OSError(f"the deck could not be written to {target}: {error}") from error
    new = f"{len(meeting.found)} findings and {len(meeting.new):,} measurements since {beginning(meeting.period)}"
    nothing = not (meeting.found or meeting.new or meeting.broken)
    console = Console()
    told = f"nothing new since {beginning(meeting.period)}, so it shows where the cube stands" if nothing else new
    console.print(f"{target}: {len(slides)} slides, {told}", markup=False, highlight=False, soft_wrap=True)
    return 0
