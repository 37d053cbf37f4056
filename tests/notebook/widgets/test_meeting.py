"""The panel of the weekly meeting: choosing, reordering, preview and export, without a browser."""

from html import unescape

import ipywidgets
import pytest

from sutrolib.meeting.html import external_loads
from sutrolib.meeting.layout import Slide
from sutrolib.notebook.widgets import meeting_panel
from sutrolib.notebook.widgets.layout import PANEL
from sutrolib.notebook.widgets.meeting import DECKS, deck_file

SLIDES = [
    Slide("title", "title", "The deck"),
    Slide("a", "text", "Alpha", topic="Finding"),
    Slide("b", "text", "<b>Beta</b>"),
]


class Host:
    """Whoever prepares the meeting."""

    def __init__(self, folder):
        self.panel = meeting_panel(SLIDES, "Title", "meeting", folder)
        self.listing, moving, exporting, self.message, self.frame = self.panel.children
        self.moved, self.up, self.down = moving.children
        self.file, self.preview, self.export = exporting.children

    @property
    def said(self):
        return self.message.value.removeprefix('<div role="status">').removesuffix("</div>")

    @property
    def order(self):
        return [tick.description for tick in self.listing.children]


def test_slides_are_ticked_moved_and_exported_in_that_order(tmp_path):
    host = Host(tmp_path / "decks")
    assert host.order == ["The deck", "Finding: Alpha", "<b>Beta</b>"]
    host.moved.value = "b"
    host.up.click()
    assert host.order == ["The deck", "<b>Beta</b>", "Finding: Alpha"]
    assert host.message.value == '<div role="status">Slide 2 of 3: &lt;b&gt;Beta&lt;/b&gt;</div>', "read out aloud"
    host.listing.children[0].value = False
    host.export.click()
    assert "Written to" in host.message.value
    page = (tmp_path / "decks" / "meeting.html").read_text(encoding="utf-8")
    assert page.index("&lt;b&gt;Beta") < page.index("Alpha")
    assert "The deck" not in page
    assert external_loads(page) == []


def test_a_slide_stops_at_either_end(tmp_path):
    host = Host(tmp_path)
    host.moved.value = "title"
    host.up.click()
    assert host.said == "Already the first slide: The deck"
    host.moved.value = "b"
    host.down.click()
    assert host.said == "Already the last slide: &lt;b&gt;Beta&lt;/b&gt;"
    assert host.order[0] == "The deck"


def test_the_preview_is_a_frame_that_may_run_nothing_and_goes_when_the_choice_changes(tmp_path):
    host = Host(tmp_path)
    assert host.frame.value == ""
    host.preview.click()
    assert 'sandbox=""' in host.frame.value
    assert "Alpha" in unescape(host.frame.value)
    assert host.frame.value.count("<") == 2, "the page inside is escaped: one frame, and its end"
    host.listing.children[1].value = False
    assert host.frame.value == ""


def test_no_slide_chosen_is_told_and_nothing_is_written(tmp_path):
    host = Host(tmp_path / "decks")
    for tick in host.listing.children:
        tick.value = False
    host.preview.click()
    assert "choose a slide" in host.message.value
    host.export.click()
    assert host.said.startswith("a deck needs at least one slide")
    assert not (tmp_path / "decks").exists()


@pytest.mark.parametrize("name", ["../deck", "/tmp/deck", "a/b", "..", ".hidden", "", "a\\b", "x" * 101, "a\nb"])
def test_a_deck_cannot_leave_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match="must be of letters"):
        deck_file(name)
    host = Host(tmp_path / "decks")
    host.file.value = name
    host.export.click()
    assert host.said.startswith("the file name ")
    assert not (tmp_path / "decks").exists()


def test_a_name_with_or_without_its_ending_is_one_file():
    assert deck_file("week 12") == deck_file("week 12.html") == DECKS / "week 12.html"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "decks").write_text("a file is in the way")
    host = Host(tmp_path / "decks")
    host.export.click()
    assert host.said.startswith("[Errno ")


def test_every_control_has_a_name_and_none_is_an_output_widget(tmp_path):
    host = Host(tmp_path)
    controls = [*host.listing.children, host.moved, host.up, host.down, host.file, host.preview, host.export]
    assert all(control.description for control in controls)
    assert PANEL in host.panel._dom_classes
    assert not any(isinstance(child, ipywidgets.Output) for child in host.panel.children)
