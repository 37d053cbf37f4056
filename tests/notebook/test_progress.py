import pytest

from sutrolib.notebook.session import Progress
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.study import Trial


def trial(number, cost):
    return Trial(number, None, TrialState.SOLVED if cost else TrialState.MISSED, "", cost=cost)


def test_it_says_how_many_trials_there_were_and_what_is_best():
    progress = Progress("random <search>", 4)
    assert progress.text == "random <search>: 0 of at most 4 trials, 0 solved, nothing solved yet"
    for number, cost in enumerate((None, 100.0, 10.0, 1000.0)):
        progress(trial(number, cost))
    assert progress.text == "random <search>: 4 of at most 4 trials, 3 solved, best cost 10"
    assert "random &lt;search&gt;" in progress.html
    assert 'value="4" max="4"' in progress.html


def test_its_curve_falls_with_the_best_cost_and_never_rises():
    progress = Progress("a search", 5)
    for number, cost in enumerate((100.0, 10.0, 1000.0, 1.0)):
        progress(trial(number, cost))
    points = progress.html.split('points="')[1].split('"')[0].split()
    downs = [float(point.split(",")[1]) for point in points]
    assert downs == sorted(downs)
    assert downs[0] < downs[1] == downs[2] < downs[3]


def test_more_trials_than_announced_stay_inside_the_picture():
    progress = Progress("a search", 1)
    for number in range(3):
        progress(trial(number, 1.0))
    across = [float(p.split(",")[0]) for p in progress.html.split('points="')[1].split('"')[0].split()]
    assert max(across) <= 480


def test_a_search_without_trials_is_refused():
    with pytest.raises(ValueError, match=r"total must be at least 1.*got 0"):
        Progress("a search", 0)


def test_where_nobody_knows_how_many_trials_there_will_be_there_is_no_bar():
    progress = Progress("a search")
    progress(trial(0, 10.0))
    progress(trial(1, 1.0))
    assert progress.text == "a search: 2 trials, 2 solved, best cost 1"
    assert "<progress" not in progress.html
    assert "<polyline" in progress.html
