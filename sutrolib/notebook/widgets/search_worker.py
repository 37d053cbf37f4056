"""A search that goes on in a process of its own, and tells what it finds."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter, WindowMeter
from sutrolib.notebook.widgets.worker import BREATH, Channel
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.search import Search
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.storage import StudyStorage
from sutrolib.processes.study import Study, Trial

KEPT = "kept"  # the note in a journal of how many trials its study had when it was kept


class Paused(Exception):
    """Somebody asked the search to stop after the trial at hand."""


@dataclass(frozen=True)
class StudyOpened:
    """The trials that a study held when it was opened."""

    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class StudyFinished:
    """The study has used up its budget, or its space; it was kept when it had ``kept`` trials, 0 for not yet."""

    study: Study
    kept: int = 0


def resume_search(
    line: Channel, search: Search, problem: Problem, space: SearchSpace, meter: Meter, budget: SearchBudget, seed: int
) -> None:
    """Go on with a study; tells :class:`StudyOpened`, every trial as it ends, and :class:`StudyFinished` when all is spent."""

    def told(trial: Trial) -> None:
        line.tell(dataclasses.replace(trial, runs=()))
        if line.stop_requested:
            raise Paused
        if isinstance(meter, WindowMeter):  # else one timing would follow on the other
            time.sleep(BREATH)

    storage = search.open_storage(problem, space, meter, seed)
    line.tell(StudyOpened(tuple(storage.finished())))
    try:
        study = dataclasses.replace(search, on_trial=told).improve(problem, space, meter, budget, seed)
    except Paused:
        return
    light = tuple(dataclasses.replace(trial, runs=()) for trial in study.trials)
    line.tell(StudyFinished(dataclasses.replace(study, trials=light), kept_at(storage)))


def kept_at(storage: StudyStorage) -> int:
    """How many trials the study had when it was kept; 0 where it was not."""
    return int(storage.notes().get(KEPT, {}).get("trials", 0))


def note_kept(storage: StudyStorage) -> None:
    """Note in the journal that the study is kept as it is now."""
    storage.note(KEPT, {"trials": len(storage.finished())})
