import pytest
from hypothesis import given
from hypothesis import strategies as st

from sutrolib.core.format import amount, bytes_text, duration, integer_or_number, number, plain


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(1234.5), "1,230"),
        (number(0.01234), "0.0123"),
        (number(float("inf")), "infinite"),
        (integer_or_number(1_234_567), "1,234,567"),
        (integer_or_number(0.123456), "0.1235"),
        (amount(1_234_567, "B"), "1.235 MB"),
        (amount(0.5, "J"), "0.5 J"),
        (bytes_text(64), "64 B"),
        (bytes_text(2**15), "32 KiB"),
        (bytes_text(40 * 2**20), "40 MiB"),
        (duration(45), "45 s"),
        (duration(720), "12 min"),
        (duration(5400), "1.5 h"),
    ],
)
def test_numbers_amounts_bytes_and_durations_as_text(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b]0;owned\x07b",  # the window's title
        "a\x1b]8;;https://example.org\x1b\\b",  # a link
        "a\x9d0;owned\x9cb",  # the same in C1
        "a\x1b[2Jb",  # clears the screen
        "a\x1b[38;5;1mb",
        "a\x9b2Jb",
        "a\x1bPq#0;2;0\x1b\\b",  # a picture
        "a\x1bcb",  # resets the terminal
        "a\x1b(0b",
        "a\r\x08\x00\x7fb",
    ],
)
def test_nothing_is_left_of_what_a_terminal_would_obey(text):
    assert plain(text) == "ab"


@given(st.text(st.characters(max_codepoint=0x9F)))
def test_no_control_character_passes(text):
    assert not {*plain(text)} & {*map(chr, (*range(9), *range(11, 32), *range(127, 160)))}


def test_text_stays_as_it_is():
    for text in ("loss\t1.5\nnats", "Zürich, 東京 \N{RIGHT-TO-LEFT MARK} \N{LATIN SMALL LETTER A WITH RING ABOVE}", ""):
        assert plain(text) == text
    assert plain("a\x1b]0;without an end") == "a]0;without an end"
