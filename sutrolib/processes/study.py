"""A Study: what a process tried, what it found, and what the search itself cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutrolib.core.types import Model
from sutrolib.measurement.measure import Measurement
from sutrolib.processes.budget import NOTHING, Dropped, Override, Passed, SearchBudget, Spent
from sutrolib.processes.evaluator import Judged, State
from sutrolib.processes.space import Proposal, Space

UNSOLVED = 100.0  # decades above any cost: whatever solves the problem ranks before whatever does not


@dataclass(frozen=True)
class Trial:
    """One candidate: what was proposed, what became of it, and what finding that out cost.

    ``cost`` is there where the problem was solved; ``effort`` is the sum of all readings, in the meter's unit;
    ``kept`` is False for one that the process turned down, whatever it cost; ``runs`` is empty for a trial that another
    process ran or an earlier session kept.
    """

    number: int
    proposal: Proposal | None  # None for what was no proposal at all
    state: State
    why: str
    prior_knowledge: str = ""
    cost: float | None = None
    score: float | None = None
    seconds: float | None = None
    effort: float = 0.0
    spent: Spent = NOTHING
    kept: bool = True
    runs: tuple[Measurement, ...] = ()

    @property
    def rank(self) -> float:
        """Smaller is better: the logarithm of the cost where solved, beyond all of these by the score where not."""
        if self.cost is not None:
            return math.log10(self.cost)
        return UNSOLVED - self.score if self.score is not None else math.inf

    def plain(self) -> dict[str, Any]:
        """Everything but the runs as plain JSON; a score or cost that is no number is left out."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "runs"}
        found["spent"] = dataclasses.asdict(self.spent)
        if self.proposal is not None:
            found["proposal"] = {"family": self.proposal.family, "settings": dict(self.proposal.settings)}
        return found


def trial_from(plain: Mapping[str, Any]) -> Trial:
    """The trial of :meth:`Trial.plain`."""
    fields = dict(plain)
    proposal = fields.pop("proposal")
    return Trial(
        **{k: v for k, v in fields.items() if k not in ("spent", "state")},
        proposal=Proposal(**proposal) if proposal else None,
        state=State(fields["state"]),
        spent=Spent(**fields["spent"]),
    )


def trial_of(number: int, proposal: Proposal, prior_knowledge: str, judged: Judged, spent: Spent) -> Trial:
    """The trial of a proposal that was judged."""
    plain = {f.name: getattr(judged, f.name) for f in dataclasses.fields(judged)}
    return Trial(number=number, proposal=proposal, prior_knowledge=prior_knowledge, spent=spent, **plain)


@dataclass(frozen=True)
class Study:
    """The trials of one search in order, why it ended, and its milestones.

    ``metric``, ``unit`` and ``kind`` are those of the meter that the search was judged by.
    """

    process: str
    problem: Mapping[str, Any]
    space: Space
    metric: str
    unit: str
    kind: str
    budget: SearchBudget
    seed: int
    trials: tuple[Trial, ...]
    stopped: str
    milestones: tuple[Passed, ...] = ()
    overrides: tuple[Override, ...] = ()
    controls: Spent = NOTHING  # what the controls cost
    chosen: int | None = None  # the number of the best trial, where the process does not go by the cost alone
    dropped: tuple[Dropped, ...] = ()  # directions that somebody gave up after it

    @property
    def spent(self) -> Spent:
        """What the search spent, its controls included."""
        return sum((trial.spent for trial in self.trials), self.controls)

    @property
    def effort(self) -> float:
        """The readings of all that was trained, pruned and failed trials included, in the meter's unit."""
        return sum(trial.effort for trial in self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial that was chosen, or the cheapest one that solves the problem; None where none does."""
        if self.chosen is not None:
            return self.trials[self.chosen]
        return best_of(self.trials)

    @property
    def model(self) -> Model:
        """The model of the best trial. Raises ValueError where no trial solved the problem."""
        if self.best is None or self.best.proposal is None:
            raise ValueError(f"{self.process}: none of {len(self.trials)} trials solved the problem")
        return self.space.model(self.best.proposal)

    def space_from_best(self) -> Space:
        """The same space, beginning at the best trial: for a search that goes on from there. Raises as ``model``."""
        begun = self.model
        return Space(
            tuple(dataclasses.replace(f, model=begun) for f in self.space.families if f.name == type(begun).name)
            + tuple(f for f in self.space.families if f.name != type(begun).name)
        )

    @property
    def front(self) -> tuple[Trial, ...]:
        """The Pareto front in cost, seconds and score: trials that no other one beats in all of these."""
        full = [t for t in self.trials if t.seconds is not None and t.score is not None and t.effort > 0]
        values = {t.number: (t.cost or t.effort, t.seconds or math.inf, -(t.score or 0.0)) for t in full}

        def beaten(trial: Trial) -> bool:
            mine = values[trial.number]
            return any(
                theirs != mine and all(b <= a for a, b in zip(mine, theirs, strict=True)) for theirs in values.values()
            )

        return tuple(sorted((t for t in full if not beaten(t)), key=lambda t: values[t.number]))

    @property
    def improvements(self) -> tuple[Trial, ...]:
        """The trials that were cheaper than all before them."""
        found: list[Trial] = []
        for trial in self.trials:
            if trial.cost is not None and (not found or trial.rank < found[-1].rank):
                found.append(trial)
        return tuple(found)

    @property
    def tried(self) -> str:
        """How much of the space was tried, in words: one bad subset does not close a method."""
        proposals = {t.proposal.key for t in self.trials if t.proposal is not None}
        size = self.space.size
        known = {t.proposal.family for t in self.trials if t.proposal is not None}
        families = f"{len(known)} of {len(self.space.families)} families, " if len(self.space.families) > 1 else ""
        return f"{families}{len(proposals)} of {_number(size)} settings"

    def curve(self, unit: str = "trials") -> list[tuple[float, float]]:
        """The best cost so far over what was spent (``trials``, ``seconds``, ``joules`` or ``effort``), trial by trial.

        Infinite while nothing is solved. Raises ValueError for another unit.
        """
        if unit not in ("trials", "seconds", "joules", "effort"):
            raise ValueError(f"unit={unit!r}, accepted are trials, seconds, joules and effort")
        points, total, best = [], 0.0, math.inf
        for trial in self.trials:
            total += trial.effort if unit == "effort" else getattr(trial.spent, unit)
            best = min(best, trial.cost if trial.kept and trial.cost is not None else math.inf)
            points.append((total, best))
        return points

    def drop(self, family: str, mechanism: str) -> Study:
        """This study, with ``family`` given up because of ``mechanism``, and how much of it was tried.

        Raises ValueError for a family that was not tried, one that solved the problem, and a mechanism of no words.
        """
        size = Space((self.space.family(family),)).size
        tried = [trial for trial in self.trials if trial.proposal is not None and trial.proposal.family == family]
        solved = sum(trial.cost is not None for trial in tried)
        if not tried or solved or not mechanism.strip():
            raise ValueError(
                f"{family!r}: {len(tried)} trials, of which {solved} solved the problem, mechanism={mechanism!r}; "
                f"accepted are families that were tried and never solved it, and a reason"
            )
        settings = len({trial.proposal.key for trial in tried if trial.proposal is not None})
        scores = [trial.score for trial in tried if trial.score is not None]
        best = f"best score {max(scores):.3g}" if scores else "none ran to a score"
        given_up = Dropped(family, f"{settings} of {_number(size)} settings, {best}", mechanism)
        return dataclasses.replace(self, dropped=(*self.dropped, given_up))

    def plain(self, most: int = 500) -> dict[str, Any]:
        """The study as plain JSON, for the ledger; of more than ``most`` trials, those that improved on the best."""
        trials = self.trials if len(self.trials) <= most else self.improvements
        return {
            "process": self.process,
            "problem": dict(self.problem),
            "space": self.space.describe(),
            "metric": self.metric,
            "unit": self.unit,
            "kind": self.kind,
            "budget": dataclasses.asdict(self.budget),
            "seed": self.seed,
            "spent": dataclasses.asdict(self.spent),
            "effort": self.effort,
            "stopped": self.stopped,
            "tried": self.tried,
            "best": self.best.plain() if self.best else None,
            "milestones": [dataclasses.asdict(passed) for passed in self.milestones],
            "overrides": [dataclasses.asdict(override) for override in self.overrides],
            "trials_in_all": len(self.trials),
            "dropped": [dataclasses.asdict(dropped) for dropped in self.dropped],
            "trials": [trial.plain() for trial in trials],
        }


def _number(size: float) -> str:
    return f"{size:,.0f}" if math.isfinite(size) else "infinitely many"


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The cheapest of those that solve the problem, the first of equal ones."""
    solved = [trial for trial in trials if trial.cost is not None]
    return min(solved, key=lambda trial: trial.rank, default=None)
