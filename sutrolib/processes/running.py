"""One worker's part of a search: propose, judge, keep, until the budget is spent or no sign of life is seen."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sutrolib.core.types import Problem
from sutrolib.meters.base import Meter
from sutrolib.meters.energy.codecarbon import CumulativeJoules
from sutrolib.processes.budget import Milestone, Passed, SearchBudget, Spent, judged, total
from sutrolib.processes.evaluator import Judge, State
from sutrolib.processes.proposal_request import NothingLeft, Question, Refused
from sutrolib.processes.space import Proposal, Space
from sutrolib.processes.storage import INTERRUPTED, WITHDRAWN, Store, Ticket
from sutrolib.processes.study import Trial, best_of, trial_of

if TYPE_CHECKING:
    from sutrolib.processes.search import Search

REPEATS = 50  # proposals that may turn out to be known before the space counts as used up
USED_UP = "the space is used up"
WAIT = 0.05  # seconds


class Run:
    """One worker's part of a search."""

    def __init__(
        self,
        search: Search,
        problem: Problem,
        space: Space,
        meter: Meter,
        budget: SearchBudget,
        seed: int,
        store: Store,
        tally: CumulativeJoules | None,
    ) -> None:
        self.search, self.problem, self.space, self.budget, self.seed = search, problem, space, budget, seed
        self.store, self.tally, self.metric = store, tally, meter.name
        self.judge = Judge(
            problem,
            meter,
            range(seed, seed + search.pairs),
            search.timed,
            search.trace_updates,
            search.rung,
            search.on_measurement,
        )

    @property
    def controls(self) -> Spent:
        """What the controls cost so far."""
        return sum((Spent(**note["spent"]) for note in self.store.notes().values() if "spent" in note), Spent())

    def to_the_end(self) -> str:
        """Try one proposal after the other; returns why the search ended."""
        while True:
            why = self.ended()
            if why:
                return why
            try:
                trial = self._next()
            except NothingLeft as reason:
                return str(reason) or USED_UP
            if trial is None:
                time.sleep(WAIT)  # other workers are at the last trials: they may die
                self.search.on_wait()
            else:
                self.search.on_trial(trial)

    def ended(self) -> str:
        """Why the search is to end now; empty where it is to go on."""
        trials = self.store.finished()
        spent = total([trial.spent for trial in trials]) + self.controls
        for milestone in self.search.milestones:
            if milestone.by.used_up(spent) and self._judged(milestone, trials).stops:
                return f"no sign of life: {milestone.title}: {self._judged(milestone, trials).why}"
        used = self.budget.used_up(spent)
        return f"budget spent: {used}" if used else ""

    def passed(self) -> tuple[Passed, ...]:
        """The milestones behind the search."""
        trials = self.store.finished()
        spent = total([trial.spent for trial in trials]) + self.controls
        return tuple(self._judged(m, trials) for m in self.search.milestones if m.by.used_up(spent))

    def _judged(self, milestone: Milestone, trials: Sequence[Trial]) -> Passed:
        """The verdict on a milestone, from what had been found when its deadline came; its control is run once."""
        known = self.store.notes()
        if milestone.title not in known:
            began, joules = time.perf_counter(), self._joules()
            best = best_of(trials)
            beaten = self._beats(milestone, best) if milestone.control and best else None
            spent = Spent(0, time.perf_counter() - began, self._joules() - joules)
            note = {
                "best": best.cost if best else None,
                "beaten": beaten,
                "spent": dataclasses.asdict(spent),
            }
            self.store.note(milestone.title, note)
            known = self.store.notes()
        note = known[milestone.title]
        return judged(milestone, note["best"], note["beaten"], self.search.overrides)

    def _beats(self, milestone: Milestone, best: Trial) -> bool:
        control = milestone.control
        assert control is not None
        assert best.proposal is not None
        assert best.cost is not None
        judge = dataclasses.replace(self.judge, problem=control.problem(self.problem))
        rival = judge.weigh(control.model(self.space.model(best.proposal)))
        return rival.cost is None or best.cost < rival.cost

    def _next(self) -> Trial | None:
        """One trial from proposal to result; None where other workers have taken what was left of the budget."""
        began, joules = time.perf_counter(), self._joules()
        finished = self.store.finished()
        begun = self.store.begin(lambda n: self.search.sampler(self._seed(n)), self.search.pruner(), self.budget.trials)
        if begun is None:
            return None
        ticket, proposal = begun
        try:
            if proposal is None:
                proposal = self._proposal(ticket, finished)
            trial = self._try(ticket, proposal, began, joules)
        except Refused as reason:
            trial = Trial(ticket.number, None, State.REFUSED, str(reason), spent=self._spent(began, joules))
        except NothingLeft:
            self.store.give_up(ticket, WITHDRAWN)
            raise
        except BaseException:
            self.store.give_up(ticket, INTERRUPTED)
            raise
        self.store.tell(ticket, trial)
        return trial

    def _try(self, ticket: Ticket, proposal: Proposal, began: float, joules: float) -> Trial:
        told = self.space.family(proposal.family).prior_knowledge
        try:
            model = self.space.model(proposal)
        except ValueError as error:  # settings that are each in their range, and do not go together
            spent = self._spent(began, joules)
            return Trial(ticket.number, proposal, State.FAILED, str(error), told, spent=spent)
        watch = None if self.search.pruner() is None else _watch(ticket.handle)
        found = self.judge.weigh(model, watch)
        return trial_of(ticket.number, proposal, model.prior_knowledge, found, self._spent(began, joules))

    def _proposal(self, ticket: Ticket, finished: Sequence[Trial]) -> Proposal:
        for attempt in range(REPEATS):
            rng = np.random.default_rng((self.seed, ticket.place, attempt))
            question = Question(
                self.problem, self.space, self.metric, finished, self.budget, ticket, rng, self.seed, attempt
            )
            proposal = self.search.propose(question)
            if self.store.claim(ticket, proposal):
                return proposal
            if self.search.charges_repeats:
                raise Refused(f"tried before: {proposal}")
        raise NothingLeft(f"{USED_UP}: {REPEATS} proposals in a row had been tried before")

    def _seed(self, number: int) -> int:
        return int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])

    def _spent(self, began: float, joules: float) -> Spent:
        return Spent(1, time.perf_counter() - began, self._joules() - joules)

    def _joules(self) -> float:
        return self.tally.joules if self.tally else 0.0


def _watch(handle: Any) -> Callable[[int, float], bool]:
    """Report the learning curve to Optuna, point by point, and ask whether to go on."""
    points = iter(range(1_000_000))

    def watch(updates: int, score: float) -> bool:
        handle.report(-score, next(points))
        return not handle.should_prune()

    return watch
