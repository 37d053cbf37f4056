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


def test_a_search_without_trials_is_refused():
    with pytest.raises(ValueError, match=r"total must be at least 1.*got 0"):
        Progress("a search", 0)


def test_where_nobody_knows_how_many_trials_there_will_be_there_is_no_bar():
    progress = Progress("a search")
    progress(trial(0, 10.0))
    progress(trial(1, 1.0))
    assert progress.text == "a search: 2 trials, 2 solved, best cost 1"
    assert "<progress" not in progress.html
