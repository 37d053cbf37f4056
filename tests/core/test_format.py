import pytest

from sutrolib.core.format import amount, bytes_text, duration, integer_or_number, number


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
