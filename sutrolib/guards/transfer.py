"""Mistake 4, building for the wrong future: does a found algorithm still win elsewhere, and is the new winner found?

Hardware and problems change. A process runs in a *source* and in a *target* setting (another machine, the next rung of
the problem). The algorithm found in the source is evaluated in the target, next to the one found there: an algorithm
may lose while the process stays useful. Both are evaluated on fresh seeds. One counts as cheaper only if the 95 %
interval of the ratio of their costs, paired by seed, lies below 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sutrolib.core.stats import MIN_PAIRS, Interval
from sutrolib.core.types import Problem
from sutrolib.measurement.comparison import ratio_of_readings
from sutrolib.meters.base import Meter
from sutrolib.processes.evaluator import Evaluation, Evaluator
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study


@dataclass(frozen=True)
class Setting:
    """A setting of a search: a problem, a space and a meter, under a title."""

    title: str
    problem: Problem
    space: SearchSpace
    meter: Meter


@dataclass(frozen=True)
class TransferResult:
    """The studies of source and target, and evaluations in the target on fresh seeds.

    ``transferred`` is the algorithm found in the source, ``rerun`` the one found in the target (None if the search
    found nothing), and ``baseline`` the start of the target's space.
    """

    source: Setting
    target: Setting
    source_study: Study
    target_study: Study
    transferred: Evaluation
    rerun: Evaluation | None
    baseline: Evaluation

    def compare(self, one: Evaluation | None, other: Evaluation) -> tuple[bool, Interval | None]:
        """Whether ``one`` is cheaper or solves what ``other`` does not, and their cost ratio if both solve the target.

        Cheaper means that the interval of the ratio lies below 1.
        """
        if one is None or one.cost is None or other.cost is None:
            return one is not None and one.cost is not None and other.unsolved, None
        name = self.target.meter.name  # the evaluator keeps runs in the order of the seeds
        ratio = ratio_of_readings(*([run.reading(name) for run in found.runs] for found in (one, other)))
        return ratio.high < 1, ratio

    @property
    def still_wins(self) -> bool:
        """Whether the transferred algorithm solves the target at a lower cost than the baseline."""
        return self.compare(self.transferred, self.baseline)[0]

    @property
    def rerun_wins(self) -> bool:
        """Whether the search in the target found something cheaper than the transferred algorithm."""
        return self.compare(self.rerun, self.transferred)[0]

    @property
    def new_winner(self) -> bool:
        """Whether the search in the target found a cheaper algorithm, and not only other settings."""
        return self.rerun_wins and _family(self.target_study) != _family(self.source_study)

    @property
    def why(self) -> str:
        """The result in words, with its numbers."""
        found = f"{_family(self.source_study)}, found on {self.source.title}"
        return f"{found}, {self._transfer_words()}; rerunning the search there finds {self._rerun_words()}"

    def _transfer_words(self) -> str:
        title, (wins, ratio) = self.target.title, self.compare(self.transferred, self.baseline)
        if self.transferred.cost is None:
            return f"does not solve {title} ({_reason(self.transferred)})"
        if ratio is None:
            verb = "still wins" if wins else "cannot be compared"
            return f"{verb} on {title}, which the baseline does not solve ({_reason(self.baseline)})"
        return f"{'still wins' if wins else 'does not win'} on {title}, at {ratio} of the baseline's cost"

    def _rerun_words(self) -> str:
        name, (wins, ratio) = _family(self.target_study), self.compare(self.rerun, self.transferred)
        if self.rerun is None:
            return "nothing that solves it"
        if self.rerun.cost is None:
            return f"{name}, which fails on fresh seeds ({_reason(self.rerun)})"
        if ratio is None:
            over = self.compare(self.rerun, self.baseline)[1]
            return f"{name}, at {over} of the baseline's cost" if over else f"{name}, while the baseline fails as well"
        if not wins:
            return f"nothing cheaper ({name}, at {ratio} of its cost)"
        return f"{name if self.new_winner else 'other settings of it'}, at {ratio} of its cost"


def evaluate_transfer(
    source: Setting,
    target: Setting,
    source_study: Study,
    target_study: Study,
    fresh: Sequence[int],
    trace_updates: int | None = None,
) -> TransferResult:
    """Evaluate the results of two searches in the target, on the ``fresh`` seeds.

    Leave out of ``fresh`` the seeds on which a search confirmed its result: they are not known here.

    Raises:
        ValueError: The source's search found nothing, or the fresh seeds are fewer than five, repeated, or used by a
            trial of either search.
    """
    used = {run.seed for study in (source_study, target_study) for trial in study.trials for run in trial.runs}
    if len(set(fresh)) < max(MIN_PAIRS, len(fresh)) or used & set(fresh):
        raise ValueError(
            f"fresh must hold at least {MIN_PAIRS} different seeds that the searches did not use "
            f"({', '.join(map(str, sorted(used))) or 'not known'}) (got {list(fresh)})"
        )
    evaluate = Evaluator(target.problem, target.meter, fresh, trace_updates=trace_updates).evaluate
    transferred = evaluate(source_study.model)
    rerun = evaluate(target_study.model) if target_study.best else None
    baseline = evaluate(target.space.model(target.space.start))
    return TransferResult(source, target, source_study, target_study, transferred, rerun, baseline)


def _reason(evaluation: Evaluation) -> str:
    """Why it did not solve the problem, without what to do about it."""
    return evaluation.why.partition(";")[0]


def _family(study: Study) -> str:
    return study.best.proposal.family if study.best and study.best.proposal else "nothing"
