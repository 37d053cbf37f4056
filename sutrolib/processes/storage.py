"""Where the trials of a study are kept while it runs: an Optuna study, in memory or in a journal file.

Several workers may share a journal, and it survives kill -9 at any moment: every entry is a line that is on disk before
it counts, a torn last line is cut off, and the lock belongs to the operating system, which frees it when its process
dies. A trial whose worker died is tried once more, and counts as failed when that worker dies as well: a candidate that
kills twice (mostly by its memory) kills again.

Optuna's own heartbeats need its SQL storage, which is not safe on a network disk, and its ``Study.optimize``; so a
trial carries its worker's process id here, and is retried as soon as that process is gone.

What the states of Optuna mean here: a trial with a result is finished, whatever its state. Without a result, COMPLETE
has lost its worker twice, FAIL was interrupted or lost its worker once, and WAITING is to be tried again.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock

from sutrolib.processes.budget import ResourceUse
from sutrolib.processes.evaluator import TrialState
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

HEADER, NOTE = "header", "note:"  # attributes of the study
WORKER, PROPOSAL, RESULT, KILLED, INTERRUPTED = "worker", "proposal", "result", "killed", "interrupted"  # of its trials
KILLED_TWICE = "the process that ran it was killed, twice"
_WORST = 1e9  # beyond any objective, cost or time


@dataclass(frozen=True)
class RunningTrial:
    """A trial that has begun: its number, and Optuna's trial.

    ``index`` is its number among those that were not interrupted: proposals do not depend on interruptions.
    """

    number: int
    index: int
    optuna_trial: optuna.Trial


class StudyStorage:
    """The trials of one study, in the journal file ``path``, or in memory where it is None.

    ``header`` identifies the study. Raises ValueError, with the differences, where the journal holds another study.
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
            # Optuna's own locks are files that a killed process leaves behind.
            self._lock = lock = FileLock(f"{path}.lock")
            with lock:
                _cut_off_torn_line(path)
            backend = JournalFileBackend(str(path), lock_obj=lock)  # type: ignore[arg-type]
            storage = optuna.storages.JournalStorage(backend)
        self.study = optuna.create_study(
            storage=storage, study_name="study", directions=["minimize"] * n_objectives, load_if_exists=True
        )
        known = self.study.user_attrs.get(HEADER)
        wanted = json.loads(json.dumps(header))
        if known is None:
            self.study.set_user_attr(HEADER, wanted)
        elif known != wanted:
            differ = [name for name in wanted if known.get(name) != wanted[name]]
            text = "; ".join(f"{name} is {known.get(name)!r} and not {wanted[name]!r}" for name in differ)
            raise ValueError(f"{path} holds another study: {text[:1000]}. Give the same study, or another file")
        self._n_objectives = n_objectives
        self._finished: dict[int, Trial] = {}
        self._keys: dict[int, str] = {}  # of the proposals, by the number of the trial
        self._me = _this_worker()

    def begin(
        self,
        sampler: Callable[[int], optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner | None = None,
        limit: int | None = None,
    ) -> tuple[RunningTrial, Proposal | None] | None:
        """Begin a trial with the ``sampler`` of its index, or begin one again, with its proposal, that lost its worker.

        None where ``limit`` trials are finished or running, in this worker or another.
        """
        from optuna.pruners import NopPruner

        self.study.pruner = pruner or NopPruner()
        with self._lock:
            self._close_dead_trials()
            index = sum(not self._lost(frozen) and frozen.state != self._states.WAITING for frozen in self._all())
            if limit is not None and index >= limit:
                return None
            self._enqueue_retry()
            self.study.sampler = sampler(index)
            trial = self.study.ask()
            trial.set_user_attr(WORKER, self._me)
        return RunningTrial(trial.number, index, trial), _proposal(trial)

    def claim(self, trial: RunningTrial, proposal: Proposal) -> bool:
        """Write a proposal down before it is tried; False where it was tried before, or is being tried now."""
        with self._lock:
            if proposal.key in self._taken():
                return False
            trial.optuna_trial.set_user_attr(PROPOSAL, proposal.to_dict())
        return True

    def finish(self, running: RunningTrial, trial: Trial) -> None:
        """Keep a finished trial. From its first line on it is never lost, and never run again."""
        running.optuna_trial.set_user_attr(RESULT, trial.to_dict())
        self._tell(running.number, trial)
        self._finished[running.number] = trial  # with its runs, which the journal does not hold

    def interrupt(self, trial: RunningTrial) -> None:
        """Close a trial without a result; its proposal, if it has one, is tried again."""
        trial.optuna_trial.set_user_attr(INTERRUPTED, True)
        self.study.tell(trial.number, state=self._states.FAIL)

    def finished(self) -> list[Trial]:
        """All finished trials, in the order in which they began."""
        for frozen in self._all():
            if frozen.number in self._finished:
                continue
            if RESULT in frozen.user_attrs:
                self._finished[frozen.number] = Trial.from_dict(frozen.user_attrs[RESULT])
            elif frozen.state == self._states.COMPLETE:
                spent, proposal = ResourceUse(trials=1), _proposal(frozen)
                failed = Trial(frozen.number, proposal, TrialState.FAILED, KILLED_TWICE, spent=spent)
                self._finished[frozen.number] = failed
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

    def _taken(self) -> set[str]:
        return {self._key(frozen) for frozen in self._all() if not self._lost(frozen)}

    def _key(self, frozen: FrozenTrial) -> str:
        """The key of a trial's proposal, empty until it has one; written once, so it is kept."""
        if frozen.number not in self._keys and (proposal := _proposal(frozen)):
            self._keys[frozen.number] = proposal.key
        return self._keys.get(frozen.number, "")

    def _close_dead_trials(self) -> None:
        """Close the trials that dead workers left open."""
        for frozen in self._all():
            about = frozen.user_attrs
            if frozen.state != self._states.RUNNING or _alive(about.get(WORKER)):
                continue
            if RESULT in about:
                self._tell(frozen.number, Trial.from_dict(about[RESULT]))
            elif about.get(KILLED):
                self.study.tell(frozen.number, [_WORST] * self._n_objectives)
            else:
                self.study.tell(frozen.number, state=self._states.FAIL)

    def _enqueue_retry(self) -> None:
        """Let Optuna's next trial be one that was lost and is not being tried again, with the same suggestions.

        A sampler learns from its own suggestions, so the new trial gets them too.
        """
        from optuna.trial import create_trial

        lost = {self._key(frozen): frozen for frozen in self._all() if self._lost(frozen)}
        lost.pop("", None)
        taken = self._taken() if lost else set()
        for key, frozen in lost.items():
            if key not in taken:
                killed = INTERRUPTED not in frozen.user_attrs or frozen.user_attrs.get(KILLED, False)
                retry = create_trial(
                    state=self._states.WAITING,
                    params=frozen.params,
                    distributions=frozen.distributions,
                    user_attrs={PROPOSAL: frozen.user_attrs[PROPOSAL], KILLED: killed},
                )
                self.study.add_trial(retry)
                return

    def _tell(self, number: int, trial: Trial) -> None:
        values = _values(trial, self._n_objectives)
        if trial.state is TrialState.PRUNED:
            self.study.tell(number, state=self._states.PRUNED)
        elif values is None:
            self.study.tell(number, state=self._states.FAIL)
        else:
            self.study.tell(number, values)


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


def _cut_off_torn_line(path: Path) -> None:
    """Cut off what follows the last line end: its process died while writing, and Optuna would refuse the file."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _this_worker() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def _alive(worker: Mapping[str, Any] | None) -> bool:
    """Whether the process that runs a trial is still there; one on another host counts as alive."""
    if worker is None:
        return False
    if worker["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(worker["pid"])
        ended = process.status() == psutil.STATUS_ZOMBIE  # dead, and its parent has not looked yet
        return not ended and bool(abs(process.create_time() - worker["began"]) < 1)
    except psutil.Error:
        return False
