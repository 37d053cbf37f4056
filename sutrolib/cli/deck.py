"""The command deck: the slides of the weekly meeting, as one HTML file or PDF."""

import argparse
from pathlib import Path

from sutrolib.core.io import write_atomically
from sutrolib.meeting.build import build_slides
from sutrolib.meeting.collect import collect_meeting, parse_period
from sutrolib.meeting.html import render_deck
from sutrolib.meeting.layout import date_text, start_text
from sutrolib.meeting.own import read_own_slides
from sutrolib.meeting.pdf import to_pdf
from sutrolib.plots.style import use_style


def run(options: argparse.Namespace) -> int:
    """Write the deck and say where it is."""
    target = Path(options.output or f"deck.{options.format}")
    if target.is_dir() or str(options.output).endswith(("/", "\\")):
        raise ValueError(f"-o must be a file, and {target} is a folder: give a name such as {target / 'deck.html'}")
    own = read_own_slides(options.add)
    meeting = collect_meeting(parse_period(options.since), options.notebooks)
    use_style()
    slides = build_slides(meeting, own)
    page = render_deck(slides, f"The Sutro cube, {date_text(meeting.period.until)}")
    content = to_pdf(page) if options.format == "pdf" else page.encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content)
    new = f"{len(meeting.findings)} findings and {len(meeting.new):,} measurements since {start_text(meeting.period)}"
    print(f"{target}: {len(slides)} slides, {new}")
    return 0
