"""A search that a person starts, pauses and continues; the figure follows trial by trial.

It runs in a process of its own (``worker``) and keeps its trials in a journal, one for each process
and seed: a study goes on where it stopped, in another session as well.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sutrolib.core import paths
from sutrolib.core.types import Problem, describe
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.meters.lock import meter_lock
from sutrolib.notebook.widgets.layout import hbox, dropdown, image, replace_previous_panel, panel, status
from sutrolib.notebook.widgets.search_worker import StudyOpened, StudyFinished, note_kept, resume_search
from sutrolib.notebook.widgets.worker import WorkerExit, ExitStatus, Worker
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.evaluator import TrialState, ignore
from sutrolib.processes.samplers import GridSearch, TPESearch, PrunedTPE, RandomSearch
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study, Trial, best_of

if TYPE_CHECKING:
    from ipywidgets import VBox

MOST_TRIALS = 10_000
DRAWN = 6  # settings that a process draws before it goes by what it has seen

WORDS = {
    "random search": "random search: settings drawn one by one",
    "grid": "grid: every combination of a few values, in random order",
    "TPE": "TPE: a model of what was good so far",
    "TPE with halving": "TPE with halving: ends hopeless trainings early",
}


def search_panel(
    problem: Problem,
    space: SearchSpace,
    meter: Meter,
    *,
    trials: int = 20,
    seed: int = 0,
    pairs: int = 1,
    trace_updates: int | None = None,
    folder: Path | None = None,
    keep: Callable[[Study], object] = ignore,
) -> VBox:
    """Choose a process, start it, pause it and continue; each trial is a dot of the figure.

    ``pairs`` and ``trace_updates`` are those of :class:`sutrolib.processes.search.Search`. Journals are in the folder
    ``folder``, data/studies/ where it is None. ``keep`` is told of a study whose budget is used up. Nothing runs until
    somebody clicks.
    """
    settings = {"pairs": pairs, "trace_updates": trace_updates}
    searches: tuple[Search, ...] = (
        RandomSearch(**settings),  # type: ignore[arg-type]
        GridSearch(**settings),  # type: ignore[arg-type]
        TPESearch(n_startup_trials=DRAWN, **settings),  # type: ignore[arg-type]
        PrunedTPE(n_startup_trials=DRAWN, **settings),  # type: ignore[arg-type]
    )
    return _SearchPanel(problem, space, meter, searches, trials, seed, folder, keep).panel


class _SearchPanel:
    """The controls, and what they do."""

    def __init__(
        self,
        problem: Problem,
        space: SearchSpace,
        meter: Meter,
        searches: Sequence[Search],
        trials: int,
        seed: int,
        folder: Path | None,
        keep: Callable[[Study], object],
    ) -> None:
        import ipywidgets as widgets

        self.problem, self.space, self.meter, self.folder, self.keep = problem, space, meter, folder, keep
        self.searches: Mapping[str, Search] = {search.name: search for search in searches}
        self.trials: dict[str, list[Trial]] = {}  # by the name of the study
        self.behind = False  # what is shown is not all there is
        self.over = ""  # how a study ended that is used up
        self.worker = Worker(self.on_events, self.on_end)
        self.process = dropdown("process", [(WORDS.get(name, name), name) for name in self.searches])
        self.process.value = TPESearch.name if TPESearch.name in self.searches else next(iter(self.searches))
        self.count = widgets.BoundedIntText(value=trials, min=1, max=MOST_TRIALS, description="trials")
        self.seed = widgets.BoundedIntText(value=seed, min=0, max=10**6, description="seed")
        self.go = widgets.Button(description="Start")
        self.pause = widgets.Button(description="Pause", tooltip="end after the trial at hand")
        tip = "give up the trial at hand; it is tried again"
        self.stop = widgets.Button(description="Stop now", tooltip=tip)
        self.bar = widgets.IntProgress(value=0, min=0, max=trials, description="progress")
        self.doing, self.message, self.picture, self.best = (widgets.HTML() for _ in range(4))
        for control in (self.process, self.seed):
            control.observe(self.on_choice, names="value")
        self.count.observe(self.on_count, names="value")
        self.go.on_click(lambda _: self.on_go())
        self.pause.on_click(lambda _: self.on_pause())
        self.stop.on_click(lambda _: self.on_stop())
        self.on_choice()
        replace_previous_panel("search", self.worker.cancel)
        heading = (
            "<b>A search, under way.</b> Choose a process and press Start. Pause brings the trial at hand to its end; "
            "Continue goes on from there, also after the kernel was restarted. Another seed is another study."
        )
        self.panel = panel(
            [
                *(widgets.HTML(heading), self.process, hbox(self.count, self.seed)),
                hbox(self.go, self.pause, self.stop),
                *(hbox(self.bar, self.doing), self.message, self.picture, self.best),
            ]
        )

    @property
    def study(self) -> str:
        """The name of the study that is chosen: by all that makes it another one, as a journal holds one study."""
        search = self.searches[self.process.value]
        meter = {name: value for name, value in vars(self.meter).items() if not name.startswith("_")}
        about = [describe(self.problem), self.space.describe(), self.meter.name, meter]
        about += [self.seed.value, search.settings]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
        return f"panel {search.name} {digest[:8]}"

    @property
    def search(self) -> Search:
        """The process that is chosen, with its journal."""
        return dataclasses.replace(self.searches[self.process.value], journal=self.journal)

    @property
    def journal(self) -> Path:
        """The file of the study that is chosen."""
        file = paths.study_file(self.study)
        return self.folder / file.name if self.folder else file

    @property
    def found(self) -> list[Trial]:
        """The trials of the study that is chosen, as far as they have been seen here."""
        return self.trials.get(self.study, [])

    def on_choice(self, _change: object = None) -> None:
        """Show what is known of the study that is chosen."""
        self.enable(running=False)
        known = self.journal.exists() and not self.found
        self.say("Trials of this study are kept: Continue goes on with them." if known else "")
        self.show()

    def on_count(self, _change: object = None) -> None:
        """The bar ends where the trials do."""
        self.bar.max = self.count.value

    def on_go(self) -> None:
        """Start or continue the study, in a process of its own."""
        if self.worker.running:  # the second of two quick clicks
            return
        self.enable(running=True)
        self.say("")
        self.doing.value = "A process of its own is starting."
        budget = SearchBudget(trials=self.count.value)
        self.over = ""
        self.worker.start(resume_search, self.search, self.problem, self.space, self.meter, budget, self.seed.value)

    def on_pause(self) -> None:
        """Ask for an end after the trial at hand."""
        if self.pause.disabled or not self.worker.running:  # the second of two quick clicks
            return
        self.pause.disabled = True
        self.doing.value = "The trial at hand is brought to its end."
        self.worker.ask_to_stop()

    def on_stop(self) -> None:
        """End the process now, in the middle of a trial."""
        if self.stop.disabled or not self.worker.running:
            return
        self.pause.disabled = self.stop.disabled = True
        self.worker.cancel()

    def on_events(self, events: Sequence[StudyOpened | Trial | StudyFinished]) -> None:
        """Take in what has come, and draw once."""
        for event in events:
            if isinstance(event, StudyOpened):
                self.trials[self.study] = list(event.trials)
            elif isinstance(event, Trial):
                self.trials[self.study] = sorted([*self.found, event], key=lambda trial: trial.number)
            else:
                self.trials[self.study] = list(event.study.trials)
                self.over = f"Ended: {event.study.stopped}. With more trials, Continue goes on beyond that."
                if len(event.study.trials) > event.kept:
                    self.keep(event.study)
                    note_kept(self.search.open_storage(self.problem, self.space, self.meter, self.seed.value))
        if not self.pause.disabled:
            over = isinstance(events[-1], StudyFinished) or len(self.found) >= self.count.value
            self.doing.value = "" if over else f"Trial {len(self.found) + 1} is being tried."
        self.behind = True
        # Drawing would slow a timing in another process: then it is left to the next events. Waiting for its end here,
        # nobody would see the end of a search that is cancelled.
        with suppress(TimeoutError), meter_lock().acquire(0) if isinstance(self.meter, WindowMeter) else nullcontext():
            self.show()

    def on_end(self, ended: WorkerExit) -> None:
        """Free the controls, and say how it ended."""
        text = self.over
        if ended.how is ExitStatus.FAILED:
            text = f"Ended in an error: {ended.why}. The {len(self.found)} trials that were finished are kept."
        elif not text:
            again = "; the one that was cut off is tried again" if ended.how is ExitStatus.CANCELLED else ""
            text = f"Paused after {len(self.found)} trials, which are kept{again}."
        self.doing.value = ""
        if self.behind:
            self.show()
        self.enable(running=False)
        self.say(text)

    def show(self) -> None:
        """The bar, the figure and the best settings."""
        self.behind = False
        self.bar.value = min(len(self.found), self.bar.max)
        if not self.found:
            self.picture.value = self.best.value = ""
            return
        self.picture.value = draw(self.process.value, self.found, self.meter, self.space)
        best = best_of(self.found)
        if best is not None and best.cost is not None:
            cost = f"{best.cost:.4g} {self.meter.unit} ({self.meter.kind})"
            place = 1 + self.found.index(best)
            self.best.value = escape(f"Best: trial {place}, {best.proposal}: {cost}; {best.why}.")

    def say(self, text: str) -> None:
        """A message to whoever works the panel; read out by a screen reader."""
        self.message.value = status(text)

    def enable(self, running: bool) -> None:
        """The controls that make sense now, and what they do."""
        kept = self.journal.exists()
        self.go.description = "Continue" if kept else "Start"
        self.go.tooltip = "go on with the trials that are kept" if kept else "begin a new study"
        for control in (self.process, self.count, self.seed, self.go):
            control.disabled = running
        self.pause.disabled = self.stop.disabled = not running


def draw(name: str, trials: Sequence[Trial], meter: Meter, space: SearchSpace) -> str:
    """HTML of the figure of a study: the cost of every trial by its number, and the best so far.

    Drawn without pyplot, whose state belongs to the cells of a notebook.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from sutrolib.plots.search import draw_trials

    families: dict[str, list[tuple[int, float | None]]] = {}
    for place, trial in enumerate(trials, start=1):  # its number counts those as well that were cut off
        if trial.proposal is not None:
            families.setdefault(trial.proposal.family, []).append((place, trial.cost))
    start = next((t.cost for t in trials if t.proposal is not None and t.proposal.key == space.start.key), None)
    best, solved = best_of(trials), sum(trial.state is TrialState.SOLVED for trial in trials)
    found = f"the best costs {best.cost:.3g} {meter.unit} ({meter.kind})" if best else "nothing solved yet"
    title = f"{name}: {found}; {solved} of {len(trials)} trials solved the problem"
    ylabel = f"{meter.title}, {meter.unit} ({meter.kind})"
    figure = draw_trials(families, start, title, ylabel, Figure(layout="constrained"))
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    return image(figure, f"Cost of each trial by its number, and the best so far. {title}.")
