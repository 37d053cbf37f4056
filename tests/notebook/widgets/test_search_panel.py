import multiprocessing
import re
from dataclasses import replace

import pytest
from matplotlib import pyplot as plt
from searches import METER, PROBLEM, SPACE
from slow_work import LocalConnection, controls_of, until

from sutrolib.meters.access.cache_energy import A100, HOROWITZ_2014, CacheEnergy
from sutrolib.notebook.widgets import search_panel
from sutrolib.notebook.widgets.layout import PANEL
from sutrolib.notebook.widgets.search import _SearchPanel, draw_search, resume_search
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.samplers import RandomSearch, TPESearch
from sutrolib.processes.study import Study, Trial


@pytest.fixture(autouse=True)
def studies(tmp_path, monkeypatch):
    """Where the journals are."""
    monkeypatch.setattr("sutrolib.core.paths.STUDIES", tmp_path / "studies")


class Person:
    """Works a search panel through its controls; ``kept`` holds the studies that it kept."""

    def __init__(self, trials=8):
        self.kept = []
        self.panel = search_panel(PROBLEM, SPACE, METER, trials=trials, keep=self.kept.append)
        found = controls_of(self.panel)
        _, self.doing, self.message, self.picture, self.best = found[""]
        buttons = [found[name] for name in found if name in ("Start", "Continue", "Pause", "Stop now")]
        self.go, self.pause, self.stop = buttons
        self.process, self.count, self.seed, self.bar = (found[n] for n in ("process", "trials", "seed", "progress"))

    def click(self, button):
        button.click()
        button.click()  # the second of two quick clicks

    @property
    def alt(self):
        return re.search('alt="(.*?)"', self.picture.value)[1]


def test_a_panel_starts_nothing_and_writes_nothing(tmp_path):
    person = Person()
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "studies").exists()
    assert PANEL in person.panel._dom_classes
    assert (person.go.description, person.go.disabled, person.pause.disabled) == ("Start", False, True)
    assert [name for _, name in person.process.options] == ["random search", "grid", "TPE", "TPE with halving"]


@pytest.mark.slow
def test_a_search_is_paused_stopped_and_continued_and_comes_to_what_it_would_have_without():
    person = Person(trials=5000)
    person.click(person.go)
    assert person.go.disabled
    assert person.process.disabled
    until(lambda: person.bar.value >= 2)
    assert "Cost of each trial" in person.alt
    person.click(person.pause)
    assert (person.pause.disabled, person.stop.disabled) == (True, False)
    person.click(person.stop)
    until(lambda: person.message.value)
    done = int(re.search("Paused after ([0-9]+) trials, which are kept", person.message.value)[1])
    assert multiprocessing.active_children() == []
    assert (person.go.description, person.go.disabled, person.pause.disabled) == ("Continue", False, True)
    assert person.kept == []
    again = Person(trials=done + 2)  # as in another session
    for seed, told in ((1, "Start"), (0, "Continue")):  # another seed is another study
        again.seed.value = seed
        assert again.go.description == told
    assert "Continue goes on with them" in again.message.value
    again.message.value = ""
    again.click(again.go)
    until(lambda: again.message.value)
    assert f"Ended: budget spent: {done + 2} of {done + 2} trials" in again.message.value
    straight = TPESearch(n_startup_trials=6).improve(PROBLEM, SPACE, METER, SearchBudget(trials=done + 2))
    (study,) = again.kept
    assert [t.proposal for t in study.trials] == [t.proposal for t in straight.trials]
    assert [t.cost for t in study.trials] == [t.cost for t in straight.trials]
    assert f"{sum(t.cost is not None for t in straight.trials)} of {done + 2} trials solved" in again.alt
    assert "operations (counted)" in again.best.value


def test_a_store_that_cannot_be_written_ends_in_a_sentence_and_frees_the_controls(tmp_path):
    (tmp_path / "studies").write_text("a file in the way")
    person = Person()
    person.click(person.go)
    until(lambda: person.message.value)
    assert "Error: " in person.message.value
    assert "studies" in person.message.value
    assert (person.go.disabled, person.pause.disabled) == (False, True)


def test_work_that_is_asked_to_stop_ends_after_the_trial_at_hand_and_tells_what_was_there_before(tmp_path):
    search, budget = RandomSearch(journal=tmp_path / "study.log"), SearchBudget(trials=4)
    resume_search(first := LocalConnection(most=3), search, (PROBLEM, SPACE, METER), budget, 0)
    assert [type(event) for event in first.events] == [list, Trial, Trial]
    resume_search(second := LocalConnection(), search, (PROBLEM, SPACE, METER), budget, 0)
    begun, *trials, exhausted = second.events
    assert begun == first.events[1:]
    assert [trial.number for trial in trials] == [2, 3]
    assert isinstance(exhausted, Study)
    assert exhausted.trials == (*begun, *trials)


def panel_of(keep, meter=METER):
    return _SearchPanel((PROBLEM, SPACE, meter), [RandomSearch()], 2, 0, keep)


@pytest.mark.slow
def test_a_study_that_was_paused_in_its_last_trial_is_kept_once_and_again_where_that_failed():
    def keep(study):
        kept.append(study)
        if len(kept) == 1:
            raise OSError("no space left on device")

    kept = []
    panel = panel_of(keep)
    resume_search(last := LocalConnection(most=3), panel.search, panel.task, SearchBudget(trials=2), 0)
    assert [type(event) for event in last.events] == [list, Trial, Trial], "paused, after all trials"
    ends = []
    for _ in range(3):
        panel.on_start()
        until(lambda: panel.message.value)
        ends.append("no space left" in panel.message.value)
    assert ends == [True, False, False]
    assert [len(study.trials) for study in kept] == [2, 2]


def test_another_machine_of_the_same_meter_is_another_study():
    one, same, other = (panel_of(print, CacheEnergy(machine)) for machine in (A100, A100, HOROWITZ_2014))
    assert one.journal == same.journal != other.journal


def test_a_figure_drawn_while_a_cell_draws_its_own_leaves_that_one_alone():
    plt.close("all")
    before = plt.figure()
    draw_search("TPE", [Trial(0, SPACE.start, TrialState.MISSED, "accuracy 0.6")], METER, SPACE)
    assert plt.get_fignums() == [before.number]
    plt.close(before)


def test_the_figure_marks_unsolved_trials_and_says_when_nothing_is_solved_yet():
    missed = Trial(0, SPACE.start, TrialState.MISSED, "accuracy 0.6")
    html = draw_search("TPE", [missed], METER, SPACE)
    assert "TPE: 0 of 1 trials solved the problem" in html
    solved = replace(missed, number=3, state=TrialState.SOLVED, cost=100.0)
    assert "1 of 2 trials solved the problem; the best costs 100 operations (counted)" in draw_search(
        "TPE", [missed, solved], METER, SPACE
    )
