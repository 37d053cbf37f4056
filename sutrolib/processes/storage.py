"""Where the trials of a study are kept while it runs: an Optuna study, in memory or in a journal file.

A journal may be shared by several workers and survives kill -9 at any moment: every entry is a line that is on disk
before it counts, a line that was cut short is cut off, and locks are those of the operating system, which a dead
process does not keep. A trial whose worker died is tried once more by whoever comes next, and is given up when that
worker dies as well, since what kills twice (memory, mostly) kills again.
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

from sutrolib.processes.budget import Spent
from sutrolib.processes.evaluator import State
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial, trial_from

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

NAME = "study"
HEADER, WORKER, PROPOSAL, RESULT, LOST, NOTE = "header", "worker", "proposal", "result", "lost", "note:"
INTERRUPTED, WITHDRAWN = "interrupted", "withdrawn"
WORST = 1e9  # beyond any rank, cost or time
KILLED_TWICE = "the process that ran it was killed, twice"


@dataclass(frozen=True)
class Ticket:
    """A trial that has begun: its number, and Optuna's handle on it.

    ``place`` is its number among those that were not interrupted: what is tried next does not depend on interruptions.
    """

    number: int
    place: int
    handle: optuna.Trial


class Store:
    """The trials of one study. ``path`` is its journal, None to keep it in memory.

    ``header`` says what study it is: a journal that was begun with another one is refused (ValueError, with what
    differs).
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any], objectives: int = 1) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.study = optuna.create_study(
            storage=_storage(path), study_name=NAME, directions=["minimize"] * objectives, load_if_exists=True
        )
        known = self.study.user_attrs.get(HEADER)
        wanted = json.loads(json.dumps(header))
        if known is None:
            self.study.set_user_attr(HEADER, wanted)
        elif known != wanted:
            differ = [name for name in wanted if known.get(name) != wanted[name]]
            told = "; ".join(f"{name} is {known.get(name)!r} and not {wanted[name]!r}" for name in differ)
            raise ValueError(f"{path} holds another study: {told[:1000]}. Accepted is the same study, or a new name")
        self._objectives = objectives
        self._known: dict[int, Trial] = {}
        self._keys: dict[int, str] = {}  # what was proposed, by the number of the trial
        self._closed: set[int] = set()  # trials that neither a dead worker nor a later one can change any more
        self._me = _worker()
        self._lock = FileLock(f"{path}.workers.lock") if path else contextlib.nullcontext()

    def begin(
        self,
        sampler: Callable[[int], optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner | None = None,
        limit: int | None = None,
    ) -> tuple[Ticket, Proposal | None] | None:
        """Begin a trial, with the ``sampler`` of its number; and with a proposal where one has lost its worker.

        None where ``limit`` trials are finished or running, whoever runs them.
        """
        self.study.pruner = pruner or self._optuna.pruners.NopPruner()
        with self._lock:
            lost = self._recover()
            place = sum(LOST not in frozen.user_attrs for frozen in self._all())
            if limit is not None and place >= limit:
                return None
            self.study.sampler = sampler(place)
            handle = self.study.ask()
            handle.set_user_attr(WORKER, self._me)
            ticket = Ticket(handle.number, place, handle)
            if not lost:
                return ticket, None
            proposal = _proposed(lost[0])
            assert proposal is not None
            self._hand_over(lost[0], handle)
            self._write_down(ticket, proposal)
        return ticket, proposal

    def _hand_over(self, lost: optuna.trial.FrozenTrial, handle: optuna.Trial) -> None:
        """Give a trial what the sampler had suggested to the lost one: a sampler learns from its own suggestions."""
        for name, distribution in lost.distributions.items():
            value = distribution.to_internal_repr(lost.params[name])
            self.study._storage.set_trial_param(handle._trial_id, name, value, distribution)

    def claim(self, ticket: Ticket, proposal: Proposal) -> bool:
        """Write down what is tried, before it is tried; False where it was tried before, or is being tried now."""
        with self._lock:
            if proposal.key in self._taken():
                return False
            self._write_down(ticket, proposal)
        return True

    def _write_down(self, ticket: Ticket, proposal: Proposal) -> None:
        ticket.handle.set_user_attr(PROPOSAL, {"family": proposal.family, "settings": dict(proposal.settings)})

    def _taken(self) -> set[str]:
        return {self._key(frozen) for frozen in self._all() if LOST not in frozen.user_attrs} - {""}

    def _key(self, frozen: optuna.trial.FrozenTrial) -> str:
        """What a trial has proposed; it is written down once, and empty until then."""
        proposal = None if frozen.number in self._keys else _proposed(frozen)
        if proposal:
            self._keys[frozen.number] = proposal.key
        return self._keys.get(frozen.number, "")

    def tell(self, ticket: Ticket, trial: Trial) -> None:
        """Keep a finished trial. From its first line on it is never lost, and never run again."""
        ticket.handle.set_user_attr(RESULT, trial.plain())
        self._end(ticket.number, trial)
        self._known[ticket.number] = trial  # with its runs, which the journal does not hold

    def give_up(self, ticket: Ticket, why: str) -> None:
        """Close a trial without a result: WITHDRAWN, or INTERRUPTED, and then its proposal is tried again."""
        ticket.handle.set_user_attr(LOST, why)
        self.study.tell(ticket.number, state=self._optuna.trial.TrialState.FAIL)

    def finished(self) -> list[Trial]:
        """All finished trials, in the order in which they began."""
        for frozen in self._all():
            if frozen.number not in self._known and RESULT in frozen.user_attrs:
                self._known[frozen.number] = trial_from(frozen.user_attrs[RESULT])
        return [self._known[number] for number in sorted(self._known)]

    def _recover(self) -> list[optuna.trial.FrozenTrial]:
        """Close what dead workers left open, and return the trials whose proposals are to be tried once more.

        A trial with a result is kept as it is. One that has lost its worker twice is kept as failed.
        """
        lost: dict[str, optuna.trial.FrozenTrial] = {}
        for frozen in self._all():
            if frozen.number in self._closed:
                continue
            about = frozen.user_attrs
            if frozen.state.is_finished() and LOST not in about:
                self._closed.add(frozen.number)
                continue
            proposal = _proposed(frozen)
            if not frozen.state.is_finished() and not _alive(about.get(WORKER)):
                if RESULT in about:
                    self._end(frozen.number, trial_from(about[RESULT]))
                elif proposal and proposal.key in lost:
                    failed = Trial(frozen.number, proposal, State.FAILED, KILLED_TWICE, spent=Spent(trials=1))
                    self._set(frozen, RESULT, failed.plain())
                    self._end(frozen.number, failed)
                else:
                    self._set(frozen, LOST, INTERRUPTED)
                    self.study.tell(frozen.number, state=self._optuna.trial.TrialState.FAIL)
                    if proposal:
                        lost[proposal.key] = frozen
            elif proposal and about.get(LOST) == INTERRUPTED:
                lost[proposal.key] = frozen
        if not lost:
            return []
        taken = self._taken()
        return [frozen for key, frozen in lost.items() if key not in taken]

    def note(self, name: str, value: Any) -> None:
        """Keep something about the study beside its trials, as plain JSON."""
        self.study.set_user_attr(NOTE + name, value)

    def notes(self) -> dict[str, Any]:
        """What was noted, by name."""
        return {k.removeprefix(NOTE): v for k, v in self.study.user_attrs.items() if k.startswith(NOTE)}

    def _all(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _end(self, number: int, trial: Trial) -> None:
        states = self._optuna.trial.TrialState
        values = _values(trial, self._objectives)
        if trial.state is State.PRUNED:
            self.study.tell(number, state=states.PRUNED)
        elif values is None:
            self.study.tell(number, state=states.FAIL)
        else:
            self.study.tell(number, values)

    def _set(self, frozen: optuna.trial.FrozenTrial, name: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(frozen._trial_id, name, value)


def _proposed(frozen: optuna.trial.FrozenTrial) -> Proposal | None:
    return Proposal(**frozen.user_attrs[PROPOSAL]) if PROPOSAL in frozen.user_attrs else None


def _values(trial: Trial, objectives: int) -> list[float] | None:
    """What Optuna is to minimise: the rank, or cost, seconds and minus the score; None for what was no proposal.

    A trial that failed is told as worse than any other. Told as failed, it would be left out of what a sampler learns
    from, and a model of what is good would go on proposing what diverges.
    """
    if trial.proposal is None:
        return None
    if objectives == 1:
        return [min(trial.rank, WORST)]
    if trial.score is None or trial.seconds is None or not trial.effort:
        return [WORST, WORST, WORST]
    return [trial.cost or trial.effort, trial.seconds, -trial.score]


def _storage(path: Path | None) -> BaseStorage:
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if path is None:
        return InMemoryStorage()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _system_lock(path)
    _cut_off_torn_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _system_lock(path: Path) -> Any:
    """Optuna's own locks are files that a killed process leaves behind; this one ends with its process."""
    from optuna.storages.journal import JournalFileOpenLock

    class SystemLock(JournalFileOpenLock):
        def __init__(self) -> None:
            self._lock = FileLock(f"{path}.lock")

        def acquire(self) -> bool:
            self._lock.acquire()
            return True

        def release(self) -> None:
            self._lock.release()

    return SystemLock()


def _cut_off_torn_line(path: Path, lock: Any) -> None:
    """What follows the last line end was being written when its process died: Optuna would refuse the whole file."""
    lock.acquire()
    try:
        if not path.exists():
            return
        with path.open("rb+") as file:
            content = file.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                file.truncate(whole)
    finally:
        lock.release()


def _worker() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": psutil.Process().create_time()}


def _alive(worker: Mapping[str, Any] | None) -> bool:
    """Whether the process that runs a trial is still there; on another host there is no telling, so it is."""
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
