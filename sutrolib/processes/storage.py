"""Where the trials of a study are kept while it runs: an Optuna study, in memory or in a journal file.

Several workers may share a journal, and it survives kill -9 at any moment: every entry is a line that is on disk before
it counts (:mod:`sutrolib.processes.journal`), and the lock belongs to the operating system, which frees it when its
process dies. A trial whose worker died is tried once more, and counts as failed when that worker dies as well: a
candidate that kills twice (mostly by its memory) kills again. The seconds of a lost attempt count as spent.

Optuna's own heartbeats need its SQL storage, which is not safe on a network disk, and its ``Study.optimize``; so a
trial carries its worker's process id here, and is retried as soon as that process is gone.

What the states of Optuna mean here: a trial with a result is finished, whatever its state. Without a result, COMPLETE
has lost its worker twice, FAIL was interrupted or lost its worker once, and WAITING is to be tried again in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import psutil
from filelock import FileLock

from sutrolib.core.io import as_json
from sutrolib.core.records import check_types, checked
from sutrolib.processes.budget import ResourceUse
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

HEADER, NOTE = "header", "note:"  # attributes of the study
WORKER, PROPOSAL, RESULT, KILLED, RETRY_OF = "worker", "proposal", "result", "killed", "retry of"  # of its trials
KILLED_TWICE = "the process that ran it was killed, twice"
RESULT_LOST = "its result in the journal is damaged"
_STUDY = "study"  # its name in the journal, which holds no other one
_DATE_S = 1.0
_WORST = 1e9  # beyond any objective, cost or time


class _Worker(TypedDict):
    host: str
    pid: int
    began: float


class StudyStorage:
    """The trials of one study, in the journal file ``path``, or in memory where it is None.

    ``header`` identifies the study. Raises ValueError, before anything is written, for another study (with the
    differences) and a file that is no journal. A damaged line is skipped and named.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any], n_objectives: int = 1) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._states = optuna.trial.TrialState
        self._lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            from sutrolib.processes.journal import StudyJournal

            self._lock = FileLock(f"{path}.lock")  # the system frees it when its process dies; Optuna's own are files
            journal = StudyJournal(path, self._lock, _STUDY, _check_entry)
            storage = optuna.storages.JournalStorage(journal)
        with self._lock:
            dated = path.stat().st_mtime if path is not None and path.exists() else math.inf
            self.study = optuna.create_study(
                storage=storage, study_name=_STUDY, directions=["minimize"] * n_objectives, load_if_exists=True
            )
            for frozen in self._dead_trials():
                self._charge(frozen, dated)
        known, wanted = self.study.user_attrs.get(HEADER), as_json(header)
        if known is None:
            self.study.set_user_attr(HEADER, wanted)
        elif known != wanted:
            pairs = ((name, known.get(name), value) for name, value in wanted.items())
            text = "; ".join(f"{name} is {old!r} and not {new!r}" for name, old, new in pairs if old != new)
            raise ValueError(f"{path} holds another study: {text[:1000]}. Give the same study, or another file")
        self._finished: dict[int, Trial] = {}
        self._path, self._ended = path, threading.Event()

    def begin(
        self,
        sampler: Callable[[int], optuna.samplers.BaseSampler | None],
        pruner: optuna.pruners.BasePruner | None = None,
        exhausted: Callable[[list[Trial], int], str] = lambda finished, running: "",
    ) -> tuple[optuna.Trial, int, Proposal | None] | None:
        """Begin a trial with the ``sampler`` of its index, or begin one again, with its proposal, that lost its worker.

        The index is its number among those that were not interrupted: proposals do not depend on interruptions. None
        where the budget is ``exhausted`` by the finished trials and the number of those that run in other workers.
        """
        self.study.pruner = pruner or self.study.pruner
        with self._lock:
            self._close_dead_trials()
            index = sum(not self._lost(frozen) and frozen.state != self._states.WAITING for frozen in self._all())
            finished = self.finished()
            if exhausted(finished, index - len(finished)):
                return None
            self.study.sampler = sampler(index) or self.study.sampler
            trial = self.study.ask()
            began = psutil.Process().create_time()
            trial.set_user_attr(WORKER, {"host": socket.gethostname(), "pid": os.getpid(), "began": began})
        if self._path is not None:
            self._ended = threading.Event()
            threading.Thread(target=_date, args=(self._path, self._ended), daemon=True).start()
        return trial, index, _proposal(trial)

    def claim(self, trial: optuna.Trial, proposal: Proposal) -> bool:
        """Write a proposal down before it is tried; False where it was tried before, or is being tried now."""
        content = proposal.to_dict()
        with self._lock:
            if any(frozen.user_attrs.get(PROPOSAL) == content for frozen in self._all() if not self._lost(frozen)):
                return False
            trial.set_user_attr(PROPOSAL, content)
        return True

    def finish(self, running: optuna.Trial, trial: Trial) -> None:
        """Keep a finished trial. From its first line on it is never lost, and never run again."""
        self._ended.set()
        running.set_user_attr(RESULT, trial.to_dict())
        self._tell(running.number, trial)
        self._finished[running.number] = trial  # with its runs, which the journal does not hold

    def interrupt(self, trial: optuna.Trial) -> None:
        """Close a trial without a result; its proposal, if it has one, is tried again."""
        self._ended.set()
        with self._lock:
            self._charge(trial, time.time())
            self._close_and_retry(trial, killed=trial.user_attrs.get(KILLED, False))

    def finished(self) -> list[Trial]:
        """All finished trials, in the order in which they began."""
        for frozen in self._all():
            number, about = frozen.number, frozen.user_attrs
            if number not in self._finished and RESULT in about:
                self._finished[number] = Trial.from_dict(about[RESULT])
            elif number not in self._finished and frozen.state == self._states.COMPLETE:
                failed = (TrialState.FAILED, KILLED_TWICE if about.get(KILLED) else RESULT_LOST)
                self._finished[number] = Trial(number, _proposal(frozen), *failed, spent=ResourceUse(trials=1))
        return [self._finished[number] for number in sorted(self._finished)]

    def note(self, name: str, value: Any) -> None:
        """Keep something about the study besides its trials, as plain JSON."""
        self.study.set_user_attr(NOTE + name, value)

    def notes(self) -> dict[str, Any]:
        """All notes, by name."""
        return {k.removeprefix(NOTE): v for k, v in self.study.user_attrs.items() if k.startswith(NOTE)}

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _lost(self, frozen: FrozenTrial) -> bool:
        return frozen.state == self._states.FAIL and RESULT not in frozen.user_attrs

    def _close_dead_trials(self) -> None:
        """Close the trials that dead workers left open."""
        for frozen in self._dead_trials():
            about = frozen.user_attrs
            self._charge(frozen, time.time())
            if RESULT in about:
                self._tell(frozen.number, Trial.from_dict(about[RESULT]))
            elif about.get(KILLED):
                self.study.tell(frozen.number, [_WORST] * len(self.study.directions))
            else:
                self._close_and_retry(frozen, killed=True)

    def _dead_trials(self) -> list[FrozenTrial]:
        """The trials that dead workers left open."""
        running = (frozen for frozen in self._all() if frozen.state == self._states.RUNNING)
        return [frozen for frozen in running if not _alive(frozen.user_attrs.get(WORKER))]

    def _charge(self, trial: optuna.Trial | FrozenTrial, until: float) -> None:
        """Note, once, what an attempt without a result has spent until a time, in seconds since 1970."""
        name, began = f"lost attempt at trial {trial.number}", trial.datetime_start
        if began is not None and RESULT not in trial.user_attrs and name not in self.notes():
            seconds = max(0.0, min(until, time.time()) - began.timestamp())
            self.note(name, {"spent": dataclasses.asdict(ResourceUse(seconds=seconds))})

    def _close_and_retry(self, trial: optuna.Trial | FrozenTrial, killed: bool) -> None:
        """Close a trial without a result; one with its proposal and its suggestions, which samplers learn from, waits.

        The new one is written first, and only once: this process may be killed in between.
        """
        from optuna.trial import create_trial

        retried = {frozen.user_attrs.get(RETRY_OF) for frozen in self._all()}
        if PROPOSAL in trial.user_attrs and trial.number not in retried:
            about = {PROPOSAL: trial.user_attrs[PROPOSAL], KILLED: killed, RETRY_OF: trial.number}
            waiting, params, ranges = self._states.WAITING, trial.params, trial.distributions
            self.study.add_trial(create_trial(state=waiting, params=params, distributions=ranges, user_attrs=about))
        self.study.tell(trial.number, state=self._states.FAIL)

    def _tell(self, number: int, trial: Trial) -> None:
        if trial.state is TrialState.PRUNED:
            self.study.tell(number, state=self._states.PRUNED)
        else:
            values = _values(trial, len(self.study.directions))
            self.study.tell(number, values, None if values else self._states.FAIL)


def _proposal(trial: optuna.Trial | FrozenTrial) -> Proposal | None:
    return Proposal(**trial.user_attrs[PROPOSAL]) if PROPOSAL in trial.user_attrs else None


def _values(trial: Trial, n_objectives: int) -> list[float] | None:
    """What Optuna minimises: the objective, or cost, seconds and minus the score; None without a proposal.

    A failed trial gets the worst value. Optuna's samplers leave failed trials out, and a model of what is good would
    go on proposing settings that diverge.
    """
    if trial.proposal is None:
        return None
    if n_objectives == 1:
        return [min(trial.objective, _WORST)]
    if trial.score is None or trial.seconds is None or not trial.total_cost:
        return [_WORST] * n_objectives
    return [trial.cost or trial.total_cost, trial.seconds, -trial.score]


def _check_entry(entry: Mapping[str, Any]) -> None:
    """Raise an error for an entry of the journal whose attributes are not of the types that this module writes."""
    about = {**entry.get("user_attr", {}), **entry.get("user_attrs", {})}
    if (content := about.get(RESULT)) and Trial.from_dict(content).number != entry["trial_id"]:
        raise ValueError("the result is of another trial")
    if PROPOSAL in about:
        checked(Proposal(**about[PROPOSAL]))
    if WORKER in about:
        check_types(about[WORKER], _Worker)
    for name, value in about.items():
        if name.startswith(NOTE) and isinstance(value, dict) and "spent" in value:
            checked(ResourceUse(**value["spent"]))


def _date(path: Path, ended: threading.Event) -> None:
    """Date the journal again and again while a trial runs: that is how long a worker lived that is then killed."""
    while not ended.wait(_DATE_S):
        with contextlib.suppress(OSError):
            os.utime(path)


def _alive(worker: _Worker | None) -> bool:
    """Whether the process that runs a trial is still there; one on another host counts as alive."""
    if worker is None or worker["host"] != socket.gethostname():
        return worker is not None
    try:
        process = psutil.Process(worker["pid"])
        ended = process.status() == psutil.STATUS_ZOMBIE  # dead, and its parent has not looked yet
        return not ended and bool(abs(process.create_time() - worker["began"]) < 1)
    except psutil.Error:
        return False
