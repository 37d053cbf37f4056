"""How the recipes of the final exam are found: what is searched, and what each ingredient of a recipe saves.

A search never sees the validation text: it runs on the training text, of which the last tenth is held out
(:func:`sutrolib.problems.rehearsal.rehearsal`). What is asked there is what the baseline reaches there, and a margin,
so that what solves it on one seed does so on others.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sutrolib.exam_entries import Scale
from sutrolib.exam_sitting import sit
from sutrolib.measure import Measurement
from sutrolib.meters.together import Together
from sutrolib.models.blend import Blend
from sutrolib.models.gpt import GPT
from sutrolib.models.leave_one_out import LeaveOneOutNGram
from sutrolib.models.ngram import KneserNey
from sutrolib.models.taught import TaughtGPT
from sutrolib.nouns import Model
from sutrolib.problems.examined import ExamText
from sutrolib.problems.rehearsal import rehearsal
from sutrolib.processes.dimension import Dimension, Range
from sutrolib.processes.space import Space, family_of, space_of

Record: TypeAlias = dict[str, Any]  # plain JSON

MARGIN = 0.02  # nats below the baseline's loss, about twice the deviation from seed to seed
STRETCH = 2**0.5  # from one length of training to the next one that is tried
LONGEST = 16  # times the recipe's own length


@dataclass(frozen=True)
class Hunt:
    """One search: the problem with the loss that is asked, and where to look."""

    problem: ExamText
    space: Space


def hunts(scale: Scale, baseline_loss: float, low_loss: float) -> dict[str, Hunt]:
    """The three searches of a scale: a closed recipe and a count that reach ``baseline_loss`` less the margin, and a
    blend of both that reaches ``low_loss``; losses in nats on the rehearsal of the scale's problem.
    """
    as_good, low = (asked_at(scale, loss) for loss in (baseline_loss - MARGIN, low_loss))
    return {
        "closed": Hunt(as_good, closed_space(scale.baseline)),
        "counting": Hunt(as_good, counting_space()),
        "low loss": Hunt(low, blend_space(scale.baseline)),
    }


def asked_at(scale: Scale, loss: float) -> ExamText:
    """The rehearsal of the scale's problem, solved at ``loss`` nats."""
    stands_in = rehearsal(scale.problem)
    assert isinstance(stands_in, ExamText)
    return dataclasses.replace(stands_in, asked=loss)


def taught_like(baseline: GPT, **fields: Any) -> TaughtGPT:
    """A TaughtGPT of the baseline's shape, with a tenth of its updates unless ``fields`` say otherwise."""
    shape = {name: getattr(baseline, name) for name in ("layers", "heads", "width", "block", "batch", "device")}
    return TaughtGPT(**{**shape, "max_steps": max(1, baseline.max_steps // 10), **fields})


def closed_space(baseline: GPT) -> Space:
    """The fields of :class:`TaughtGPT` that are no part of the architecture."""
    start = taught_like(baseline)
    return space_of(start, **_training(start))


def counting_space() -> Space:
    """Both n-grams."""
    return Space(
        (
            family_of(KneserNey(), order=Range(3, 8, whole=True)),
            family_of(
                LeaveOneOutNGram(samples=30_000, batch=5_000),
                order=Range(3, 8, whole=True),
                steps=Range(5, 60, log=True, whole=True),
            ),
        )
    )


def blend_space(baseline: GPT) -> Space:
    """The blend's exponents, the length of what it counts, and the network's size and training."""
    network = taught_like(baseline, trust=0.0, layers=min(2, baseline.layers))
    start = Blend(network=network)
    inner = {f"network.{name}": dimension for name, dimension in _training(network).items()}
    inner["network.trust"] = Range(0.0, 0.8)
    return space_of(
        start,
        **{
            "counts.order": Range(6, 9, whole=True),
            "counts.steps": Range(10, 60, log=True, whole=True),
            "trust_counts": Range(0.6, 0.95),
            "trust_network": Range(0.1, 0.5),
            "network.layers": Range(1, baseline.layers, whole=True),
            **inner,
        },
    )


def _training(start: TaughtGPT) -> dict[str, Dimension]:
    return {
        "max_steps": Range(max(1, start.max_steps // 4), 3 * start.max_steps, log=True, whole=True),
        "batch": Range(max(1, start.batch // 4), 2 * start.batch, log=True, whole=True),
        "lr": Range(0.005, 0.06, log=True),
        "matrix_lr": Range(0.004, 0.04, log=True),
        "beta1": Range(0.5, 0.9),
        "momentum": Range(0.6, 0.95),
        "iterations": Range(2, 5, whole=True),
        "trust": Range(0.5, 1.0),
        "order": Range(3, 6, whole=True),
        "spread": Range(0.04, 0.3, log=True),
        "handed_on": Range(0.05, 0.6, log=True),
    }


def without(recipe: TaughtGPT) -> dict[str, tuple[TaughtGPT, ...]]:
    """The recipe with one ingredient left out, by its name; where what replaces it has a rate, with three of these."""

    def less(**fields: Any) -> TaughtGPT:
        return dataclasses.replace(recipe, **fields)

    return {
        "the n-gram's targets": (less(trust=0.0),),
        "the start that looks back": (less(handed_on=0.0),),
        "Muon (Adam instead)": tuple(less(optimizer="adam", matrix_lr=rate) for rate in (1e-3, 3e-3, 1e-2)),
        "the falling rates": (less(decay=False), less(decay=False, lr=recipe.lr / 3, matrix_lr=recipe.matrix_lr / 3)),
        "bfloat16 (float32 instead)": (less(precision="float32"),),
    }


def long_enough(
    problem: ExamText, recipes: Sequence[TaughtGPT], seed: int, together: Together
) -> tuple[TaughtGPT, list[Measurement]]:
    """The first of ``recipes``, at the shortest of their lengths, that solves ``problem``; and every run on the way.

    The lengths are those of the recipes times 1, 2^(1/2), 2, ... 16. Where none solves it, the longest one is returned.
    """
    runs = []
    for stretch in (STRETCH**power for power in range(2 * int(math.log2(LONGEST)) + 1)):
        for recipe in recipes:
            longer = dataclasses.replace(recipe, max_steps=round(stretch * recipe.max_steps))
            runs.append(sit(problem, longer, seed, together))
            if runs[-1].solved:
                return longer, runs
    return longer, runs


def weigh_all(
    problem: ExamText, models: Mapping[str, Model], seeds: Sequence[int], together: Together
) -> dict[str, list[Measurement]]:
    """Every model on every seed, taken in turn so that what drifts is the same for all."""
    runs: dict[str, list[Measurement]] = {name: [] for name in models}
    for seed in seeds:
        for name, model in models.items():
            runs[name].append(sit(problem, model, seed, together))
    return runs
