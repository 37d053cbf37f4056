"""What each ingredient of a recipe saves: the recipe without it, trained until it reaches the same loss.

Without an ingredient, the same number of updates ends at a higher loss, so energies cannot be compared. The ablated
recipe is therefore trained for longer, until it reaches the loss of the full recipe on the first seed: its length grows
by factors of sqrt(2), and the length at which the loss is reached is interpolated between the last two, on the
logarithm of the length. The ingredient saves the ratio of both costs on paired seeds. On the other seeds the losses are
only about equal; :attr:`AblatedRecipe.loss` says how close they are.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.core.stats import Interval, paired_ratio
from sutrolib.core.types import describe
from sutrolib.exam.entries import Scale
from sutrolib.exam.evaluate import evaluate
from sutrolib.exam.record import load, save
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.problems.text import WindowedText

FULL_RECIPE = "full recipe"
_CONTENT = "ablation"
_GROWTH = 2**0.5  # of the number of updates, from one training to the next
_MAX_LENGTH = 16  # times the recipe's own number of updates


def ablated_recipes(recipe: DistilledGPT) -> dict[str, tuple[DistilledGPT, ...]]:
    """The recipe without each ingredient, by name; several learning rates if the rest may need another one."""

    def changed(**fields: Any) -> DistilledGPT:
        return dataclasses.replace(recipe, **fields)

    lower = {"lr": recipe.lr / 3, "matrix_lr": recipe.matrix_lr / 3}
    return {
        "n-gram targets": (changed(distill_weight=0.0),),
        "previous-token initialisation": (changed(value_gain=0.0),),
        "Muon (Adam instead)": tuple(changed(optimizer="adam", matrix_lr=rate) for rate in (1e-3, 3e-3, 1e-2)),
        "learning-rate decay": (changed(lr_decay=False), changed(lr_decay=False, **lower)),
        "bfloat16 (float32 instead)": (changed(precision="float32"),),
    }


@dataclass(frozen=True)
class AblatedRecipe:
    """A recipe, the runs that determined its length, and its runs on every seed.

    ``target_missed``: even the longest training missed the loss, so its costs are lower bounds.
    """

    model: Mapping[str, Any]
    length_runs: tuple[Measurement, ...]
    runs: tuple[Measurement, ...] = ()
    target_missed: bool = False

    @property
    def loss_at_own_length(self) -> float:
        """The loss on the first seed at the full recipe's length; the lowest, of several learning rates."""
        length = self.length_runs[0].model["max_steps"]
        return min(_loss(run) for run in self.length_runs if run.model["max_steps"] == length)

    @property
    def loss(self) -> float:
        """The mean over all seeds that did not fail."""
        return statistics.fmean(run.scores["loss"] for run in self.runs if not run.failure)


def _loss(run: Measurement) -> float:
    """The loss of a run, infinite if it failed."""
    return math.inf if run.failure else run.scores["loss"]


def train_until_loss(
    problem: WindowedText, recipes: Sequence[DistilledGPT], loss: float, seed: int, meter: CombinedMeter
) -> tuple[DistilledGPT, AblatedRecipe]:
    """The best of ``recipes``, with the number of updates that reaches ``loss``, and the runs that determined it.

    All are run at their own length; the best one continues at 2^(1/2), 2, ... 16 times that length.
    """
    runs = [evaluate(problem, recipe, seed, meter) for recipe in recipes]
    best = min(range(len(recipes)), key=lambda number: _loss(runs[number]))
    recipe, losses = recipes[best], [_loss(runs[best])]
    lengths = [recipe.max_steps]
    while losses[-1] > loss and len(lengths) <= 2 * math.log2(_MAX_LENGTH):
        lengths.append(round(_GROWTH ** len(lengths) * recipe.max_steps))
        runs.append(evaluate(problem, dataclasses.replace(recipe, max_steps=lengths[-1]), seed, meter))
        losses.append(_loss(runs[-1]))
    found = dataclasses.replace(recipe, max_steps=_interpolated_length(lengths, losses, loss))
    return found, AblatedRecipe(describe(found), tuple(runs), target_missed=losses[-1] > loss)


def _interpolated_length(lengths: Sequence[int], losses: Sequence[float], loss: float) -> int:
    """Where the line through the last two points reaches ``loss``, on the logarithm of the length."""
    if len(lengths) == 1 or losses[-1] > loss or not math.isfinite(losses[-2]):
        return lengths[-1]
    share = (losses[-2] - loss) / (losses[-2] - losses[-1])
    return round(math.exp(math.log(lengths[-2]) + share * math.log(lengths[-1] / lengths[-2])))


def ablate(
    problem: WindowedText,
    recipe: DistilledGPT,
    seeds: Sequence[int],
    meter: CombinedMeter,
    on_progress: Callable[[str], None] = lambda _: None,
) -> dict[str, AblatedRecipe]:
    """The full recipe and the recipe without each ingredient, at about the same loss on ``problem``.

    The lengths are determined on the first seed; then all are trained on every seed in turn. Raises ValueError if the
    full recipe fails.
    """
    first = evaluate(problem, recipe, seeds[0], meter)
    if first.failure:
        raise ValueError(f"the full recipe failed, so there is no loss to reach ({first.failure}); fix the recipe")
    models, found = {FULL_RECIPE: recipe}, {FULL_RECIPE: AblatedRecipe(describe(recipe), (first,))}
    for name, recipes in ablated_recipes(recipe).items():
        models[name], found[name] = train_until_loss(problem, recipes, _loss(first), seeds[0], meter)
        on_progress(f"without {name}: {models[name].max_steps} updates instead of {recipe.max_steps}")
    runs: dict[str, list[Measurement]] = {name: [] for name in models}
    for seed in seeds:
        for name, model in models.items():
            runs[name].append(evaluate(problem, model, seed, meter))
        on_progress(f"seed {seed} done")
    return {name: dataclasses.replace(part, runs=tuple(runs[name])) for name, part in found.items()}


def savings(recipes: Mapping[str, AblatedRecipe], reading: str) -> dict[str, Interval]:
    """For each ingredient, the reading without it over that of the full recipe, with its 95 % interval.

    Failed runs are left out, and so is an ingredient without other runs.
    """
    full = {run.seed: run.reading(reading).value for run in recipes[FULL_RECIPE].runs if not run.failure}
    found = {}
    for name, recipe in recipes.items():
        costs = {run.seed: run.reading(reading).value for run in recipe.runs if run.seed in full and not run.failure}
        if name != FULL_RECIPE and costs:
            found[name] = paired_ratio(list(costs.values()), [full[seed] for seed in costs])
    return found


def save_ablation(scale: Scale, recipes: Mapping[str, AblatedRecipe]) -> Path:
    """Save an ablation of this scale."""
    return save(scale.name, _CONTENT, {name: dataclasses.asdict(recipe) for name, recipe in recipes.items()})


def load_ablation(scale: Scale) -> dict[str, AblatedRecipe]:
    """The saved ablation of this scale. Raises OSError if there is none."""
    found = {}
    for name, fields in load(scale.name, _CONTENT).items():
        runs = {field: tuple(map(Measurement.from_dict, fields[field])) for field in ("length_runs", "runs")}
        found[name] = AblatedRecipe(**{**fields, **runs})
    return found
