import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from sutrolib.plots.models import VERDICT_COLOURS, draw_heatmap, draw_lines, draw_tradeoff
from sutrolib.plots.style import use_style, wrap_figure_texts


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_a_matrix_shows_numbers_and_the_words_in_their_place():
    figure = draw_heatmap({"a": {"x": 1234.0, "y": "failed"}, "b": {"x": 0.0567}}, "title", "joules")
    ax = figure.axes[0]
    assert words(ax) == ["1,234", "failed", "0.057", ""]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert len(figure.axes) == 2  # the second is the scale of the shades


def test_a_matrix_of_words_has_no_scale():
    assert len(draw_heatmap({"a": {"x": "failed"}}, "title", "joules").axes) == 1


def test_every_model_has_its_points_and_several_of_one_are_joined():
    ax = draw_tradeoff({"one": [(1, 2)], "many": [(1, 1), (2, 3)]}, "title", "x", "y").axes[0]
    assert [line.get_linestyle() for line in ax.lines] == ["None", "-"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "many"]


def test_a_verdict_has_its_colour_and_other_words_are_grey():
    outcomes = {"fresh seeds": {"sound": "passed", "cheat": "failed"}, "noise": {"sound": "0 of 4"}}
    ax = draw_heatmap(outcomes, "title").axes[0]
    assert words(ax) == ["passed", "failed", "0 of 4", ""]
    squares = ax.collections[0].get_array().reshape(-1, 4)
    passed, failed, other, _ = (to_hex(colour).upper() for colour in squares)
    assert (passed, failed) == (VERDICT_COLOURS["passed"], VERDICT_COLOURS["failed"])
    assert other not in VERDICT_COLOURS.values()


def test_the_break_even_is_marked_where_there_is_one():
    counts = np.array([1.0, 10.0])
    curves = {"a": (counts, counts), "b": (counts, 2 * counts)}

    def names(at):
        legend = draw_lines(curves, "title", "predictions", "J", {"break-even": at}).axes[0].get_legend()
        return [text.get_text() for text in legend.get_texts()]

    assert names(5.0) == ["a", "b", "break-even: 5"]
    assert names(None) == ["a", "b"]


@pytest.mark.filterwarnings("error::UserWarning")
def test_long_texts_are_wrapped_and_stay_inside_the_figure():
    use_style()
    label = "energy of a training with a long name, joules (modelled)"
    figure = draw_heatmap({"random search over algorithms": {"x": 1.0, "y": 30.0}}, "a long title " * 30, label)
    wrap_figure_texts(figure)
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    for text in (figure.axes[0]._left_title, figure.axes[1].yaxis.label):
        box = text.get_window_extent()
        assert inside.contains(box.x0, box.y0)
        assert inside.contains(box.x1, box.y1)
    assert len(figure.axes[0].get_title("left").splitlines()) > 3
