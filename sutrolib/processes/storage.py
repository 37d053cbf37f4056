"""Where the trials of a study are kept while it runs: an Optuna study, in memory or in a journal file.

Several workers may share a journal, and it survives kill -9 at any moment: every entry is a line that is on disk before
it counts, a torn last line is cut off, and the lock belongs to the operating system, which frees it when its process
dies. A trial whose worker died is tried once more, and counts as failed when that worker dies as well: a candidate that
kills twice (mostly by its memory) kills again.

Optuna's own heartbeats need its SQL storage, which is not safe on a network disk, and its ``Study.optimize``; so a
trial carries its worker's process id here, and is retried as soon as that process is gone.

What the states of Optuna mean here: a trial with a result is finished, whatever its state. Without a result, COMPLETE
has lost its worker twice, FAIL was interrupted or lost its worker once, and WAITING is to be tried again in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock

from sutrolib.core.io import as_json
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
_STUDY = "study"  # its name in the journal, which holds no other one
_FIRST = b'{"op_code"'  # what every line of a journal begins with
_WORST = 1e9  # beyond any objective, cost or time


class StudyStorage:
    """The trials of one study, in the journal file ``path``, or in memory where it is None.

    ``header`` identifies the study. Raises ValueError, before anything is written, for another study (with the
    differences), a file that is no journal, and a damaged line (with its number).
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any], n_objectives: int = 1) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._states = optuna.trial.TrialState
        self._lock: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_journal(path)
            # Optuna's own locks are files that a killed process leaves behind.
            self._lock = lock = FileLock(f"{path}.lock")
            with lock:
                _cut_off_torn_line(path)
            backend = JournalFileBackend(str(path), lock_obj=lock)  # type: ignore[arg-type]
            storage = optuna.storages.JournalStorage(backend)
        self.study = optuna.create_study(
            storage=storage, study_name=_STUDY, directions=["minimize"] * n_objectives, load_if_exists=True
        )
        known, wanted = self.study.user_attrs.get(HEADER), as_json(header)
        if known is None:
            self.study.set_user_attr(HEADER, wanted)
        elif known != wanted:
            pairs = ((name, known.get(name), value) for name, value in wanted.items())
            text = "; ".join(f"{name} is {old!r} and not {new!r}" for name, old, new in pairs if old != new)
            raise ValueError(f"{path} holds another study: {text[:1000]}. Give the same study, or another file")
        self._finished: dict[int, Trial] = {}

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
        running.set_user_attr(RESULT, trial.to_dict())
        self._tell(running.number, trial)
        self._finished[running.number] = trial  # with its runs, which the journal does not hold

    def interrupt(self, trial: optuna.Trial) -> None:
        """Close a trial without a result; its proposal, if it has one, is tried again."""
        with self._lock:
            self._close_and_retry(trial, killed=trial.user_attrs.get(KILLED, False))

    def finished(self) -> list[Trial]:
        """All finished trials, in the order in which they began."""
        for frozen in self._all():
            number, about = frozen.number, frozen.user_attrs
            if number not in self._finished and RESULT in about:
                self._finished[number] = Trial.from_dict(about[RESULT])
            elif number not in self._finished and frozen.state == self._states.COMPLETE:
                failed = (TrialState.FAILED, KILLED_TWICE)
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
        for frozen in self._all():
            about = frozen.user_attrs
            if frozen.state != self._states.RUNNING or _alive(about.get(WORKER)):
                continue
            if RESULT in about:
                self._tell(frozen.number, Trial.from_dict(about[RESULT]))
            elif about.get(KILLED):
                self.study.tell(frozen.number, [_WORST] * len(self.study.directions))
            else:
                self._close_and_retry(frozen, killed=True)

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


def _check_journal(path: Path) -> None:
    """Raise ValueError for a file that is no journal of a study, and for a damaged line; it is only read.

    A torn last line is no damage, but it must not be the only one, unless it is the beginning of a journal.
    """
    from optuna.storages.journal._storage import JournalStorageReplayResult

    replay = JournalStorageReplayResult("check")
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            if not line.endswith(b"\n") and (number > 1 or _FIRST.startswith(line[: len(_FIRST)])):
                return
            entry = json.loads(line)
            replay.apply_logs([entry])
            if RESULT in entry.get("user_attr", {}):
                Trial.from_dict(entry["user_attr"][RESULT])
            wrong = "" if [study.study_name for study in replay.get_all_studies()] == [_STUDY] else "it begins no study"
        except Exception as error:  # Optuna has no error of its own for it
            wrong = f"{type(error).__name__}: {error}"
        if wrong and number == 1:
            raise ValueError(
                f"{path} is no journal of a study (line 1: {wrong}); it was left as it is: name another file"
            )
        if wrong:
            raise ValueError(f"{path}, line {number} is damaged ({wrong}): restore the file, or name another one")


def _cut_off_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: its process died while writing, and Optuna would refuse the file."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _alive(worker: Mapping[str, Any] | None) -> bool:
    """Whether the process that runs a trial is still there; one on another host counts as alive."""
    if worker is None or worker["host"] != socket.gethostname():
        return worker is not None
    try:
        process = psutil.Process(worker["pid"])
        ended = process.status() == psutil.STATUS_ZOMBIE  # dead, and its parent has not looked yet
        return not ended and bool(abs(process.create_time() - worker["began"]) < 1)
    except psutil.Error:
        return False
