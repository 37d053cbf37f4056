import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from sutrolib.plots.search import draw_best_so_far


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


POINTS = [1, 2, 3]
QUARTILES = {"one": np.array([[9, 2, 1], [10, 3, 2], [12, 4, 3]]), "other": np.array([[math.inf] * 3] * 3)}


def names_in(ax):
    return [text.get_text() for text in ax.texts]


def test_the_median_is_drawn_as_steps_and_what_is_not_solved_is_left_out():
    figure = draw_best_so_far(POINTS, {"": QUARTILES}, "title", "trials", "cost", lines={"record": 5.0})
    ax = figure.axes[0]
    one, other = ax.lines[:2]
    assert one.get_ydata().tolist() == [10, 3, 2]
    assert np.isnan(other.get_ydata()).all()
    assert ax.get_yscale() == "log"
    assert names_in(ax) == ["one", "record", "other: not solved"], "from below"


def test_a_bar_at_the_end_of_a_line_reaches_from_quartile_to_quartile():
    unsolved = np.array([[9, 2, 1], [10, 3, 2], [12, 4, math.inf]])
    figure = draw_best_so_far(POINTS, {"": {"one": QUARTILES["one"], "two": unsolved}}, "title", "trials", "cost")
    ends = [bar.get_segments()[0][:, 1].tolist() for bar in figure.axes[0].collections]
    assert ends == [[1, 3], [1, 12]], "an infinite quartile ends at the highest cost"


def test_searches_that_solve_nothing_can_be_drawn_too():
    figure = draw_best_so_far(POINTS, {"": {"other": QUARTILES["other"]}}, "title", "trials", "cost")
    figure.draw_without_rendering()


def test_every_problem_has_a_panel_of_its_own_length_in_which_the_searches_are_named():
    short = {name: quartiles[:, :2] for name, quartiles in QUARTILES.items()}
    figure = draw_best_so_far(
        POINTS, {"parity": QUARTILES, "digits": QUARTILES, "letters": short}, "title", "trials", "ratio"
    )
    figure.draw_without_rendering()
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.lines[0].get_xdata()[-1] for ax in panels] == [3, 3, 2]
    assert all(names_in(ax) == ["one", "other: not solved"] for ax in panels)
    assert not figure.legends


@pytest.mark.parametrize("values", [[1.0] * 5, [1, 1, 1, 1e3, 1e3], [1, 1.01, 1.02, 1.03, math.inf]])
def test_the_names_of_lines_that_end_close_together_do_not_overlap(values):
    curves = {f"search {number}": np.full((3, 3), value) for number, value in enumerate(values)}
    figure = draw_best_so_far(POINTS, dict.fromkeys("abcd", curves), "title", "trials", "ratio")
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(name) for name in figure.axes[0].texts]  # without the lines to them
    assert len(boxes) == 5
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])


def test_a_search_looks_the_same_wherever_it_runs_and_like_no_other():
    one, other = QUARTILES.values()
    problems = {"parity": {"first": one, "second": other}, "digits": {"third": one, "second": other}}
    figure = draw_best_so_far(POINTS, problems, "title", "trials", "ratio")
    looks = {}
    for ax in figure.axes:
        for line in ax.lines:
            looks.setdefault(line.get_label(), set()).add((line.get_color(), line.get_linestyle()))
    assert all(len(of_one) == 1 for of_one in looks.values())
    assert len(set.union(*looks.values())) == len(looks) == 3
