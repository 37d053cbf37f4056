import itertools
import re

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.transforms import Bbox

from sutrolib.core.cube import RUNGS, A, Position
from sutrolib.meeting.html import TEMPLATES
from sutrolib.plots.metrics import draw_rows
from sutrolib.plots.models import draw_heatmap
from sutrolib.plots.style import SIZE, draw_cube, png_bytes, save_figure, use_style, wrap_figure_texts


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def test_the_text_of_a_figure_has_18_pt_on_a_slide_of_1280_x_720():
    css = (TEMPLATES / "deck.css").read_text(encoding="utf-8")
    share = re.search(r"^\.beside \{ grid-template-columns: minmax\(0, (\d)fr\) minmax\(0, (\d)fr\)", css, re.MULTILINE)
    figure, words = map(int, share.groups())
    rem = 24
    column = (1280 - 2 * 1.1 * rem - 0.8 * rem) * figure / (figure + words)
    assert column / SIZE[0] * mpl.rcParams["font.size"] / 72 >= rem


def test_the_labels_of_panels_beside_each_other_do_not_overlap():
    figure, axes = plt.subplots(1, 3)
    for ax in axes:
        ax.set_xlabel("a label that is wider than its panel")
    wrap_figure_texts(figure)
    figure.draw_without_rendering()
    boxes = [ax.xaxis.label.get_window_extent() for ax in axes]
    assert not any(left.overlaps(right) for left, right in itertools.pairwise(boxes))


def test_a_figure_is_saved_as_it_was_drawn(tmp_path):
    figure, _ = plt.subplots()
    png = png_bytes(figure)
    save_figure(figure, tmp_path / "folder" / "one", png)
    assert (tmp_path / "folder" / "one.png").read_bytes() == png
    assert (tmp_path / "folder" / "one.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_legend_of_rows_covers_neither_points_nor_labels():
    figure = draw_rows(["one row", "another"], {"a": [[1.0], [10.0]], "b": [[2.0], [5.0]]}, "title", "ratio")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_tightbbox())


def test_a_table_of_many_squares_is_larger_so_that_its_words_fit():
    small, large = (
        draw_heatmap({f"row {n}": {f"column {m}": "not tested" for m in range(k)} for n in range(k)}, "")
        for k in (3, 9)
    )
    assert tuple(small.get_size_inches()) == SIZE
    large.draw_without_rendering()
    words = [text.get_window_extent() for text in large.axes[0].texts]
    assert not any(one.overlaps(other) for n, one in enumerate(words) for other in words[:n])


@pytest.mark.parametrize(("new", "number"), [(False, "123"), (True, "+123")])
def test_the_numbers_of_the_cube_lie_on_no_other_and_on_no_mark_and_its_legend_lies_on_nothing(new, number):
    keys = ([rung.key for rung in rungs] for rungs in RUNGS.values())
    points = {Position(*position): 123 for position in itertools.product(*keys)}
    figure = draw_cube(points, A, new=points if new else None)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    numbers = [text.get_window_extent() for text in ax.texts if text.get_text() == number]
    (marks,) = (line for line in ax.lines if len(line.get_xdata()) == len(points))
    assert len(numbers) == len(marks.get_xdata()) == len(points)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(numbers, 2))
    centres, radius = ax.transData.transform(marks.get_xydata()), marks.get_markersize() / 2 * figure.dpi / 72
    squares = [Bbox.from_bounds(x, y, 0, 0).padded(0.7 * radius) for x, y in centres]  # inside the mark
    assert not any(number.overlaps(square) for number in numbers for square in squares)
    legend = ax.get_legend().get_window_extent()
    assert legend.y1 < min(text.get_window_extent().y0 for text in ax.texts)
