import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
from searches import METER, PROBLEM, SPACE
from slow_work import count, until

from sutrolib.core.paths import ROOT
from sutrolib.notebook.widgets import manual_search_panel
from sutrolib.notebook.widgets.layout import status
from sutrolib.notebook.widgets.worker import Worker, WorkerExit, error_text
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.manual import ManualTuning, TuningSession


class Watched(Worker):
    """A worker, what it told, and how it ended."""

    def __init__(self):
        self.events, self.ends = [], []
        super().__init__(self.events.extend, self.ends.append)

    def ended(self):
        return until(lambda: self.ends)[0]


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_events_come_in_order_without_a_word_on_the_screen_until_the_work_is_asked_to_stop(capfd):
    worker = Watched()
    worker.start(count, 300, "until asked")
    worker.start(count, 5)  # the second of two clicks
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGINT)  # an interrupt of a cell, which reaches every process of a kernel
    until(lambda: len(worker.events) == 301)
    os.kill(process.pid, signal.SIGINT)
    assert worker.running
    worker.request_stop()
    assert worker.ended() == WorkerExit()
    pid, *rest = worker.events
    assert rest == [*range(300), "asked"]
    assert gone(pid)
    assert not worker.running
    assert capfd.readouterr() == ("", "")


def test_a_cancel_ends_a_process_that_does_not_listen_and_keeps_what_it_had_told():
    worker = Watched()
    worker.start(count, 3, "deaf")
    until(lambda: len(worker.events) == 5)
    worker.cancel()
    worker.cancel()
    assert worker.ended() == WorkerExit(cancelled=True)
    pid, *rest = worker.events
    assert rest == [0, 1, 2, "deaf"]
    assert gone(pid)
    assert worker.ends == [WorkerExit(cancelled=True)]


def test_a_cancel_before_the_process_has_come_to_anything_leaves_nothing_behind():
    worker = Watched()
    worker.start(count, 3)
    worker.cancel()
    assert worker.ended() == WorkerExit(cancelled=True)
    assert worker.events == []


def test_a_process_that_ends_without_a_word_is_an_error_after_what_it_had_told():
    worker = Watched()
    worker.start(count, 2, "exit")
    assert worker.ended() == WorkerExit(error="the worker process crashed (exit code 3)")
    assert worker.events[1:] == [0, 1]


def test_an_error_says_of_what_sort_it_is_unless_it_was_written_for_the_reader():
    assert error_text(ZeroDivisionError("division by zero")) == "ZeroDivisionError: division by zero"
    assert error_text(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert error_text(OSError("no space left\non device")) == "no space left on device"


def test_work_that_cannot_be_sent_is_an_error_and_the_worker_stays_usable():
    worker = Watched()
    worker.start(lambda line: None)
    assert worker.ends[0].error
    assert not worker.running


def of_a_cell():
    """An instance of a class that a notebook's cell defines."""
    cell = sys.modules["__main__"]
    cell.MyModel = getattr(cell, "MyModel", None) or type("MyModel", (), {"__module__": "__main__"})
    return cell.MyModel()


@pytest.mark.parametrize(
    "argument",
    [of_a_cell(), type(of_a_cell()), [{"deep": (of_a_cell(),)}], replace(SPACE.families[0], model=of_a_cell())],
    ids=["itself", "its class", "in containers", "in a dataclass"],
)
def test_what_a_cell_of_the_notebook_defines_is_refused_before_a_process_starts(argument):
    worker = Watched()
    worker.start(count, argument)
    assert "what is defined in this notebook cannot be imported by the worker process" in worker.ended().error
    assert not worker.running


KERNEL = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from slow_work import count
from sutrolib.notebook.widgets.worker import Worker
if __name__ == "__main__":
    Worker(lambda events: print(*events, flush=True), print).start(count, 0, "wait")
    time.sleep(600)
"""


@pytest.mark.slow
def test_no_process_outlives_a_kernel_that_is_killed(tmp_path):
    script = tmp_path / "kernel.py"
    script.write_text(KERNEL.format(tests=str(ROOT / "tests"), root=str(ROOT)))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as kernel:
        pid = int(kernel.stdout.readline())
        assert not gone(pid)
        os.kill(kernel.pid, signal.SIGKILL)
    until(lambda: gone(pid))


@pytest.mark.usefixtures("steady_clock")
def test_a_cancelled_step_by_hand_is_dropped_and_its_finished_measurements_are_kept():
    kept = []

    def slowly(run):
        kept.append(run)
        until(lambda: not hold)

    hold = [1]
    walk = TuningSession(ManualTuning(pairs=5, on_measurement=slowly), PROBLEM, SPACE, METER, SearchBudget(trials=5))
    name, value, expectation, buttons, message, _steps = manual_search_panel(walk).children
    attempt, cancel = buttons.children
    assert cancel.disabled
    name.value, value.value, expectation.value = "hidden", "30", "cheaper"
    attempt.click()
    until(lambda: kept)
    assert attempt.disabled
    cancel.click()
    assert cancel.disabled
    hold.clear()
    until(lambda: not attempt.disabled)
    assert "Cancelled" in message.value
    assert (len(kept), walk.steps) == (1, [])
    attempt.click()
    until(lambda: not attempt.disabled)
    assert message.value == status("Kept: better in cost.")
    assert cancel.disabled
    cancel.click()
    assert message.value == status("Kept: better in cost."), "there was nothing to cancel"


@pytest.mark.usefixtures("steady_clock")
def test_a_panel_that_takes_the_place_of_another_ends_the_step_of_that_one():
    def slowly(run):
        kept.append(run)
        until(lambda: not hold)

    hold, kept = [1], []
    walk = TuningSession(ManualTuning(pairs=5, on_measurement=slowly), PROBLEM, SPACE, METER, SearchBudget(trials=5))
    _, value, expectation, buttons, message, _ = manual_search_panel(walk).children
    value.value, expectation.value = "30", "cheaper"
    buttons.children[0].click()
    until(lambda: kept)
    _, value, expectation, again, told, _ = manual_search_panel(walk).children
    assert "Cancelling" in message.value
    value.value, expectation.value = "30", "cheaper"
    again.children[0].click()
    assert "has not ended yet" in told.value
    hold.clear()
    until(lambda: not buttons.children[0].disabled)
    assert walk.steps == []
    again.children[0].click()
    until(lambda: not again.children[0].disabled)
    assert told.value == status("Kept: better in cost.")
