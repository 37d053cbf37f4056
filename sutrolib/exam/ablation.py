"""What each ingredient of a recipe saves: the recipe without it, trained for as long as it then takes.

Without an ingredient the same number of updates ends at a higher loss, and a loss is no energy. So the rest is trained
for longer, until it reaches the loss of the whole recipe on the first seed: lengths grow by the root of 2, and the
length between the last two at which the loss is met is read off the line between them, over the logarithm of the
length. What the rest then takes over what the whole recipe takes, on paired seeds, is what the ingredient saves. On the
other seeds the losses are only about equal; :attr:`Part.loss` says how near they are.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib.core import paths
from sutrolib.core.io import write_json
from sutrolib.core.stats import Interval, paired_ratio
from sutrolib.core.types import describe
from sutrolib.exam.entries import Scale
from sutrolib.exam.evaluate import sit
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.problems.windowed_text import WindowedText

WHOLE = "the whole recipe"
STRETCH = 2**0.5  # from one length of training to the next one that is tried
LONGEST = 16  # times the recipe's own length


def without(recipe: DistilledGPT) -> dict[str, tuple[DistilledGPT, ...]]:
    """The recipe with one ingredient left out, by its name; at several rates, where others may suit what is left."""

    def less(**fields: Any) -> DistilledGPT:
        return dataclasses.replace(recipe, **fields)

    lower = {"lr": recipe.lr / 3, "matrix_lr": recipe.matrix_lr / 3}
    return {
        "the n-gram's targets": (less(distill_weight=0.0),),
        "the start that looks back": (less(value_gain=0.0),),
        "Muon (Adam instead)": tuple(less(optimizer="adam", matrix_lr=rate) for rate in (1e-3, 3e-3, 1e-2)),
        "rates that fall": (less(decay=False), less(decay=False, **lower)),
        "bfloat16 (float32 instead)": (less(precision="float32"),),
    }


@dataclass(frozen=True)
class Part:
    """A recipe, with the runs that found out how long it has to be, and its runs on every seed."""

    model: Mapping[str, Any]
    way: tuple[Measurement, ...]
    runs: tuple[Measurement, ...]
    missed: bool = False  # even the longest training missed the loss: what is read is then the least that it takes

    @property
    def loss_at_first(self) -> float:
        """The loss of the first run on the way, which is as long as the whole recipe; the least, of several rates."""
        return min(loss_of(run) for run in self.way if run.model["max_steps"] == self.way[0].model["max_steps"])

    @property
    def loss(self) -> float:
        """The mean over all seeds that came to a model."""
        return statistics.fmean(run.scores["loss"] for run in self.runs if not run.failure)


def loss_of(run: Measurement) -> float:
    """The loss of a run, infinite where it came to no model."""
    return math.inf if run.failure else run.scores["loss"]


def train_until_loss(
    problem: WindowedText, recipes: Sequence[DistilledGPT], loss: float, seed: int, together: CombinedMeter
) -> tuple[DistilledGPT, Part]:
    """The best of ``recipes``, as long as it has to be to reach ``loss``, and what was run to find that out.

    All are run at their own length; the best one goes on, at 2^(1/2), 2, ... 16 times that length.
    """
    way = [sit(problem, recipe, seed, together) for recipe in recipes]
    best = min(range(len(recipes)), key=lambda number: loss_of(way[number]))
    recipe, losses = recipes[best], [loss_of(way[best])]
    lengths = [recipe.max_steps]
    while losses[-1] > loss and len(lengths) <= 2 * math.log2(LONGEST):
        lengths.append(round(STRETCH ** len(lengths) * recipe.max_steps))
        way.append(sit(problem, dataclasses.replace(recipe, max_steps=lengths[-1]), seed, together))
        losses.append(loss_of(way[-1]))
    found = dataclasses.replace(recipe, max_steps=_met(lengths, losses, loss))
    return found, Part(describe(found), tuple(way), (), losses[-1] > loss)


def _met(lengths: Sequence[int], losses: Sequence[float], loss: float) -> int:
    """Where the line between the last two points meets ``loss``, over the logarithm of the length."""
    if len(lengths) == 1 or losses[-1] > loss or not math.isfinite(losses[-2]):
        return lengths[-1]
    share = (losses[-2] - loss) / (losses[-2] - losses[-1])
    return round(math.exp(math.log(lengths[-2]) + share * math.log(lengths[-1] / lengths[-2])))


def ablate(
    problem: WindowedText,
    recipe: DistilledGPT,
    seeds: Sequence[int],
    together: CombinedMeter,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Part]:
    """The whole recipe and the recipe without each ingredient, at about the same loss on ``problem``.

    How long each has to be is found on the first seed; then all are trained on every seed in turn. ``told`` hears how
    it goes on. Raises ValueError where the whole recipe comes to no model.
    """
    first = sit(problem, recipe, seeds[0], together)
    if first.failure:
        raise ValueError(f"the whole recipe came to no model ({first.failure}), accepted are recipes that do")
    models, parts = {WHOLE: recipe}, {WHOLE: Part(describe(recipe), (first,), ())}
    for name, recipes in without(recipe).items():
        models[name], parts[name] = train_until_loss(problem, recipes, loss_of(first), seeds[0], together)
        told(f"without {name}: {models[name].max_steps} updates, for {recipe.max_steps}")
    runs: dict[str, list[Measurement]] = {name: [] for name in models}
    for seed in seeds:
        for name, model in models.items():
            runs[name].append(sit(problem, model, seed, together))
        told(f"seed {seed} done")
    return {name: dataclasses.replace(part, runs=tuple(runs[name])) for name, part in parts.items()}


def saved(parts: Mapping[str, Part], reading: str) -> dict[str, Interval]:
    """For each ingredient, the reading without it over that of the whole recipe, with its 95 % interval.

    Seeds on which one of the two came to no model are left out, and so is an ingredient that has no other seeds.
    """
    whole = {run.seed: run.reading(reading).value for run in parts[WHOLE].runs if not run.failure}
    found = {}
    for name, part in parts.items():
        pairs = [(r.reading(reading).value, whole[r.seed]) for r in part.runs if r.seed in whole and not r.failure]
        if name != WHOLE and pairs:
            found[name] = paired_ratio(*zip(*pairs, strict=True), min_pairs=2)
    return found


def keep(scale: Scale, parts: Mapping[str, Part]) -> Path:
    """Write all of it to the scale's file of its ablation."""
    content = {
        name: {
            "model": part.model,
            "way": [run.to_dict() for run in part.way],
            "runs": [run.to_dict() for run in part.runs],
            "missed": part.missed,
        }
        for name, part in parts.items()
    }
    return write_json(_path_of(scale), content)


def kept(scale: Scale) -> dict[str, Part]:
    """What was kept of this scale. Raises OSError where nothing was."""
    found = json.loads(_path_of(scale).read_bytes())
    return {name: _part(fields) for name, fields in found.items()}


def _part(fields: Mapping[str, Any]) -> Part:
    way, runs = (tuple(map(Measurement.from_dict, fields[name])) for name in ("way", "runs"))
    return Part(fields["model"], way, runs, fields["missed"])


def _path_of(scale: Scale) -> Path:
    return paths.exam() / f"{scale.name}_ablation.json"
