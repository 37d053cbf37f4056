"""How the recipes of the final exam are searched for: search spaces, problem and target loss.

A search never sees the validation text: it runs on the training text, of which the last tenth is held out
(:func:`sutrolib.problems.holdout.search_holdout`). The target is the baseline's loss there, less a margin, so that what
reaches it on one seed does so on others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.core.io import as_json
from sutrolib.core.provenance import commit, machine, now
from sutrolib.core.records import checked
from sutrolib.exam.entries import Scale, distilled_gpt_like
from sutrolib.exam.record import load, save
from sutrolib.guards.verification import Verification
from sutrolib.measurement.checks import CheckResult
from sutrolib.measurement.passes import score_of
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.extended_ngram import ProductOfExperts
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.text import WindowedText
from sutrolib.processes.dimension import Choice, Dimension, Range
from sutrolib.processes.space import SearchSpace, family_of, space_of
from sutrolib.processes.study import Study

# Nats below the baseline's loss. It was 0.02, twice the standard deviation over seeds. The recipe found with that was
# taken to the exam, where its loss was below the baseline's by 0.01 to 0.02, and its accuracy by half a point, on both
# of its seeds; the exam was stopped, and only the margin was changed after it: no setting was chosen on that text.
TARGET_MARGIN = 0.08
LOW_LOSS_MARGIN = 0.39  # on Shakespeare, better than the published recipe for a graphics card
# Where the last search starts: a recipe of the search before it (its trial 47), with an n-gram of one order more.
_START: Mapping[str, Any] = {
    "lr": 0.0365,
    "matrix_lr": 0.0139,
    "beta1": 0.627,
    "momentum": 0.756,
    "distill_weight": 0.975,
    "teacher_order": 5,
    "embedding_std": 0.123,
    "value_gain": 0.22,
}


@dataclass(frozen=True)
class RecipeSearch:
    """One search: the problem with its target loss, and the search space."""

    problem: WindowedText
    space: SearchSpace


def baseline_loss(scale: Scale, seed: int) -> float:
    """The baseline's loss in nats on the held-out training text; this is one full training."""
    task = holdout_problem(scale, 1.0).sample(seed)
    return -score_of(task, scale.baseline.fit(task.for_training(), seed))


def recipe_searches(scale: Scale, loss: float) -> dict[str, RecipeSearch]:
    """The searches of a scale, for a baseline that reaches ``loss`` on the held-out training text.

    A closed recipe and an n-gram that are as good, and a product of both that is better by LOW_LOSS_MARGIN. For the
    time to a target, nanoGPT's own training and the closed recipe to that very loss.
    """
    as_good, low = (holdout_problem(scale, loss - margin) for margin in (TARGET_MARGIN, LOW_LOSS_MARGIN))
    baseline, order = scale.baseline, Range(3, 8, integer=True)
    max_steps, batch = max(1, baseline.max_steps // 9), max(1, 11 * baseline.batch // 12)
    closed = distilled_gpt_like(baseline, max_steps, batch, **_START)
    learned = LeaveOneOutNGram(samples=30_000, batch=5_000)
    learned_family = family_of(learned, order=order, steps=Range(5, 60, log=True, integer=True))
    fields = {"distill_weight": 0.0, "layers": min(2, baseline.layers)}
    gpt = distilled_gpt_like(baseline, max(1, baseline.max_steps // 6), baseline.batch, **fields)
    product = {  # the exponents, the order of the n-gram, and the GPT's size and training
        "ngram.order": Range(6, 9, integer=True),
        "ngram.steps": Range(10, 60, log=True, integer=True),
        "ngram_exponent": Range(0.65, 0.9),
        "gpt_exponent": Range(0.15, 0.4),
        "gpt.layers": Range(1, baseline.layers, integer=True),
        **{f"gpt.{name}": dimension for name, dimension in _training_ranges(gpt).items()},
        "gpt.distill_weight": Range(0.0, 0.6),
    }
    at_target, published = holdout_problem(scale, loss), dataclasses.replace(baseline, precision="bfloat16")
    return {
        "tuned baseline": RecipeSearch(at_target, space_of(published, **_published_ranges(published))),
        "closed to target": RecipeSearch(at_target, space_of(closed, **_training_ranges(closed))),
        "closed": RecipeSearch(as_good, space_of(closed, **_training_ranges(closed))),
        "n-gram": RecipeSearch(as_good, SearchSpace((family_of(KneserNey(), order=order), learned_family))),
        "low loss": RecipeSearch(low, space_of(ProductOfExperts(gpt=gpt), **product)),
    }


def holdout_problem(scale: Scale, target_loss: float) -> WindowedText:
    """The scale's problem on its training text, a part of which is held out, with this target."""
    problem = search_holdout(scale.problem)
    assert isinstance(problem, WindowedText)
    return dataclasses.replace(problem, target_loss=target_loss)


def _published_ranges(start: GPT) -> dict[str, Dimension]:
    """Of the fields of nanoGPT's own training, around the published recipe."""
    return {
        "max_steps": Range(max(1, start.max_steps // 8), start.max_steps, log=True, integer=True),
        "batch": Range(max(1, start.batch // 3), 2 * start.batch, log=True, integer=True),
        "lr": Range(start.lr / 2, 20 * start.lr, log=True),
        "min_lr": Range(0.0, start.lr),
        "warmup": Range(0, 2 * start.warmup, integer=True),
        "beta1": Range(0.6, 0.95),
        "beta2": Range(0.9, 0.999),
        "weight_decay": Range(0.01, 1.0, log=True),
        "decay": Choice(("cosine", "linear")),
    }


def _training_ranges(start: DistilledGPT) -> dict[str, Dimension]:
    """Of the fields that do not belong to the architecture, around a start that is known to work.

    Most recipes of wider ranges never reach the loss.
    """
    return {
        "max_steps": Range(max(1, int(0.5 * start.max_steps)), int(1.6 * start.max_steps), log=True, integer=True),
        "batch": Range(max(1, start.batch // 2), int(1.5 * start.batch), log=True, integer=True),
        "lr": Range(0.012, 0.04, log=True),
        "matrix_lr": Range(0.006, 0.018, log=True),
        "beta1": Range(0.6, 0.85),
        "momentum": Range(0.7, 0.9),
        "newton_schulz_steps": Range(3, 5, integer=True),
        "distill_weight": Range(0.8, 1.0),
        "teacher_order": Range(4, 5, integer=True),
        "embedding_std": Range(0.07, 0.15, log=True),
        "value_gain": Range(0.15, 0.5, log=True),
    }


def save_search(scale: Scale, search: str, study: Study) -> Path:
    """Add a study to this scale's searches, in place of an earlier one with the same process, problem and space."""
    record = as_json({**study.to_dict(), "search": search, "commit": commit(), "when": now(), "machine": machine()})

    def key(record: Mapping[str, Any]) -> list[Any]:
        return [record[name] for name in ("search", "process", "problem", "space")]

    others = [old for old in load(scale.name, "searches", []) if key(old) != key(record)]
    return save(scale.name, "searches", [*others, record])


def load_searches(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    """The saved studies of this scale by search, as plain JSON, in the order in which they were made."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in load(scale.name, "searches", []):
        found.setdefault(record["search"], []).append(record)
    return found


def save_verifications(scale: Scale, found: Mapping[str, Verification]) -> Path:
    """Save the verifications of recipes, by name."""
    return save(scale.name, "verification", {name: dataclasses.asdict(one) for name, one in found.items()})


def load_verifications(scale: Scale) -> dict[str, Verification]:
    """The saved verifications of this scale, by the recipe's name."""
    return {
        name: checked(Verification(**{**fields, "checks": tuple(CheckResult(**check) for check in fields["checks"])}))
        for name, fields in load(scale.name, "verification", {}).items()
    }
