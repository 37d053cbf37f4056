import math

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sutrolib.plots.best_so_far import draw_best_so_far, draw_races

POINTS = [1, 2, 3]
CURVES = {"one": np.array([[9, 2, 1], [10, 3, 2], [12, 4, 3]]), "other": np.array([[math.inf] * 3] * 3)}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_median_is_drawn_as_steps_and_what_is_not_solved_is_left_out():
    ax = draw_best_so_far(POINTS, CURVES, {"record": 5.0}, "title", "trials", "cost").axes[0]
    one, other = ax.lines[:2]
    assert one.get_ydata().tolist() == [10, 3, 2]
    assert np.isnan(other.get_ydata()).all()
    assert ax.get_yscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]
    assert "record" in {text.get_text() for text in ax.texts}


def test_a_race_in_which_nothing_is_solved_can_be_drawn_too():
    figure = draw_best_so_far(POINTS, {"other": CURVES["other"]}, {}, "title", "trials", "cost")
    figure.draw_without_rendering()


def test_every_problem_has_a_panel_and_the_entrants_are_named_once():
    figure = draw_races(POINTS, {"parity": CURVES, "digits": CURVES, "letters": CURVES}, "title", "trials", "ratio")
    figure.draw_without_rendering()
    assert sum(ax.get_visible() for ax in figure.axes) == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "other"]


def test_an_entrant_looks_the_same_wherever_it_runs_and_like_no_other():
    one, other = CURVES.values()
    races = {"parity": {"first": one, "second": other}, "digits": {"third": one, "second": other}}
    figure = draw_races(POINTS, races, "title", "trials", "ratio")
    looks = {}
    for ax in figure.axes:
        for line in ax.lines:
            looks.setdefault(line.get_label(), set()).add((line.get_color(), line.get_linestyle()))
    assert all(len(of_one) == 1 for of_one in looks.values())
    assert len(set.union(*looks.values())) == len(looks) == 3
