import math

import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.text import Text

from sutrolib.plots.search import FAILED, LIMIT, NAME_HEIGHT, PASSED, draw_checks, draw_records


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_every_check_of_every_model_has_its_word_and_a_failed_one_its_colour():
    outcomes = {
        "sound": {"fresh seeds": "passed", "noise": "0 of 4", "scaled": "not tested"},
        "cheat": {"fresh seeds": "failed", "noise": "4 of 4"},
    }
    ax = draw_checks(outcomes, "title").axes[0]
    words = [text.get_text() for text in ax.texts]
    assert words == ["passed", "0 of 4", "-", "failed", "4 of 4", "-"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fresh seeds", "noise", "scaled"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(outcomes)
    colours = dict(zip(words, (to_hex(patch.get_facecolor()).upper() for patch in ax.patches), strict=True))
    assert (colours["passed"], colours["failed"], colours["0 of 4"]) == (PASSED, FAILED, LIMIT)


RECORDS = {"100 first": 100.0, "51 next": 51.0, "50 best": 50.0}
CURVES = {"one: 49": [(1, float("inf")), (2, 200.0), (3, 49.0)], "kept from before: 48": [(1, 200.0), (9, 48.0)]}


def test_records_are_lines_with_their_names_and_those_kept_from_before_are_dashed():
    ax = draw_records(CURVES, RECORDS, "title", "cost (counted)").axes[0]
    one, kept, *lines = ax.get_lines()
    assert [line.get_ydata()[0] for line in lines] == list(RECORDS.values())
    assert (one.get_linestyle(), kept.get_linestyle()) == ("-", "--")
    assert list(one.get_ydata())[1:] == [200.0, 49.0]
    assert math.isnan(one.get_ydata()[0])  # nothing was solved yet
    assert {text.get_text() for text in ax.texts} == set(RECORDS)


def test_names_of_records_that_lie_close_together_are_moved_apart():
    figure = draw_records(CURVES, RECORDS, "title", "cost (counted)")
    figure.draw_without_rendering()
    heights = sorted((text.get_position()[1], text.get_text()) for text in figure.axes[0].texts)
    assert [name for _, name in heights] == ["50 best", "51 next", "100 first"]
    (best, _), (following, _), (first, _) = heights
    assert following - best >= NAME_HEIGHT - 1e-9
    assert first > following + NAME_HEIGHT
    # without the line that joins each to its record
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    apart = [not one.overlaps(other) for one in boxes for other in boxes if one is not other]
    assert all(apart)


def test_a_search_that_solved_nothing_is_drawn_all_the_same():
    ax = draw_records({"none": [(1, float("inf"))], **CURVES}, RECORDS, "title", "cost").axes[0]
    assert "none" in [text.get_text() for text in ax.get_legend().get_texts()]
