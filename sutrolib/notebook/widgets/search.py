"""A search that the user starts, pauses and continues; the figure follows trial by trial.

It runs in a worker process and keeps its trials in a journal, one for each search and seed. A study goes on where it
stopped, also after the kernel was restarted.
"""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from html import escape
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sutrolib.core import paths
from sutrolib.core.types import Problem, describe
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.notebook.widgets.layout import Cancelled, button, dropdown, hbox, image
from sutrolib.notebook.widgets.worker import PAUSE_S, WorkerExit, WorkerPanel
from sutrolib.plots.search import draw_trials
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import TrialState, ignore
from sutrolib.processes.samplers import GridSearch, PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study, Trial, best_of

_MAX_TRIALS = 10_000
_STARTUP_TRIALS = 6  # random settings before a model of the trials is used
_KEPT = "kept"  # the note in a journal of how many trials its study had when it was kept
_DESCRIPTIONS = {
    "random search": "random search: independent random settings",
    "grid": "grid: every combination of a few values, in random order",
    "TPE": "TPE: settings from a model of the good trials so far",
    "TPE with halving": "TPE with halving: ends hopeless trainings early",
}
_HEADING = (
    "<b>A live search.</b> Choose a process and press Start. Pause lets the current trial end; Continue goes on from "
    "there, also after a restart of the kernel. Another seed is another study."
)


_Task = tuple[Problem, SearchSpace, Meter]  # what to search, and its cost


def resume_search(connection: Connection, search: Search, task: _Task, budget: SearchBudget, seed: int) -> None:
    """Go on with a study; sends a list of its trials so far, every trial as it ends, and the study when it is over."""

    def on_trial(trial: Trial) -> None:
        connection.send(dataclasses.replace(trial, runs=()))
        if connection.poll():
            raise Cancelled
        if isinstance(task[-1], WindowMeter):  # else one timing would follow directly on the other
            time.sleep(PAUSE_S)

    connection.send(search.open_storage(*task, seed).finished())
    with suppress(Cancelled):
        study = dataclasses.replace(search, on_trial=on_trial).improve(*task, budget, seed)
        light = tuple(dataclasses.replace(trial, runs=()) for trial in study.trials)
        connection.send(dataclasses.replace(study, trials=light))


def search_panel(
    problem: Problem,
    space: SearchSpace,
    meter: Meter,
    *,
    trials: int = 20,
    seed: int = 0,
    pairs: int = 1,
    trace_updates: int | None = None,
    keep: Callable[[Study], object] = ignore,
) -> widgets.VBox:
    """Choose a process, start it, pause it and continue; each trial becomes a dot in the figure.

    Args:
        problem, space, meter: what to search, and its cost.
        trials, seed: the defaults of the controls.
        pairs, trace_updates: as in :class:`sutrolib.processes.search.Search`.
        keep: called with a study whose budget is used up.

    Nothing runs before a click.
    """
    settings: dict[str, Any] = {"pairs": pairs, "trace_updates": trace_updates}
    searches: list[Search] = [RandomSearch(**settings), GridSearch(**settings)]
    searches += [kind(n_startup_trials=_STARTUP_TRIALS, **settings) for kind in (TPESearch, PrunedTPE)]
    panel = _SearchPanel((problem, space, meter), searches, trials, seed, keep)
    panel.process.value = TPESearch.name
    return panel.panel


class _SearchPanel(WorkerPanel):
    """The controls and their actions."""

    def __init__(
        self, task: _Task, searches: Sequence[Search], trials: int, seed: int, keep: Callable[[Study], object]
    ) -> None:
        super().__init__("Start", "Stop now", "abandon the current trial; it is repeated later")
        self.task, self.keep = task, keep
        self.searches = {search.name: search for search in searches}
        self.trials: dict[Path, list[Trial]] = {}  # that this panel has seen, by the journal of the study
        self.finished = ""  # how a study ended whose budget is used up
        self.process = dropdown("process", [(_DESCRIPTIONS[name], name) for name in self.searches])
        self.count = widgets.BoundedIntText(value=trials, min=1, max=_MAX_TRIALS, description="trials")
        self.seed = widgets.BoundedIntText(value=seed, min=0, max=10**6, description="seed")
        self.inputs = [self.process, self.count, self.seed]
        self.pause = button("Pause", self.on_pause, self.say, tooltip="stop after the current trial")
        for control in self.inputs:
            control.observe(self.on_choice, names="value")
        self.on_choice()
        buttons = hbox(self.start, self.pause, self.cancel)
        self.panel = self.column(_HEADING, self.process, hbox(self.count, self.seed), buttons)

    @property
    def journal(self) -> Path:
        """The file of the chosen study; its name has a hash of everything that makes it another study."""
        problem, space, meter = self.task
        settings = {name: value for name, value in vars(meter).items() if not name.startswith("_")}
        search = self.searches[self.process.value]
        about = [describe(problem), space.describe(), meter.name, settings, self.seed.value, search.settings]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        return paths.study_file(f"panel {search.name} {digest[:8]}")

    @property
    def search(self) -> Search:
        """The chosen process, with the journal of the chosen study."""
        return dataclasses.replace(self.searches[self.process.value], journal=self.journal)

    @property
    def found(self) -> list[Trial]:
        """The trials of the chosen study that this panel has seen."""
        return self.trials.get(self.journal, [])

    def on_choice(self, _change: object = None) -> None:
        """Show what is known of the chosen study."""
        self.enable(running=False)
        kept = self.journal.exists() and not self.found
        self.say("Trials of this study are kept: Continue goes on with them." if kept else "")
        self.show()

    def on_start(self) -> None:
        """Start or continue the study."""
        self.finished = ""
        self.launch(resume_search, self.search, self.task, SearchBudget(trials=self.count.value), self.seed.value)

    def on_pause(self) -> None:
        """Ask the search to stop after the current trial."""
        self.pause.disabled = True
        self.doing.value = "The current trial is still running; the search stops after it."
        self.worker.request_stop()

    def on_cancel(self) -> None:
        """End the process now, in the middle of a trial."""
        self.pause.disabled = True
        super().on_cancel()

    def take(self, events: Sequence[list[Trial] | Trial | Study]) -> None:
        """Keep the trials, and a study that is finished unless it was kept with as many trials before."""
        for event in events:
            if isinstance(event, Study):
                self.trials[self.journal] = list(event.trials)
                audit = f" {event.audit}." if event.audit else ""
                self.finished = f"Ended: {event.stopped}.{audit} To go on, increase the trials and press Continue."
                storage = self.search.open_storage(*self.task, self.seed.value)
                if len(event.trials) > storage.notes().get(_KEPT, {}).get("trials", 0):
                    self.keep(event)
                    storage.note(_KEPT, {"trials": len(event.trials)})
            else:
                found = event if isinstance(event, list) else [*self.found, event]
                self.trials[self.journal] = sorted(found, key=lambda trial: trial.number)
        if not self.pause.disabled:
            over = self.finished or len(self.found) >= self.count.value
            self.doing.value = "" if over else f"Trial {len(self.found) + 1} is running."
        self.stale = True

    def exit_text(self, end: WorkerExit) -> str:
        """How the search ended."""
        if end.error:
            return f"Error: {end.error}. The {len(self.found)} finished trials are kept."
        again = "; the interrupted one will be repeated" if end.cancelled else ""
        return self.finished or f"Paused after {len(self.found)} trials, which are kept{again}."

    def show(self) -> None:
        """The bar, the figure and the best settings."""
        found, best, (_, space, meter) = self.found, best_of(self.found), self.task
        self.picture.value = draw_search(self.process.value, found, meter, space) if found else ""
        self.text.value = ""
        if best is not None and best.cost is not None:
            cost = f"{best.cost:.4g} {meter.unit} ({meter.kind})"
            self.text.value = escape(f"Best: trial {1 + found.index(best)}, {best.proposal}: {cost}; {best.why}.")
        self.bar.max, self.bar.value = self.count.value, min(len(found), self.count.value)

    def enable(self, running: bool) -> None:
        """Enable the controls that make sense now."""
        super().enable(running)
        self.pause.disabled = not running
        self.start.description = "Continue" if self.journal.exists() else "Start"


def draw_search(name: str, trials: Sequence[Trial], meter: Meter, space: SearchSpace) -> str:
    """The figure of a study as HTML: the cost of each trial by its number, and the best so far.

    pyplot does not know the figure, as pyplot's state belongs to the notebook's cells.
    """
    families: dict[str, list[tuple[int, float | None]]] = {}
    for position, trial in enumerate(trials, start=1):  # trial.number also counts interrupted trials
        if trial.proposal is not None:
            families.setdefault(trial.proposal.family, []).append((position, trial.cost))
    start = next((t.cost for t in trials if t.proposal is not None and t.proposal.key == space.start.key), None)
    best, solved = best_of(trials), sum(trial.state is TrialState.SOLVED for trial in trials)
    found = f"; the best costs {best.cost:.3g} {meter.unit} ({meter.kind})" if best else ""
    title = f"{name}: {solved} of {len(trials)} trials solved the problem{found}"
    ylabel = f"{meter.title}, {meter.unit} ({meter.kind})"
    figure = draw_trials(families, start, title, ylabel, Figure(layout="constrained"))
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return image(figure, f"Cost of each trial by its number, and the best so far. {title}.")
