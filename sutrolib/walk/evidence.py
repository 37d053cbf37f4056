"""What a step on the process or the metric axis shows: two processes compared, and two metrics over the same trials."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sutrolib.core.stats import MIN_PAIRS, Interval, paired_ratio
from sutrolib.core.types import describe
from sutrolib.guards.proxy_audit import rank_agreement
from sutrolib.measurement.comparison import BusyRatio
from sutrolib.meters.base import Meter, too_high_load
from sutrolib.processes.evaluator import Evaluation, Evaluator
from sutrolib.processes.space import SearchSpace
from sutrolib.processes.study import Study, Trial
from sutrolib.walk.fresh_seeds import mean_reading, with_reading
from sutrolib.walk.spaces import Ground

_RANKED = 12  # trials at most that are measured by the old metric and the new one
_BEST = 5


def compare_processes(
    evaluator: Evaluator, new: Sequence[Study], old: Sequence[Study], say: Callable[[str], object]
) -> dict[str, Any]:
    """The ``process ratio`` of two processes, search by search, and what was ``found`` by the new and the old one.

    Of each search the cheapest by its own metric, whatever a re-check by another one then kept, that solves the
    evaluator's seeds too, which no search has seen, however many before it do not; by its cost there, with that of
    1,000 predictions.
    """
    known: dict[str, Evaluation] = {}

    def cost(study: Study, trial: Trial) -> float | None:
        assert trial.proposal is not None  # as it has a cost
        model = study.space.model(trial.proposal)
        key = str(describe(model))
        if key not in known:
            say(f"comparing the processes: {trial.proposal}")
            known[key] = evaluator.evaluate(model)
        return known[key].lifetime_cost

    def found(study: Study) -> tuple[Trial | None, float | None]:
        costs = ((trial, cost(study, trial)) for trial in ordered_by_metric(study))
        return next((one for one in costs if one[1] is not None), (None, None))

    pairs = [(found(one), found(other)) for one, other in zip(new, old, strict=True)]
    ratio = process_ratio([(one[1], other[1]) for one, other in pairs])
    load = too_high_load(reading for one in known.values() for run in one.runs for reading in run.readings)
    if ratio and load:
        ratio = BusyRatio(ratio.value, 0.0, math.inf, ratio.points, load)
    names = {side: proposals(pair[i][0] for pair in pairs) for i, side in enumerate(("new", "old"))}
    return {"process ratio": ratio, "found": names}


def process_ratio(costs: Sequence[tuple[float | None, float | None]]) -> Interval | None:
    """The better process's cost over that of the one before, paired by search; None stands for nothing found.

    None if the better process alone found nothing in a pair, or neither did in any. If the one before alone found
    nothing, the ratio of that pair is 0, and there is no mean of logarithms: the value is the median, and the greatest
    ratio its upper bound (of five pairs, with 97 %).
    """
    if any(other and not one for one, other in costs):
        return None
    ratios = [one / other if other else 0.0 for one, other in costs if one]
    if not ratios or all(ratios):
        return paired_ratio(ratios, [1.0] * len(ratios)) if ratios else None
    high = max(ratios) if len(ratios) >= MIN_PAIRS else math.inf
    return Interval(statistics.median(ratios), 0.0, high, tuple(ratios))


def ordered_by_metric(study: Study) -> list[Trial]:
    """The trials that solve the problem and were not refused, by the search's own metric, the cheapest first."""
    solved = (trial for trial in study.trials if trial.cost is not None and trial.kept)
    return sorted(solved, key=lambda trial: trial.objective)


def proposals(trials: Iterable[Trial | None]) -> list[str]:
    """What was found, in words; empty where nothing was."""
    return [str(one.proposal) if one else "" for one in trials]


def rank_trials(
    ground: Ground,
    space: SearchSpace,
    old: Meter,
    new: Meter,
    studies: Sequence[Study],
    say: Callable[[str], object],
) -> dict[str, Any]:
    """The rank correlation of old and new metric over some of the trials, and how many of the best five agree."""
    trials = {t.proposal.key: t for study in studies for t in study.trials if t.proposal and t.cost is not None}
    ordered = sorted(trials.values(), key=lambda trial: trial.objective)
    count = min(_RANKED, len(ordered))
    chosen = [ordered[round(i * (len(ordered) - 1) / max(1, count - 1))] for i in range(count)]
    groups = []
    for number, trial in enumerate(chosen, 1):
        say(f"ranking {number} of {count} by {old.name} and {new.name}")
        assert trial.proposal is not None  # as it has a cost
        evaluator = Evaluator(ground.searched, old, range(MIN_PAIRS), trace_updates=ground.trace_updates)
        both = evaluator, dataclasses.replace(evaluator, meter=new)
        first, second = (one.evaluate(space.model(trial.proposal)).runs for one in both)
        if len(first) == len(second) == MIN_PAIRS:
            groups.append([with_reading(one, other, new.name) for one, other in zip(first, second, strict=True)])
    if len(groups) < 4:
        return {"correlation": None}
    best = [sorted(range(len(groups)), key=lambda i: mean_reading(groups[i], m.name))[:_BEST] for m in (old, new)]
    agreed: dict[str, Any] = {"correlation": rank_agreement(groups, old.name, new.name), "ranked": len(groups)}
    if too_high_load(reading for runs in groups for run in runs for reading in run.readings):
        agreed["correlation"] = None
    return agreed | ({"best kept": len(set(best[0]) & set(best[1]))} if len(groups) > _BEST else {})
