"""Which process finds the cheapest training of nanoGPT? Five of them, from the published recipe on, with equal budgets.

The space is that of the closed division, and the problem nanoGPT's, on the searches' part of the training text. So that
a search of minutes has dozens of trials, the loss to reach is one that the published recipe reaches in a fifth of its
updates, and it starts with that many.

*Differences*: the logarithms of the best cost at equal spending, paired over the seeds; Student's test for every pair
of processes, corrected for their number (Holm, A simple sequentially rejective multiple test procedure, Scandinavian
Journal of Statistics 6, 1979). Where a search found nothing cheaper, the baseline's cost stands. *Power*: the factor
between two processes that such a test would find in 80 % of all races.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sutrolib.core.stats import CONFIDENCE, Interval, paired_ratio
from sutrolib.models.language.gpt import GPT
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.text import WindowedText
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.comparison import ComparisonResult, SearchConfig
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.model_families import ComparisonTask
from sutrolib.processes.samplers import PrunedTPE, RandomSearch, TPESearch
from sutrolib.processes.scripted import ScriptedTuning
from sutrolib.processes.space import SearchSpace
from sutrolib.walk.spaces import nanogpt_families

TASK = "nanoGPT, closed division"
_LOSS, _UPDATES = 2.41, 400
_POWER = 0.8
# What a person would change in the published recipe for a shorter training, written before any of them was tried.
_SCRIPT = (
    {"lr": 3e-3},
    {"max_steps": 300},
    {"warmup": 30},
    {"lr": 6e-3},
    {"max_steps": 200},
    {"batch": 8},
    {"beta2": 0.95},
    {"max_steps": 150},
    {"warmup": 10},
    {"beta1": 0.8},
    {"weight_decay": 0.0},
    {"batch": 6},
    {"lr": 1e-2},
    {"max_steps": 120},
)


def nanogpt_race(seconds: float) -> ComparisonTask:
    """The race, with so many seconds for each search."""
    problem = dataclasses.replace(search_holdout(WindowedText()), target_loss=_LOSS)  # type: ignore[type-var]
    published, distilled = nanogpt_families(closed=True).families
    start = GPT(max_steps=_UPDATES, holdout=0.02, eval_every=25)
    space = SearchSpace((dataclasses.replace(published, model=start), distilled))
    traced = {"trace_updates": 4}
    searches = (
        ScriptedTuning(changes=_SCRIPT, **traced),  # type: ignore[arg-type]
        RandomSearch(**traced),  # type: ignore[arg-type]
        TPESearch(**traced),  # type: ignore[arg-type]
        PrunedTPE(**traced),  # type: ignore[arg-type]
        Evolution(population_size=8, n_confirm=0, **traced),  # type: ignore[arg-type]
    )
    configs = {search.name: SearchConfig(search, space) for search in searches}
    return ComparisonTask(problem, start, configs, SearchBudget(seconds=seconds), 4)


@dataclass(frozen=True)
class Difference:
    """Two processes: the ratio of what they found, its corrected p-value, and the ratio that would be detected.

    The interval of the ratio is that of this pair alone, not corrected for the number of pairs.
    """

    first: str
    second: str
    ratio: Interval
    p: float
    detectable: float


def differences(results: Mapping[str, ComparisonResult], spent: float, unit: str) -> list[Difference]:
    """All pairs of processes, by what each had found when it had spent so much in this unit.

    Seeds that the baseline does not solve are left out. Raises ValueError for fewer than two others.
    """
    solved = np.all([np.isfinite(result.baseline) for result in results.values()], axis=0)
    if solved.sum() < 2:
        raise ValueError(f"processes are compared on at least 2 seeds that the baseline solves (got {solved.sum()})")
    found = {}
    for name, result in results.items():
        found[name] = np.minimum(result.best_at([spent], unit)[:, 0], result.baseline)[solved]
    pairs = list(itertools.combinations(found, 2))
    corrected = holm([_p_value(found[first], found[second]) for first, second in pairs])
    made = []
    for (first, second), p in zip(pairs, corrected, strict=True):
        logs = np.log(found[first] / found[second])
        difference = detectable_difference(float(logs.std(ddof=1)), len(logs), len(pairs))
        factor = math.exp(difference) if difference < 700 else math.inf
        made.append(Difference(first, second, paired_ratio(found[first], found[second]), p, factor))
    return made


def holm(p_values: list[float]) -> list[float]:
    """The p-values, corrected for their number by Holm's step-down procedure, in the same order."""
    order, least, found = np.argsort(p_values), 0.0, [1.0] * len(p_values)
    for place, number in enumerate(order.tolist()):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[number]))
        found[number] = least
    return found


def detectable_difference(deviation: float, pairs: int, tests: int) -> float:
    """The mean difference that Student's test at the first step of Holm's procedure finds in 80 % of all cases.

    Infinite where nothing varies: then nothing was found, and nothing is known.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if deviation == 0:
        return math.inf
    limit = t.ppf(1 - (1 - CONFIDENCE) / (2 * tests), pairs - 1)

    def missing(effect: float) -> float:
        return float(_POWER - nct.sf(limit, pairs - 1, effect * math.sqrt(pairs)))

    return float(brentq(missing, 0.0, 1e6)) * deviation


def _p_value(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import ttest_rel

    logs = np.log(first), np.log(second)
    return 1.0 if np.allclose(*logs) else float(ttest_rel(*logs).pvalue)
